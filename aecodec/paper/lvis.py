"""LVIS: a JSON that names pictures of COCO by their `coco_url`, and the folders train2017/ and val2017/ of COCO.

The training JSON has 1.1 gigabytes, nearly all of it outlines, and would fill several times that as objects. Only its
list of images is decoded, one entry after the other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from aecodec.errors import InputError
from aecodec.paper.archives import Candidate
from aecodec.paper.archives import check_file

# lvis_v1_train.json, lvis_v0.5_val.json, lvis_v1_minival.json; not the list of test pictures.
_JSON_PATTERNS = ("lvis*train*.json", "lvis*val*.json")
_JSON_FOLDERS = ("", "annotations", "lvis")

# Where COCO's folders are looked for, from the folder of the JSON and from the one above it.
_COCO_FOLDERS = ("", "images", "coco", "coco/images")

_LIST_START = re.compile(r'"images"\s*:\s*\[')
_SEPARATOR = re.compile(r"[\s,]*")
_COCO_NAME = re.compile(r"/(\w+/\w+\.jpg)$")

# Characters read at once: far more than an entry of the list has, or the start of the list.
_CHUNK = 1 << 20
_OVERLAP = 1 << 10


def lvis_files(root: Path) -> list[Candidate]:
    """The pictures named by the LVIS JSON `root`, or by those in the folder `root`; none without a JSON.

    Their names are like `train2017/000000391895.jpg`. Raises InputError where a JSON is damaged or lists no images,
    and where a folder of COCO is missing.
    """
    if root.is_file():
        tables = [root]
    else:
        folders = [root / folder for folder in _JSON_FOLDERS]
        tables = sorted({path for folder in folders for pattern in _JSON_PATTERNS for path in folder.glob(pattern)})
    pictures: dict[str, Candidate] = {}
    for table in tables:
        containers: dict[str, str] = {}
        for name in _names(table):
            folder = name.split("/")[0]
            if folder not in containers:
                containers[folder] = str(_coco_root(table, folder))
            pictures.setdefault(name, Candidate(name, containers[folder]))
    return list(pictures.values())


def _coco_root(table: Path, folder: str) -> Path:
    base = table.resolve().parent
    for root in (above / below for above in (base, base.parent) for below in _COCO_FOLDERS):
        if (root / folder).is_dir():
            return root
    home = f"unpack http://images.cocodataset.org/zips/{folder}.zip"
    raise InputError(f"{table}: names pictures of COCO's {folder}/, which is not beside it: {home}")


def _names(table: Path) -> Iterator[str]:
    empty = True
    for image in images_of(table):
        match = _COCO_NAME.search(str(image.get("coco_url"))) if isinstance(image, dict) else None
        if match is None:
            raise InputError(f"{table}: no LVIS JSON: an image without coco_url")
        empty = False
        yield match[1]
    if empty:
        raise InputError(f"{table}: its list of images is empty")


def images_of(table: Path) -> Iterator[object]:
    """The entries of the list `images`, in order. Raises InputError if it is missing or cut short."""
    check_file(table)
    decoder = json.JSONDecoder()
    try:
        with table.open(encoding="utf-8") as file:
            text = file.read(_CHUNK)
            while (start := _LIST_START.search(text)) is None:
                more = file.read(_CHUNK)
                if not more:
                    raise InputError(f"{table}: no list of images in it")
                text = text[-_OVERLAP:] + more
            position = start.end()
            while True:
                position = _SEPARATOR.match(text, position).end()  # type: ignore[union-attr]  # matches nothing too
                if text.startswith("]", position):
                    return
                try:
                    image, position = decoder.raw_decode(text, position)
                    yield image
                except (ValueError, RecursionError):  # also thousands of digits, and thousands of brackets
                    more = file.read(_CHUNK)
                    if not more or len(text) - position > _CHUNK:
                        raise InputError(f"{table}: damaged or cut short within its list of images") from None
                    text, position = text[position:] + more, 0
    except OSError as error:
        raise InputError(f"{table}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{table}: no JSON: {error.reason}") from error
