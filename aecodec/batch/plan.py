"""What a batch has to do: inputs and folders become a stream of items, in an order that is the same everywhere."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pathlib import PurePath

from aecodec.batch import storage
from aecodec.batch.jobs import PICTURE_SUFFIXES
from aecodec.batch.work import Existing
from aecodec.batch.work import Item
from aecodec.batch.work import Result
from aecodec.batch.work import failure
from aecodec.errors import InputError


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count`, counted from 1."""

    index: int
    count: int

    def holds(self, relative: str) -> bool:
        """Whether an output, by its path below the output folder with "/", is of this part: on every machine alike."""
        return _index_of(relative, self.count) == self.index


@dataclass(frozen=True)
class BatchOptions:
    """Which files, and where to.

    inputs: files and folders; of folders the files with one of `suffixes`, at any depth, less hidden ones. Inputs and
    output folder may be URLs, of objects and of folders of objects.
    extension: of the outputs, without a dot.
    jobs: processes, of one thread each.
    """

    inputs: tuple[Path | str, ...]
    out_dir: Path | str
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
    for relative, entry in _planned(options):
        if options.shard is None or not relative or options.shard.holds(relative):
            yield entry


def plan_shards(options: BatchOptions, size: int) -> list[tuple[Shard, list[Item | Result]]]:
    """The whole plan in parts of about `size` entries, each the part that `plan` gives for its shard.

    Their number is a power of two, so that a folder may grow a little and keep its shards. Parts of nothing are left
    out. All names are in memory: some 450 bytes for a picture.
    """
    planned = list(_planned(options))
    count = 1 << (max(1, -(-len(planned) // size)) - 1).bit_length()
    parts: dict[int, list[Item | Result]] = {}
    for relative, entry in planned:
        parts.setdefault(_index_of(relative, count), []).append(entry)
    return [(Shard(index, count), parts[index]) for index in sorted(parts)]


def _index_of(relative: str, count: int) -> int:
    return zlib.crc32(os.fsencode(relative)) % count + 1


def _planned(options: BatchOptions) -> Iterator[tuple[str, Item | Result]]:
    """Every entry with its output's path below the output folder; "" where a folder cannot be read."""
    taken: set[str] = set()
    for source, relative in _inputs(options):
        if not isinstance(relative, str):
            reason = str(relative) if isinstance(relative, InputError) else f"{source}: {relative.strerror}"
            yield "", failure(Item(source, ""), reason)
            continue
        renamed = PurePath(relative).with_suffix(f".{options.extension}").as_posix()
        item = Item(source, storage.join(options.out_dir, renamed))
        key = os.path.normcase(renamed)
        if key in taken:
            yield renamed, failure(item, f"{source}: another input has its output, {item.target}")
        else:
            taken.add(key)
            yield renamed, item


def _inputs(options: BatchOptions) -> Iterator[tuple[str, str | OSError | InputError]]:
    """Every input with its path below the output folder, or the reason why a folder cannot be read."""
    for path in options.inputs:
        if isinstance(path, str) and storage.is_url(path):
            yield from _objects(path, options.suffixes)
        elif os.path.isdir(path):
            yield from _walk(str(path), "", options.suffixes)
        else:
            yield str(path), os.path.basename(path)


def _objects(url: str, suffixes: frozenset[str]) -> Iterator[tuple[str, str | InputError]]:
    try:
        for source, relative in storage.find(url):
            hidden = any(part.startswith(".") for part in relative.split("/"))
            if source == url or (not hidden and PurePath(relative).suffix.lower() in suffixes):
                yield source, relative
    except InputError as error:
        yield url, error


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
