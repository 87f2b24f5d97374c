"""Mutants: a golden file with one to three edits, drawn from a seed and a number.

Mutants with even numbers keep the checksums as edited; those with odd numbers get correct ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random

from aecodec.format.header import VERSION
from aecodec.geometry import tile_count

from .container import GREY
from .container import head
from .container import plain
from .container import read_head
from .container import seal
from .container import tiled
from .container import varint

TINY = Path(__file__).parents[1] / "golden" / "tiny"

# Around every width of the format's numbers, of machine words, tiles and limits.
POWERS = (0, 3, 5, 7, 8, 10, 11, 14, 16, 20, 21, 28, 31, 32, 35)
NUMBERS = sorted({(1 << power) + step for power in POWERS for step in (-1, 0, 1)})
BYTES = (0, 1, 2, 127, 128, 129, 254, 255)
FRONT = 32  # bytes at the start of a file that get half of all edits
MOST_PIXELS = 1 << 20


@dataclass(frozen=True)
class Golden:
    """A golden file and what it decodes to."""

    name: str
    data: bytes
    shape: tuple[int, ...]
    sha256: str  # of its pixels


@dataclass(frozen=True)
class Mutant:
    """A file to decode. `story` names the edits and the golden files, `origins`."""

    number: int
    data: bytes
    sealed: bool  # with right checksums
    origins: tuple[Golden, ...]
    story: str


@dataclass
class _Draft:
    """A mutant in the making."""

    rng: Random
    files: Sequence[Golden]
    origins: list[Golden]
    data: bytes

    def place(self) -> int:
        """A position in the data, half of the time near its start."""
        size = len(self.data)
        return self.rng.randrange(min(size, FRONT) if self.rng.random() < 0.5 else size) if size else 0

    def span(self) -> tuple[int, int]:
        """A range of the data, mostly short."""
        at = self.place()
        return at, min(len(self.data), at + self.rng.choice((1, 1, 2, 4, 16, 256)))

    def other(self) -> bytes:
        """Another golden file, noted as an origin."""
        self.origins.append(self.rng.choice(self.files))
        return self.origins[-1].data

    def filler(self, most: int) -> bytes:
        count = self.rng.randint(1, most)
        return self.rng.choice((bytes(count), b"\xff" * count, self.rng.randbytes(count)))


Edit = Callable[[_Draft], bytes]


def flip(draft: _Draft) -> bytes:
    data = bytearray(draft.data)
    for _ in range(draft.rng.choice((1, 1, 1, 2, 8))):
        if data:
            data[draft.place()] ^= 1 << draft.rng.randrange(8)
    return bytes(data)


def put(draft: _Draft) -> bytes:
    start, end = draft.span()
    values = BYTES if draft.rng.random() < 0.5 else range(256)
    return draft.data[:start] + bytes(draft.rng.choice(values) for _ in range(start, end)) + draft.data[end:]


def cut(draft: _Draft) -> bytes:
    return draft.data[: draft.place()]


def trim(draft: _Draft) -> bytes:
    return draft.data[: -draft.rng.randint(1, 8)]


def append(draft: _Draft) -> bytes:
    return draft.data + draft.filler(64)


def insert(draft: _Draft) -> bytes:
    at = draft.place()
    return draft.data[:at] + draft.filler(16) + draft.data[at:]


def remove(draft: _Draft) -> bytes:
    start, end = draft.span()
    return draft.data[:start] + draft.data[end:]


def swap(draft: _Draft) -> bytes:
    """Two neighbouring ranges change places."""
    first, second, third = sorted((draft.place(), draft.place(), draft.place()))
    data = draft.data
    return data[:first] + data[second:third] + data[first:second] + data[third:]


def splice(draft: _Draft) -> bytes:
    """This file up to a place, another from there, or from elsewhere, on."""
    other, at = draft.other(), draft.place()
    start = at if draft.rng.random() < 0.5 else draft.rng.randrange(len(other))
    return draft.data[:at] + other[start:]


def join(draft: _Draft) -> bytes:
    return draft.data + draft.other()


def _number(rng: Random) -> bytes:
    value = rng.choice(NUMBERS) if rng.random() < 0.5 else rng.randint(1, 1100)
    return varint(value, rng.choice((0, 0, 0, 0, 1, 4)))


def _sides(rng: Random) -> tuple[int, int]:
    """Sides of a picture within MOST_PIXELS, either one the larger."""
    longer = rng.randint(1, rng.choice((64, 1024, 2100, 65535)))
    shorter = rng.randint(1, min(longer, MOST_PIXELS // longer))
    return (longer, shorter) if rng.random() < 0.5 else (shorter, longer)


def refield(draft: _Draft) -> bytes:
    """A golden file with one header field of another value; the flags stay, right or not."""
    rng, found = draft.rng, read_head(draft.data)
    assert found is not None, "golden files have headers"
    field = rng.choice(("width", "height", "sides", "quality", "flags", "version", "weights", "kinds", "display"))
    width, height = (varint(side) for side in (found.width, found.height))
    if field == "width":
        width = _number(rng)
    elif field == "height":
        height = _number(rng)
    elif field == "sides":
        width, height = (varint(side) for side in _sides(rng))
    fields = head(
        width,
        height,
        flags=rng.randrange(16) if field == "flags" else found.flags,
        version=rng.randrange(16) if field == "version" else VERSION,
        quality=rng.randrange(256) if field == "quality" else draft.data[found.crc_at - (2 if found.kinds else 1)],
        kinds=rng.randrange(256) if field == "kinds" else found.kinds,
        display=_sides(rng) if field == "display" else found.display,
        **({"weights": rng.randbytes(rng.choice((1, 4, 5)))} if field == "weights" else {}),
    )
    return fields + draft.data[found.crc_at :]


def relength(draft: _Draft) -> bytes:
    """A golden file's body under a directory of unusual lengths, for a picture of several tiles."""
    found, width = read_head(draft.data), draft.rng.randint(1025, 4096)
    assert found is not None, "golden files have headers"
    body = draft.data[found.crc_at + 4 :]
    parts = [body[n::4] for n in range(tile_count(width, 1))]
    lengths = [_number(draft.rng) if draft.rng.random() < 0.5 else varint(len(part)) for part in parts]
    return tiled(head(width, draft.rng.randint(1, 64)), parts, lengths)


def regrid(draft: _Draft) -> bytes:
    """A golden file's body as the streams of a picture of another size, flags and directory right.

    Short streams are often valid to the last bit, since the zeros beyond their end decode to symbols.
    """
    rng, found = draft.rng, read_head(draft.data)
    assert found is not None, "golden files have headers"
    body = draft.data[found.crc_at + 4 :]
    body = body[: rng.choice((0, 1, 2, 8, len(body)))]
    (width, height), grey, quality = _sides(rng), GREY * rng.randrange(2), rng.randrange(256)
    tiles = tile_count(width, height)
    if tiles == 1:
        return plain(head(width, height, flags=grey, quality=quality), body)
    cuts = [0, *sorted(rng.randrange(len(body) + 1) for _ in range(tiles - 1)), len(body)]
    parts = [body[start:end].rstrip(b"\0") for start, end in pairwise(cuts)]
    return tiled(head(width, height, flags=grey, quality=quality), parts)


EDITS: tuple[Edit, ...] = (flip, flip, flip, put, put, cut, trim, append, insert, remove, swap, splice, splice, join)
# The first edit may be one of these, which need a whole golden file; the last two leave right checksums.
FIRST: tuple[Edit, ...] = (refield,)
FIRST_SEALED: tuple[Edit, ...] = (refield, refield, relength, regrid)


def golden_files() -> list[Golden]:
    """The permanent files of the tiny network."""
    expected = json.loads((TINY / "expected.json").read_text("utf-8"))
    return [
        Golden(name, (TINY / name).read_bytes(), tuple(fields["shape"]), fields["pixels_sha256"])
        for name, fields in expected.items()
    ]


def mutant(files: Sequence[Golden], seed: int, number: int) -> Mutant:
    """The mutant of that number: the same on every machine."""
    rng, sealed = Random(f"{seed}/{number}"), number % 2 == 1
    base = rng.choice(files)
    draft = _Draft(rng, files, [base], base.data)
    first = FIRST_SEALED if sealed else FIRST
    names = []
    for position in range(rng.choice((1, 1, 1, 2, 3))):
        edit = rng.choice(first if position == 0 and rng.random() < 0.25 else EDITS)
        draft.data = edit(draft)
        names.append(edit.__name__)
    data = seal(draft.data, mend_length=rng.random() < 0.5) if sealed else draft.data
    origins = " and ".join(origin.name for origin in draft.origins)
    story = f"{origins}: {', '.join(names)}, checksums {'right' if sealed else 'as they fell'}"
    return Mutant(number, data, sealed, tuple(draft.origins), story)
