"""Every measurement as soon as it is made, in a file: where an interrupted run goes on.

A file of JSON lines. The first tells what the file is; each other one holds a key and a measurement. The key is a hash
of all that a measurement depends on - pixels, codec, library versions, setting, machine - so that nothing measured
under other circumstances is ever taken up.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from aecodec.bench.result import Measurement
from aecodec.errors import InputError
from aecodec.errors import OutputError
from aecodec.files import read_bytes
from aecodec.files import write_atomic

HEAD = b'{"aecodec bench": "measurements", "version": 1}\n'


def key_of(*parts: object) -> str:
    """A key of everything that a measurement depends on; the parts are taken by their representation."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


class Journal:
    """A context manager; without a path it only remembers."""

    def __init__(self, path: Path | None) -> None:
        """Begun with the first measurement where there is none. Raises InputError where the file is something else."""
        self._path = path
        self._file: BinaryIO | None = None
        self._known = {} if path is None or not path.exists() else _read(path)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: str) -> Measurement | None:
        return self._known.get(key)

    def add(self, key: str, measurement: Measurement) -> None:
        """Raises OutputError."""
        self._known[key] = measurement
        if self._path is None:
            return
        try:
            if self._file is None:
                self._file = _open(self._path)
            self._file.write(json.dumps({"key": key, **asdict(measurement)}).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(f"{self._path}: {error.strerror}") from error


def _open(path: Path) -> BinaryIO:
    if not path.exists() or os.path.getsize(path) == 0:
        write_atomic(path, HEAD)
    return path.open("ab")


def _read(path: Path) -> dict[str, Measurement]:
    data = read_bytes(path)
    if data and not data.startswith(HEAD):
        raise InputError(f"{path}: not the measurements of an earlier run; name another file")
    # A run that was killed may have left half a line; that measurement is simply made again.
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        write_atomic(path, whole)
    try:
        lines = [json.loads(line) for line in whole.splitlines()[1:]]
        return {line.pop("key"): Measurement(**line) for line in lines}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: damaged; remove it, and everything is measured anew") from error
