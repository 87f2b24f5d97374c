"""`aecodec model list`, and users' own weights."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from aecodec.cli import run
from aecodec.codec.manifest import find_by_name
from helpers.commands import Refused
from helpers.marks import needs_bundled
from helpers.paths import TINY
from helpers.paths import TINY_ID


def test_a_missing_folder_in_the_search_path_is_reported(
    tmp_path: Path, encoded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AECODEC_WEIGHTS", os.pathsep.join([str(TINY), str(tmp_path / "nowhere")]))
    assert run(["info", str(encoded)]) == 0
    assert capsys.readouterr().err == f"AECODEC_WEIGHTS: no folder {tmp_path / 'nowhere'}\n"


def test_own_weights(
    tmp_path: Path,
    picture: Path,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = tmp_path / "own"
    shutil.copytree(TINY, own)
    monkeypatch.delenv("AECODEC_WEIGHTS")
    file, back = tmp_path / "a.aec", tmp_path / "a.png"
    assert run(["encode", str(picture), str(file), "--weights", str(own / "tiny.decoder.safetensors")]) == 0
    assert f"{file}: decodes where {own} is in AECODEC_WEIGHTS\n" in capsys.readouterr().err
    assert f"needs weights {TINY_ID.hex()}" in refused(4, "decode", file, back)
    monkeypatch.setenv("AECODEC_WEIGHTS", os.pathsep.join([str(tmp_path / "nowhere"), str(own)]))
    assert run(["decode", str(file), str(back)]) == 0
    assert back.is_file()


@pytest.mark.parametrize("part", ["decoder", "encoder"])
def test_damaged_weights(part: str, tmp_path: Path, picture: Path, refused: Refused) -> None:
    shutil.copytree(TINY, tmp_path / "own")
    path = tmp_path / "own" / f"tiny.{part}.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    line = refused(4, "encode", picture, tmp_path / "a.aec", "--weights", path)
    assert f"{path}: damaged" in line


def test_damaged_manifest(tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "manifest.json").write_text("{")
    monkeypatch.setenv("AECODEC_WEIGHTS", str(tmp_path))
    assert "manifest.json: not a weights manifest" in refused(4, "model", "list")


def test_model_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["model", "list"]) == 0
    titles, *lines = capsys.readouterr().out.splitlines()
    assert titles.split()[:4] == ["model", "no.", "id", "decoder"]
    (tiny,) = (line.split() for line in lines if line.startswith("tiny "))
    sizes = [f"{(TINY / f'tiny.{half}.safetensors').stat().st_size:,}" for half in ("decoder", "encoder")]
    assert tiny == ["tiny", "-", TINY_ID.hex(), *sizes, "-", "-", str(TINY)]


@needs_bundled
def test_model_list_has_number_and_figures_of_bundled_models(capsys: pytest.CaptureFixture[str]) -> None:
    entry = find_by_name("standard")
    assert run(["model", "list"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("standard "))
    assert line.split()[1:3] == [str(entry.number), entry.weights_id.hex()]
    assert f"{entry.details['scores']['kodak256']['psnr']:.2f} dB" in line
    assert f"{entry.details['pixels'] / 1e9:.2f} gigapixels" in line


@pytest.mark.parametrize("scores", [7, [], {"kodak256": None}, {"kodak256": {"psnr": "high"}}])
def test_model_list_of_a_manifest_with_strange_figures(
    scores: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(TINY, tmp_path / "own")
    (fields,) = json.loads((TINY / "manifest.json").read_text())["models"]
    (tmp_path / "own" / "manifest.json").write_text(json.dumps({"models": [{**fields, "scores": scores}]}))
    monkeypatch.setenv("AECODEC_WEIGHTS", str(tmp_path / "own"))
    assert run(["model", "list"]) == 0
    assert "  -  " in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(("half", "missing"), [("decoder", True), ("decoder", False), ("encoder", False)])
def test_model_list_with_a_bad_half(
    half: str,
    missing: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(TINY, tmp_path / "own")
    path = tmp_path / "own" / f"tiny.{half}.safetensors"
    data = path.read_bytes()
    path.unlink()
    if not missing:
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    monkeypatch.setenv("AECODEC_WEIGHTS", os.pathsep.join([str(tmp_path / "own"), str(TINY)]))
    assert run(["model", "list"]) == 4
    out, err = capsys.readouterr()
    assert f"{path}: {'No such file' if missing else 'damaged'}" in err and err.count("\n") == 1
    assert str(TINY) in out  # the others are listed


def test_model_list_with_a_decoding_half_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(TINY, tmp_path / "own")
    (tmp_path / "own" / "tiny.encoder.safetensors").unlink()
    monkeypatch.setenv("AECODEC_WEIGHTS", str(tmp_path / "own"))
    assert run(["model", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[4] == "-"


def test_model_list_without_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("aecodec.codec.manifest.folders", lambda: [tmp_path])
    assert run(["model", "list"]) == 0
    out, err = capsys.readouterr()
    assert out == "" and "no models" in err and err.count("\n") == 1
