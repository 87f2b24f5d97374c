"""`aecodec paper dataset`: what is drawn, cut and written."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aecodec.cli import run
from aecodec.errors import InputError
from aecodec.paper.folder import Row
from aecodec.paper.folder import verify
from aecodec.paper.sampling import draw_dev
from helpers.commands import Refused
from helpers.folders import contents
from helpers.folders import tree
from helpers.marks import linux_only
from helpers.marks import posix_only
from helpers.paper_sets import Built
from helpers.paper_sets import arguments
from helpers.paper_sets import broken_set
from helpers.paper_sets import build
from helpers.paper_sets import class_tars
from helpers.paper_sets import imagenet_files
from helpers.paper_sets import lfw_files
from helpers.paper_sets import lvis_files
from helpers.paper_sets import lvis_folder
from helpers.paper_sets import numbered
from helpers.paper_sets import picture
from helpers.paper_sets import places_files
from helpers.paper_sets import places_tar
from helpers.paper_sets import under
from helpers.paper_sets import write
from helpers.paths import PACKAGE_PARENT

pytest_plugins = ["helpers.paper_sets"]


def rows_of(out: Path) -> list[Row]:
    with (out / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return [Row(**row) for row in csv.DictReader(file)]


def journal_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]


def test_builds_train_dev_and_manifest(everything: Built):
    assert everything.lines == [
        "imagenet: 6 pictures; left out: 0 undecodable, 0 duplicates",
        "places: 6 pictures; left out: 0 undecodable, 0 duplicates",
        "lvis: 4 pictures; left out: 0 undecodable, 0 duplicates",
        "lfw: 5 pictures; left out: 0 undecodable, 0 duplicates",
        "plain: 3 pictures; left out: 0 undecodable, 0 duplicates",
        "19 in train, 5 in dev; verified: no picture twice; 24 made by this run",
    ], "and no progress bar, as this is no terminal"
    rows = rows_of(everything.out)
    assert Counter(row.source for row in rows) == {"imagenet": 6, "places": 6, "lvis": 4, "lfw": 5, "plain": 3}
    assert Counter(row.split for row in rows) == {"train": 19, "dev": 5}
    assert {row.file for row in rows} | {"manifest.csv", "journal.jsonl"} == set(tree(everything.out))
    originals = imagenet_files() | places_files() | lvis_files() | lfw_files()
    for row in rows:
        assert row.file.startswith(f"{row.split}/{row.source}-")
        with Image.open(everything.out / row.file) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (256, 256))
            assert hashlib.sha256(image.tobytes()).hexdigest() == row.sha256
            if row.source != "plain":
                with Image.open(io.BytesIO(originals[row.name])) as original:
                    assert np.abs(np.subtract(image.resize((1, 1)), original.resize((1, 1)), dtype=float)).max() < 40
    verify(rows)


def test_only_the_seed_decides_what_is_drawn_and_how_it_is_split(everything: Built, tmp_path: Path):
    repacked = everything.options | {
        "--imagenet": f"{write(tmp_path / 'tars', class_tars())}:6",
        "--places": f"{places_tar(tmp_path / 'places-tar')}:6",
        "--lfw": f"{write(tmp_path / 'lfw-folder' / 'lfw', lfw_files())}:5",
    }
    assert build(repacked, tmp_path / "second") == 0
    assert contents(everything.out) == contents(tmp_path / "second")
    assert build(everything.options, tmp_path / "third", "--seed", "1") == 0
    first, third = rows_of(everything.out), rows_of(tmp_path / "third")
    assert {row.name for row in first} != {row.name for row in third}
    assert {row.file for row in first} != {row.file for row in third}, "the split is another one"


def test_the_draw_is_uniform():
    counts = {"a": 6, "b": 2}
    drawn = Counter(slot for seed in range(2000) for slot in draw_dev(counts, 2, seed))
    assert len(drawn) == 8
    assert all(abs(count - 500) < 100 for count in drawn.values())


def test_pictures_are_upright_rgb_short_side_256_centre_cut(tmp_path: Path):
    stripes = np.zeros((256, 768, 3), np.uint8)
    stripes[:, :256], stripes[:, 256:512], stripes[:, 512:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    inks = {f"{mode.lower()}.jpg": picture(mode, (300, 500), mode) for mode in ("L", "CMYK")}
    write(tmp_path / "in", inks)
    large = stripes.repeat(3, 0).repeat(3, 1)
    for name, pixels in (("same", stripes), ("half", stripes[::2, ::2]), ("large", large)):
        Image.fromarray(pixels).save(tmp_path / "in" / f"{name}.png")
    turned = Image.fromarray(np.rot90(stripes, 1).copy())
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "in" / "turned.png", exif=exif)
    code = build({"--folder": f"x={tmp_path / 'in'}:6"}, tmp_path / "out", "--dev", "0")
    assert code == 1, "the turned one is the same picture, so there are too few"
    digests = {decision["name"]: decision["sha256"] for decision in journal_of(tmp_path / "out")[1:]}
    assert digests.keys() == {"same.png", "half.png", "large.png", "turned.png", *inks}
    green = hashlib.sha256(stripes[:, 256:512].tobytes()).hexdigest()
    assert digests["same.png"] == digests["turned.png"] == green
    assert len(set(digests.values())) == 5
    for path in (tmp_path / "out" / "train").iterdir():
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("RGB", (256, 256))


def test_undecodable_files_and_duplicates_are_replaced_and_counted(of_broken: Built):
    assert of_broken.lines[0] == "x: 12 pictures; left out: 5 undecodable, 3 duplicates"
    assert len({row.sha256 for row in rows_of(of_broken.out)}) == 12
    parameters, *decisions = journal_of(of_broken.out)
    assert parameters == {"seed": 0, "dev": 5, "counts": {"x": 12}}
    problems = {of["name"]: of["problem"] for of in decisions if of["outcome"] == "undecodable"}
    assert problems.keys() == {"empty.jpg", "text.jpg", "cut.jpg", "cut.png", "line.png"}
    assert problems["line.png"] == "3000x1 pixels are no photograph"


@posix_only
def test_missing_files_and_pipes_are_replaced_and_counted(tmp_path: Path, rejected: Callable[..., str]):
    coco = lvis_folder(tmp_path / "coco")
    (coco / "train2017" / "000000000030.jpg").unlink()
    plain = write(tmp_path / "plain", numbered(9))
    (plain / "dead.png").symlink_to("nowhere.png")
    os.mkfifo(plain / "pipe.png")
    line = rejected({"--lvis": f"{coco}:9", "--folder": f"x={plain}:10"})
    assert line.endswith("only 9 usable pictures for x, 10 are asked for; 2 undecodable or duplicate")
    decisions = journal_of(tmp_path / "out")[1:]
    problems = {of["name"]: of["problem"] for of in decisions if of["outcome"] == "undecodable"}
    assert problems.keys() - {"train2017/000000000030.jpg"} == {"dead.png", "pipe.png"}
    assert set(problems.values()) == {"missing or no regular file"}
    line = rejected({"--lvis": f"{coco}:10"}, out=tmp_path / "lvis")
    assert line.endswith("only 9 usable pictures for lvis, 10 are asked for; 1 undecodable or duplicate")


def test_a_picture_of_two_sources_is_taken_once(tmp_path: Path):
    a = write(tmp_path / "a", numbered(4))
    b = write(tmp_path / "b", under("other", numbered(4)) | {"own.png": picture("own")})
    assert build({"--folder": f"a={a}:4"}, tmp_path / "out", "--folder", f"b={b}:1", "--dev", "2") == 0
    assert [row.name for row in rows_of(tmp_path / "out") if row.source == "b"] == ["own.png"]


def test_folders_that_cannot_serve(tmp_path: Path, of_broken: Built, rejected: Callable[..., str]):
    folder = tmp_path / "in"
    assert "no such file" in rejected({"--folder": f"x={folder}:9"})
    write(folder, {"notes.txt": b""})
    assert "no pictures found" in rejected({"--folder": f"x={folder}:9"})
    assert rejected({"--folder": f"x={folder / 'notes.txt'}:9"}).endswith("notes.txt: not a folder")
    write(folder, numbered(8))
    assert rejected({"--folder": f"x={folder}:9"}).endswith("in: 8 pictures for x, 9 are asked for")
    assert "which it is to be made from" in rejected({"--folder": f"x={folder}:8"}, out=folder / "out")
    assert not tree(tmp_path / "out")
    line = rejected({"--folder": of_broken.options["--folder"].replace(":12", ":13")})
    assert line.endswith("only 12 usable pictures for x, 13 are asked for; 8 undecodable or duplicate")


def test_a_folder_holds_one_data_set_only(nine: dict[str, str], tmp_path: Path, rejected: Callable[..., str]):
    out = tmp_path / "out"
    write(out, {"letter.txt": b"mine"})
    assert "has other files in it" in rejected(nine)
    (out / "letter.txt").unlink()
    assert build(nine, out) == 0
    before = contents(out)
    for other in (("--seed", "1"), ("--dev", "4"), ("--folder", f"y={tmp_path / 'in'}:7")):
        assert "begun with other parameters (seed 0, dev 5, {'x': 9})" in rejected(nine, *other)
    write(out, {"dev/stranger.png": picture("stranger")})
    assert rejected(nine).endswith("stranger.png: is not of this data set")
    (out / "dev" / "stranger.png").unlink()
    for damaged in (b"{}\n", before["journal.jsonl"] + before["journal.jsonl"].split(b"\n", 1)[1]):
        write(out, {"journal.jsonl": damaged})
        assert "journal.jsonl: damaged" in rejected(nine)
        assert contents(out) == before | {"journal.jsonl": damaged}


def test_changed_sources_are_noticed(nine: dict[str, str], tmp_path: Path, rejected: Callable[..., str]):
    assert build(nine, tmp_path / "out") == 0
    rows = rows_of(tmp_path / "out")
    (tmp_path / "out" / rows[4].file).unlink()
    write(tmp_path / "in", {rows[4].name: picture("another")})
    assert "is not the picture it was" in rejected(nine)
    write(tmp_path / "in", numbered(9))
    (tmp_path / "in" / rows[0].name).rename(tmp_path / "in" / "renamed.png")
    assert "not the pictures it had" in rejected(nine)


def test_a_lost_picture_whose_source_has_become_shorter(of_broken: Built, tmp_path: Path, rejected: Callable[..., str]):
    out, source = write(tmp_path / "out", contents(of_broken.out)), broken_set(tmp_path / "in")
    *_, last = journal_of(out)
    (out / rows_of(out)[-1].file).unlink()
    (source / last["name"]).unlink()
    assert f"not the pictures it had when this was begun ({last['name']})" in rejected({"--folder": f"x={source}:12"})


def test_verification_finds_a_picture_in_both(nine: dict[str, str], tmp_path: Path, rejected: Callable[..., str]):
    out = tmp_path / "out"
    assert build(nine, out) == 0
    train, dev = (next(row for row in rows_of(out) if row.split == split) for split in ("train", "dev"))
    shutil.copy(out / train.file, out / dev.file)
    journal = out / "journal.jsonl"
    journal.write_text(journal.read_text().replace(dev.sha256, train.sha256))
    assert "are the same picture" in rejected(nine)
    with pytest.raises(InputError, match="train/a-0.png and dev/a-1.png are the same file"):
        verify([Row("train/a-0.png", "a", "0.jpg", "00", "train"), Row("dev/a-1.png", "a", "0.jpg", "11", "dev")])


@pytest.mark.parametrize(
    "given",
    [
        (),
        ("--folder", "x=in:5"),
        ("--folder", "x=in:9", "--dev", "9"),
        ("--folder", "in:9", "--dev", "1"),
        ("--folder", "X y=in:9", "--dev", "1"),
        ("--folder", "lfw=in:9", "--dev", "1"),
        ("--folder", "x=in:9", "--folder", "x=in:9", "--dev", "1"),
        ("--imagenet", "in", "--dev", "1"),
        ("--imagenet", "in:0", "--dev", "1"),
        ("--imagenet", ":5", "--dev", "1"),
        ("--imagenet", "in:five", "--dev", "1"),
        ("--imagenet", "in:9", "--dev", "-1"),
        ("--imagenet", "in:9", "--dev", "1", "--jobs", "0"),
        ("--imagenet", "in:9", "--dev", "1", "--seed", "-1"),
        ("--imagenet", "in:9", "--dev", "1", "--seed", str(2**63)),
        ("--imagenet", "in:9", "--dev", "1", "--seed", "1" + "0" * 5000),
    ],
)
def test_usage(given: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    monkeypatch.chdir(tmp_path)
    Refused(tmp_path, capsys)(2, "paper", "dataset", *given, "--out", "out")
    assert not list(tmp_path.iterdir())


def test_help(capsys: pytest.CaptureFixture[str]):
    for words in (["paper"], ["paper", "--help"], ["paper", "dataset", "--help"]):
        assert run(words) == 0
    assert "short side of 256" in " ".join(capsys.readouterr().out.split())


@linux_only
def test_the_command_is_one_thread(nine: dict[str, str], tmp_path: Path):
    """Another would get the interrupts that this one holds back. A BLAS starts its threads when NumPy is loaded."""
    code = "import os, sys; from aecodec.cli import run; run(sys.argv[1:]); print(len(os.listdir('/proc/self/task')))"
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    program = [sys.executable, "-c", code, *arguments(nine, tmp_path / "out")]
    assert subprocess.run(program, env=environment, cwd=PACKAGE_PARENT, capture_output=True, text=True).stdout == "1\n"


def test_a_terminal_gets_a_bar_that_is_gone_at_the_end(
    nine: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert build(nine, tmp_path / "out") == 0
    shown = capsys.readouterr().err
    assert "] 9/9, 0:00 left, x" in shown
    assert "\r\x1b[Kx: 9 pictures; left out: 0 undecodable, 0 duplicates\n" in shown
