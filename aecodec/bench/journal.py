"""Keeps every measurement in a file as soon as it is known, so that an interrupted run can resume.

A file of JSON lines. The first says what the file is; each other one holds a key and a measurement. The key is a hash
of all that a measurement depends on - pixels, codec, library versions, setting, machine - so that a measurement made
under other circumstances is never reused.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from aecodec.batch.journal import JsonLines
from aecodec.batch.journal import whole_lines
from aecodec.bench.result import Measurement
from aecodec.errors import InputError
from aecodec.files import read_bytes

HEAD = b'{"aecodec bench": "measurements", "version": 1}\n'


def key_of(*parts: object) -> str:
    """A key of everything that a measurement depends on, by the `repr` of each part."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


class Journal:
    """A context manager; without a path it only remembers."""

    def __init__(self, path: Path | None) -> None:
        """The first measurement creates the file. Raises InputError if it exists and is another kind of file."""
        self._path = path
        self._file: JsonLines | None = None
        self._known = {} if path is None or not path.exists() else _read(path)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()

    def get(self, key: str) -> Measurement | None:
        return self._known.get(key)

    def add(self, key: str, measurement: Measurement) -> None:
        """Raises OutputError."""
        self._known[key] = measurement
        if self._path is None:
            return
        if self._file is None:
            self._file = JsonLines(self._path, HEAD)
        self._file.add({"key": key, **asdict(measurement)})


def _read(path: Path) -> dict[str, Measurement]:
    data = read_bytes(path)
    if data and not data.startswith(HEAD):
        raise InputError(f"{path}: not the measurements of an earlier run; name another file")
    try:
        lines = [json.loads(line) for line in whole_lines(path, data).splitlines()[1:]]
        return {line.pop("key"): Measurement(**line) for line in lines}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: damaged; remove it to measure everything again") from error
