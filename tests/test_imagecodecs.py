"""Arrays by the calls of imagecodecs: what they take and give, `out`, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec import aec_check
from aecodec import aec_decode
from aecodec import aec_encode
from aecodec import aec_version
from helpers.paths import PHOTOS


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    with Image.open(PHOTOS / "dog.jpg") as image:
        return np.asarray(image)


@pytest.fixture(params=["colour", "grey", "colour and alpha", "grey and alpha"])
def pixels(request: pytest.FixtureRequest, photo: np.ndarray) -> np.ndarray:
    cut = photo[:75, 40:150]
    colours = cut if request.param.startswith("colour") else cut[..., 1]
    return np.dstack([colours, cut[..., 0] // 2]) if request.param.endswith("alpha") else colours


def test_round_trip_is_that_of_the_api(pixels: np.ndarray) -> None:
    data = aec_encode(pixels, 40, model="tiny")
    assert data == aecodec.encode(pixels, 40, model="tiny")
    decoded = aec_decode(data)
    assert (decoded.dtype, decoded.shape) == (np.uint8, pixels.shape)
    np.testing.assert_array_equal(decoded, aecodec.decode_pixels(data))
    if pixels.shape[2:] in ((2,), (4,)):
        np.testing.assert_array_equal(decoded[..., -1], pixels[..., -1])


def test_options_reach_the_encoder(photo: np.ndarray) -> None:
    assert len(aec_encode(photo, model="tiny", target_size=6000)) <= 6000
    assert aec_encode(photo, model="tiny", target_bpp=0.75) == aec_encode(photo, model="tiny", target_size=6144)
    assert aec_encode(photo, model="tiny", target_psnr=1) == aec_encode(photo, 0, model="tiny")
    with pytest.raises(aecodec.AecError, match="effort"):
        aec_encode(photo, model="tiny", effort=-1)
    with pytest.raises(aecodec.UnknownWeights, match="nowhere"):
        aec_encode(photo, weights="nowhere.safetensors")


def test_decoding_into_an_array_in_place(pixels: np.ndarray) -> None:
    data = aec_encode(pixels, model="tiny")
    frames = np.zeros((3, *pixels.shape), np.uint8)
    out = frames[1]
    assert aec_decode(data, out=out) is out
    np.testing.assert_array_equal(frames[1], aec_decode(data))
    assert not frames[[0, 2]].any()


def test_decoding_into_an_array_that_is_not_contiguous(pixels: np.ndarray) -> None:
    data = aec_encode(pixels, model="tiny")
    wide = np.zeros((pixels.shape[0], 2 * pixels.shape[1], *pixels.shape[2:]), np.uint8)
    aec_decode(data, out=wide[:, ::2])
    np.testing.assert_array_equal(wide[:, ::2], aec_decode(data))
    assert not wide[:, 1::2].any()


def test_an_unsuitable_out_array_is_refused_and_unchanged(photo: np.ndarray) -> None:
    data = aec_encode(photo[:24, :40], model="tiny")
    read_only = np.zeros((24, 40, 3), np.uint8)
    read_only.flags.writeable = False
    others = [np.zeros(shape, np.uint8) for shape in ((24, 40), (40, 24, 3), (24, 40, 4), (1, 24, 40, 3), (2880,))]
    for out in (*others, np.zeros((24, 40, 3), np.float32), read_only, bytearray(2880)):
        with pytest.raises(aecodec.OutputError, match=r"\[24, 40, 3\]"):
            aec_decode(data, out=out)  # type: ignore[arg-type]
        assert not np.asarray(out).any()


def test_grey_may_have_an_axis_of_one_channel(photo: np.ndarray) -> None:
    grey = photo[:24, :40, :1]
    data = aec_encode(grey, 40, model="tiny")
    assert data == aecodec.encode(grey[..., 0], 40, model="tiny") == aecodec.encode(grey, 40, model="tiny")
    decoded = aec_decode(data)
    assert decoded.shape == (24, 40)
    out = np.zeros((24, 40, 1), np.uint8)
    assert aec_decode(data, out=out) is out
    np.testing.assert_array_equal(out[..., 0], decoded)
    with pytest.raises(aecodec.OutputError, match=r"\[24, 40\]"):
        aec_decode(data, out=np.zeros((24, 40, 3), np.uint8))


def test_encoding_into_a_buffer(photo: np.ndarray) -> None:
    expected = aec_encode(photo, 20, model="tiny")
    out = bytearray(len(expected) + 3)
    assert aec_encode(photo, 20, model="tiny", out=out) == expected
    assert out == expected + bytes(3)
    assert aec_encode(photo, 20, model="tiny", out=memoryview(out)[3:]) == expected
    assert out[3:] == expected
    for short in (bytearray(len(expected) - 1), memoryview(bytes(len(expected)))):
        with pytest.raises(aecodec.OutputError, match=f"at least {len(expected)} bytes"):
            aec_encode(photo, 20, model="tiny", out=short)


def test_input_that_is_not_an_array() -> None:
    with pytest.raises(aecodec.InputError, match="not list"):
        aec_encode([[1, 2], [3, 4]])  # type: ignore[arg-type]
    with pytest.raises(aecodec.InputError, match="float64"):
        aec_encode(np.zeros((8, 8)), model="tiny")


def test_check_looks_at_the_first_bytes_only(photo: np.ndarray) -> None:
    data = aec_encode(photo, model="tiny")
    for same in (data, bytearray(data), memoryview(data), data[:4]):
        assert aec_check(same) is True
    for other in (b"", data[:3], data[1:], (PHOTOS / "dog.jpg").read_bytes()):
        assert aec_check(other) is False
    with pytest.raises(aecodec.InputError, match="not str"):
        aec_check("dog.aec")  # type: ignore[arg-type]


def test_version() -> None:
    assert aec_version() == f"aecodec {aecodec.__version__}"
