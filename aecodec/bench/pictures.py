"""The pictures of a folder, as the bench measures them."""

from __future__ import annotations

from collections.abc import Container
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from aecodec.errors import AecError
from aecodec.errors import InputError
from aecodec.image.reading import open_picture
from aecodec.image.suffixes import PICTURE_SUFFIXES
from aecodec.limits import MAX_PIXELS


def centre_square(pixels: np.ndarray, side: int) -> np.ndarray:
    """Scales the short side to `side` (Lanczos), then cuts the centre square: uint8 [side, side, 3] or [side, side]."""
    image = Image.fromarray(pixels)
    ratio = side / min(image.size)
    image = image.resize((round(image.width * ratio), round(image.height * ratio)), Image.Resampling.LANCZOS)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)))


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")


class Pictures:
    """The pictures directly in `folder`, by name; iterating gives uint8 [H, W, 3] or [H, W].

    Whole pictures are read again on every pass, so a folder of any size fits in memory; with `size` they are
    reduced to centre squares and kept. Pictures that cannot be read, or are smaller than `size`, are left out.
    So are those that turn out not to fit a codec, and pipes and devices, which could block. `notices` has a line for
    each of them, and for what reading the others lost.
    """

    def __init__(self, folder: Path, size: int | None = None) -> None:
        """Reads every picture once. Raises InputError if there is no folder, or no picture in it to measure."""
        try:
            paths = sorted(path for path in folder.iterdir() if _is_picture(path))
        except OSError as error:
            raise InputError(f"{folder}: {error.strerror}") from error
        self.size = size
        self.notices: list[str] = []
        self._kept: dict[Path, np.ndarray] = {}
        self.paths = [path for path in paths if self._is_usable(path)]
        self.left_out = len(paths) - len(self.paths)
        if not self.paths:
            others = f"; left out: {'; '.join(self.notices)}" if self.left_out else ""
            raise InputError(f"{folder}: no picture in it{others}")

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (pixels for _, pixels in self.named())

    def named(self, names: Container[str] | None = None) -> Iterator[tuple[str, np.ndarray]]:
        """All pictures, or those of `names`, each with its file name."""
        return ((path.name, self._load(path)) for path in self.paths if names is None or path.name in names)

    def leave_out(self, name: str, reason: AecError) -> None:
        """Forgets a picture that some codec cannot hold: all codecs are compared on the same ones.

        Raises InputError if it was the last. A pass that has begun is not affected.
        """
        self.notices.append(f"left out: {name}: {reason}")
        self.paths = [path for path in self.paths if path.name != name]
        self.left_out += 1
        if not self.paths:
            raise InputError(f"no picture that every codec can hold; {'; '.join(self.notices)}")

    def _is_usable(self, path: Path) -> bool:
        if path.exists() and not path.is_file():
            self.notices.append(f"left out: {path}: not a regular file")
            return False
        try:
            self._load(path)
        except AecError as error:
            self.notices.append(f"left out: {error}")
            return False
        return True

    def _load(self, path: Path) -> np.ndarray:
        if path in self._kept:
            return self._kept[path]
        picture = open_picture(path, max_pixels=MAX_PIXELS, alpha=False)
        if self.size is not None and min(picture.pixels.shape[:2]) < self.size:
            raise InputError(f"{path}: smaller than {self.size} pixels")
        for notice in picture.notices:
            line = f"{path.name}: {notice}"
            if line not in self.notices:
                self.notices.append(line)
        if self.size is None:
            return picture.pixels
        self._kept[path] = centre_square(picture.pixels, self.size)
        return self._kept[path]
