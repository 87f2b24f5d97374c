"""What a batch has to do: inputs and folders become a stream of items, in an order that is the same everywhere."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pathlib import PurePath

from aecodec.batch.work import Existing
from aecodec.batch.work import Item
from aecodec.batch.work import Result
from aecodec.batch.work import failure

# What is taken from a folder when encoding. A file given by its own name is taken whatever it is called.
PICTURE_SUFFIXES = frozenset(
    {
        *(".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pcx", ".pgm"),
        *(".png", ".pnm", ".ppm", ".qoi", ".tga", ".tif", ".tiff", ".webp"),
    }
)
AEC_SUFFIXES = frozenset({".aec"})


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count`, counted from 1."""

    index: int
    count: int

    def holds(self, relative: str) -> bool:
        """Whether an output, by its path below the output folder with "/", is of this part: on every machine alike."""
        return zlib.crc32(os.fsencode(relative)) % self.count == self.index - 1


@dataclass(frozen=True)
class BatchOptions:
    """Which files, and where to.

    inputs: files and folders; of folders the files with one of `suffixes`, at any depth, less hidden ones.
    extension: of the outputs, without a dot.
    jobs: processes, of one thread each.
    """

    inputs: tuple[Path, ...]
    out_dir: Path
    extension: str
    suffixes: frozenset[str] = PICTURE_SUFFIXES
    jobs: int = 1
    shard: Shard | None = None
    existing: Existing = "update"


def plan(options: BatchOptions) -> Iterator[Item | Result]:
    """The items of a batch, or of its shard; a Result for what fails before there is anything to do.

    The tree below a folder is kept. Where two inputs would have one output, the first has it and the other fails. Both
    are in one shard, since it is the output that says which.
    """
    taken: set[str] = set()
    for source, relative in _inputs(options):
        if isinstance(relative, OSError):
            yield failure(Item(source, ""), f"{source}: {relative.strerror}")
            continue
        renamed = PurePath(relative).with_suffix(f".{options.extension}")
        if options.shard is not None and not options.shard.holds(renamed.as_posix()):
            continue
        item = Item(source, str(options.out_dir / renamed))
        key = os.path.normcase(renamed)
        if key in taken:
            yield failure(item, f"{source}: another input has its output, {item.target}")
        else:
            taken.add(key)
            yield item


def _inputs(options: BatchOptions) -> Iterator[tuple[str, str | OSError]]:
    """Every input file with its path below the output folder, or the reason why a folder cannot be read."""
    for path in options.inputs:
        if path.is_dir():
            yield from _walk(str(path), "", options.suffixes)
        else:
            yield str(path), path.name


def _walk(folder: str, below: str, suffixes: frozenset[str]) -> Iterator[tuple[str, str | OSError]]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        yield folder, error
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):  # a link to a folder could lead round in circles
            yield from _walk(entry.path, os.path.join(below, entry.name), suffixes)
        elif os.path.splitext(entry.name)[1].lower() in suffixes and entry.is_file():
            yield entry.path, os.path.join(below, entry.name)
