"""The pictures of a run: training set, dev set, and the dev pictures that may be shown."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np

from aecodec.bench.metrics import as_rgb
from aecodec.bench.pictures import Pictures
from aecodec.errors import InputError
from aecodec.files import read_bytes
from aecodec.paper.table import VALIDATION
from aecodec.train.data import load_folders
from aecodec.train.evaluate import central_crops

ATTRIBUTION = "ATTRIBUTION.csv"
SHOWN = 3
MIN_SIDE = 32


@dataclass(frozen=True)
class DataSet:
    """Pictures in memory, uint8 [H, W, 3]; those of `dev` have sides that are multiples of 32, at most 256."""

    training: list[np.ndarray]
    dev: list[np.ndarray]
    dev_name: str
    shown: dict[str, int]  # file name -> place in `dev`
    authors: dict[str, str]  # file name -> author, licence and source, of those shown
    left_out: int  # training files that cannot be decoded or are smaller than a crop
    notices: list[str]  # what else was left out, one line each


def load_data(data: Path, dev: Path | None, crop: int, shown: Sequence[str], out: Path) -> DataSet:
    """Read everything once.

    `data` is the output of `aecodec paper dataset` with its own dev set, or any folder of pictures. With a dev set,
    all pictures of `data` are for training, except those that equal a dev picture in every pixel; without one, the
    photographs that training keeps for validation are the dev set. `shown` names dev pictures; by default, the first
    three whose licence allows it. `out` is where reconstructions will be. Raises InputError in one line.
    """
    if dev is None and (data / "train").is_dir() and (data / "dev").is_dir():
        data, dev = data / "train", data / "dev"
    _check_apart(data, dev, out)
    notices: list[str] = []
    pictures = _dev_pictures(dev, notices) if dev is not None else {}
    found = load_folders([data], crop)
    training = found.training
    if dev is not None:
        training = training + found.validation
    else:
        pictures = _validation_pictures(found.validation, data)
    whole = list(pictures.values())
    kept = _without(training, whole)
    if len(kept) < len(training):
        notices.append(f"left out: {len(training) - len(kept)} training pictures that are dev pictures too")
    if not kept:
        raise InputError(f"{data}: no picture to train on that is not a dev picture")
    authors = read_authors(dev) if dev is not None else {}
    chosen = _chosen(shown, list(pictures), authors)
    return DataSet(
        kept,
        central_crops(whole, len(whole)),
        dev.resolve().name if dev is not None else VALIDATION,
        chosen,
        {name: authors[name] for name in chosen if name in authors},
        found.unreadable + found.too_small,
        notices,
    )


def _check_apart(data: Path, dev: Path | None, out: Path) -> None:
    """Raises InputError if one of the folders lies where its pictures would be taken for others."""
    for folder in filter(None, (dev, out)):
        if folder.resolve().is_relative_to(data.resolve()):
            raise InputError(f"{folder}: lies in {data}, so it would be trained on")
    if dev is not None and out.resolve().is_relative_to(dev.resolve()):
        raise InputError(f"{out}: lies in {dev}, so its figures would be dev pictures")


def _chosen(shown: Sequence[str], names: list[str], authors: dict[str, str]) -> dict[str, int]:
    """The dev pictures to show, with their places in the dev set."""
    chosen = list(shown) or [name for name in names if name in authors][:SHOWN] or names[:SHOWN]
    for name in chosen:
        if name not in names:
            raise InputError(f"{name}: no picture of the dev set")
    return {name: names.index(name) for name in chosen}


def fingerprint(pictures: Sequence[np.ndarray]) -> str:
    """SHA-256 of all their pixels, in order."""
    return hashlib.sha256(b"".join(map(_digest, pictures))).hexdigest()


def _digest(picture: np.ndarray) -> bytes:
    return hashlib.sha256(repr(picture.shape).encode() + np.ascontiguousarray(picture).data).digest()


def _without(training: list[np.ndarray], dev: list[np.ndarray]) -> list[np.ndarray]:
    """The training pictures that are not among the dev pictures."""
    shapes, digests = {picture.shape for picture in dev}, set(map(_digest, dev))
    return [picture for picture in training if picture.shape not in shapes or _digest(picture) not in digests]


def _validation_pictures(found: list[np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    """By name, the pictures of `folder` that training keeps for validation."""
    large = [picture for picture in found if min(picture.shape[:2]) >= MIN_SIDE]
    if not large:
        raise InputError(f"{folder}: too few photographs to keep some for validation; give a dev set")
    return {f"validation-{place}": picture for place, picture in enumerate(large)}


def _dev_pictures(folder: Path, notices: list[str]) -> dict[str, np.ndarray]:
    """By name, the pictures of a folder; adds notices of those that cannot be read."""
    pictures = Pictures(folder)
    found = {name: as_rgb(pixels) for name, pixels in pictures.named()}
    for name, pixels in found.items():
        if min(pixels.shape[:2]) < MIN_SIDE:
            raise InputError(f"{folder / name}: smaller than {MIN_SIDE} pixels")
    notices += pictures.notices
    return found


def read_authors(folder: Path) -> dict[str, str]:
    """Author, licence and source, by file name, of the pictures that a Creative Commons licence lets everybody show.

    They are listed in ATTRIBUTION.csv, in the folder or the one above, with the columns file, author, licence and
    original. Raises InputError if the table cannot be read.
    """
    folder = folder.resolve()
    for table, prefix in ((folder / ATTRIBUTION, ""), (folder.parent / ATTRIBUTION, f"{folder.name}/")):
        if table.is_file():
            try:
                rows = list(csv.DictReader(StringIO(read_bytes(table).decode("utf-8-sig"), newline="")))
                return {
                    row["file"].removeprefix(prefix): f"{row['author']}, {row['licence']}, {row['original']}"
                    for row in rows
                    if row["file"].startswith(prefix) and row["licence"].startswith("CC")
                }
            except (UnicodeDecodeError, csv.Error, KeyError, AttributeError) as error:
                raise InputError(
                    f"{table}: not a readable table with the columns file, author, original and licence"
                ) from error
    return {}
