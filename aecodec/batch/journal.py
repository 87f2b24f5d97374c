"""A file of JSON lines that grows record by record, for runs that are interrupted and resumed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from aecodec.errors import OutputError
from aecodec.files import write_atomic


def line_of(record: Mapping[str, object]) -> bytes:
    return json.dumps(record).encode() + b"\n"


def whole_lines(path: Path, data: bytes) -> bytes:
    """`data` of the file `path` without the partial line that a killed writer left, which is removed from the file."""
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        write_atomic(path, whole)
    return whole


class JsonLines:
    """Appends to a file, and writes the line `head` first if the file is missing or empty. Raises OutputError."""

    def __init__(self, path: Path, head: bytes) -> None:
        self._path = path
        try:
            if not path.exists() or os.path.getsize(path) == 0:
                write_atomic(path, head)
            self._file = path.open("ab")
        except OSError as error:
            raise OutputError(f"{path}: {error.strerror}") from error

    def add(self, record: Mapping[str, object]) -> None:
        try:
            self._file.write(line_of(record))
            self._file.flush()
        except OSError as error:
            raise OutputError(f"{self._path}: {error.strerror}") from error

    def close(self) -> None:
        self._file.close()
