"""The source data sets of the paper: every packing of one gives the same names and bytes; damaged ones are refused."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from aecodec.errors import InputError
from aecodec.files import walk
from aecodec.paper.archives import read
from aecodec.paper.sampling import sample
from aecodec.paper.sources import PUBLIC_SETS
from aecodec.paper.sources import Source
from aecodec.paper.sources import candidates
from helpers.folders import tree
from helpers.marks import posix_only
from helpers.paper_sets import class_tars
from helpers.paper_sets import imagenet_files
from helpers.paper_sets import imagenet_folder
from helpers.paper_sets import imagenet_whole_tar
from helpers.paper_sets import lfw_files
from helpers.paper_sets import lfw_tgz
from helpers.paper_sets import lvis_files
from helpers.paper_sets import lvis_folder
from helpers.paper_sets import lvis_json
from helpers.paper_sets import picture
from helpers.paper_sets import places_files
from helpers.paper_sets import places_folder
from helpers.paper_sets import places_tar
from helpers.paper_sets import tar
from helpers.paper_sets import under
from helpers.paper_sets import write

pytest_plugins = ["helpers.paper_sets"]


def imagenet_kaggle(root: Path) -> Path:
    imagenet_folder(root / "ILSVRC" / "Data" / "CLS-LOC")
    return write(root, {"ILSVRC/Annotations/CLS-LOC/train/n01440764/n01440764_1000.xml": b"<annotation/>"})


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


@posix_only
@pytest.mark.parametrize(
    ("name", "file"), [("lfw", "lfw.tgz"), ("imagenet", "n01440764.tar"), ("lvis", "lvis_train.json")]
)
def test_a_pipe_in_place_of_an_archive(name: str, file: str, tmp_path: Path, rejected: Callable[..., str]):
    (tmp_path / "in").mkdir()
    os.mkfifo(tmp_path / "in" / file)
    assert rejected({f"--{name}": f"{tmp_path / 'in'}:9"}).endswith(f"{file}: missing or no regular file")


def test_a_lost_folder_or_tar_is_an_error_not_a_missing_picture(tmp_path: Path):
    sources = Source("places", places_folder(tmp_path / "in"), 1), Source("places", places_tar(tmp_path / "tars"), 1)
    found = [candidates(source, tmp_path)[0] for source in sources]
    for root in ("in", "tars"):
        (tmp_path / root).rename(tmp_path / f"{root}-away")
    for candidate in found:
        with pytest.raises(InputError, match="No such file"):
            sample(candidate)


@pytest.mark.parametrize("name", list(PUBLIC_SETS))
@pytest.mark.parametrize("kind", ["absent", "empty", "wrong"])
def test_a_missing_set_is_one_line_that_says_where_to_get_it(
    name: str, kind: str, tmp_path: Path, rejected: Callable[..., str]
):
    if kind != "absent":
        (tmp_path / "in").mkdir()
    if kind == "wrong":
        write(tmp_path, {"in/holiday/beach.jpg": picture("beach")})
    line = rejected({f"--{name}": f"{tmp_path / 'in'}:9"})
    assert line.startswith(f"aecodec: {tmp_path / 'in'}: no ")
    assert f"{PUBLIC_SETS[name].home}: give " in line
    assert not tree(tmp_path / "out")


@pytest.mark.parametrize("where", ["in a header", "in a file", "between files", "of the end mark"])
def test_a_tar_cut_short(where: str, tmp_path: Path, rejected: Callable[..., str]):
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
    assert rejected({"--places": f"{path}:9"}).startswith(f"aecodec: {path}: no tar, damaged or cut short")


def test_other_damaged_archives(tmp_path: Path, rejected: Callable[..., str]):
    packed = lfw_tgz(tmp_path) / "lfw.tgz"
    whole = packed.read_bytes()
    for data in (whole[: len(whole) // 2], whole[:-4], whole[:500] + bytes(500) + whole[1000:], whole[:3]):
        packed.write_bytes(data)
        line = rejected({"--lfw": f"{packed}:9"})
        assert line.startswith(f"aecodec: {packed}: ")
        assert "damaged or cut short" in line
        assert not tree(tmp_path / "out"), "nothing unpacked is left"
    nested = imagenet_whole_tar(tmp_path) / "ILSVRC2012_img_train.tar"
    whole = nested.read_bytes()
    for given, data in ((tmp_path, whole[: len(whole) * 2 // 3]), (nested, b""), (nested, b"no tar" * 1000)):
        nested.write_bytes(data)
        assert f"{nested}: no tar" in rejected({"--imagenet": f"{given}:9"})


def test_lvis_tables_that_cannot_serve(tmp_path: Path, rejected: Callable[..., str]):
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
        assert rejected({"--lvis": f"{root}:9"}).endswith(f"lvis_v1_train.json: {message}")
    table.write_bytes(whole)
    (root / "train2017").rename(root / "train2017-away")
    line = rejected({"--lvis": f"{root}:9"})
    assert line.endswith("which is not beside it: unpack http://images.cocodataset.org/zips/train2017.zip")
