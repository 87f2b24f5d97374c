"""The pictures unlike the training set: all are made, all differ, and each passes through the codec."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import aecodec
from helpers.paths import ROOT

SCRIPT = ROOT / "benchmarks" / "unlike.py"

pytestmark = pytest.mark.slow


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unlike")
    assert run(folder).stdout.startswith("20 pictures")
    return folder


def test_twenty_different_pictures_always_the_same(folder: Path, tmp_path: Path):
    run(tmp_path)
    pictures = {path.name: np.asarray(Image.open(path)) for path in sorted(folder.iterdir())}
    assert len(pictures) == 20
    assert {pixels.shape for pixels in pictures.values()} == {(256, 256, 3)}
    assert len({pixels.tobytes() for pixels in pictures.values()}) == 20
    for name, pixels in pictures.items():
        assert np.array_equal(np.asarray(Image.open(tmp_path / name)), pixels), name
        assert pixels.std() > 1, f"{name} is flat"


def test_each_picture_goes_through_the_codec(folder: Path):
    for path in folder.iterdir():
        decoded = aecodec.decode(aecodec.encode(Image.open(path), 100, model="tiny"))
        assert (decoded.size, decoded.mode) == ((256, 256), "RGB")


def test_without_a_folder_it_prints_its_usage():
    refused = run()
    assert refused.returncode == 2
    assert refused.stderr.startswith("usage: ")
