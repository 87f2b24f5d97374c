"""`verify --against` and `view` give the figures of the pictures as they are seen, with alpha and stored profiles."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aecodec.bench.against import over_white
from aecodec.bench.metrics import psnr
from aecodec.cli import run
from aecodec.format.extras import Extras
from aecodec.image.reading import Picture
from aecodec.image.reading import open_picture
from helpers.commands import Refused
from helpers.pictures import photograph
from helpers.profiles import rgb_profile


def figures(file: Path, original: Path, capsys: pytest.CaptureFixture[str]) -> list[float]:
    """PSNR by `verify` and by the page of `view`."""
    capsys.readouterr()
    assert run(["verify", str(file), "--against", str(original)]) == 0
    said = re.search(r"PSNR ([\d.]+) dB", capsys.readouterr().out)
    page = file.with_suffix(".html")
    assert run(["view", str(file), "--original", str(original), "--out", str(page)]) == 0
    shown = re.search(r'"psnr":([\d.]+)', page.read_text())
    assert said is not None and shown is not None
    return [float(said[1]), float(shown[1])]


def encoded(original: Path, *options: str) -> Path:
    file = original.with_suffix(".aec")
    assert run(["encode", str(original), str(file), "-q", "60", "--model", "tiny", "--quiet", *options]) == 0
    return file


@pytest.mark.parametrize("grey", [False, True])
def test_transparent_pictures_are_compared_on_a_white_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], grey: bool
):
    pixels = photograph(64, 64)
    alpha = np.zeros((64, 64), np.uint8)
    alpha[:, 32:] = 255
    image = Image.fromarray(pixels).convert("L") if grey else Image.fromarray(pixels)
    image.putalpha(Image.fromarray(alpha))
    original = tmp_path / "in.png"
    image.save(original)
    file = encoded(original)
    back = tmp_path / "back.png"
    assert run(["decode", str(file), str(back)]) == 0
    decoded = np.asarray(Image.open(back).convert("RGBA"))[:, 32:, :3]
    right_half = psnr(np.asarray(image.convert("RGB"))[:, 32:], decoded)
    expected = right_half + 10 * np.log10(2)  # the left half is without error: nothing of it is seen
    assert figures(file, original, capsys) == pytest.approx([expected] * 2, abs=0.001)


def test_without_alpha_in_the_file_the_colours_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    image = Image.fromarray(photograph(64, 64))
    image.save(tmp_path / "opaque.png")
    image.putalpha(128)
    image.save(tmp_path / "in.png")
    file = encoded(tmp_path / "in.png", "--no-alpha")
    said = [figures(file, tmp_path / name, capsys) for name in ("in.png", "opaque.png")]
    assert said[0] == said[1]


def test_pictures_with_a_stored_profile_are_compared_as_srgb(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    original = tmp_path / "in.png"
    Image.fromarray(photograph(64, 64)).save(original, icc_profile=rgb_profile(1.0))
    file = encoded(original, "--metadata", "icc")
    back = tmp_path / "back.png"
    assert run(["decode", str(file), str(back)]) == 0
    expected = psnr(open_picture(original).pixels, open_picture(back).pixels)
    assert figures(file, original, capsys) == pytest.approx([expected] * 2, abs=0.001)


def test_pictures_of_other_sides_are_refused_with_both_sizes(tmp_path: Path, refused: Refused):
    for name, side in (("in.png", 64), ("other.png", 32)):
        Image.fromarray(photograph(side, 64)).save(tmp_path / name)
    file = encoded(tmp_path / "in.png")
    said = refused(1, "verify", file, "--against", tmp_path / "other.png")
    assert f"other.png: 64x32 pixels, where {file} has 64x64" in said
    assert "other.png: 64x32 pixels" in refused(1, "view", file, "--original", tmp_path / "other.png")


def test_over_white():
    pixels = np.array([[[10, 20, 30], [10, 20, 30], [10, 20, 30]]], np.uint8)
    alpha = np.array([[0, 255, 51]], np.uint8)
    seen = over_white(Picture(pixels, extras=Extras(alpha)))
    np.testing.assert_array_equal(seen, [[[255, 255, 255], [10, 20, 30], [206, 208, 210]]])
    np.testing.assert_array_equal(over_white(Picture(pixels)), pixels)
