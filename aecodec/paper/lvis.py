"""LVIS: a JSON that names pictures of COCO by their `coco_url`, and the folders train2017/ and val2017/ of COCO.

The training JSON has 1.1 GB, nearly all of it outlines, which would take several times that as objects: only the list
of images is decoded.
"""

from __future__ import annotations

import json
import re
from mmap import ACCESS_READ
from mmap import mmap
from pathlib import Path

from aecodec.errors import InputError
from aecodec.paper.archives import Candidate
from aecodec.paper.archives import check_file

# lvis_v1_train.json, lvis_v0.5_val.json, lvis_v1_minival.json; not the list of test pictures.
_JSON_PATTERNS = ("lvis*train*.json", "lvis*val*.json")
_JSON_FOLDERS = ("", "annotations", "lvis")

# Where COCO's folders are looked for, from the folder of the JSON and from the one above it.
_COCO_FOLDERS = ("", "images", "coco", "coco/images")

_KEY = re.compile(rb'"images"\s*:\s*(?=\[)')
_COCO_NAME = re.compile(r"/(\w+/\w+\.jpg)$")


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
    images = images_of(table)
    if not images:
        raise InputError(f"{table}: its list of images is empty")
    matches = [_COCO_NAME.search(str(image.get("coco_url"))) for image in images if isinstance(image, dict)]
    names = [match[1] for match in matches if match is not None]
    if len(names) < len(images):
        raise InputError(f"{table}: no LVIS JSON: an image without coco_url")
    return names


def images_of(table: Path) -> list[object]:
    """The list `images`. Raises InputError if it is missing, damaged or cut short."""
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
    return images
