"""The four public picture sets of the paper as people have them on disk, and any other folder.

- ImageNet: `train/n01440764/n01440764_10026.JPEG`, wherever it lies (`ILSVRC/Data/CLS-LOC/train` too); packed as
  class tars `n01440764.tar`, or as `ILSVRC2012_img_train.tar`, which holds those.
- Places2: `data_256/a/airfield/00000001.jpg`, `data_large/...` or `places365_standard/train/airfield/...`; packed as
  `train_256_places365standard.tar` and its like.
- LVIS: `lvis_v1_train.json`, beside it `train2017/` and `val2017/` of COCO.
- Labeled Faces in the Wild: `lfw/Aaron_Eckhart/Aaron_Eckhart_0001.jpg` or `lfw-deepfunneled/...`; packed as `lfw.tgz`
  and its like.

Validation and test parts are left out. Unpacked pictures are preferred to packed ones. A picture has the same name in
every packing, so that the same pictures are drawn from each; only Places2 names its pictures in two ways.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import replace
from mmap import ACCESS_READ
from mmap import mmap
from pathlib import Path

from aecodec.errors import InputError
from aecodec.files import walk
from aecodec.paper.archives import Candidate
from aecodec.paper.archives import check_file
from aecodec.paper.archives import tar_files

_PICTURE = re.compile(r"\.(?:avif|bmp|gif|jpe?g|png|ppm|tiff?|webp)$", re.IGNORECASE)

# lvis_v1_train.json, lvis_v0.5_val.json, lvis_v1_minival.json; not the list of test pictures.
_JSON_PATTERNS = ("lvis*train*.json", "lvis*val*.json")
_JSON_FOLDERS = ("", "annotations", "lvis")

# Where COCO's folders may be, from the folder of the JSON and from the one above it.
_COCO_FOLDERS = ("", "images", "coco", "coco/images")

_KEY = re.compile(rb'"images"\s*:\s*(?=\[)')
_COCO_NAME = re.compile(r"/(\w+/\w+\.jpg)$")


@dataclass(frozen=True)
class Layout:
    """How a set lies on disk."""

    picture: re.Pattern[str]  # finds the picture's name, as group `name`, in a path
    archive: re.Pattern[str]  # matches the file name of a tar of it
    other_part: re.Pattern[str] | None = None  # found in paths of validation and test pictures


@dataclass(frozen=True)
class PublicSet:
    """A set, and how to get it."""

    title: str
    home: str
    advice: str  # what to fetch and pass as the option
    layout: Layout | None  # None for LVIS, whose pictures a JSON lists


PUBLIC_SETS = {
    "imagenet": PublicSet(
        "ImageNet",
        "https://image-net.org/download-images.php",
        "give ILSVRC2012_img_train.tar, or the folder of its class tars, or the one with train/n01440764/*.JPEG",
        Layout(
            re.compile(r"(?:^|/)(?P<name>n\d{8}/[^/]+\.jpe?g)$", re.IGNORECASE),
            re.compile(r"n\d{8}\.tar|ILSVRC2012_img_train\.tar"),
            re.compile(r"(?:^|/)(?:val|test)/"),
        ),
    ),
    "places": PublicSet(
        "Places2",
        "http://places2.csail.mit.edu/download.html",
        "give train_256_places365standard.tar, or the folder data_256 that it unpacks to (data_256/a/airfield/*.jpg)",
        Layout(
            re.compile(r"^(?:.*/)?(?:data_(?:256|large)[^/]*|places365_standard/train)/(?P<name>.+\.jpg)$"),
            re.compile(r"(?:train_|data_|places365standard).*\.(?:tar|tar\.gz|tgz)"),
        ),
    ),
    "lvis": PublicSet(
        "LVIS",
        "https://www.lvisdataset.org/dataset",
        "give the folder with lvis_v1_train.json and, unpacked beside it, train2017 and val2017 of"
        " https://cocodataset.org/#download",
        None,
    ),
    "lfw": PublicSet(
        "Labeled Faces in the Wild",
        "http://vis-www.cs.umass.edu/lfw/",
        "give lfw.tgz, or the folder lfw that it unpacks to (lfw/Aaron_Eckhart/*.jpg)",
        Layout(
            re.compile(r"(?:^|/)(?P<name>(?P<person>[^/]+)/(?P=person)_\d{4}\.jpg)$"),
            re.compile(r"lfw.*\.(?:tar|tar\.gz|tgz)"),
        ),
    ),
}


@dataclass(frozen=True)
class Source:
    """A number of pictures of one set: a name of PUBLIC_SETS, or any other name for a plain folder."""

    name: str
    path: Path
    count: int


def candidates(source: Source, scratch: Path) -> list[Candidate]:
    """Every picture file of a source, no name twice, in no particular order.

    A gzipped tar is decompressed into the folder `scratch`, and has to stay there as long as the result is used.
    Raises InputError, in one line that says what to do, if fewer than `source.count` are found.
    """
    known = PUBLIC_SETS.get(source.name)
    advice = "" if known is None else f". {known.title} is at {known.home}: {known.advice}"
    if not source.path.exists():
        raise InputError(f"{source.path}: no such file or folder{advice}")
    if known is None:
        found = _folder_files(source.path)
    elif known.layout is None:
        found = _lvis_files(source.path)
    else:
        found = _layout_files(known.layout, source.path, scratch)
    if not found:
        what = "pictures" if known is None else f"{known.title} pictures"
        raise InputError(f"{source.path}: no {what} found{advice}")
    if len(found) < source.count:
        raise InputError(f"{source.path}: {len(found)} pictures for {source.name}, {source.count} are asked for")
    return found


def _folder_files(root: Path) -> list[Candidate]:
    if not root.is_dir():
        raise InputError(f"{root}: not a folder")
    return [Candidate(path, os.fspath(root)) for path in walk(root) if _PICTURE.search(path)]


def _layout_files(layout: Layout, root: Path, scratch: Path) -> list[Candidate]:
    if root.is_file():
        return _named(layout, tar_files(root, scratch))
    paths = [path for path in walk(root) if layout.other_part is None or not layout.other_part.search(path)]
    # The folder given may itself be part of the layout, as data_256 is: its own name counts too.
    absolute = Path(os.path.abspath(root))
    above, own = os.fspath(absolute.parent.parent), "/".join(absolute.parts[-2:])
    found = _named(layout, (Candidate(f"{own}/{path}", above) for path in paths))
    if not found:
        # Of several packings of a set the shortest name goes first: lfw.tgz before lfw-deepfunneled.tgz.
        archives = [path for path in paths if layout.archive.fullmatch(path.split("/")[-1])]
        archives.sort(key=lambda path: (len(path), path))
        found = _named(layout, (file for path in archives for file in tar_files(root / path, scratch)))
    return found


def _named(layout: Layout, files: Iterable[Candidate]) -> list[Candidate]:
    """The pictures among the files, by their names in the set; of two with one name the first."""
    found: dict[str, Candidate] = {}
    for file in files:
        match = layout.picture.search(file.name)
        if match is not None and match["name"] not in found:
            container = file.container
            if file.offset is None:
                container = sys.intern(os.path.join(container, file.name[: match.start("name")]))  # shared by a folder
            found[match["name"]] = replace(file, name=match["name"], container=container)
    return list(found.values())


def _lvis_files(root: Path) -> list[Candidate]:
    """The pictures named by the LVIS JSON `root`, or by those in the folder `root`; none without a JSON.

    Their names are like `train2017/000000391895.jpg`. Raises InputError if a JSON is damaged or lists no images, or a
    folder of COCO is missing.
    """
    if root.is_file():
        tables = [root]
    else:
        folders = [root / folder for folder in _JSON_FOLDERS]
        tables = sorted({path for folder in folders for pattern in _JSON_PATTERNS for path in folder.glob(pattern)})
    pictures: dict[str, Candidate] = {}
    for table in tables:
        names = _names(table)
        containers = {folder: str(_coco_root(table, folder)) for folder in {name.split("/")[0] for name in names}}
        for name in names:
            pictures.setdefault(name, Candidate(name, containers[name.split("/")[0]]))
    return list(pictures.values())


def _coco_root(table: Path, folder: str) -> Path:
    base = table.resolve().parent
    for root in (above / below for above in (base, base.parent) for below in _COCO_FOLDERS):
        if (root / folder).is_dir():
            return root
    home = f"unpack http://images.cocodataset.org/zips/{folder}.zip"
    raise InputError(f"{table}: names pictures of COCO's {folder}/, which is not beside it: {home}")


def _names(table: Path) -> list[str]:
    """The pictures of a JSON of up to 1.1 GB, nearly all of it outlines: only the list of images is decoded."""
    check_file(table)
    try:
        with table.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            key = _KEY.search(content)
            text = "" if key is None else content[key.end() :].decode()
    except OSError as error:
        raise InputError(f"{table}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{table}: no JSON: {error.reason}") from error
    except ValueError:  # an empty file cannot be mapped
        text = ""
    if not text:
        raise InputError(f"{table}: no list of images in it")
    try:
        images: list[object] = json.JSONDecoder().raw_decode(text)[0]
    except (ValueError, RecursionError) as error:  # ValueError also for a number of thousands of digits
        raise InputError(f"{table}: damaged or cut short within its list of images") from error
    if not images:
        raise InputError(f"{table}: its list of images is empty")
    matches = [_COCO_NAME.search(str(image.get("coco_url"))) for image in images if isinstance(image, dict)]
    names = [match[1] for match in matches if match is not None]
    if len(names) < len(images):
        raise InputError(f"{table}: no LVIS JSON: an image without coco_url")
    return names
