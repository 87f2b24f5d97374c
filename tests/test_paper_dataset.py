"""The data set builder, on miniatures that are laid out exactly like the four public sets."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from aecodec.cli import run
from aecodec.errors import AecError
from aecodec.errors import InputError
from aecodec.files import walk
from aecodec.paper.archives import read
from aecodec.paper.dataset import in_order
from aecodec.paper.folder import Row
from aecodec.paper.folder import verify
from aecodec.paper.sampling import draw_dev
from aecodec.paper.sampling import sample
from aecodec.paper.sources import PUBLIC_SETS
from aecodec.paper.sources import Source
from aecodec.paper.sources import candidates
from helpers.commands import Refused
from helpers.commands import command
from helpers.folders import contents
from helpers.folders import tree
from helpers.folders import wait_for
from helpers.marks import linux_only
from helpers.marks import posix_only
from helpers.paths import PACKAGE_PARENT

CLASSES = ("n01440764", "n01443537", "n02102040")
PEOPLE = {"Aaron_Eckhart": 1, "Aaron_Peirsol": 4, "Jose_Manuel_Durao_Barroso": 2, "Wu_Yi": 3}
SCENES = ("a/airfield", "a/apartment_building/outdoor", "z/zen_garden")


def picture(key: object, size: tuple[int, int] = (20, 14), mode: str = "RGB", form: str = "JPEG") -> bytes:
    """An encoded picture that is different for every key."""
    generator = np.random.default_rng(list(repr(key).encode()))
    small = Image.fromarray(generator.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    stream = io.BytesIO()
    small.resize(size).convert(mode).save(stream, form)
    return stream.getvalue()


def numbered(count: int, form: str = "JPEG") -> dict[str, bytes]:
    return {f"{i}.png": picture(i, form=form) for i in range(count)}


def under(folder: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}/{name}": data for name, data in files.items()}


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def tar(files: dict[str, bytes], mode: str = "w") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def imagenet_files() -> dict[str, bytes]:
    """By class and name, as everywhere in ImageNet; one of them is a PNG in spite of its name, as in the original."""
    files = {f"{name}/{name}_{1000 + 7 * i}.JPEG": picture((name, i)) for name in CLASSES for i in range(4)}
    return files | {"n02102040/n02102040_2933.JPEG": picture("png", form="PNG")}


def places_files() -> dict[str, bytes]:
    return {f"{scene}/{i:08}.jpg": picture((scene, i), (16, 16)) for scene in SCENES for i in range(1, 5)}


def lfw_files() -> dict[str, bytes]:
    return {
        f"{name}/{name}_{i:04}.jpg": picture((name, i), (25, 25)) for name, n in PEOPLE.items() for i in range(1, n + 1)
    }


def imagenet_folder(root: Path) -> Path:
    other = {"val/n01440764/ILSVRC2012_val_00000293.JPEG": picture("validation")}
    return write(root, under("train", imagenet_files()) | other)


def imagenet_kaggle(root: Path) -> Path:
    imagenet_folder(root / "ILSVRC" / "Data" / "CLS-LOC")
    return write(root, {"ILSVRC/Annotations/CLS-LOC/train/n01440764/n01440764_1000.xml": b"<annotation/>"})


def class_tars() -> dict[str, bytes]:
    files = imagenet_files()
    return {
        f"{name}.tar": tar({path.split("/")[1]: data for path, data in files.items() if path.startswith(name)})
        for name in CLASSES
    }


def imagenet_whole_tar(root: Path) -> Path:
    other = tar({"ILSVRC2012_val_00000001.JPEG": picture("validation")})
    return write(root, {"ILSVRC2012_img_train.tar": tar(class_tars()), "ILSVRC2012_img_val.tar": other})


def places_tar(root: Path) -> Path:
    other = tar({"val_256/Places365_val_00000001.jpg": picture("validation")})
    return write(
        root, {"train_256_places365standard.tar": tar(under("data_256", places_files())), "val_256.tar": other}
    )


def places_folder(root: Path) -> Path:
    other = {"val_256/Places365_val_00000001.jpg": picture("validation")}
    return write(root, under("data_256", places_files()) | other)


def lfw_tgz(root: Path) -> Path:
    return write(root, {"lfw.tgz": tar(under("lfw", lfw_files()), "w:gz")})


def lvis_json(names: list[str], **fields: object) -> bytes:
    """As lvis_v1_train.json: outlines first, images without a file_name."""
    images = [
        {"id": int(name[-16:-4]), "license": 4, "coco_url": f"http://images.cocodataset.org/{name}"}
        | {"height": 14, "width": 20, "date_captured": "2013-11-14 17:02:52", "neg_category_ids": [1, 2, 3]}
        for name in names
    ]
    outline = {"id": 1, "image_id": 9, "category_id": 3, "segmentation": [[1.5, 2.5, 3.5, 4.5]], "area": 3.0}
    content = {"info": {"description": "LVIS"}, "annotations": [outline] * 5, "images": images, "categories": []}
    return json.dumps({**content, **fields}).encode()


# Of the training and the validation JSON: both name pictures of train2017, as in the original.
LVIS_TRAINING = [f"train2017/{391895 + i:012}.jpg" for i in range(5)]
LVIS_VALIDATION = [f"val2017/{139 + i:012}.jpg" for i in range(4)] + ["train2017/000000000030.jpg"]


def lvis_files() -> dict[str, bytes]:
    return {name: picture(name) for name in LVIS_TRAINING + LVIS_VALIDATION}


def lvis_folder(root: Path, *, coco: str = ".", tables: str = ".") -> Path:
    """The pictures lie in the folder `coco`, the lists in the folder `tables`, as does what is not to be used."""
    write(root / coco, lvis_files() | {"train2017/000000000031.jpg": picture("of COCO, but not in LVIS")})
    lists = {
        "lvis_v1_train.json": lvis_json(LVIS_TRAINING),
        "lvis_v1_val.json": lvis_json(LVIS_VALIDATION),
        "instances_train2017.json": lvis_json(["train2017/000000000031.jpg"]),
        "lvis_v1_image_info_test_dev.json": lvis_json(["test2017/000000000001.jpg"]),
    }
    return write(root / tables, lists)


FILES = {"imagenet": imagenet_files, "places": places_files, "lvis": lvis_files, "lfw": lfw_files}
PACKINGS: list[tuple[str, Callable[[Path], Path]]] = [
    ("imagenet", imagenet_folder),
    ("imagenet", imagenet_kaggle),
    ("imagenet", lambda root: imagenet_folder(root) / "train"),
    ("imagenet", lambda root: write(root, class_tars())),
    ("imagenet", lambda root: write(root, under("train", class_tars()))),
    ("imagenet", imagenet_whole_tar),
    ("imagenet", lambda root: imagenet_whole_tar(root) / "ILSVRC2012_img_train.tar"),
    ("places", places_folder),
    ("places", lambda root: places_folder(root) / "data_256"),
    ("places", lambda root: write(root / "data_large_standard", places_files())),
    ("places", lambda root: write(root / "places365_standard" / "train", places_files())),
    ("places", places_tar),
    ("places", lambda root: places_tar(root) / "train_256_places365standard.tar"),
    ("lvis", lvis_folder),
    ("lvis", lambda root: lvis_folder(root, coco="coco", tables="lvis")),  # as detectron2 has it
    ("lvis", lambda root: lvis_folder(root, tables="annotations").parent),
    ("lfw", lambda root: write(root / "lfw", lfw_files())),
    ("lfw", lambda root: write(root / "lfw", lfw_files()).parent),
    ("lfw", lambda root: write(root / "lfw-deepfunneled" / "lfw-deepfunneled", lfw_files())),
    ("lfw", lfw_tgz),
    ("lfw", lambda root: lfw_tgz(root) / "lfw.tgz"),
]


@pytest.mark.parametrize(("name", "make"), PACKINGS)
def test_every_packing_has_the_same_names_and_bytes(name: str, make: Callable[[Path], Path], tmp_path: Path):
    (tmp_path / "scratch").mkdir()
    found = candidates(Source(name, make(tmp_path / "set"), 1), tmp_path / "scratch")
    files = FILES[name]()
    assert {candidate.name: read(candidate) for candidate in found} == files
    assert len(found) == len(files)


def test_unpacked_pictures_are_preferred_to_tars_and_plain_packings_to_others(tmp_path: Path):
    root = write(imagenet_folder(tmp_path / "imagenet"), class_tars())
    found = candidates(Source("imagenet", root, 1), tmp_path)
    assert {candidate.offset for candidate in found} == {None}
    for name in ("lfw-deepfunneled", "lfw"):
        write(tmp_path, {f"faces/{name}.tgz": tar({f"{name}/Wu_Yi/Wu_Yi_0001.jpg": name.encode()}, "w:gz")})
    (tmp_path / "scratch").mkdir()
    (face,) = candidates(Source("lfw", tmp_path / "faces", 1), tmp_path / "scratch")
    assert read(face) == b"lfw"


@posix_only
def test_links_to_folders_are_followed_and_circles_end(tmp_path: Path):
    write(tmp_path / "disk", imagenet_files())
    (tmp_path / "imagenet").mkdir()
    (tmp_path / "imagenet" / "train").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "again").symlink_to(tmp_path / "imagenet")
    assert len(candidates(Source("imagenet", tmp_path / "imagenet", 1), tmp_path)) == len(imagenet_files())
    assert len(list(walk(tmp_path / "imagenet"))) == len(imagenet_files()), "none of them twice"


def all_sets(root: Path) -> dict[str, str]:
    """Options for a miniature of each kind, and a plain folder; 24 pictures are asked for of 44."""
    files = {f"deep/{i}.{'png' if i % 2 else 'jpg'}": picture(i) for i in range(5)}
    plain = write(root / "plain", files | {"notes.txt": b"no picture by its name"})
    return {
        "--imagenet": f"{imagenet_whole_tar(root / 'imagenet')}:6",
        "--places": f"{places_folder(root / 'places')}:6",
        "--lvis": f"{lvis_folder(root / 'lvis')}:4",
        "--lfw": f"{lfw_tgz(root / 'lfw')}:5",
        "--folder": f"plain={plain}:3",
    }


def arguments(options: dict[str, str], out: Path, *more: str) -> list[str]:
    given = [part for option in options.items() for part in option]
    return ["paper", "dataset", *given, "--dev", "5", "--jobs", "1", "--out", str(out), *more]


def build(options: dict[str, str], out: Path, *more: str) -> int:
    return run(arguments(options, out, *more))


def rows_of(out: Path) -> list[Row]:
    with (out / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return [Row(**row) for row in csv.DictReader(file)]


def journal_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]


class Built(NamedTuple):
    """A finished data set. Tests only read it."""

    options: dict[str, str]
    out: Path
    lines: list[str]  # on stderr


def built(options: dict[str, str], out: Path) -> Built:
    with redirect_stdout(io.StringIO()) as stdout, redirect_stderr(io.StringIO()) as stderr:
        assert build(options, out) == 0
    assert stdout.getvalue() == ""
    return Built(options, out, stderr.getvalue().splitlines())


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Built:
    root = tmp_path_factory.mktemp("sets")
    return built(all_sets(root), root / "out")


@pytest.fixture(scope="module")
def of_broken(tmp_path_factory: pytest.TempPathFactory) -> Built:
    root = tmp_path_factory.mktemp("broken")
    return built({"--folder": f"x={broken_set(root / 'in')}:12"}, root / "out")


@pytest.fixture
def nine(tmp_path: Path) -> dict[str, str]:
    """Options for all of nine pictures in the folder `in`."""
    return {"--folder": f"x={write(tmp_path / 'in', numbered(9))}:9"}


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Builds what must fail; the one line on stderr."""

    def line(options: dict[str, str], *more: str, out: Path = tmp_path / "out") -> str:
        capsys.readouterr()
        assert build(options, out, *more) == 1
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return line


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


def broken_set(root: Path) -> Path:
    """20 files: 12 pictures, 3 copies of them (one as another file format), 5 that cannot be decoded."""
    files = numbered(12, "PNG")
    copies = {"copy-a.png": files["0.png"], "copy-b.png": files["1.png"], "copy-c.bmp": picture(2, form="BMP")}
    broken = {
        "empty.jpg": b"",
        "text.jpg": b"no picture at all",
        "cut.jpg": picture("cut", (200, 200))[:-200],
        "cut.png": picture("cut", (200, 200), form="PNG")[:-200],
        "line.png": picture("line", (3000, 1), form="PNG"),
    }
    return write(root, files | copies | broken)


def test_undecodable_files_and_duplicates_are_replaced_and_counted(of_broken: Built):
    assert of_broken.lines[0] == "x: 12 pictures; left out: 5 undecodable, 3 duplicates"
    assert len({row.sha256 for row in rows_of(of_broken.out)}) == 12
    parameters, *decisions = journal_of(of_broken.out)
    assert parameters == {"seed": 0, "dev": 5, "counts": {"x": 12}}
    problems = {of["name"]: of["problem"] for of in decisions if of["outcome"] == "undecodable"}
    assert problems.keys() == {"empty.jpg", "text.jpg", "cut.jpg", "cut.png", "line.png"}
    assert problems["line.png"] == "3000x1 pixels are no photograph"


@posix_only
def test_missing_files_and_pipes_are_replaced_and_counted(tmp_path: Path, refused: Callable[..., str]):
    coco = lvis_folder(tmp_path / "coco")
    (coco / "train2017" / "000000000030.jpg").unlink()
    plain = write(tmp_path / "plain", numbered(9))
    (plain / "dead.png").symlink_to("nowhere.png")
    os.mkfifo(plain / "pipe.png")
    line = refused({"--lvis": f"{coco}:9", "--folder": f"x={plain}:10"})
    assert line.endswith("only 9 usable pictures for x, 10 are asked for; 2 undecodable or duplicate")
    decisions = journal_of(tmp_path / "out")[1:]
    problems = {of["name"]: of["problem"] for of in decisions if of["outcome"] == "undecodable"}
    assert problems.keys() - {"train2017/000000000030.jpg"} == {"dead.png", "pipe.png"}
    assert set(problems.values()) == {"missing or no regular file"}
    line = refused({"--lvis": f"{coco}:10"}, out=tmp_path / "lvis")
    assert line.endswith("only 9 usable pictures for lvis, 10 are asked for; 1 undecodable or duplicate")


@posix_only
@pytest.mark.parametrize(
    ("name", "file"), [("lfw", "lfw.tgz"), ("imagenet", "n01440764.tar"), ("lvis", "lvis_train.json")]
)
def test_a_pipe_in_place_of_an_archive(name: str, file: str, tmp_path: Path, refused: Callable[..., str]):
    (tmp_path / "in").mkdir()
    os.mkfifo(tmp_path / "in" / file)
    assert refused({f"--{name}": f"{tmp_path / 'in'}:9"}).endswith(f"{file}: missing or no regular file")


def test_a_folder_or_tar_that_is_gone_is_not_one_picture_that_is_missing(tmp_path: Path):
    sources = Source("places", places_folder(tmp_path / "in"), 1), Source("places", places_tar(tmp_path / "tars"), 1)
    found = [candidates(source, tmp_path)[0] for source in sources]
    for root in ("in", "tars"):
        (tmp_path / root).rename(tmp_path / f"{root}-away")
    for candidate in found:
        with pytest.raises(InputError, match="No such file"):
            sample(candidate)


def test_a_picture_of_two_sources_is_taken_once(tmp_path: Path):
    a = write(tmp_path / "a", numbered(4))
    b = write(tmp_path / "b", under("other", numbered(4)) | {"own.png": picture("own")})
    assert build({"--folder": f"a={a}:4"}, tmp_path / "out", "--folder", f"b={b}:1", "--dev", "2") == 0
    assert [row.name for row in rows_of(tmp_path / "out") if row.source == "b"] == ["own.png"]


def test_a_second_run_makes_only_what_is_missing_or_damaged(
    everything: Built, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    before = contents(everything.out)
    out = write(tmp_path / "out", before)
    times = {name: (out / name).stat().st_mtime_ns for name in before}
    pictures = sorted(name for name in before if name.endswith(".png"))
    (out / pictures[0]).unlink()
    (out / pictures[7]).write_bytes(before[pictures[7]][:-100])
    (out / pictures[-1]).write_bytes(before[pictures[-2]])
    write(out, {"train/.imagenet-00000.png.0123456789abcdef.aec-tmp": b"left by a kill"})
    assert build(everything.options, out) == 0
    assert "; 3 made by this run" in capsys.readouterr().err
    assert contents(out) == before
    untouched = set(pictures) - {pictures[0], pictures[7], pictures[-1]}
    assert all((out / name).stat().st_mtime_ns == times[name] for name in untouched)

    gone = {option: value.replace(str(everything.out.parent), "gone") for option, value in everything.options.items()}
    assert build(gone, out) == 0, "a whole data set is checked without its sources"
    assert "; 0 made by this run" in capsys.readouterr().err
    assert contents(out) == before


@pytest.mark.parametrize("kept_bytes", [0.0, 0.3, 0.7, 0.95])
def test_resumes_from_a_journal_cut_anywhere(kept_bytes: float, of_broken: Built, tmp_path: Path):
    """In the middle of a line too, with files that are not in it yet."""
    before = contents(of_broken.out)
    head, rest = before["journal.jsonl"].split(b"\n", 1)
    cut = {"journal.jsonl": head + b"\n" + rest[: int(kept_bytes * len(rest))]}
    out = write(tmp_path / "out", before | cut)
    (out / "manifest.csv").unlink()
    assert build(of_broken.options, out) == 0
    assert contents(out) == before


@pytest.mark.parametrize("cut_at", ["dataset.write_atomic", "folder.DataFolder.add"])
def test_resumes_a_run_cut_before_its_first_decision(
    cut_at: str, of_broken: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"aecodec.paper.{cut_at}", interrupt)
        assert build(of_broken.options, tmp_path / "out") == 130
    assert build(of_broken.options, tmp_path / "out") == 0
    assert contents(tmp_path / "out") == contents(of_broken.out)


def test_resumes_a_killed_run(of_broken: Built, tmp_path: Path):
    out = tmp_path / "out"
    process = subprocess.Popen(command(*arguments(of_broken.options, out)), cwd=PACKAGE_PARENT)
    wait_for(lambda: len(list(out.glob("*/*.png"))) >= 3)
    process.kill()
    process.wait()
    assert build(of_broken.options, out) == 0
    assert contents(out) == contents(of_broken.out)


@pytest.mark.parametrize("name", list(PUBLIC_SETS))
@pytest.mark.parametrize("kind", ["absent", "empty", "wrong"])
def test_a_missing_set_is_one_line_that_says_where_to_get_it(
    name: str, kind: str, tmp_path: Path, refused: Callable[..., str]
):
    if kind != "absent":
        (tmp_path / "in").mkdir()
    if kind == "wrong":
        write(tmp_path, {"in/holiday/beach.jpg": picture("beach")})
    line = refused({f"--{name}": f"{tmp_path / 'in'}:9"})
    assert line.startswith(f"aecodec: {tmp_path / 'in'}: no ")
    assert f"{PUBLIC_SETS[name].home}: give " in line
    assert not tree(tmp_path / "out")


def test_folders_that_cannot_serve(tmp_path: Path, of_broken: Built, refused: Callable[..., str]):
    folder = tmp_path / "in"
    assert "no such file" in refused({"--folder": f"x={folder}:9"})
    write(folder, {"notes.txt": b""})
    assert "no pictures found" in refused({"--folder": f"x={folder}:9"})
    assert refused({"--folder": f"x={folder / 'notes.txt'}:9"}).endswith("notes.txt: not a folder")
    write(folder, numbered(8))
    assert refused({"--folder": f"x={folder}:9"}).endswith("in: 8 pictures for x, 9 are asked for")
    assert "which it is to be made from" in refused({"--folder": f"x={folder}:8"}, out=folder / "out")
    assert not tree(tmp_path / "out")
    line = refused({"--folder": of_broken.options["--folder"].replace(":12", ":13")})
    assert line.endswith("only 12 usable pictures for x, 13 are asked for; 8 undecodable or duplicate")


@pytest.mark.parametrize("where", ["in a header", "in a file", "between files", "of the end mark"])
def test_a_tar_cut_short(where: str, tmp_path: Path, refused: Callable[..., str]):
    path = places_tar(tmp_path / "in") / "train_256_places365standard.tar"
    with tarfile.open(path) as archive:
        members = archive.getmembers()
    sizes = {
        "in a header": members[5].offset + 100,
        "in a file": members[5].offset_data + 10,
        "between files": members[5].offset,
        "of the end mark": members[-1].offset_data + (members[-1].size + 511) // 512 * 512,
    }
    path.write_bytes(path.read_bytes()[: sizes[where]])
    assert refused({"--places": f"{path}:9"}).startswith(f"aecodec: {path}: no tar, damaged or cut short")


def test_other_damaged_archives(tmp_path: Path, refused: Callable[..., str]):
    packed = lfw_tgz(tmp_path) / "lfw.tgz"
    whole = packed.read_bytes()
    for data in (whole[: len(whole) // 2], whole[:-4], whole[:500] + bytes(500) + whole[1000:], whole[:3]):
        packed.write_bytes(data)
        line = refused({"--lfw": f"{packed}:9"})
        assert line.startswith(f"aecodec: {packed}: ")
        assert "damaged or cut short" in line
        assert not tree(tmp_path / "out"), "nothing unpacked is left"
    nested = imagenet_whole_tar(tmp_path) / "ILSVRC2012_img_train.tar"
    whole = nested.read_bytes()
    for given, data in ((tmp_path, whole[: len(whole) * 2 // 3]), (nested, b""), (nested, b"no tar" * 1000)):
        nested.write_bytes(data)
        assert f"{nested}: no tar" in refused({"--imagenet": f"{given}:9"})


def test_lvis_tables_that_cannot_serve(tmp_path: Path, refused: Callable[..., str]):
    root = lvis_folder(tmp_path / "in")
    table = root / "lvis_v1_train.json"
    whole = table.read_bytes()

    missing, empty = "no list of images in it", "its list of images is empty"
    damaged, nameless = "damaged or cut short within its list of images", "no LVIS JSON: an image without coco_url"
    for content, message in (
        (b'{"annotations": []}', missing),
        (b"", missing),
        (b"\xff\xfe\x00", missing),
        (lvis_json([]), empty),
        (whole[: whole.index(b'"images"') + 300], damaged),
        (whole.replace(b'"license": 4', b'"license": ' + b"9" * 5000), damaged),
        (whole.replace(b'"license": 4', b'"license": ' + b"[" * 1_000_000 + b"]" * 1_000_000), damaged),
        (whole.replace(b'"coco_url"', b'"file_name"', 1), nameless),
        (lvis_json([], images=[{"coco_url": "http://images.cocodataset.org/../secret/1.jpg/../2.jpg"}]), nameless),
        (lvis_json([], images=["http://images.cocodataset.org/train2017/1.jpg"]), nameless),
        (whole.replace(b"2013-11-14", b"\xff"), "no JSON: invalid start byte"),
    ):
        table.write_bytes(content)
        assert refused({"--lvis": f"{root}:9"}).endswith(f"lvis_v1_train.json: {message}")
    table.write_bytes(whole)
    (root / "train2017").rename(root / "train2017-away")
    line = refused({"--lvis": f"{root}:9"})
    assert line.endswith("which is not beside it: unpack http://images.cocodataset.org/zips/train2017.zip")


def test_a_folder_holds_one_data_set_only(nine: dict[str, str], tmp_path: Path, refused: Callable[..., str]):
    out = tmp_path / "out"
    write(out, {"letter.txt": b"mine"})
    assert "has other files in it" in refused(nine)
    (out / "letter.txt").unlink()
    assert build(nine, out) == 0
    before = contents(out)
    for other in (("--seed", "1"), ("--dev", "4"), ("--folder", f"y={tmp_path / 'in'}:7")):
        assert "begun with other parameters (seed 0, dev 5, {'x': 9})" in refused(nine, *other)
    write(out, {"dev/stranger.png": picture("stranger")})
    assert refused(nine).endswith("stranger.png: is not of this data set")
    (out / "dev" / "stranger.png").unlink()
    for damaged in (b"{}\n", before["journal.jsonl"] + before["journal.jsonl"].split(b"\n", 1)[1]):
        write(out, {"journal.jsonl": damaged})
        assert "journal.jsonl: damaged" in refused(nine)
        assert contents(out) == before | {"journal.jsonl": damaged}


def test_changed_sources_are_noticed(nine: dict[str, str], tmp_path: Path, refused: Callable[..., str]):
    assert build(nine, tmp_path / "out") == 0
    rows = rows_of(tmp_path / "out")
    (tmp_path / "out" / rows[4].file).unlink()
    write(tmp_path / "in", {rows[4].name: picture("another")})
    assert "is not the picture it was" in refused(nine)
    write(tmp_path / "in", numbered(9))
    (tmp_path / "in" / rows[0].name).rename(tmp_path / "in" / "renamed.png")
    assert "not the pictures it had" in refused(nine)


def test_a_lost_picture_whose_source_has_become_shorter(of_broken: Built, tmp_path: Path, refused: Callable[..., str]):
    out, source = write(tmp_path / "out", contents(of_broken.out)), broken_set(tmp_path / "in")
    *_, last = journal_of(out)
    (out / rows_of(out)[-1].file).unlink()
    (source / last["name"]).unlink()
    assert f"not the pictures it had when this was begun ({last['name']})" in refused({"--folder": f"x={source}:12"})


def test_verification_finds_a_picture_in_both(nine: dict[str, str], tmp_path: Path, refused: Callable[..., str]):
    out = tmp_path / "out"
    assert build(nine, out) == 0
    train, dev = (next(row for row in rows_of(out) if row.split == split) for split in ("train", "dev"))
    shutil.copy(out / train.file, out / dev.file)
    journal = out / "journal.jsonl"
    journal.write_text(journal.read_text().replace(dev.sha256, train.sha256))
    assert "are the same picture" in refused(nine)
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
    for arguments in (["paper"], ["paper", "--help"], ["paper", "dataset", "--help"]):
        assert run(arguments) == 0
    assert "short side of 256" in " ".join(capsys.readouterr().out.split())


def double(number: int) -> int:
    if number == 13:
        raise InputError("thirteen")
    if number == 14:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02 if number == 3 else 0)
    return 2 * number


@pytest.mark.parametrize("jobs", [1, 2])
def test_processes_keep_the_order_and_raise_errors(jobs: int):
    results = in_order(double, range(14), jobs)
    assert [next(results) for _ in range(13)] == [2 * i for i in range(13)]
    with pytest.raises(InputError, match="thirteen"):
        next(results)


def test_the_number_of_processes_does_not_matter(of_broken: Built, tmp_path: Path):
    assert build(of_broken.options, tmp_path / "out", "--jobs", "2") == 0
    assert contents(tmp_path / "out") == contents(of_broken.out)


@posix_only
def test_a_picture_that_kills_its_process_is_one_line():
    with pytest.raises(AecError, match="a worker process was killed, twice"):
        list(in_order(double, [14], 2))


@posix_only
@pytest.mark.parametrize("delay", [0.0, 0.05, 0.15, 0.4])
def test_an_interrupt_while_processes_start_is_the_parents_alone(delay: float):
    """As Ctrl-C does it, twice: they get the signal, too, long before they can handle it."""
    program = """
import signal, time
from aecodec.paper.dataset import in_order

try:
    try:
        print(flush=True)
        list(in_order(time.sleep, [0.02] * 1000, 3))
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("interrupted")
except KeyboardInterrupt:  # the second one may come before that line
    print("interrupted")
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=PACKAGE_PARENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    for seconds in (delay, delay / 2):  # the second one while it waits for them to end
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60) == (b"interrupted\n", b"")


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
