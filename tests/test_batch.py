"""Many files: plans, whole and in shards; bad files, killed workers, interrupts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec.batch.jobs import EncodeJob
from aecodec.batch.jobs import Product
from aecodec.batch.plan import Shard
from aecodec.batch.plan import plan
from aecodec.batch.results import Item
from aecodec.batch.results import Result
from aecodec.batch.run import do_item
from aecodec.batch.run import run_batch
from aecodec.batch.workers import in_any_order
from aecodec.cli import run
from helpers.commands import environment
from helpers.folders import contents
from helpers.folders import options
from helpers.folders import tree
from helpers.folders import wait_for
from helpers.marks import linux_only
from helpers.marks import posix_only
from helpers.numbers import dangerous_square
from helpers.numbers import lost
from helpers.numbers import square
from helpers.paths import PACKAGE_PARENT
from helpers.paths import PHOTOS

TINY = ("--model", "tiny")


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


OUTPUTS = ["a.aec", "b.aec", "summer/a.aec", "summer/c.v2.aec", "summer/sea/d.aec"]


def encode(*arguments: str | Path) -> int:
    """In this process, unless the arguments ask for more jobs: those take a moment to start."""
    one_job = ["--jobs", "1"] if "--out-dir" in arguments and "--jobs" not in arguments else []
    return run(["encode", *map(str, arguments), *TINY, *one_job])


# The plan.


def test_a_plan_keeps_the_tree_and_one_order(photos: Path) -> None:
    items = list(plan(options(photos)))
    assert [item.target for item in items] == [str(Path("out", name)) for name in OUTPUTS]
    assert [Path(item.source).suffix for item in items] == [".jpg", ".PNG", ".png", ".jpg", ".webp"]
    assert items == list(plan(options(photos)))


def test_a_file_given_by_name_is_taken_with_any_extension(photos: Path) -> None:
    (item,) = plan(options(photos / "notes.txt"))
    assert item == Item(str(photos / "notes.txt"), str(Path("out", "notes.aec")))


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_are_a_partition_that_does_not_depend_on_the_place(photos: Path, tmp_path: Path, count: int) -> None:
    moved = shutil.copytree(photos, tmp_path / "elsewhere")
    targets = []
    for index in range(1, count + 1):
        here = list(plan(options(photos, shard=Shard(index, count))))
        there = list(plan(options(moved, shard=Shard(index, count))))
        assert [item.target for item in here] == [item.target for item in there]
        targets += [item.target for item in here]
    assert sorted(targets) == [str(Path("out", name)) for name in OUTPUTS]
    assert [Shard(1, 3).holds(name) for name in OUTPUTS] == [True, False, False, True, True], "never to change"


def test_of_two_inputs_with_one_output_the_first_has_it(photos: Path) -> None:
    shutil.copy(photos / "b.PNG", photos / "a.bmp")
    entries = list(plan(options(photos, photos / "summer" / "a.png")))
    failed = [entry for entry in entries if isinstance(entry, Result)]
    assert [Path(result.source).name for result in failed] == ["a.jpg", "a.png"]
    assert all("another input has its output" in str(result.error) for result in failed)
    assert len(entries) - len(failed) == len(OUTPUTS)
    for count in (2, 5):
        shards = [plan(options(photos, shard=Shard(index + 1, count))) for index in range(count)]
        assert sum(isinstance(entry, Result) for shard in shards for entry in shard) == 1


def test_pictures_that_keep_their_extension_do_not_collide(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(photos / "b.PNG", photos / "a.png")
    assert encode(photos, "--out-dir", tmp_path / "out") == 1
    assert "a.aec; --keep-extension tells x.jpg and x.png apart" in capsys.readouterr().err
    assert encode(photos, "--out-dir", tmp_path / "both", "--keep-extension") == 0
    names = ["a.jpg", "a.png", "b.PNG", "summer/a.png", "summer/c.v2.jpg", "summer/sea/d.webp"]
    assert tree(tmp_path / "both") == [f"{name}.aec" for name in names]
    assert run(["decode", str(tmp_path / "both"), "--out-dir", str(tmp_path / "back"), "--jobs", "1"]) == 0
    assert tree(tmp_path / "back") == [f"{name}.png" for name in names]
    (item,) = plan(options(photos / "notes", keep_extension=True))
    assert item.target == str(Path("out", "notes.aec")), "without an extension"


def test_the_extension_is_kept_in_folders_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert encode(PHOTOS / "dog.jpg", tmp_path / "dog.aec", "--keep-extension") == 2
    assert "--keep-extension goes with --out-dir" in capsys.readouterr().err


@posix_only
def test_links_are_followed_to_files_and_not_to_folders(photos: Path) -> None:
    (photos / "round").symlink_to(photos)
    (photos / "e.jpg").symlink_to(photos / "a.jpg")
    entries = list(plan(options(photos)))
    assert [Path(entry.target).name for entry in entries if isinstance(entry, Item)][:3] == ["a.aec", "b.aec", "e.aec"]
    (left_out,) = (entry for entry in entries if isinstance(entry, Result))
    assert left_out.notices == (f"{photos / 'round'}: a link to a folder is not followed; give it by name",)
    assert len(entries) == 7


@posix_only
def test_a_link_that_is_left_out_is_told_once(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "round").symlink_to(photos)
    said = []
    for arguments in ((), ("--shard", "1/2"), ("--shard", "2/2"), ("--shard", "2/2"), ("--quiet", "--json")):
        assert encode(photos, "--out-dir", tmp_path / ("parts" if "--shard" in arguments else "out"), *arguments) == 0
        said.append(sum("a link to a folder" in line for line in capsys.readouterr().err.splitlines()))
    assert said[0] == 1 and said[1] + said[2] == 1 and said[2] == said[3] and said[4] == 0
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "photos").symlink_to(photos)
    assert encode(tmp_path / "links", "--out-dir", tmp_path / "out") == 1
    assert "no file with a known extension" in capsys.readouterr().err


def test_a_folder_without_pictures_is_told(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert encode(photos, tmp_path / "empty", "--out-dir", tmp_path / "out") == 0
    notice, summary = capsys.readouterr().err.splitlines()
    assert notice == f"{tmp_path / 'empty'}: has no file with a known extension"
    assert summary.startswith("5 done in ")


@posix_only
def test_a_link_to_a_picture_that_is_gone_is_an_error(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "gone.jpg").symlink_to(tmp_path / "gone.jpg")
    (photos / "gone.txt").symlink_to(tmp_path / "gone.txt")
    assert encode(photos, "--out-dir", tmp_path / "out") == 1
    error, summary = capsys.readouterr().err.splitlines()
    assert error == f"aecodec: {photos / 'gone.jpg'}: No such file or directory"
    assert summary.startswith("5 done, 1 failed")


@posix_only
def test_a_tree_may_be_deeper_than_calls(tmp_path: Path) -> None:
    depth = sys.getrecursionlimit() + 100
    deep = Path(*"d" * depth)
    source, target = tmp_path / "in" / deep, tmp_path / "out" / deep
    try:
        subprocess.run(["mkdir", "-p", source], check=True)
        pictures(tmp_path / "in", a_png=50)
        shutil.copy(tmp_path / "in" / "a.png", source / "b.png")
        assert encode(tmp_path / "in", "--out-dir", tmp_path / "out") == 0
        assert (target / "b.aec").read_bytes() == (tmp_path / "out" / "a.aec").read_bytes() == code(50)
    finally:  # shutil.rmtree calls itself
        subprocess.run(["rm", "-rf", tmp_path / "in", tmp_path / "out"], check=True)


def test_a_folder_that_cannot_be_read_is_a_failure(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def closed(path: str) -> object:
        if path.endswith("sea"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    *items, failed = plan(options(photos))
    assert len(items) == 4
    assert isinstance(failed, Result)
    assert failed.error == f"{photos / 'summer' / 'sea'}: Permission denied"


# The command.


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


def test_what_is_up_to_date_is_skipped(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


# Nothing is called done that is not, and no original is replaced.


def pictures(folder: Path, **colours: int) -> Path:
    """A folder with a picture of 8x8 for each name; `a_bmp` is a.bmp."""
    for name, colour in colours.items():
        path = folder / name.replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), colour).save(path)
    return folder


def code(colour: int) -> bytes:
    """What the command makes of a picture of that colour."""
    return aecodec.encode(Image.new("L", (8, 8), colour), model="tiny")


def test_two_inputs_with_one_output_are_told_across_calls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two, out = pictures(tmp_path / "1", a_png=50), pictures(tmp_path / "2", a_png=200), tmp_path / "out"
    assert encode(one, "--out-dir", out, "--quiet") == 0
    assert encode(two / "a.png", "--out-dir", out, "--quiet") == 1
    wanted = (
        f"aecodec: {two / 'a.png'}: its output {out / 'a.aec'} was made from {one / 'a.png'}; --force replaces it\n"
    )
    assert capsys.readouterr().err == wanted
    assert (out / "a.aec").read_bytes() == code(50)
    assert encode(two, "--out-dir", out, "--force") == 0
    assert (out / "a.aec").read_bytes() == code(200)
    assert encode(one, "--out-dir", out) == 1
    (two / "a.png").unlink()
    assert encode(one, "--out-dir", out) == 0
    assert (out / "a.aec").read_bytes() == code(50)


@pytest.mark.parametrize("shard", [(), ("--shard", "1/1")])
def test_an_input_that_changed_is_encoded_again_whatever_its_time(
    shard: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = pictures(tmp_path / "in", a_bmp=50), tmp_path / "out"
    stamp = 1_000_000_000
    os.utime(folder / "a.bmp", (stamp, stamp))
    assert encode(folder, "--out-dir", out, *shard) == 0
    for colour, name, time in (
        (100, "a.bmp", stamp - 1000),  # an older picture, by cp -p or rsync
        (150, "a.bmp", stamp - 1000),  # of the same size and time, as unzip sets it
        (200, "a.png", stamp),  # under another extension
        (250, "a.png", 4_000_000_000),  # from the future
    ):
        for path in folder.iterdir():
            path.unlink()
        pictures(folder, **{name.replace(".", "_"): colour})
        os.utime(folder / name, (time, time))
        capsys.readouterr()
        assert encode(folder, "--out-dir", out, *shard) == 0
        assert "1 done in " in capsys.readouterr().err
        assert (out / "a.aec").read_bytes() == code(colour)
    assert encode(folder, "--out-dir", out, *shard) == 0
    assert "1 done" not in capsys.readouterr().err
    assert encode(folder, "--out-dir", out, *shard, "-q", "5") == 0
    assert "1 done in " in capsys.readouterr().err, "other options"


@pytest.mark.parametrize("shard", [(), ("--shard", "1/1")])
def test_a_missing_or_damaged_output_is_made_again(
    shard: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = pictures(tmp_path / "in", a_png=50, b_png=100, c_png=150, d_png=200), tmp_path / "out"
    assert encode(folder, "--out-dir", out, *shard) == 0
    outputs = [out / f"{name}.aec" for name in "abcd"]
    first = [path.read_bytes() for path in outputs]
    times = os.stat(outputs[2])
    outputs[0].unlink()
    outputs[1].write_bytes(b"")
    outputs[2].write_bytes(first[2][:-1] + bytes([first[2][-1] ^ 1]))
    os.utime(outputs[2], ns=(times.st_atime_ns, times.st_mtime_ns))
    capsys.readouterr()
    assert encode(folder, "--out-dir", out, *shard) == 0
    assert "3 done, 1 skipped" in capsys.readouterr().err
    assert [path.read_bytes() for path in outputs] == first


@pytest.mark.parametrize("damage", ["lost", "half", "garbage"])
def test_without_the_journal_outputs_are_made_again_and_compared(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = pictures(tmp_path / "in", a_png=50, b_png=100), tmp_path / "out"
    journal = out / ".aecodec" / "made.jsonl"

    def lose() -> None:
        if damage == "lost":
            shutil.rmtree(journal.parent)
        else:
            journal.write_bytes(journal.read_bytes()[:-9] if damage == "half" else b'\xff{}\n[1]\n{"output": 1}\n\n7')

    assert encode(folder, "--out-dir", out) == 0
    lose()
    capsys.readouterr()
    assert encode(folder, "--out-dir", out) == 0
    assert ("1 done, 1 skipped" if damage == "half" else "2 done in ") in capsys.readouterr().err
    assert encode(folder, "--out-dir", out) == 0
    lose()
    pictures(folder, b_png=200)
    assert encode(folder, "--out-dir", out, "--quiet") == 1
    assert f"aecodec: {out / 'b.aec'}: exists, and is not what this command makes; --force" in capsys.readouterr().err
    assert (out / "b.aec").read_bytes() == code(100)
    assert encode(folder, "--out-dir", out, "--force") == 0
    assert (out / "b.aec").read_bytes() == code(200)


def test_a_journal_that_cannot_be_written_is_a_notice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = pictures(tmp_path / "in", a_png=50, b_png=100), tmp_path / "out"
    out.mkdir()
    (out / ".aecodec").write_text("no folder")
    assert encode(folder, "--out-dir", out) == 0
    assert "2 done, 2 with a notice" in capsys.readouterr().err
    assert encode(folder, "--out-dir", out, "-v") == 0
    assert f"{out / '.aecodec' / 'made.jsonl'}: " in capsys.readouterr().err
    assert (out / "b.aec").read_bytes() == code(100)


def test_decoding_into_the_folder_of_the_originals_replaces_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pictures(tmp_path / "in", a_png=50, b_png=100)
    assert encode(folder, "--out-dir", folder) == 0
    before = contents(folder)
    (folder / "b.png").unlink()
    capsys.readouterr()
    decode = ["decode", str(folder), "--out-dir", str(folder), "--jobs", "1"]
    assert run(decode) == 1
    error, summary = capsys.readouterr().err.splitlines()
    assert error.startswith(f"aecodec: {folder / 'a.png'}: exists, and is not what this command makes")
    assert summary.startswith("1 done, 1 failed in ")
    assert contents(folder)["a.png"] == before["a.png"]
    # The other way round: b.aec is the original now, and b.png was made from it.
    (folder / ".aecodec" / "made.jsonl").unlink()
    assert encode(folder, "--out-dir", folder, "-q", "3") == 1
    assert contents(folder)["b.aec"] == before["b.aec"]


def test_an_output_that_was_edited_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pictures(tmp_path / "in", a_png=50)
    assert encode(folder, "--out-dir", tmp_path / "aec") == 0
    decode = ["decode", str(tmp_path / "aec"), "--out-dir", str(tmp_path / "back"), "--jobs", "1"]
    assert run(decode) == 0
    edited = pictures(tmp_path / "back", a_png=77) / "a.png"
    before = edited.read_bytes()
    assert run(decode) == 1
    assert edited.read_bytes() == before
    edited.write_bytes(before[:40] + bytes(20))
    assert run(decode) == 0, "damaged"


def test_a_folder_that_moved_with_its_journal_is_up_to_date(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pictures(tmp_path / "in", a_png=50)
    assert encode(folder, "--out-dir", tmp_path / "out") == 0
    shutil.copytree(tmp_path / "out", tmp_path / "other")  # other times, too
    monkeypatch.chdir(tmp_path)
    assert encode("in/../in", "--out-dir", "other") == 0
    assert "0 done, 1 skipped" in capsys.readouterr().err


def test_an_input_given_twice_is_one(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert encode(photos, f"{photos}/", photos / "a.jpg", photos / "a.jpg", "--out-dir", tmp_path / "out") == 0
    assert "5 done in " in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--skip-existing", "--no-clobber", "--force", "--quiet"])
def test_a_missing_input_is_an_error_though_its_output_exists(option: str, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "in", a_png=50)
    assert encode(folder, "--out-dir", tmp_path / "out") == 0
    (folder / "a.png").unlink()
    assert encode(folder / "a.png", "--out-dir", tmp_path / "out", option) == 1


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


def test_an_output_that_is_its_input_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.aec"
    Image.new("RGB", (8, 8)).save(path, "PNG")
    before = path.read_bytes()
    assert encode(path, "--out-dir", tmp_path, "--force") == 1
    assert path.read_bytes() == before


# The worker.


def test_a_worker_says_what_became_of_an_item(photos: Path, tmp_path: Path) -> None:
    item = Item(str(photos / "a.jpg"), str(tmp_path / "deep" / "er" / "a.aec"))
    result = do_item(EncodeJob(model="tiny"), "update", item)
    assert (result.error, result.skipped) == (None, False)
    assert result.bytes_in == (photos / "a.jpg").stat().st_size
    assert result.bytes_out == Path(item.target).stat().st_size
    assert result.made is not None
    known = Item(item.source, item.target, (result.made,))
    assert do_item(EncodeJob(model="tiny"), "update", known).skipped
    again = do_item(EncodeJob(model="tiny"), "update", item)
    assert (again.skipped, again.made) == (False, result.made), "made again and compared, without a record"
    unreachable = do_item(EncodeJob(model="tiny", target_size=1), "force", item)
    assert str(unreachable.error).startswith(f"{item.source}: the target of 1 bytes cannot be reached")


def crash(source: Path | IO[bytes], target: str) -> Product:
    raise ZeroDivisionError("a mistake\nof two lines")


def test_any_exception_of_a_job_fails_its_item(photos: Path) -> None:
    result = do_item(crash, "force", Item(str(photos / "a.jpg"), "out.aec"))
    assert result.error == f"{photos / 'a.jpg'}: ZeroDivisionError: a mistake of two lines"


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_item_is_worked_on_once(jobs: int) -> None:
    assert sorted(in_any_order(square, iter(range(50)), jobs, lost)) == [n * n for n in range(50)]


def test_items_are_taken_as_workers_are_free() -> None:
    taken: list[int] = []
    results = in_any_order(square, (taken.append(n) or n for n in range(1000)), 2, lost)
    for _ in range(10):
        next(results)
    assert len(taken) <= 12
    results.close()


@posix_only
def test_an_item_whose_workers_are_killed_is_tried_again_and_then_lost_alone() -> None:
    results = sorted(in_any_order(dangerous_square, range(12), 2, lost))
    assert results == sorted(-7 if n == 7 else n * n for n in range(12))


def die_when_done(source: Path | IO[bytes], target: str) -> Product:
    """Killed, the first time, between writing its output and reporting it."""
    path = Path(target)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"whole")
        os.kill(os.getpid(), signal.SIGKILL)
    return Product(b"whole", "done")


@posix_only
def test_the_output_of_a_killed_worker_counts_as_done(photos: Path, tmp_path: Path) -> None:
    results = list(run_batch(die_when_done, options(photos / "summer" / "sea", out=tmp_path / "out", jobs=2)))
    assert [(result.error, result.skipped, result.bytes_out) for result in results] == [(None, False, 5)]


# What a worker finds in its environment, and whether NumPy was loaded before it could be said.
LIGHT_PROGRAM = """
import os, sys
from aecodec.batch.workers import in_any_order

def found(*_):
    return os.environ.get("OPENBLAS_NUM_THREADS"), "numpy" in sys.modules

if __name__ == "__main__":
    print(set(in_any_order(found, range(6), 2, None)), os.environ.get("OPENBLAS_NUM_THREADS"))
"""


def unthreaded() -> dict[str, str]:
    return {name: value for name, value in environment().items() if not name.endswith("_NUM_THREADS")}


def test_a_worker_is_one_thread_before_numpy_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(LIGHT_PROGRAM)
    done = subprocess.run([sys.executable, tmp_path / "main.py"], env=unthreaded(), capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("{('1', False)} None\n", "")


@linux_only
@pytest.mark.parametrize("verb", ["encode", "decode"])
def test_one_job_is_one_thread(verb: str, photos: Path, tmp_path: Path) -> None:
    """A BLAS starts its threads when NumPy is loaded; on a single core it has none to start."""
    assert encode(photos, "--out-dir", tmp_path / "aec") == 0
    source = photos if verb == "encode" else tmp_path / "aec"
    model = TINY if verb == "encode" else ()
    arguments = [verb, str(source), "--out-dir", str(tmp_path / "out"), "--jobs", "1", *model]
    code = "import os, sys; from aecodec.cli import run; run(sys.argv[1:]); print(len(os.listdir('/proc/self/task')))"
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=unthreaded(), capture_output=True, text=True)
    assert done.stdout == "1\n"
    assert " 5 done" in f" {done.stderr}"


# Whole commands that are interrupted and killed.


# torch's CPU device stands in for a GPU, which threads share.
THREADS = """
import sys
from aecodec import api
from aecodec.cli import main
from aecodec.network.torch_runtime import TorchRuntime

shared = TorchRuntime("cpu")
api.runtime = lambda device: shared
main([*sys.argv[1:], "--device", "cuda"])
"""


def copies(folder: Path, count: int) -> Path:
    folder.mkdir()
    for n in range(count):
        shutil.copy(PHOTOS / "dog.jpg", folder / f"{n:03}.jpg")
    return folder


def start(folder: Path, out: Path, program: Sequence[str] = ("-m", "aecodec")) -> subprocess.Popen[str]:
    """Encodes a folder with two jobs; returns when three files are written."""
    arguments = ["encode", str(folder), "--out-dir", str(out), "--jobs", "2", *TINY]
    command = [sys.executable, *program, *arguments]
    process = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len(list(out.glob("*.aec"))) >= 3)
    return process


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """Process ids of its workers; the helper that multiprocessing keeps is none."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
            words = (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == process.pid and b"spawn_main" in words:
            found.append(int(status.parent.name))
    return found


def ended(pids: list[int]) -> bool:
    """Whether all are gone, or zombies that only wait for their parent."""
    files = [path for pid in pids if (path := Path("/proc", str(pid), "stat")).exists()]
    return all(path.read_text().rpartition(") ")[2].startswith("Z") for path in files)


@posix_only
@pytest.mark.parametrize(
    "where", ["command", pytest.param("group", marks=linux_only), pytest.param("threads", marks=pytest.mark.slow)]
)
def test_an_interrupt_leaves_whole_files_only(where: str, tmp_path: Path) -> None:
    """To the command, or to the whole group as Ctrl-C in a terminal does it; to a command of threads on a GPU."""
    if where == "threads":
        pytest.importorskip("torch")
    out = tmp_path / "out"
    process = start(copies(tmp_path / "many", 300), out, ("-c", THREADS) if where == "threads" else ("-m", "aecodec"))
    workers = workers_of(process) if where == "group" else []
    assert len(workers) == (2 if where == "group" else 0)
    for pid in [*workers, process.pid]:
        os.kill(pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.count("\n")) == (130, 2), err
    summary, last = err.splitlines()
    assert " done in " in summary and last == "aecodec: interrupted", err
    assert 3 <= len(tree(out)) < 300 and all(name.endswith(".aec") for name in tree(out))
    (data,) = set(contents(out).values())  # all inputs are the same picture
    aecodec.verify(data)
    wait_for(lambda: ended(workers))


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


@linux_only
@pytest.mark.slow
def test_a_killed_worker_of_a_command(tmp_path: Path) -> None:
    process = start(copies(tmp_path / "many", 20), tmp_path / "out")
    os.kill(workers_of(process)[0], signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert (process.returncode, err.startswith("20 done in ")) == (0, True)
    assert len([name for name in tree(tmp_path / "out") if name.endswith(".aec")]) == 20


@linux_only
@pytest.mark.slow
def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    process = start(copies(tmp_path / "many", 300), tmp_path / "out")
    workers = workers_of(process)
    process.kill()
    process.communicate(timeout=60)
    wait_for(lambda: ended(workers))


@pytest.mark.slow
@pytest.mark.skipif(not (PACKAGE_PARENT / "benchmarks" / "bulk.py").is_file(), reason="needs the project's own tree")
def test_the_benchmark_measures_whole_commands(photos: Path) -> None:
    arguments = [PACKAGE_PARENT / "benchmarks" / "bulk.py", photos, "--jobs", "1,2", "--rounds", "1", "--model", "tiny"]
    done = subprocess.run([sys.executable, *arguments], env=environment(), capture_output=True, text=True, check=True)
    lines = [line.split(":")[0] for line in done.stdout.splitlines()[1:]]
    cases = [(jobs, runtime) for jobs in (1, 2) for runtime in ("numpy", "native")]
    assert lines == [f"{verb} 5 pictures, jobs {jobs}, {own}" for verb in ("encode", "decode") for jobs, own in cases]


def test_what_a_folder_has_besides_pictures_is_counted_by_extension(
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
