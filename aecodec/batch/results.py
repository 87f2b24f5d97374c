"""Items, what became of each, and the results of a shard: a file of JSON lines."""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field
from typing import NamedTuple

from aecodec.batch import storage
from aecodec.errors import InputError


class Made(NamedTuple):
    """The input of an output, its size and stamp (`storage.Status`), a hash of the options, and the output's bytes.

    written: the stamp of an output that is an object, when it had been written.
    """

    source: str
    size: int
    stamp: str
    options: str
    bytes: int
    crc: int
    written: str = ""

    def gave(self, output: str, status: storage.Status) -> bool:
        """Whether the output is what this says: by all bytes of a file; by size and stamp of an object."""
        if status.size != self.bytes:
            return False
        return status.stamp == self.written if storage.is_url(output) else zlib.crc32(storage.read(output)) == self.crc


@dataclass(frozen=True)
class Item:
    """An input and the output to make from it, each a path or a URL; the output's folder need not exist."""

    source: str
    target: str
    records: tuple[Made, ...] = ()  # what the journal says of the output


@dataclass(frozen=True)
class Result:
    """What became of an item: done, skipped (the output existed), or failed with an error of one line.

    made: what the journal is to say of the output, if it does not say so yet.
    left_out: of something in a folder that is no item, for the reason in `notices`.
    """

    source: str
    target: str
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    skipped: bool = False
    summary: str = ""
    notices: tuple[str, ...] = ()
    error: str | None = None
    made: Made | None = None
    left_out: bool = False


def failure(item: Item, message: str) -> Result:
    """The result of an item that failed; the message names its input."""
    named = message if item.source in message or item.target in message else f"{item.source}: {message}"
    return Result(item.source, item.target, error=" ".join(named.split()))


@dataclass
class Summary:
    """Counts of results, bytes of those done, and how often each reason made one fail."""

    done: int = 0
    skipped: int = 0
    failed: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    notices: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, result: Result) -> None:
        if result.left_out:
            return
        if result.error is not None:
            self.failed += 1
            self.reasons[reason_of(result)] += 1
        elif result.skipped:
            self.skipped += 1
        else:
            self.done += 1
            self.bytes_in += result.bytes_in
            self.bytes_out += result.bytes_out
            self.notices += len(result.notices)


def reason_of(result: Result) -> str:
    """The error of a failed item without names and numbers, so that failures of one kind are equal."""
    words = str(result.error).replace(result.source, "").replace(result.target, "")
    return re.sub(r"[0-9]+", "N", words).strip(" :")


def to_json(result: Result) -> str:
    """One line: input and error, or input, output, bytes and whether it existed before."""
    fields: dict[str, object] = {"input": result.source}
    if result.error is not None:
        fields |= {"error": result.error}
    else:
        fields |= {"output": result.target, "bytes": result.bytes_out}
        if result.skipped:
            fields |= {"skipped": True}
        else:
            fields |= {"bytes_in": result.bytes_in, "seconds": round(result.seconds, 4)}
        if result.notices:
            fields |= {"notices": list(result.notices)}
    return json.dumps(fields)


def write_results(name: str, results: Iterable[Result]) -> None:
    """Writes the file of a finished shard, whole or not at all. Raises OutputError."""
    storage.write(name, "".join(f"{to_json(result)}\n" for result in results if not result.left_out).encode())


def is_recorded(entries: Iterable[Item | Result], name: str) -> bool:
    """Whether the results `name` of a shard list exactly the outputs of these entries, all done."""
    try:
        if storage.status(name) is None:
            return False
        lines = [json.loads(line) for line in storage.read(name).splitlines()]
        outputs = sorted(fields["output"] for fields in lines)  # KeyError: an item that failed
    except (InputError, ValueError, KeyError, TypeError):
        return False
    return outputs == sorted(entry.target for entry in entries if entry.target)
