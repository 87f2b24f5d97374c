"""The four public picture sets of the paper as people have them on disk, and any other folder.

- ImageNet: `train/n01440764/n01440764_10026.JPEG`, wherever it lies (`ILSVRC/Data/CLS-LOC/train` too); packed as
  class tars `n01440764.tar`, or as `ILSVRC2012_img_train.tar`, which holds those.
- Places2: `data_256/a/airfield/00000001.jpg`, `data_large/...` or `places365_standard/train/airfield/...`; packed as
  `train_256_places365standard.tar` and its like.
- LVIS: `lvis_v1_train.json`, beside it `train2017/` and `val2017/` of COCO.
- Labeled Faces in the Wild: `lfw/Aaron_Eckhart/Aaron_Eckhart_0001.jpg` or `lfw-deepfunneled/...`; packed as `lfw.tgz`
  and its like.

Validation and test parts are left out. Unpacked pictures go before packed ones. A picture has the same name in every
packing, so that the same pictures are drawn from each; only Places2 has two ways of naming.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path

from aecodec.errors import InputError
from aecodec.paper.archives import Candidate
from aecodec.paper.archives import tar_files
from aecodec.paper.archives import walk
from aecodec.paper.lvis import lvis_files

_PICTURE = re.compile(r"\.(?:avif|bmp|gif|jpe?g|png|ppm|tiff?|webp)$", re.IGNORECASE)


@dataclass(frozen=True)
class PublicSet:
    """What a user has to know who does not have it."""

    title: str
    home: str
    advice: str  # what to fetch and to unpack or to give

    @property
    def missing(self) -> str:
        return f"{self.title} is at {self.home}: {self.advice}"


@dataclass(frozen=True)
class Layout:
    """How a set lies on disk."""

    picture: re.Pattern[str]  # finds the picture's name, as group `name`, in a path
    archive: re.Pattern[str]  # matches the file name of a tar of it
    other_part: re.Pattern[str] | None = None  # found in paths of validation and test pictures


PUBLIC_SETS = {
    "imagenet": PublicSet(
        "ImageNet",
        "https://image-net.org/download-images.php",
        "give ILSVRC2012_img_train.tar, or the folder of its class tars, or the one with train/n01440764/*.JPEG",
    ),
    "places": PublicSet(
        "Places2",
        "http://places2.csail.mit.edu/download.html",
        "give train_256_places365standard.tar, or the folder data_256 that it unpacks to (data_256/a/airfield/*.jpg)",
    ),
    "lvis": PublicSet(
        "LVIS",
        "https://www.lvisdataset.org/dataset",
        "give the folder with lvis_v1_train.json and, unpacked beside it, train2017 and val2017 of"
        " https://cocodataset.org/#download",
    ),
    "lfw": PublicSet(
        "Labeled Faces in the Wild",
        "http://vis-www.cs.umass.edu/lfw/",
        "give lfw.tgz, or the folder lfw that it unpacks to (lfw/Aaron_Eckhart/*.jpg)",
    ),
}

_LAYOUTS = {
    "imagenet": Layout(
        re.compile(r"(?:^|/)(?P<name>n\d{8}/[^/]+\.jpe?g)$", re.IGNORECASE),
        re.compile(r"n\d{8}\.tar|ILSVRC2012_img_train\.tar"),
        re.compile(r"(?:^|/)(?:val|test)/"),
    ),
    "places": Layout(
        re.compile(r"^(?:.*/)?(?:data_(?:256|large)[^/]*|places365_standard/train)/(?P<name>.+\.jpg)$"),
        re.compile(r"(?:train_|data_|places365standard).*\.(?:tar|tar\.gz|tgz)"),
    ),
    "lfw": Layout(
        re.compile(r"(?:^|/)(?P<name>(?P<person>[^/]+)/(?P=person)_\d{4}\.jpg)$"),
        re.compile(r"lfw.*\.(?:tar|tar\.gz|tgz)"),
    ),
}


@dataclass(frozen=True)
class Source:
    """So many pictures of one set: a name of PUBLIC_SETS, or any other name for a plain folder."""

    name: str
    path: Path
    count: int


def candidates(source: Source, scratch: Path) -> list[Candidate]:
    """Every picture file of a source, no name twice, in no particular order.

    `scratch` is a folder for a gzipped tar to be unpacked to, where it has to stay as long as the result is used.
    Raises InputError, in one line that says what to do, where nothing is found or less than `source.count`.
    """
    known = PUBLIC_SETS.get(source.name)
    advice = "" if known is None else f". {known.missing}"
    if not source.path.exists():
        raise InputError(f"{source.path}: no such file or folder{advice}")
    if known is None:
        found = _folder_files(source.path)
    elif source.name == "lvis":
        found = lvis_files(source.path)
    else:
        found = _layout_files(_LAYOUTS[source.name], source.path, scratch)
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
        return _named(layout, _archive_files(root, scratch))
    paths = [path for path in walk(root) if layout.other_part is None or not layout.other_part.search(path)]
    # The folder that was given may be part of the layout itself, data_256 for one: its own name counts as well.
    absolute = Path(os.path.abspath(root))
    above, own = os.fspath(absolute.parent.parent), "/".join(absolute.parts[-2:])
    found = _named(layout, (Candidate(f"{own}/{path}", above) for path in paths))
    if not found:
        # Of several packings of one set the plainest name goes first: lfw.tgz before lfw-deepfunneled.tgz.
        archives = sorted(filter(lambda path: layout.archive.fullmatch(path.split("/")[-1]), paths), key=_plainness)
        found = _named(layout, (file for path in archives for file in _archive_files(root / path, scratch)))
    return found


def _archive_files(archive: Path, scratch: Path) -> Iterator[Candidate]:
    return tar_files(archive, scratch, archive.name.split(".")[0] + "/")


def _plainness(path: str) -> tuple[int, str]:
    return len(path), path


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
