"""Each command: what it writes and what it prints."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec.cli import run
from helpers.commands import command
from helpers.commands import environment
from helpers.folders import names
from helpers.marks import needs_bundled
from helpers.marks import posix_only
from helpers.paths import PHOTOS
from helpers.paths import TINY_ID
from helpers.pictures import noise
from helpers.tiny import small_file

PHOTO = PHOTOS / "dog.jpg"


def test_encode_info_decode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, back = tmp_path / "dog.aec", tmp_path / "dog.png"
    assert run(["encode", str(PHOTO), str(file), "--model", "tiny", "-q", "40"]) == 0
    size = file.stat().st_size
    assert capsys.readouterr() == ("", f"{file}: {size} bytes, {size / 8192:.3f} bits per pixel, quality 40\n")
    assert run(["info", str(file)]) == 0
    told = capsys.readouterr().out
    for part in ("256x256 RGB", f"{size} bytes", "quality 40", f"weights {TINY_ID.hex()} (tiny)", "format version 1"):
        assert part in told
    assert run(["decode", str(file), str(back)]) == 0
    assert capsys.readouterr() == ("", f"{back}: 256x256 RGB\n")
    with Image.open(back) as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), aecodec.decode_pixels(file.read_bytes()))
    assert names(tmp_path) == ["dog.aec", "dog.png"]


def test_info_json(encoded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", str(encoded), "--json"]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert fields == {
        "file": str(encoded),
        "version": 1,
        "width": 40,
        "height": 24,
        "coded_width": 40,
        "coded_height": 24,
        "mode": "RGB",
        "quality": 50.2,
        "quality_index": 128,
        "model": "tiny",
        "model_number": None,
        "weights_id": TINY_ID.hex(),
        "tiles": 1,
        "compact": False,
        "checksum": "crc-32",
        "cut": False,
        "complete": True,
        "size_bytes": encoded.stat().st_size,
        "bits_per_pixel": round(8 * encoded.stat().st_size / 960, 5),
        "alpha_bytes": 0,
        "icc_bytes": 0,
        "exif_bytes": 0,
        "xmp_bytes": 0,
    }


def test_info_names_unknown_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.aec"
    path.write_bytes(small_file(b"\1\2\3\4"))
    assert run(["info", str(path)]) == 0
    assert "weights 01020304 (unknown)" in capsys.readouterr().out


def test_info_has_the_number_of_an_unknown_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.aec"
    path.write_bytes(small_file(9))
    assert run(["info", str(path)]) == 0
    assert "weights unknown (model number 9), format" in capsys.readouterr().out
    assert run(["info", str(path), "--json"]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert (fields["model"], fields["model_number"], fields["weights_id"]) == (None, 9, None)


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "bmp", "tif", "PNG"])
def test_the_name_says_the_format(extension: str, tmp_path: Path, encoded: Path) -> None:
    back = tmp_path / f"back.{extension}"
    assert run(["decode", str(encoded), str(back)]) == 0
    with Image.open(back) as image:
        assert image.size == (40, 24)
        assert image.format == Image.registered_extensions()[f".{extension.lower()}"]


def test_losses_are_reported_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(noise(24, 40, 4), "RGBA").save(tmp_path / "alpha.png")
    Image.fromarray(noise(24, 40).astype(np.uint16) * 257).save(tmp_path / "deep.png")
    frames = [Image.fromarray(noise(24, 40) ^ n) for n in (0, 255)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    notices = {"alpha.png": "alpha channel", "deep.png": "16-bit", "moving.gif": "frames"}
    for name, notice in notices.items():
        path = tmp_path / name
        assert run(["encode", str(path), str(tmp_path / "a.aec"), "--model", "tiny", "--no-alpha"]) == 0
        out, err = capsys.readouterr()
        assert out == ""
        first, last = err.splitlines()
        assert first.startswith(f"{path}: ") and notice in first
        assert last.startswith(f"{tmp_path / 'a.aec'}: ")


@posix_only
def test_a_file_name_that_is_not_utf8(tmp_path: Path, encoded: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff.aec"
    try:
        shutil.copy(encoded, name)
    except OSError:
        pytest.skip("this file system wants names in UTF-8")
    done = subprocess.run([*command("info"), name], env=environment(), capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_output_by_an_option(tmp_path: Path, picture: Path, encoded: Path) -> None:
    assert run(["encode", "-o", str(tmp_path / "new.aec"), str(picture), "--model", "tiny", "-q", "50"]) == 0
    assert (tmp_path / "new.aec").read_bytes() == encoded.read_bytes()
    assert run(["decode", str(encoded), "--output", str(tmp_path / "new.png")]) == 0


def test_the_pixel_limit_is_inclusive(tmp_path: Path, picture: Path, encoded: Path) -> None:
    assert run(["decode", str(encoded), str(tmp_path / "a.png"), "--max-pixels", "960", "-n"]) == 0
    assert run(["encode", str(picture), str(tmp_path / "a.aec"), "--model", "tiny", "--max-pixels", "960"]) == 0


def test_quiet_verbose_and_json(tmp_path: Path, encoded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    back = tmp_path / "back.png"
    assert run(["decode", str(encoded), str(back), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert run(["decode", str(encoded), str(back), "-v"]) == 0
    assert re.fullmatch(rf"{re.escape(str(back))}: 40x24 RGB, [0-9.]+ s\n", capsys.readouterr().err)
    assert run(["decode", str(encoded), str(back), "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    fields = json.loads(out)
    assert (fields["output"], fields["bytes"]) == (str(back), back.stat().st_size)


def test_bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    with Image.open(PHOTO) as image:
        for n in range(2):
            image.crop((64 * n, 0, 64 * n + 64, 64)).save(tmp_path / "photos" / f"{n}.png")
    options = ["--model", "tiny", "--codecs", "jpeg", "--quality", "0,50,100"]
    json_file = tmp_path / "figures.json"
    assert run(["bench", str(tmp_path / "photos"), *options, "--json", str(json_file)]) == 0
    table = capsys.readouterr().out
    assert "aecodec" in table and "jpeg" in table
    assert json.loads(json_file.read_text())["pictures"] == 2
    assert run(["bench", str(tmp_path / "photos"), *options, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == 2
    assert run(["bench", str(tmp_path / "photos"), *options, "--csv", "-"]) == 0
    assert capsys.readouterr().out.startswith("picture,")
    assert run(["bench", str(tmp_path / "photos"), *options, "--csv", "-", "--json", "-"]) == 2
    assert "only one of" in capsys.readouterr().err


@needs_bundled
def test_default_model_without_any_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AECODEC_WEIGHTS")
    assert run(["encode", str(PHOTO), str(tmp_path / "a.aec")]) == 0
    assert run(["decode", str(tmp_path / "a.aec"), str(tmp_path / "a.png")]) == 0
    info = aecodec.read_info((tmp_path / "a.aec").read_bytes())
    assert info.model == "standard"
    assert 800 < info.size_bytes < 4000  # 1,966 on average
    with Image.open(PHOTO) as original, Image.open(tmp_path / "a.png") as decoded:
        error = np.asarray(original.convert("RGB"), float) - np.asarray(decoded, float)
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 22


def test_verify(tmp_path: Path, picture: Path, encoded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = tmp_path / "damaged.aec"
    damaged.write_bytes(encoded.read_bytes()[:-1])
    assert run(["verify", str(encoded), str(encoded)]) == 0
    assert capsys.readouterr().out.count(": ok\n") == 2
    assert run(["verify", str(damaged), str(encoded)]) == 3
    out, err = capsys.readouterr()
    assert out == f"{encoded}: ok\n"
    assert err.startswith(f"aecodec: {damaged}: ")
    assert err.count("\n") == 1
    assert run(["verify", str(encoded), "--against", str(picture)]) == 0
    assert re.search(r"ok, PSNR \d+\.\d{3} dB, L1 0\.\d{5}\n", capsys.readouterr().out)


def test_info_of_several_files(tmp_path: Path, encoded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.aec"
    other.write_bytes(b"not a file")
    assert run(["info", str(encoded), str(other), str(encoded), "--json"]) == 3
    out, err = capsys.readouterr()
    assert [json.loads(line)["file"] for line in out.splitlines()] == [str(encoded)] * 2
    assert err == f"aecodec: {other}: not an .aec file\n"
    assert run(["info", str(encoded), str(encoded)]) == 0
    assert capsys.readouterr().out.count("40x24 RGB") == 2


@pytest.mark.parametrize("extension", ["webp", ".BMP"])
def test_format_overrides_the_name(extension: str, tmp_path: Path, encoded: Path) -> None:
    assert run(["decode", str(encoded), str(tmp_path / "back.png"), "--format", extension]) == 0
    with Image.open(tmp_path / "back.png") as image:
        assert image.format == extension.strip(".").upper()
