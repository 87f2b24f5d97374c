"""Encoding and decoding folders, file by file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec.batch.jobs import EncodeJob
from aecodec.batch.jobs import Product
from aecodec.batch.plan import plan
from aecodec.cli import run
from helpers.batch import TINY
from helpers.batch import encode
from helpers.batch import options
from helpers.commands import environment
from helpers.folders import contents
from helpers.folders import tree
from helpers.paths import PACKAGE_PARENT

OUTPUTS = ["a.aec", "b.aec", "summer/a.aec", "summer/c.v2.aec", "summer/sea/d.aec"]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_folder_and_back(photos: Path, tmp_path: Path, jobs: str, capsys: pytest.CaptureFixture[str]) -> None:
    out, back = tmp_path / "out", tmp_path / "back"
    assert encode(photos, "--out-dir", out, "--jobs", jobs) == 0
    assert tree(out) == OUTPUTS
    for item in plan(options(photos, out=out)):
        assert encode(item.source, tmp_path / "alone.aec") == 0
        assert (tmp_path / "alone.aec").read_bytes() == Path(item.target).read_bytes()
    capsys.readouterr()
    assert run(["decode", str(out), "--out-dir", str(back), "--format", "bmp", "--jobs", jobs]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("5 done in ") and said.err.count("\n") == 1
    assert tree(back) == [name.replace(".aec", ".bmp") for name in OUTPUTS]
    with Image.open(back / "summer" / "a.bmp") as image:
        decoded = aecodec.decode_pixels((out / "summer" / "a.aec").read_bytes())
        np.testing.assert_array_equal(np.asarray(image), decoded)


def test_bad_files_do_not_stop_the_rest(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "a.jpg").write_bytes(b"no picture")
    (photos / "summer" / "a.png").write_bytes((photos / "summer" / "a.png").read_bytes()[:200])
    assert encode(photos, tmp_path / "missing.jpg", "--out-dir", tmp_path / "out", "--jobs", "2") == 1
    *errors, summary = capsys.readouterr().err.splitlines()
    assert len(errors) == 3
    for name in ("a.jpg", "summer/a.png", "missing.jpg"):
        assert sum(name in line and line.startswith("aecodec: ") for line in errors) == 1
    assert summary.startswith("3 done, 3 failed in ")
    assert tree(tmp_path / "out") == ["b.aec", "summer/c.v2.aec", "summer/sea/d.aec"]


def test_json_lines(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "a.jpg").write_bytes(b"no picture")
    assert encode(photos, "--out-dir", tmp_path / "out", "--json") == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0].keys() == {"input", "error"}
    assert lines[1]["output"] == str(tmp_path / "out" / "b.aec")
    assert [Path(fields["output"]).stat().st_size for fields in lines[1:]] == [fields["bytes"] for fields in lines[1:]]
    assert encode(photos, "--out-dir", tmp_path / "out", "--json", "--quiet") == 1
    said = capsys.readouterr()
    assert [json.loads(line).get("skipped", False) for line in said.out.splitlines()] == [False, *[True] * 4]
    assert said.err.count("\n") == 1  # the error, and no summary


def test_up_to_date_outputs_are_skipped(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert encode(photos, "--out-dir", out, "-q", "10") == 0
    first = contents(out)
    stamp = (out / "b.aec").stat().st_mtime
    os.utime(photos / "a.jpg", (stamp + 100, stamp + 100))
    (out / "summer" / "a.aec").unlink()
    capsys.readouterr()
    assert encode(photos, "--out-dir", out, "-q", "10") == 0
    assert "2 done, 3 skipped (up to date; --force writes them again) in " in capsys.readouterr().err
    assert contents(out) == first
    os.utime(photos / "a.jpg", (stamp + 200, stamp + 200))
    for kept in ("--skip-existing", "--no-clobber"):
        assert encode(photos, "--out-dir", out, kept) == 0
        assert "0 done, 5 skipped (existing) in " in capsys.readouterr().err
    assert encode(photos, "--out-dir", out, "-q", "90", "--force") == 0
    assert all(data != first[name] for name, data in contents(out).items())


def test_shards_leave_their_results_and_are_done_once(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    assert encode(photos, "--out-dir", whole) == 0
    for part in ("1/2", "2/2"):
        assert encode(photos, "--out-dir", out, "--shard", part) == 0
    marks = [out / f"shard-0000{index}-of-00002.jsonl" for index in (1, 2)]
    lines = [json.loads(line) for mark in marks for line in mark.read_text().splitlines()]
    assert sorted(fields["output"] for fields in lines) == [str(out / name) for name in OUTPUTS]
    assert {name: data for name, data in contents(out).items() if name.endswith(".aec")} == contents(whole)
    capsys.readouterr()
    before = [mark.stat().st_mtime_ns for mark in marks]
    assert encode(photos, "--out-dir", out, "--shard", "1/2") == 0
    assert "this shard is complete" in capsys.readouterr().err
    assert [mark.stat().st_mtime_ns for mark in marks] == before
    assert encode(photos, "--out-dir", out, "--shard", "1/2", "--force") == 0
    assert " done in " in capsys.readouterr().err


def test_a_shard_that_failed_or_grew_or_is_damaged_is_resumed(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty, out = tmp_path / "empty", tmp_path / "out"
    empty.mkdir()
    mark = out / "shard-00001-of-00001.jsonl"
    good = (photos / "a.jpg").read_bytes()

    def summary(folder: Path, code: int = 0) -> str:
        capsys.readouterr()
        assert encode(folder, "--out-dir", out, "--shard", "1/1") == code
        return capsys.readouterr().err.splitlines()[-1]

    assert summary(empty).startswith("0 done in ")
    (photos / "a.jpg").write_bytes(b"no picture")
    assert "4 done, 1 failed" in summary(photos, 1) and "error" in mark.read_text()
    (photos / "a.jpg").write_bytes(good)
    assert "1 done, 4 skipped" in summary(photos)
    assert "error" not in mark.read_text() and len(mark.read_text().splitlines()) == 5
    shutil.copy(photos / "a.jpg", photos / "new.jpg")
    assert "1 done, 5 skipped" in summary(photos) and (out / "new.aec").is_file()
    mark.write_text("{ damaged")
    assert "6 skipped" in summary(photos)


def test_no_clobber_keeps_a_file_that_appears_meanwhile(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def while_it_encodes(job: EncodeJob, source: Path | IO[bytes], target: str) -> Product:
        Path(target).parent.mkdir(exist_ok=True)
        Path(target).write_bytes(b"somebody's")
        return Product(b"ours", target)

    monkeypatch.setattr(EncodeJob, "__call__", while_it_encodes)
    one = tmp_path / "a.aec"
    assert encode(photos / "a.jpg", one, "--no-clobber") == 1
    assert capsys.readouterr().err == f"aecodec: {one}: exists; --no-clobber keeps it\n"
    assert one.read_bytes() == b"somebody's"
    for option, code in (("--no-clobber", 0), ("--skip-existing", 0), ("--quiet", 1)):
        out = tmp_path / option
        assert encode(photos / "a.jpg", "--out-dir", out, option) == code
        assert (out / "a.aec").read_bytes() == b"somebody's"


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("photos/a.jpg",), "IN and OUT, or inputs and --out-dir"),
        (("photos/a.jpg", "photos/b.PNG", "out.aec"), "IN and OUT, or inputs and --out-dir"),
        (("--out-dir", "out"), "files or folders"),
        (("-", "--out-dir", "out"), "Standard input"),
        (("photos/a.jpg", "out.aec", "--jobs", "2"), "go with --out-dir"),
        (("photos", "--out-dir", "out", "--shard", "0/2"), "I from 1 to N"),
        (("photos", "--out-dir", "out", "--shard", "3/2"), "I from 1 to N"),
        (("photos", "--out-dir", "out", "--shard", "half"), "'half'"),
        (("photos", "--out-dir", "out", "--force", "--skip-existing"), "contradicts"),
        (("photos", "--out-dir", "out", "--jobs", "0"), "--jobs"),
        (("photos", "--out-dir", "out", "--model", "enormous"), "'enormous'"),
        (("photos/.thumbnails/..", "--out-dir", "photos/a.jpg/out", "--jobs", "1"), "Not a directory"),
        (("empty", "--out-dir", "out"), "empty has no file with a known extension"),
    ],
)
def test_invalid_arguments_are_reported(
    arguments: tuple[str, ...],
    wanted: str,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert run(["encode", *TINY, *arguments]) in (1, 2, 4)
    assert wanted in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_unknown_format_is_reported_once(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["decode", str(photos), "--out-dir", str(tmp_path / "out"), "--format", "xyz"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_bar_is_shown_to_a_terminal_only(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "b.PNG").write_bytes(b"no picture")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert encode(photos, "--out-dir", tmp_path / "out", "--json") == 1
    out, err = capsys.readouterr()
    assert [json.loads(line)["input"] for line in out.splitlines()]  # no bar among them
    assert "] 5/5, 0:00 left" in err
    assert f"\x1b[Kaecodec: {photos / 'b.PNG'}: not a picture" in err
    assert err.splitlines()[-1].startswith("\x1b[K4 done, 1 failed in ")


@pytest.mark.slow
@pytest.mark.skipif(not (PACKAGE_PARENT / "benchmarks" / "bulk.py").is_file(), reason="needs the project's own tree")
def test_the_benchmark_measures_whole_commands(photos: Path) -> None:
    arguments = [PACKAGE_PARENT / "benchmarks" / "bulk.py", photos, "--jobs", "1,2", "--rounds", "1", "--model", "tiny"]
    done = subprocess.run([sys.executable, *arguments], env=environment(), capture_output=True, text=True, check=True)
    lines = [line.split(":")[0] for line in done.stdout.splitlines()[1:]]
    cases = [(jobs, runtime) for jobs in (1, 2) for runtime in ("numpy", "native")]
    assert lines == [f"{verb} 5 pictures, jobs {jobs}, {own}" for verb in ("encode", "decode") for jobs, own in cases]


@pytest.mark.skipif(not (PACKAGE_PARENT / "benchmarks" / "flat.py").is_file(), reason="needs the project's own tree")
@pytest.mark.parametrize("arguments", [("--jobs", "x"), ("--pictures", "0"), ("--wrong",)], ids=" ".join)
def test_the_benchmark_of_memory_answers_a_wrong_argument_with_one_line(arguments: tuple[str, ...]) -> None:
    command = [sys.executable, PACKAGE_PARENT / "benchmarks" / "flat.py", *arguments]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert arguments[0] in done.stderr


def test_other_files_of_a_folder_are_counted_by_extension(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("x.HEIC", "y.heic", "z.jxl", "0a1b2c", ".hidden.heic", "summer/deep.jxl"):
        (photos / name).write_bytes(b"not taken")
    assert run(["encode", str(photos), "--out-dir", str(tmp_path / "out"), "--model", "tiny"]) == 0
    said = capsys.readouterr().err
    assert said.endswith("; passed over 2 .heic, 2 .jxl, 1 .txt, 1 without extension\n"), said
    only = tmp_path / "only"
    only.mkdir()
    (only / "a.heic").touch()
    assert run(["encode", str(only), "--out-dir", str(tmp_path / "out"), "--model", "tiny"]) == 1
    assert "has no file with a known extension; passed over 1 .heic\n" in capsys.readouterr().err
