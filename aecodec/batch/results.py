"""Items, what became of each, and the results of a shard: a file of JSON lines that marks it as complete."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field

from aecodec.batch import storage
from aecodec.errors import InputError


@dataclass(frozen=True)
class Item:
    """An input and the output to make from it, each a path or a URL; the output's folder need not exist."""

    source: str
    target: str


@dataclass(frozen=True)
class Result:
    """What became of an item: done, skipped (the output existed), or failed with an error of one line."""

    source: str
    target: str
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    skipped: bool = False
    summary: str = ""
    notices: tuple[str, ...] = ()
    error: str | None = None


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
    storage.write(name, "".join(f"{to_json(result)}\n" for result in results).encode())


def recorded(entries: Iterable[Item | Result], name: str) -> list[Result] | None:
    """The shard's results, all skipped, if its file `name` has every output; None if it has not, or is damaged."""
    try:
        if storage.status(name) is None:
            return None
        lines = [json.loads(line) for line in storage.read(name).splitlines()]
        sizes = {fields["output"]: fields["bytes"] for fields in lines}  # KeyError: an item that failed
        planned = list(entries)
        if not all(isinstance(entry, Item) for entry in planned):
            return None
        return [Result(item.source, item.target, bytes_out=sizes[item.target], skipped=True) for item in planned]
    except (InputError, ValueError, KeyError, TypeError):
        return None
