"""A region equals the crop of the whole picture, and only the coded tiles under it are decoded."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image

import aecodec
from aecodec.cli import run
from aecodec.errors import AecError
from aecodec.errors import CorruptFile
from aecodec.errors import OutsidePicture
from aecodec.format.container import pack
from aecodec.format.container import unpack
from aecodec.format.symbol_coding import open_reader
from aecodec.geometry import STRIDE
from aecodec.geometry import TILE
from aecodec.network.layers import receptive_field
from helpers.paths import PHOTOS
from helpers.tiny import Tiny

LARGE = (1100, 1064, 3)  # four tiles, the right and lower ones of 76 and 40 pixels
# Width, height and channels: strips of two tiles are quick, and have every kind of picture.
SHAPES = [(1100, 40, 1), (40, 1064, 2), (1100, 40, 3), (40, 1064, 4), (1100, 40, 4)]
Coded = Callable[[tuple[int, int, int]], tuple[bytes, np.ndarray]]


def picture(width: int, height: int, channels: int) -> np.ndarray:
    """uint8 [height, width, channels] of a photograph; without a third axis for one channel. Alpha is a gradient."""
    with Image.open(PHOTOS / "mountain.jpg") as image:
        pixels = np.asarray(image.convert("RGB").resize((width, height)))
    if channels % 2:
        return pixels[..., :channels].squeeze()
    ramp = np.add.outer(np.arange(height), np.arange(width)) // 10 % 256
    return np.dstack([pixels[..., : channels - 1], ramp.astype(np.uint8)])


@pytest.fixture(scope="module")
def coded() -> Coded:
    """File and decoded pixels of `picture(*shape)`, made once."""

    @cache
    def get(shape: tuple[int, int, int]) -> tuple[bytes, np.ndarray]:
        data = aecodec.encode(picture(*shape), 70, model="tiny")
        return data, aecodec.decode_pixels(data)

    return get


def spans(side: int) -> st.SearchStrategy[tuple[int, int]]:
    """Start and length along a side, often at the borders of tiles and of the picture."""
    starts = st.integers(0, side - 1) | st.integers(1016 if side > 1032 else 0, min(1032, side - 1))
    return starts.flatmap(
        lambda start: st.tuples(st.just(start), st.integers(1, min(90, side - start)) | st.just(min(90, side - start)))
    )


@settings(max_examples=40)
@given(data=st.data(), shape=st.sampled_from(SHAPES))
def test_a_crop_is_the_crop_of_the_whole(coded: Coded, data: st.DataObject, shape: tuple[int, int, int]):
    file, whole = coded(shape)
    (x, width), (y, height) = (data.draw(spans(side)) for side in shape[:2])
    expected = whole[y : y + height, x : x + width]
    np.testing.assert_array_equal(aecodec.decode_pixels(file, crop=(x, y, width, height)), expected)


@pytest.mark.parametrize("crop", [(0, 0, 1100, 1064), (5, 7, 1090, 1050), (1023, 1023, 2, 2), (990, 1000, 80, 64)])
def test_a_crop_of_four_tiles(coded: Coded, crop: tuple[int, int, int, int]):
    data, whole = coded(LARGE)
    x, y, width, height = crop
    np.testing.assert_array_equal(np.asarray(aecodec.decode(data, crop=crop)), whole[y : y + height, x : x + width])


def test_only_the_tiles_under_it_are_decoded(coded: Coded, tiny: Tiny, monkeypatch: pytest.MonkeyPatch):
    """A stream of noise with a correct checksum is noticed if its tile is needed, and only then."""
    data, whole = coded(LARGE)
    header, parts, _ = unpack(data)
    damaged = pack(header, [parts[0], np.random.default_rng(0).bytes(900), *parts[2:]])
    halo = STRIDE * receptive_field(tiny[1].synthesis.layers)
    last = TILE - halo  # columns from here on depend on the second tile
    region = aecodec.decode_pixels(damaged, crop=(0, 0, last, 50))
    np.testing.assert_array_equal(region, whole[:50, :last])
    with pytest.raises(CorruptFile):
        aecodec.decode_pixels(damaged, crop=(0, 0, last + 1, 50))
    read = []
    monkeypatch.setattr("aecodec.codec.decoder.open_reader", lambda *given: read.append(given) or open_reader(*given))
    aecodec.decode_pixels(data, crop=(1090, 1060, 3, 3))
    assert len(read) == 4 - 3 * (halo < 40)


@pytest.mark.parametrize(
    "crop",
    [(-1, 0, 5, 5), (0, 0, 0, 5), (0, 0, 41, 5), (40, 0, 1, 1), (0, 20, 5, 5), (0, 0, 5), (0, 0, 5.0, 5), "0,0,5,5", 7],
)
def test_a_crop_beyond_the_picture_is_refused(crop: tuple[int, int, int, int]):
    data = aecodec.encode(np.zeros((24, 40, 3), np.uint8), model="tiny")
    with pytest.raises(OutsidePicture) as caught:
        aecodec.decode(data, crop=crop)
    assert isinstance(caught.value, AecError)
    assert "\n" not in str(caught.value)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    encoded, out = tmp_path / "a.aec", tmp_path / "a.png"
    encoded.write_bytes(aecodec.encode(np.arange(40 * 24 * 3, dtype=np.uint8).reshape(24, 40, 3), model="tiny"))
    assert run(["decode", str(encoded), str(out), "--crop", "3,5,30,12"]) == 0
    with Image.open(out) as image:
        np.testing.assert_array_equal(np.asarray(image), aecodec.decode_pixels(encoded.read_bytes())[5:17, 3:33])
    out.unlink()
    capsys.readouterr()
    for crop in ("3,5,38,12", "3,5,0,12", "3,5,3", "-3,5,3,3", "a", "3,5,3,3,3", "3.5,1,1,1"):
        assert run(["decode", str(encoded), str(out), "--crop", crop]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1 and line.startswith("aecodec: ") and not out.exists()


def test_of_many_files(tmp_path: Path):
    for name, side in (("a", 40), ("b", 8)):
        (tmp_path / f"{name}.aec").write_bytes(aecodec.encode(np.zeros((side, side), np.uint8), model="tiny"))
    assert run(["decode", str(tmp_path), "--out-dir", str(tmp_path / "out"), "--crop", "0,0,9,9", "--jobs", "1"]) == 1
    with Image.open(tmp_path / "out" / "a.png") as image:
        assert image.size == (9, 9)
    assert not (tmp_path / "out" / "b.png").exists()
