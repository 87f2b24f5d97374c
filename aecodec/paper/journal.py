"""Records at once what was decided about each file drawn, so that a later run can resume.

A file of JSON lines. The first has the parameters of the data set; each other one a decision, in order.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from aecodec.batch.journal import JsonLines
from aecodec.batch.journal import line_of
from aecodec.batch.journal import whole_lines
from aecodec.errors import InputError
from aecodec.files import read_bytes

JOURNAL = "journal.jsonl"

KEPT = "kept"
UNDECODABLE = "undecodable"
DUPLICATE = "duplicate"


@dataclass(frozen=True)
class Parameters:
    """What a data set is made by. Where the sources lie is no part of it, so they may be moved or repacked."""

    seed: int
    dev: int
    counts: dict[str, int]  # pictures of each source, in order


@dataclass(frozen=True)
class Decision:
    """About one file that was drawn."""

    source: str
    name: str
    outcome: str
    sha256: str = ""  # of the picture's RGB bytes
    problem: str = ""


class Journal:
    """A context manager, to be entered before a picture is made; `decisions` are those of earlier runs and this one."""

    def __init__(self, folder: Path, parameters: Parameters) -> None:
        """The journal in `folder`, if any. Raises InputError where it has other parameters or is damaged."""
        self._path = folder / JOURNAL
        self._parameters = parameters
        self.decisions = self._read() if self._path.exists() else []

    def __enter__(self) -> Journal:
        """Begins a journal, if none exists, with the origin of the pictures. Raises OutputError."""
        self._file = JsonLines(self._path, line_of(asdict(self._parameters)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, decision: Decision) -> None:
        """Raises OutputError."""
        self._file.add({key: value for key, value in asdict(decision).items() if value})
        self.decisions.append(decision)

    def _read(self) -> list[Decision]:
        data = read_bytes(self._path)
        try:
            head, *lines = [json.loads(line) for line in whole_lines(self._path, data).splitlines()]
            begun = Parameters(**head)
            decisions = [Decision(**line) for line in lines]
            kept = Counter(decision.source for decision in decisions if decision.outcome == KEPT)
            sound = kept <= Counter(begun.counts)
        except (ValueError, TypeError):
            sound = False
        if not sound:
            raise InputError(f"{self._path}: damaged; build into another folder")
        if begun != self._parameters or list(begun.counts) != list(self._parameters.counts):
            was = f"seed {begun.seed}, dev {begun.dev}, {begun.counts}"
            raise InputError(f"{self._path.parent}: begun with other parameters ({was}); choose another folder")
        return decisions
