"""`--strict`: a notice is an error, and what it is about is not written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aecodec.cli import run
from helpers.commands import Refused
from helpers.folders import tree

TINY = ("--model", "tiny")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """One picture that is encoded as it is, and one of 16 bits, of which 8 are left out."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("L", (32, 32), 90).save(folder / "plain.png")
    Image.fromarray(np.arange(1024, dtype=np.uint16).reshape(32, 32) * 60).save(folder / "deep.png")
    return folder


@pytest.fixture
def transparent(tmp_path: Path) -> Path:
    """An `.aec` file of a transparent picture, which a JPEG cannot hold."""
    Image.new("LA", (32, 32), (90, 60)).save(tmp_path / "in.png")
    assert run(["encode", str(tmp_path / "in.png"), str(tmp_path / "in.aec"), *TINY]) == 0
    return tmp_path / "in.aec"


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    return Refused(tmp_path, capsys)


def test_a_picture_with_a_notice_is_not_written(pictures: Path, tmp_path: Path, refused: Refused) -> None:
    told = refused(1, "encode", pictures / "deep.png", tmp_path / "deep.aec", *TINY, "--strict")
    assert "deep.png: " in told and "16-bit" in told
    assert run(["encode", str(pictures / "plain.png"), str(tmp_path / "plain.aec"), *TINY, "--strict"]) == 0


def test_a_target_that_is_missed_is_an_error(pictures: Path, tmp_path: Path, refused: Refused) -> None:
    options = (*TINY, "--target-size", "100000", "--strict")
    assert "instead of 100000" in refused(1, "encode", pictures / "plain.png", tmp_path / "plain.aec", *options)


def test_a_loss_in_decoding_is_an_error(transparent: Path, tmp_path: Path, refused: Refused) -> None:
    assert "alpha" in refused(1, "decode", transparent, tmp_path / "back.jpg", "--strict")
    assert run(["decode", str(transparent), str(tmp_path / "back.png"), "--strict"]) == 0


def test_in_a_folder_the_others_are_written(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["encode", str(pictures), "--out-dir", str(tmp_path / "out"), *TINY, "--jobs", "1"]
    assert run([*command, "--strict", "--json"]) == 1
    done = {Path(fields["input"]).name: fields for fields in map(json.loads, capsys.readouterr().out.splitlines())}
    assert "16-bit" in done["deep.png"]["error"] and "output" in done["plain.png"]
    assert tree(tmp_path / "out") == ["plain.aec"]
    assert run(command) == 0
    assert tree(tmp_path / "out") == ["deep.aec", "plain.aec"]
    assert run([*command, "--strict"]) == 1, "what was made without --strict does not count"
    assert run(command) == 0


def test_a_link_that_is_not_followed_is_an_error(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "deep.png").unlink()
    (pictures / "round").symlink_to(pictures, target_is_directory=True)
    command = ["encode", str(pictures), "--out-dir", str(tmp_path / "out"), *TINY, "--jobs", "1"]
    assert run(command) == 0
    capsys.readouterr()
    assert run([*command, "--strict"]) == 1
    assert "round: a link to a folder is not followed" in capsys.readouterr().err
