"""What the outputs of a folder were made from: a journal beside them, `.aecodec/*.jsonl`, one line for each output.

A line says which bytes an input gave with which options. An output is up to date if a line names its input as it is
now, these options and the output's own bytes; times are never compared with each other. Lines are only added. Their
order means nothing, so several commands may write to one folder. A lost or damaged line costs time and no picture: the
output is made again and compared with the file that is there (`run.py`).
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Generator
from collections.abc import Iterable
from contextlib import closing
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from aecodec.batch import storage
from aecodec.batch.journal import line_of
from aecodec.batch.results import Made
from aecodec.batch.results import Result
from aecodec.errors import InputError
from aecodec.errors import OutputError

_FOLDER = ".aecodec"
_OBJECT_LINES = 1000  # an object cannot grow: this many lines, or those of the command, make one


def made(source: str, status: storage.Status, options: str, output: str, data: bytes) -> Made:
    """What `source` with this status gave, and `output` now holds."""
    name = source if storage.is_url(source) else os.path.abspath(source)
    written = ""
    if storage.is_url(output):
        with suppress(InputError):  # without its stamp, it will be made again and compared
            there = storage.status(output)
            written = "" if there is None else there.stamp
    return Made(name, status.size, status.stamp, options, len(data), zlib.crc32(data), written)


def read(out_dir: Path | str) -> dict[str, tuple[Made, ...]]:
    """All that the journal says, by the output's path below the folder. What is damaged or unreadable is left out."""
    found: dict[str, tuple[Made, ...]] = {}
    for name in storage.listed(storage.join(out_dir, _FOLDER)):
        with suppress(InputError):
            for line in storage.read(name).splitlines():
                with suppress(ValueError, KeyError, TypeError):
                    fields = json.loads(line)
                    entry = Made(*(kind(fields[key]) for key, kind in _KINDS.items()))
                    known = found.get(fields["output"], ())
                    found[fields["output"]] = known if entry in known else (*known, entry)
    return found


_KINDS = {"input": str, "size": int, "stamp": str, "options": str, "bytes": int, "crc": int, "written": str}


def recording(
    results: Generator[Result, None, None], out_dir: Path | str, part: str = ""
) -> Generator[Result, None, None]:
    """Passes results on and adds what they were made from to the journal, in a file of its own for each `part`.

    A journal that cannot be written is a notice. Raises OutputError if the last object of lines cannot be written.
    """
    pending: list[bytes] = []
    name = f"made{part}"
    enough = _OBJECT_LINES if storage.is_url(out_dir) else 1
    try:
        with closing(results):
            for result in results:
                if result.made is not None:
                    fields = dict(zip(_KINDS, result.made, strict=True))
                    pending.append(line_of({"output": storage.below(out_dir, result.target), **fields}))
                if len(pending) >= enough:
                    try:
                        _add(out_dir, name, pending)
                    except OutputError as error:  # the output is there all the same
                        result = replace(result, notices=(*result.notices, str(error)))
                yield result
    finally:
        _add(out_dir, name, pending)


def _add(out_dir: Path | str, name: str, lines: list[bytes]) -> None:
    if lines:
        data = b"".join(lines)
        lines.clear()
        storage.append(storage.join(out_dir, f"{_FOLDER}/{name}.jsonl"), data)


def living(records: Iterable[Made], source: str) -> str | None:
    """An input in `records` that is not `source` and still exists."""
    others = (entry.source for entry in records if not is_same(entry.source, source))
    return next((name for name in others if storage.exists(name)), None)


def is_same(one: str, other: str) -> bool:
    """Whether two names are of one file or object."""
    if storage.is_url(one) or storage.is_url(other):
        return one == other
    with suppress(OSError):
        return os.path.samefile(one, other)
    return os.path.abspath(one) == os.path.abspath(other)
