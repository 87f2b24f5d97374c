"""Shared by all tests: the permanent tiny network is on the weights search path."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

# The workers of a test run share the cores: threads of NumPy and torch would only wait for each other.
# Set before either is imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The commands that tests start compile the package once, and not each for itself.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import pytest
from hypothesis import settings
from PIL import Image

pytest.register_assert_rewrite("helpers")  # before any of them is imported

import aecodec
from helpers.commands import Refused
from helpers.paths import PHOTOS
from helpers.paths import TINY
from helpers.pictures import noise
from helpers.tiny import Tiny
from helpers.tiny import load_tiny

# A shell without job control starts what runs in the background with SIGINT ignored, and children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("aecodec", deadline=None)  # the machines are shared: time is no failure
settings.load_profile("aecodec")


@pytest.fixture(autouse=True)
def _tiny_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AECODEC_WEIGHTS", str(TINY))


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    return Refused(tmp_path, capsys)


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    """The permanent test network: its encoder's numbers and its decoder's."""
    return load_tiny()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A PNG of noise, 40x24."""
    path = tmp_path / "in.png"
    Image.fromarray(noise(24, 40, 3)).save(path)
    return path


@pytest.fixture
def encoded(tmp_path: Path, picture: Path) -> Path:
    """The picture, coded with the tiny network at quality 50."""
    path = tmp_path / "in.aec"
    path.write_bytes(aecodec.encode(Image.open(picture), 50, model="tiny"))
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five pictures at three depths, a text file and hidden things."""
    folder = tmp_path / "photos"
    (folder / "summer" / "sea").mkdir(parents=True)
    with Image.open(PHOTOS / "dog.jpg") as image:
        for n, name in enumerate(("a.jpg", "b.PNG", "summer/a.png", "summer/c.v2.jpg", "summer/sea/d.webp")):
            image.crop((16 * n, 0, 16 * n + 40, 32)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.jpg").write_bytes(b"no picture")
    (folder / ".thumbnails").mkdir()
    shutil.copy(folder / "a.jpg", folder / ".thumbnails")
    return folder
