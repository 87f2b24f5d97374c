"""What a batch has to do: turns inputs and folders into a stream of items, in the same order everywhere."""

from __future__ import annotations

import errno
import os
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from pathlib import PurePath
from typing import Literal
from typing import NamedTuple

from aecodec.batch import made
from aecodec.batch import storage
from aecodec.batch.results import Item
from aecodec.batch.results import Result
from aecodec.batch.results import failure
from aecodec.errors import InputError
from aecodec.image.suffixes import PICTURE_SUFFIXES

# What happens to an existing output: made again if it is not what its input gives, kept, or always written again.
Existing = Literal["update", "skip", "force"]


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count`, counted from 1."""

    index: int
    count: int

    def holds(self, relative: str) -> bool:
        """Whether an output belongs to this part, by its path below the output folder, with "/" between names."""
        return _index_of(relative, self.count) == self.index

    @property
    def name(self) -> str:
        return f"{self.index:05}-of-{self.count:05}"

    def results_file(self, out_dir: Path | str) -> str:
        """The file that holds the results of this shard."""
        return storage.join(out_dir, f"shard-{self.name}.jsonl")


@dataclass(frozen=True)
class BatchOptions:
    """Inputs and outputs of a batch.

    inputs: files and folders. From a folder, every file with one of `suffixes` is taken, at any depth, except hidden
    ones and links to folders. Inputs and output folder may be URLs of objects and of folders of objects.
    extension: of the outputs, without a dot; instead of the input's, or behind it if `keep_extension`.
    jobs: processes of one thread each; on the device "cuda", threads of this process.
    passed_over: filled by `plan`: for each folder, how many files were not taken, counted by extension or other reason.
    """

    inputs: tuple[Path | str, ...]
    out_dir: Path | str
    extension: str
    suffixes: frozenset[str] = PICTURE_SUFFIXES
    jobs: int = 1
    shard: Shard | None = None
    existing: Existing = "update"
    keep_extension: bool = False
    passed_over: dict[str, Counter[str]] = field(default_factory=dict, compare=False)


def plan(options: BatchOptions) -> Iterator[Item | Result]:
    """The items of a batch or of its shard, and a Result for each that fails already here.

    The tree below a folder is kept. If two inputs would have the same output, the first gets it and the other fails;
    both are in the same shard, since the output decides which. An input that is given twice is one.
    """
    for relative, entry in _planned(options):
        if options.shard is None or not relative or options.shard.holds(relative):
            yield entry


def plan_shards(options: BatchOptions, size: int) -> list[tuple[Shard, list[Item | Result]]]:
    """The whole plan in shards of about `size` entries, each what `plan` gives for that shard.

    The number of shards is a power of two, so that a folder that grows a little keeps its shards. Empty shards are left
    out. All names are held in memory, about 450 bytes for each picture.
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
    """Every entry with its output's path below the output folder, or "" for a folder that cannot be read."""
    taken: dict[str, str] = {}
    records = made.read(options.out_dir)
    for source, relative in _inputs(options):
        if isinstance(relative, InputError):
            yield "", failure(Item(source, ""), str(relative))
            continue
        if isinstance(relative, _LeftOut):
            notice = f"{source}: {relative.reason}"
            yield relative.below, Result(source, "", skipped=True, notices=(notice,), left_out=True)
            continue
        renamed = _renamed(relative, options)
        item = Item(source, storage.join(options.out_dir, renamed), records.get(renamed, ()))
        first = taken.setdefault(os.path.normcase(renamed), source)
        if first is source:
            yield renamed, item
        elif not made.is_same(first, source):
            yield renamed, failure(item, f"{source}: another input has its output, {item.target}{_hint(options)}")


def _hint(options: BatchOptions) -> str:
    makes_files = options.extension == "aec" and not options.keep_extension
    return "; --keep-extension tells x.jpg and x.png apart" if makes_files else ""


def _renamed(relative: str, options: BatchOptions) -> str:
    """The path of an output below the output folder, from that of its input."""
    path = PurePath(relative)
    kept = path.suffix if options.keep_extension else ""
    return path.with_suffix(f"{kept}.{options.extension}").as_posix()


_LONGEST_SUFFIX = 10  # of what counts as an extension


class _LeftOut(NamedTuple):
    """What is in a folder and not taken, by its path below the output folder."""

    below: str
    reason: str


def _inputs(options: BatchOptions) -> Iterator[tuple[str, str | InputError | _LeftOut]]:
    """Every input with its path below the output folder, or the error that reading a folder raised."""
    for path in options.inputs:
        found = False
        for source, relative in _named(path, options):
            found = found or not isinstance(relative, _LeftOut)
            yield source, relative
        if not found and len(options.inputs) > 1:  # of a single one, the command says so
            yield str(path), _LeftOut(os.path.basename(path), "has no file with a known extension")


def _named(path: Path | str, options: BatchOptions) -> Iterator[tuple[str, str | InputError | _LeftOut]]:
    if isinstance(path, str) and storage.is_url(path):
        yield from _objects(path, options.suffixes)
    elif os.path.isdir(path):
        counts = options.passed_over[str(path)] = Counter()
        yield from _walk(str(path), options.suffixes, counts)
    else:
        yield str(path), os.path.basename(path)


def _objects(url: str, suffixes: frozenset[str]) -> Iterator[tuple[str, str | InputError]]:
    try:
        source = None
        for source, relative in storage.find(url):
            hidden = any(part.startswith(".") for part in relative.split("/"))
            if source == url or (not hidden and PurePath(relative).suffix.lower() in suffixes):
                yield source, relative
        if source is None:
            yield url, InputError(f"{url}: {os.strerror(errno.ENOENT)}")
    except InputError as error:
        yield url, error


def _walk(
    root: str, suffixes: frozenset[str], passed_over: Counter[str]
) -> Iterator[tuple[str, str | InputError | _LeftOut]]:
    """The pictures of a tree, in the order of names. A stack of listings, since a tree may be deeper than calls."""
    listings = [_listing(root, "")]
    while listings:
        for entry, relative in listings[-1]:
            if isinstance(entry, InputError):
                yield relative, entry
            elif entry.is_dir(follow_symlinks=False):  # a link to a folder could form a loop
                listings.append(_listing(entry.path, relative))
                break
            elif entry.is_dir():
                yield entry.path, _LeftOut(relative, "a link to a folder is not followed; give it by name")
            elif os.path.splitext(entry.name)[1].lower() in suffixes and (entry.is_file() or _is_broken(entry)):
                yield entry.path, relative
            else:
                passed_over[_kind(entry, suffixes)] += 1
        else:
            listings.pop()


def _kind(entry: os.DirEntry[str], suffixes: frozenset[str]) -> str:
    """Why a file of a folder is not taken: its extension, or that it is a pipe or a device."""
    suffix = os.path.splitext(entry.name)[1].lower()
    if suffix in suffixes:
        return "not regular"
    return suffix if suffix.isprintable() and 1 < len(suffix) <= _LONGEST_SUFFIX else "without extension"


def _is_broken(entry: os.DirEntry[str]) -> bool:
    """Whether it is a link to nothing: a picture that is missing, which its item will say."""
    return entry.is_symlink() and not os.path.exists(entry.path)


def _listing(folder: str, below: str) -> Iterator[tuple[os.DirEntry[str] | InputError, str]]:
    """What a folder holds, with paths below the root; or the folder itself with the error that reading it raised."""
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        yield InputError(f"{folder}: {error.strerror}"), folder
        return
    for entry in entries:
        if not entry.name.startswith("."):
            yield entry, os.path.join(below, entry.name)
