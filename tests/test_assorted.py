"""Over a hundred assorted pictures through the command and Pillow's plugin: size, mode, orientation, alpha, pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL import UnidentifiedImageError

import aecodec.pillow_plugin  # noqa: F401, since it is tested by Image.open
import assorted
from aecodec.bench.metrics import psnr
from aecodec.cli import run
from aecodec.image.reading import from_image
from aecodec.image.reading import open_picture
from assorted import Sample
from helpers.marks import needs_bundled

WITHOUT_LOSS = 45.0  # dB of two pictures that differ by rounding only
AS_STORED = 25.0  # dB of a file in a lossy format
FLOORS = {"tiny": 9.0, "standard": 16.0}  # dB after decoding at quality 100; lowest for black and white, and for 7x7
FAST = tuple(assorted.MADE)[::6]

# Pillow warns of damaged EXIF data; commands report it in their own words.
pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data")


def encode(sample: Sample, model: str, folder: Path) -> Path:
    """The picture as an `.aec` file: by the command, or by Pillow for an image without a file."""
    file = folder / "out.aec"
    if isinstance(sample.source, Image.Image):
        sample.source.save(file, quality=100, model=model)
    else:
        (folder / "a picture").write_bytes(sample.source)  # its content tells the format
        assert run(["encode", str(folder / "a picture"), str(file), "--model", model, "-q", "100"]) == 0
    return file


def check(sample: Sample, model: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> float:
    """Encodes and decodes. Returns the PSNR of the decoded picture against what the source shows."""
    file = encode(sample, model, folder)
    height, width = sample.pixels.shape[:2]
    capsys.readouterr()

    assert run(["info", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["width"], told["height"], told["mode"]) == (width, height, sample.mode)
    assert (told["alpha_bytes"] > 0) == (sample.alpha is not None)

    assert run(["decode", str(file), str(folder / "back.png")]) == 0
    with Image.open(folder / "back.png") as back, Image.open(file) as opened:
        assert (opened.format, opened.mode, opened.size) == ("AEC", sample.mode, (width, height))
        assert (back.mode, back.size, back.getexif().get(assorted.ORIENTATION, 1)) == (opened.mode, opened.size, 1)
        decoded = np.asarray(back)
        np.testing.assert_array_equal(np.asarray(opened), decoded)
    if sample.alpha is None:
        return psnr(sample.pixels, decoded)
    np.testing.assert_array_equal(decoded[..., -1], sample.alpha)
    colours = decoded[..., 0] if sample.mode == "LA" else decoded[..., :3]
    return psnr(on_white(sample.pixels, sample.alpha), on_white(colours, sample.alpha))


def on_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """As a white page shows it: colours are not kept where alpha is 0."""
    share = (alpha if pixels.ndim == 2 else alpha[..., None]) / 255
    return np.rint(255 + share * (pixels.astype(float) - 255)).astype(np.uint8)


@pytest.mark.parametrize("name", FAST)
def test_every_sixth_through_the_tiny_network(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(assorted.MADE[name](), "tiny", tmp_path, capsys) >= FLOORS["tiny"]


def test_at_least_a_hundred_pictures() -> None:
    assert len(assorted.MADE) >= 100


@pytest.mark.parametrize("name", assorted.MADE)
def test_the_encoder_gets_what_the_picture_shows(name: str, tmp_path: Path) -> None:
    """Up to rounding, if the format of the file is lossless."""
    sample = assorted.MADE[name]()
    if isinstance(sample.source, Image.Image):
        picture = from_image(sample.source)
    else:
        (tmp_path / "a").write_bytes(sample.source)
        picture = open_picture(tmp_path / "a")
    lossy = any(word in name for word in ("JPEG", "AVIF", "MPO", "jpeg", "RGB WebP", "EXIF"))
    assert psnr(sample.pixels, picture.pixels) >= (AS_STORED if lossy else WITHOUT_LOSS)


@pytest.mark.slow
@needs_bundled
@pytest.mark.parametrize("name", assorted.MADE)
def test_all_through_the_default_model(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    decibels = check(assorted.MADE[name](), "standard", tmp_path, capsys)
    print(f"{decibels:.1f} dB")
    assert decibels >= FLOORS["standard"]


@pytest.mark.slow
@needs_bundled
@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in assorted.installed()])
def test_pictures_of_installed_packages(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        sample = assorted.as_pillow_shows(path)
    except UnidentifiedImageError:
        pytest.skip("Pillow cannot open it")
    decibels = check(sample, "standard", tmp_path, capsys)
    print(f"{decibels:.1f} dB")
    assert decibels >= FLOORS["standard"]
