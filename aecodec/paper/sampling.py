"""Drawing without replacement by a seed, and making a picture of a file.

Files and dev pictures are ordered by the SHA-256 of seed and name, so that every machine and version of Python draws
the same pictures, however the disk orders them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from aecodec.bench.metrics import as_rgb
from aecodec.bench.pictures import centre_square
from aecodec.errors import AecError
from aecodec.errors import InputError
from aecodec.image.reading import open_picture
from aecodec.image.writing import png_of
from aecodec.limits import MAX_PIXELS
from aecodec.paper.archives import Candidate
from aecodec.paper.archives import NoFile
from aecodec.paper.archives import read

SIDE = 256

# Longer pictures are no photographs, and bringing their short side to 256 could take any amount of memory.
_MAX_ASPECT = 16


@dataclass(frozen=True)
class Sample:
    """A picture of 256x256 made of a file, or the reason why none was made."""

    png: bytes = b""
    sha256: str = ""  # of the 196,608 bytes of RGB: equal for files that decode to the same picture
    problem: str = ""


def draw_order(candidates: Iterable[Candidate], source: str, seed: int) -> list[Candidate]:
    """The order in which candidates are drawn."""
    return sorted(candidates, key=lambda candidate: _rank(seed, source, candidate.name))


def draw_dev(counts: Mapping[str, int], dev: int, seed: int) -> frozenset[tuple[str, int]]:
    """The pictures of the dev set: `dev` pairs of source and number within it, from 0."""
    slots = [(source, number) for source, count in counts.items() for number in range(count)]
    return frozenset(sorted(slots, key=lambda slot: _rank(seed, "dev", *map(str, slot)))[:dev])


def _rank(seed: int, *parts: str) -> bytes:
    return hashlib.sha256("\0".join((str(seed), *parts)).encode("utf-8", "surrogateescape")).digest()


def sample(candidate: Candidate) -> Sample:
    """The picture upright in RGB, its short side brought to 256 pixels (Lanczos), then the centre square.

    Missing and undecodable files are reported in the result; raises InputError only if a file cannot be read.
    """
    try:
        data = read(candidate)
    except NoFile:
        return Sample(problem=NoFile.reason)
    try:
        pixels = open_picture(BytesIO(data), max_pixels=MAX_PIXELS).pixels
    except AecError as error:
        return Sample(problem=str(error).removeprefix("picture: "))
    height, width = pixels.shape[:2]
    if max(height, width) > _MAX_ASPECT * min(height, width):
        return Sample(problem=f"{width}x{height} pixels are no photograph")
    square = as_rgb(centre_square(pixels, SIDE))
    return Sample(png_of(square), _digest(square))


def digest_of(path: Path) -> str:
    """The `Sample.sha256` of a written picture; empty if the file is missing or damaged."""
    try:
        return _digest(open_picture(path, max_pixels=SIDE * SIDE).pixels)
    except InputError:
        return ""


def _digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
