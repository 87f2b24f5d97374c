"""Training data: folders of pictures, decoded once and held in memory, and random views of them.

The validation part is split off by photograph: pictures that share a photograph are always on the same side. One
generator on the CPU draws every random number, whichever device holds the pictures. Checkpoints store its state, so a
resumed run sees exactly the views that it would have seen.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from aecodec.errors import AecError
from aecodec.errors import InputError
from aecodec.files import walk
from aecodec.image.reading import open_picture
from aecodec.image.suffixes import PICTURE_SUFFIXES
from aecodec.limits import MAX_PIXELS

PHOTOGRAPHS = "photos.csv"

# One photograph in forty is kept for validation: 2.5 %, and stable when photographs are added.
VALIDATION_DIVISOR = 40

QUALITY_POWER = 1.5  # of an even spread: 63 of 100 qualities are below a half

FLIP_PROBABILITY = 0.5
TURN_PROBABILITY = 0.25
REDUCE_PROBABILITY = 0.4
SMALL_SIDES = (32, 64, 96, 128, 160)  # of whole photographs reduced to thumbnails


@dataclass(frozen=True)
class Dataset:
    """Decoded pictures, each uint8 [H, W, 3], and how many files were left out."""

    training: list[np.ndarray]
    validation: list[np.ndarray]
    unreadable: int
    too_small: int


def load_folders(folders: Sequence[Path], min_side: int) -> Dataset:
    """Decode every picture under `folders` whose sides are at least `min_side` pixels.

    A file in two of the folders counts once. Raises InputError if a path is no folder, a photos.csv is damaged, or no
    training picture is left.
    """
    photographs = Photographs()
    training: list[np.ndarray] = []
    validation: list[np.ndarray] = []
    unreadable = too_small = 0
    for path in _picture_files(folders):
        try:
            pixels = open_picture(path, max_pixels=MAX_PIXELS).pixels
        except AecError:
            unreadable += 1
            continue
        if min(pixels.shape[:2]) < min_side:
            too_small += 1
            continue
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[:, :, None], 3, axis=2)
        (validation if is_validation(photographs.key(path)) else training).append(np.ascontiguousarray(pixels))
    if not training:
        names = ", ".join(str(folder) for folder in folders)
        raise InputError(
            f"{names}: no picture to train on ({unreadable} unreadable, {too_small} smaller than {min_side})"
        )
    return Dataset(training, validation, unreadable, too_small)


def is_validation(photograph: str) -> bool:
    """Whether a photograph belongs to the validation part; its key alone decides."""
    return zlib.crc32(photograph.encode()) % VALIDATION_DIVISOR == 0


def _picture_files(folders: Sequence[Path]) -> Iterator[Path]:
    seen: set[Path] = set()
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: not a folder")
        for path in sorted(folder.resolve() / below for below in walk(folder)):
            if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file() and path not in seen:
                seen.add(path)
                yield path


class Photographs:
    """The photograph that a picture is cut from, by the nearest photos.csv in its folder or a parent.

    The table has the columns `file` and `photo`. `file` may be relative to the table's folder or to a parent of it: its
    trailing parts are compared with the picture's path relative to the table, if they are unambiguous. A picture that
    no table lists is a photograph by itself, named by its file.
    """

    def __init__(self) -> None:
        self._tables: dict[Path, tuple[Path, dict[str, str]] | None] = {}

    def key(self, path: Path) -> str:
        """The key of the photograph; raises InputError if a photos.csv lacks a column or cannot be read."""
        table = self._table_for(path.parent)
        if table is None:
            return path.name
        folder, photo_of = table
        return photo_of.get(path.relative_to(folder).as_posix(), path.name)

    def _table_for(self, folder: Path) -> tuple[Path, dict[str, str]] | None:
        if folder not in self._tables:
            table = folder / PHOTOGRAPHS
            if table.is_file():
                self._tables[folder] = folder, _read_photographs(table)
            else:
                self._tables[folder] = None if folder.parent == folder else self._table_for(folder.parent)
        return self._tables[folder]


def _read_photographs(table: Path) -> dict[str, str]:
    """Each listed file, and each unambiguous trailing part of its path, with its photograph."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            listed = {row["file"]: row["photo"] for row in csv.DictReader(stream)}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise InputError(f"{table}: not a readable table with the columns file and photo ({error})") from error
    candidates: dict[str, set[str]] = {}
    for file, photo in listed.items():
        parts = file.split("/")
        for start in range(1, len(parts)):
            candidates.setdefault("/".join(parts[start:]), set()).add(photo)
    tails = {tail: photos.pop() for tail, photos in candidates.items() if len(photos) == 1}
    return {**tails, **listed}


class PictureList:
    """Pictures of any sizes, in main memory, of which square windows can be cut."""

    def __init__(self, pictures: Sequence[np.ndarray]) -> None:
        self._pictures = pictures
        self.sizes = torch.tensor([picture.shape[:2] for picture in pictures])  # int64 [N, 2]: height, width

    def cut(self, picture: Tensor, top: Tensor, left: Tensor, side: int) -> Tensor:
        """Windows as uint8 [B, side, side, 3]; picture, top and left are int64 [B] on the CPU."""
        places = zip(picture.tolist(), top.tolist(), left.tolist(), strict=True)
        windows = [self._pictures[index][row : row + side, column : column + side] for index, row, column in places]
        return torch.from_numpy(np.stack(windows))


class PictureStack:
    """The same for pictures of one size, as a single tensor on a device and cut there by one gather."""

    def __init__(self, pictures: Sequence[np.ndarray], device: torch.device) -> None:
        self.sizes = torch.tensor([picture.shape[:2] for picture in pictures])
        self._pictures = torch.empty((len(pictures), *pictures[0].shape), dtype=torch.uint8, device=device)
        for index, picture in enumerate(pictures):
            self._pictures[index] = torch.from_numpy(picture)

    def cut(self, picture: Tensor, top: Tensor, left: Tensor, side: int) -> Tensor:
        device = self._pictures.device
        span = torch.arange(side)
        rows, columns = (top[:, None] + span).to(device), (left[:, None] + span).to(device)  # [B, side]
        return self._pictures[picture.to(device)[:, None, None], rows[:, :, None], columns[:, None, :]]


Pictures = PictureList | PictureStack


def hold(pictures: Sequence[np.ndarray], device: torch.device) -> Pictures:
    """Keep the pictures on a GPU if they are of one size and take less than half of its free memory."""
    one_size = len({picture.shape for picture in pictures}) == 1
    if device.type == "cuda" and one_size:
        free_bytes, _ = torch.cuda.mem_get_info(device)
        if 2 * len(pictures) * pictures[0].nbytes < free_bytes:
            return PictureStack(pictures, device)
    return PictureList(pictures)


class Batches:
    """Endless random views of pictures: crops, flipped, turned and reduced, each with a quality.

    `small`: of the batches, the share that holds whole photographs, as thumbnails of one of SMALL_SIDES. Reduced so far
    they have other statistics than crops, and their borders are those that the codec will meet.
    `drawn`: of the views, the share that shows one of the last `drawings` pictures, which are no photographs.
    """

    def __init__(
        self,
        pictures: Pictures,
        *,
        crop: int,
        batch_size: int,
        device: torch.device,
        seed: int,
        small: float = 0,
        drawn: float = 0,
        drawings: int = 0,
    ) -> None:
        self._pictures = pictures
        self._crop = crop
        self._batch_size = batch_size
        self._device = device
        self._small = small
        self._drawn, self._drawings = drawn, drawings
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, count: int | None = None) -> tuple[Tensor, Tensor]:
        """A batch of `count` views (default: the batch size) and their qualities.

        Views are float32 [B, 3, crop, crop] in 0..1, channels last. Qualities are float32 [B] in 0..1, the lower ones
        more often; every batch covers the whole range. Thumbnails are of another side, about as many pixels in all.
        """
        if self._small and count is None and float(self._uniform(1)) < self._small:
            return self._draw_small()
        count = count or self._batch_size
        picture = self._choose(count)
        # All reduced views of a batch share one position between the crop and the picture's shorter side, on a
        # logarithmic scale: pictures of one size are then cut in two steps at any batch size.
        growth = (self._pictures.sizes[picture].amin(1) / self._crop) ** self._uniform(1)
        reduce = self._uniform(count) < REDUCE_PROBABILITY
        window = torch.where(reduce, (self._crop * growth).floor().long(), self._crop)  # side of the square that is cut
        top, left = self._places(picture, window)
        turns = torch.randint(1, 4, (count,), generator=self.generator)
        flip = self._uniform(count) < FLIP_PROBABILITY
        turns = torch.where(self._uniform(count) < TURN_PROBABILITY, turns, 0)
        shape = count, 3, self._crop, self._crop
        x = torch.empty(shape, device=self._device, memory_format=torch.channels_last)
        for side in window.unique().tolist():
            members = (window == side).nonzero().squeeze(1)
            x[members.to(self._device)] = self._cut(picture[members], top[members], left[members], side, self._crop)
        return _turned(x, flip, turns), self._qualities(count)

    def _draw_small(self) -> tuple[Tensor, Tensor]:
        side = SMALL_SIDES[int(torch.randint(len(SMALL_SIDES), (1,), generator=self.generator))]
        count = max(self._batch_size * self._crop**2 // side**2, 1)
        picture = self._choose(count)
        window = self._pictures.sizes[picture].amin(1)
        top, left = self._places(picture, window)
        x = torch.empty((count, 3, side, side), device=self._device, memory_format=torch.channels_last)
        for own in window.unique().tolist():
            members = (window == own).nonzero().squeeze(1)
            x[members.to(self._device)] = self._cut(picture[members], top[members], left[members], own, side)
        flip = self._uniform(count) < FLIP_PROBABILITY
        return _turned(x, flip, torch.zeros(count, dtype=torch.long)), self._qualities(count)

    def _qualities(self, count: int) -> Tensor:
        even = (torch.randperm(count, generator=self.generator) + self._uniform(count)) / count  # one in each part
        return (even**QUALITY_POWER).float().to(self._device)

    def patches(self, count: int, side: int) -> np.ndarray:
        """Random windows as they are, uint8 [count, side, side, 3]."""
        picture = self._choose(count)
        top, left = self._places(picture, torch.full((count,), side))
        return self._pictures.cut(picture, top, left, side).cpu().numpy()

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, dtype=torch.float64)

    def _choose(self, count: int) -> Tensor:
        photographs = len(self._pictures.sizes) - self._drawings
        picture = torch.randint(photographs, (count,), generator=self.generator)
        if not self._drawn:
            return picture
        drawing = photographs + torch.randint(self._drawings, (count,), generator=self.generator)
        return torch.where(self._uniform(count) < self._drawn, drawing, picture)

    def _places(self, picture: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
        """Random top and left of windows inside their pictures."""
        room = self._pictures.sizes[picture] - window[:, None] + 1  # [B, 2]
        top, left = (self._uniform(*room.shape) * room).long().unbind(1)
        return top, left

    def _cut(self, picture: Tensor, top: Tensor, left: Tensor, side: int, wanted: int) -> Tensor:
        """Windows of one side as float32 [B, 3, wanted, wanted], resampled if they are of another."""
        windows = self._pictures.cut(picture, top, left, side)
        x = windows.to(self._device).permute(0, 3, 1, 2).float() / 255
        if side != wanted:
            x = functional.interpolate(x, (wanted, wanted), mode="bicubic", antialias=True)
            x = x.clamp(0, 1)  # the filter overshoots
        return x


def _turned(x: Tensor, flip: Tensor, turns: Tensor) -> Tensor:
    """Views flipped where `flip` [B] says so, then turned by `turns` [B] quarters."""
    x = torch.where(flip.to(x.device)[:, None, None, None], x.flip(3), x)
    for quarters in (1, 2, 3):
        members = (turns == quarters).nonzero().squeeze(1).to(x.device)
        x[members] = torch.rot90(x[members], quarters, (2, 3))
    return x.contiguous(memory_format=torch.channels_last)
