"""Results added up, and results of a shard as a file of JSON lines that marks it as complete."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from aecodec.batch import storage
from aecodec.batch.plan import Shard
from aecodec.batch.work import Item
from aecodec.batch.work import Result
from aecodec.errors import InputError


@dataclass
class Summary:
    """Counts and bytes of the results so far; skipped ones have no part in the bytes. Failures by their reason."""

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
    """The error of a failed item without its names and numbers, so that those of one kind are equal."""
    words = str(result.error).replace(result.source, "").replace(result.target, "")
    return re.sub(r"[0-9]+", "N", words).strip(" :")


def to_json(result: Result) -> str:
    """One line: input and error, or input, output, bytes and whether it was there already."""
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


def results_file(out_dir: Path | str, shard: Shard) -> str:
    """Where the results of a shard stand."""
    return storage.join(out_dir, f"shard-{shard.index:05}-of-{shard.count:05}.jsonl")


def write_results(name: str, results: Iterable[Result]) -> None:
    """Writes the file of a finished shard, whole or not at all. Raises OutputError."""
    storage.write(name, "".join(f"{to_json(result)}\n" for result in results).encode())


def completed(name: str) -> dict[str, int] | None:
    """Outputs and their bytes by the file of a shard; None if it is missing or holds an error.

    Raises InputError where it is damaged.
    """
    if storage.status(name) is None:
        return None
    try:
        told = [json.loads(line) for line in storage.read(name).splitlines()]
        return None if any("error" in fields for fields in told) else {f["output"]: f["bytes"] for f in told}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{name}: no results of a shard ({error})") from error


def recorded(entries: Iterable[Item | Result], name: str) -> list[Result] | None:
    """What a shard is to do, as results that are skipped, where its file names every output; None where it does not.

    A damaged file counts as missing and is written again.
    """
    try:
        there = completed(name)
    except InputError:
        return None
    if there is None:
        return None
    results = []
    for entry in entries:
        if isinstance(entry, Result) or entry.target not in there:
            return None
        results.append(Result(entry.source, entry.target, bytes_out=there[entry.target], skipped=True))
    return results
