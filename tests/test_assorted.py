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

WITHOUT_LOSS = 45.0  # dB; from here on only rounding is between two pictures
AS_STORED = 25.0  # dB of a file that has loss of its own
FLOORS = {"tiny": 9.0, "standard": 16.0}  # dB after decoding at quality 100; least of black and white, and of 7x7
FAST = tuple(assorted.MADE)[::6]

# Pillow warns of damaged EXIF data; a command does not, since it tells of it in its own words.
pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data")


def encode(sample: Sample, model: str, folder: Path) -> Path:
    """The picture as an `.aec` file: by the command, or by Pillow for an image that is in no file."""
    file = folder / "out.aec"
    if isinstance(sample.source, Image.Image):
        sample.source.save(file, quality=100, model=model)
    else:
        (folder / "a picture").write_bytes(sample.source)  # its content tells the format
        assert run(["encode", str(folder / "a picture"), str(file), "--model", model, "-q", "100"]) == 0
    return file


def check(sample: Sample, model: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> float:
    """The whole way there and back. Returns the PSNR of the decoded picture against what the source shows."""
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
    """As it is seen on a page: where alpha is 0 the colours are not kept."""
    share = (alpha if pixels.ndim == 2 else alpha[..., None]) / 255
    return np.rint(255 + share * (pixels.astype(float) - 255)).astype(np.uint8)


@pytest.mark.parametrize("name", FAST)
def test_some(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(assorted.MADE[name](), "tiny", tmp_path, capsys) >= FLOORS["tiny"]


def test_there_are_a_hundred() -> None:
    assert len(assorted.MADE) >= 100


@pytest.mark.parametrize("name", assorted.MADE)
def test_what_is_encoded_is_what_is_to_be_seen(name: str, tmp_path: Path) -> None:
    """Before any loss: to rounding, of a file that has no loss of its own."""
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
def test_all_as_they_are_used(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    decibels = check(assorted.MADE[name](), "standard", tmp_path, capsys)
    print(f"{decibels:.1f} dB")
    assert decibels >= FLOORS["standard"]


@pytest.mark.slow
@needs_bundled
@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in assorted.installed()])
def test_what_packages_bring(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        sample = assorted.as_pillow_shows(path)
    except UnidentifiedImageError:
        pytest.skip("Pillow cannot open it")
    decibels = check(sample, "standard", tmp_path, capsys)
    print(f"{decibels:.1f} dB")
    assert decibels >= FLOORS["standard"]
