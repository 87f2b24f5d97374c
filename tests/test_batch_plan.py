"""What a batch works on: folders, links, shards, and which output belongs to which input."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aecodec.batch.plan import Shard
from aecodec.batch.plan import plan
from aecodec.batch.results import Item
from aecodec.batch.results import Result
from aecodec.cli import run
from helpers.batch import code
from helpers.batch import encode
from helpers.batch import options
from helpers.batch import pictures
from helpers.folders import tree
from helpers.marks import posix_only
from helpers.paths import PHOTOS

OUTPUTS = ["a.aec", "b.aec", "summer/a.aec", "summer/c.v2.aec", "summer/sea/d.aec"]


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


def test_the_first_of_two_inputs_gets_their_common_output(photos: Path) -> None:
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
def test_a_link_that_is_not_followed_is_named_once(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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


def test_a_folder_without_pictures_is_named(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert encode(photos, tmp_path / "empty", "--out-dir", tmp_path / "out") == 0
    notice, summary = capsys.readouterr().err.splitlines()
    assert notice == f"{tmp_path / 'empty'}: has no file with a known extension"
    assert summary.startswith("5 done in ")


@posix_only
def test_a_broken_link_to_a_picture_is_an_error(
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
