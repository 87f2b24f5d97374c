"""The Python calls: the kinds of picture and bytes that they accept, and one family of exceptions for the rest."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec.format.container import pack
from aecodec.format.header import Header
from aecodec.limits import MAX_SIDE
from aecodec.options import quality_step
from fuzz.container import head
from fuzz.container import plain
from helpers.commands import environment
from helpers.paths import PHOTOS
from helpers.paths import ROOT
from helpers.paths import TINY
from helpers.paths import TINY_ID
from helpers.tiny import Tiny

COLOUR = np.random.default_rng(3).integers(0, 256, (24, 40, 3), dtype=np.uint8)
GREY = COLOUR[..., 1].copy()


def encode(image: Image.Image | np.ndarray, quality: float | None = None, **options: Any) -> bytes:
    return aecodec.encode(image, quality, model="tiny", **options)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    with Image.open(PHOTOS / "dog.jpg") as image:
        return np.asarray(image)


def test_the_public_names() -> None:
    assert set(aecodec.__all__) <= set(dir(aecodec))
    for name in aecodec.__all__:
        assert getattr(aecodec, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'encoed'"):
        aecodec.encoed  # noqa: B018


def test_one_family_of_exceptions() -> None:
    records = {"Info", "EncodeOptions", "DecodeOptions"}
    kinds = {name: getattr(aecodec, name) for name in set(aecodec.__all__) - records if name[0].isupper()}
    assert all(issubclass(kind, aecodec.AecError) for kind in kinds.values())
    assert {name: kind.exit_code for name, kind in kinds.items() if kind.exit_code != 1} == {
        "CorruptFile": 3,
        "HeaderLimitExceeded": 3,
        "InvalidOption": 2,
        "OutsidePicture": 2,
        "UnknownModel": 2,
        "UnknownWeights": 4,
        "UnsupportedVersion": 4,
    }


# Pictures in.


def test_arrays_and_images_give_the_same_bytes() -> None:
    assert encode(Image.fromarray(COLOUR), 40) == encode(COLOUR, 40)
    assert encode(Image.fromarray(GREY), 40) == encode(GREY, 40)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I", "F", "I;16"])
def test_images_of_any_mode(mode: str) -> None:
    image = Image.fromarray(GREY.astype(np.uint16)) if mode == "I;16" else Image.fromarray(COLOUR).convert(mode)
    decoded = aecodec.decode(encode(image))
    assert decoded.size == (40, 24)
    assert decoded.mode == ("L" if mode in ("1", "L", "LA", "I", "F", "I;16") else "RGB")


def test_an_image_still_in_its_file() -> None:
    with Image.open(PHOTOS / "dog.jpg") as image:
        lazily = encode(image, 30)
    file = io.BytesIO((PHOTOS / "dog.jpg").read_bytes())
    assert lazily == encode(Image.open(file).convert("RGB"), 30)


@pytest.mark.parametrize("pixels", [COLOUR, GREY], ids=["colour", "grey"])
def test_memory_layout_does_not_matter(pixels: np.ndarray) -> None:
    expected = encode(pixels)
    read_only = pixels.copy()
    read_only.flags.writeable = False
    wider = np.zeros((24, 80, *pixels.shape[2:]), np.uint8)
    wider[:, ::2] = pixels
    for same in (np.asfortranarray(pixels), read_only, wider[:, ::2], pixels[::-1].copy()[::-1]):
        assert encode(same) == expected


def test_the_callers_array_is_unchanged() -> None:
    pixels = COLOUR.copy()
    encode(pixels)
    np.testing.assert_array_equal(pixels, COLOUR)


# Quality and size.


@pytest.mark.parametrize("quality", [np.float32(40), np.float64(40), np.int64(40), np.uint8(40), 40.0])
def test_numbers_of_any_type(quality: float) -> None:
    assert encode(COLOUR, quality) == encode(COLOUR, 40)


def test_target_bpp_counts_the_whole_file(photo: np.ndarray) -> None:
    height, width = photo.shape[:2]
    assert encode(photo, target_bpp=0.8) == encode(photo, target_size=int(0.8 * height * width / 8))


def test_target_size_of_a_numpy_type(photo: np.ndarray) -> None:
    data = encode(photo, target_size=np.int64(6000))
    assert 0.97 * 6000 <= len(data) <= 6000
    assert data == encode(photo, target_size=6000)


def test_quality_steps_cover_the_scale() -> None:
    for step in range(256):
        info = aecodec.read_info(pack(Header(8, 8, step, TINY_ID), [b""]))
        assert quality_step(info.quality) == info.quality_index == step


def test_the_default_quality_is_that_of_the_weights(tiny: Tiny) -> None:
    assert aecodec.read_info(encode(COLOUR)).quality_index == tiny[0].default_quality


# Bytes in.


def test_decode_takes_any_bytes() -> None:
    data = encode(COLOUR, 40)
    expected = aecodec.decode_pixels(data)
    around = memoryview(b"before" + data + b"after")
    for same in (bytearray(data), memoryview(data), around[6:-5]):
        np.testing.assert_array_equal(aecodec.decode_pixels(same), expected)
        assert aecodec.read_info(same) == aecodec.read_info(data)


@pytest.mark.parametrize("pixels", [COLOUR, GREY], ids=["colour", "grey"])
def test_decode_gives_an_image_and_decode_pixels_an_array(pixels: np.ndarray) -> None:
    data = encode(pixels)
    image, array = aecodec.decode(data), aecodec.decode_pixels(data)
    assert image.mode == ("RGB" if pixels.ndim == 3 else "L")
    assert (array.dtype, array.shape) == (np.uint8, pixels.shape)
    np.testing.assert_array_equal(np.asarray(image), array)


def test_info_is_a_frozen_record() -> None:
    data = encode(GREY, 100)
    info = aecodec.read_info(data)
    assert info == aecodec.Info(
        version=1,
        width=40,
        height=24,
        coded_width=40,
        coded_height=24,
        mode="L",
        quality=100.0,
        quality_index=255,
        model="tiny",
        model_number=None,
        weights_id="11ddc256",
        tiles=1,
        compact=False,
        checksum="crc-32",
        cut=False,
        complete=True,
        size_bytes=len(data),
        bits_per_pixel=round(8 * len(data) / 960, 5),
    )
    with pytest.raises(FrozenInstanceError):
        info.width = 1  # type: ignore[misc]


def test_info_of_unknown_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(COLOUR)
    monkeypatch.delenv("AECODEC_WEIGHTS")
    assert aecodec.read_info(data).model is None


def test_own_weights_by_file(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = encode(COLOUR, 40)
    monkeypatch.delenv("AECODEC_WEIGHTS")
    for file in (TINY / "tiny.encoder.safetensors", str(TINY / "tiny.decoder.safetensors")):
        assert aecodec.encode(COLOUR, 40, weights=file) == expected
        assert aecodec.decode(expected, weights=file).size == (40, 24)
    with pytest.raises(aecodec.UnknownWeights, match="11ddc256"):
        aecodec.decode(expected)


# What goes wrong.


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("photo.jpg", "not str"),
        (b"bytes", "not bytes"),
        (None, "not NoneType"),
        ([[1, 2], [3, 4]], "not list"),
        (COLOUR.astype(np.float32), r"not float32 \[24, 40, 3\]"),
        (COLOUR.astype(np.uint16), "uint16"),
        (np.dstack([COLOUR, COLOUR]), r"\[24, 40, 6\]"),
        (COLOUR[None], r"\[1, 24, 40, 3\]"),
        (COLOUR[0, :, 0], r"\[40\]"),
        (COLOUR[:0], r"\[0, 40, 3\]"),
        (Image.new("RGB", (0, 5)), "empty"),
    ],
)
def test_input_that_is_not_a_picture(image: object, message: str) -> None:
    with pytest.raises(aecodec.InputError, match=message):
        encode(image)  # type: ignore[arg-type]


def test_pictures_over_the_limits() -> None:
    one = np.zeros((1, 1), np.uint8)
    for shape in ((1, MAX_SIDE + 1), (60_000, 60_000)):
        with pytest.raises(aecodec.LimitExceeded, match="limit"):
            encode(np.broadcast_to(one, shape))


@pytest.mark.parametrize(
    "quality",
    [-1, 100.001, float("nan"), float("inf"), np.float32("nan"), np.int64(101), "40", np.array([1, 2])],
    ids=repr,
)
def test_quality_off_the_scale(quality: Any) -> None:
    with pytest.raises(aecodec.AecError, match=r"is not a number within 0\.\.100"):
        encode(COLOUR, quality)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: encode(COLOUR, 50, target_size=2000), "give one of"),
        (lambda: encode(COLOUR, target_bpp=1, target_psnr=30), "give one of"),
        (lambda: encode(COLOUR, target_bpp=0), "target_bpp 0 is not a number above 0"),
        (lambda: encode(COLOUR, target_psnr="high"), "target_psnr 'high' is not a number"),
        (lambda: encode(COLOUR, target_psnr=float("nan")), "target_psnr nan is not a number"),
        (lambda: encode(COLOUR, target_psnr=float("inf")), "target_psnr inf is not a number"),
        (lambda: encode(COLOUR, target_size=1), "the target of 1 bytes cannot be reached"),
        (lambda: encode(COLOUR, target_size=-1), "target_size -1 is not a whole number of at least 1"),
        (lambda: encode(COLOUR, target_size="2k"), "target_size '2k' is not a whole number of at least 1"),
        (lambda: encode(COLOUR, target_size=float("nan")), "target_size nan is not a whole number of at least 1"),
        (lambda: encode(COLOUR, effort=4), "effort 4"),
        (lambda: aecodec.encode(COLOUR, model="tiny", device="abacus"), "'abacus'"),
        (lambda: aecodec.encode(COLOUR, model="enormous"), "'enormous'"),
        (lambda: aecodec.encode(COLOUR, weights="nowhere.safetensors"), "nowhere.safetensors"),
        (lambda: aecodec.decode(encode(COLOUR), device="abacus"), "'abacus'"),
        (lambda: aecodec.decode(encode(COLOUR), weights="nowhere.safetensors"), "nowhere.safetensors"),
    ],
)
def test_invalid_options(call: Callable[[], object], message: str) -> None:
    with pytest.raises(aecodec.AecError, match=message):
        call()


@pytest.mark.parametrize("read", [aecodec.decode, aecodec.decode_pixels, aecodec.read_info])
def test_input_that_is_not_a_file(read: Callable[[bytes], object]) -> None:
    for data in ("photo.aec", 10**12, None, Path("photo.aec")):
        with pytest.raises(aecodec.InputError, match="bytes, not"):
            read(data)  # type: ignore[arg-type]
    for data in (b"", b"text", encode(COLOUR)[:12]):
        with pytest.raises(aecodec.CorruptFile):
            read(data)


def test_damage() -> None:
    data = encode(COLOUR)
    for damaged in (data[:-1], data + b"\0"):
        with pytest.raises(aecodec.CorruptFile):
            aecodec.decode(damaged)
    with pytest.raises(aecodec.UnsupportedVersion):
        aecodec.decode(plain(head(40, 24, version=2)))


def test_a_valid_checksum_over_a_random_stream() -> None:
    """The checks do not help here: such a file is a picture or corrupt, and causes no other error."""
    generator = np.random.default_rng(11)
    for length in range(0, 200, 10):
        data = pack(Header(40, 24, 128, TINY_ID), [generator.bytes(length)])
        with contextlib.suppress(aecodec.CorruptFile):
            assert aecodec.decode(data).size == (40, 24)
    too_long = pack(Header(40, 24, 128, TINY_ID), [generator.bytes(20_000)])
    with pytest.raises(aecodec.CorruptFile):
        aecodec.decode(too_long)


def test_max_pixels() -> None:
    data = encode(COLOUR)
    assert aecodec.decode(data, max_pixels=960).size == (40, 24)
    with pytest.raises(aecodec.HeaderLimitExceeded) as caught:
        aecodec.decode(data, max_pixels=959)
    assert isinstance(caught.value, (aecodec.CorruptFile, aecodec.LimitExceeded))


# Threads, and the scripts of examples/.


def test_threads_give_the_same_bytes(photo: np.ndarray) -> None:
    pictures = [photo, photo[::-1], photo[:100, :77], photo[..., 0]] * 2
    alone = [encode(pixels, 40) for pixels in pictures]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda pixels: encode(pixels, 40), pictures)) == alone
        decoded = list(pool.map(aecodec.decode_pixels, alone))
    for pixels, data in zip(decoded, alone, strict=True):
        np.testing.assert_array_equal(pixels, aecodec.decode_pixels(data))


def run_example(name: str, *arguments: str | Path) -> str:
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]
    return subprocess.run(command, env=environment(), check=True, capture_output=True, text=True).stdout


def test_example_encode_and_decode(tmp_path: Path) -> None:
    file, back = tmp_path / "dog.aec", tmp_path / "dog.png"
    told = run_example("encode_and_decode.py", PHOTOS / "dog.jpg", file, back, "tiny")
    with Image.open(back) as image:
        np.testing.assert_array_equal(np.asarray(image), aecodec.decode_pixels(file.read_bytes()))
    assert f"{file.stat().st_size} bytes" in told


def test_example_encode_folder(tmp_path: Path) -> None:
    told = run_example("encode_folder.py", PHOTOS, tmp_path / "out", "tiny")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == sorted(f"{path.name}.aec" for path in PHOTOS.iterdir() if path.suffix != ".csv")
    assert aecodec.decode((tmp_path / "out" / "car.jpg.aec").read_bytes()).size == (256, 256)
    assert told.count("\n") == len(names) + 1
    assert "ATTRIBUTION.csv: left out" in told
