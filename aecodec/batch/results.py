"""Results added up, and results of a shard as a file of JSON lines that marks it as complete."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from aecodec.batch.plan import Shard
from aecodec.batch.work import Result
from aecodec.errors import InputError
from aecodec.files import read_bytes
from aecodec.files import write_atomic


@dataclass
class Summary:
    """Counts and bytes of the results so far; skipped ones have no part in the bytes."""

    done: int = 0
    skipped: int = 0
    failed: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    notices: int = 0

    def add(self, result: Result) -> None:
        if result.error is not None:
            self.failed += 1
        elif result.skipped:
            self.skipped += 1
        else:
            self.done += 1
            self.bytes_in += result.bytes_in
            self.bytes_out += result.bytes_out
            self.notices += len(result.notices)


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


def results_file(out_dir: Path, shard: Shard) -> Path:
    """Where the results of a shard stand."""
    return out_dir / f"shard-{shard.index:05}-of-{shard.count:05}.jsonl"


def write_results(path: Path, lines: Iterable[str]) -> None:
    """Writes the file of a finished shard, whole or not at all. Raises OutputError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, "".join(f"{line}\n" for line in lines).encode())


def is_complete(path: Path) -> bool:
    """Whether a shard's results are there and none of them is an error. Raises InputError where they are damaged."""
    if not path.is_file():
        return False
    try:
        return not any("error" in json.loads(line) for line in read_bytes(path).splitlines())
    except ValueError as error:
        message = f"{path}: no results of a shard ({error})"
        raise InputError(message) from error
