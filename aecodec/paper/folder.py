"""The folder of a data set: its pictures, its manifest, and the journal from which a later run resumes.

- `train/imagenet-00000.png`, `dev/places-00017.png`: the pictures.
- `manifest.csv`: file, source, name in the source, sha256 of the RGB bytes, split.
- `journal.jsonl`: the parameters, then a decision about each file drawn, in order, with the reason if it was left out.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from contextlib import contextmanager
from dataclasses import asdict
from dataclasses import astuple
from dataclasses import dataclass
from dataclasses import fields
from io import StringIO
from pathlib import Path
from shutil import rmtree

from aecodec.batch.journal import JsonLines
from aecodec.batch.journal import line_of
from aecodec.batch.journal import whole_lines
from aecodec.errors import InputError
from aecodec.errors import OutputError
from aecodec.files import read_bytes
from aecodec.files import sweep
from aecodec.files import write_atomic
from aecodec.paper.sampling import draw_dev

TRAIN = "train"
DEV = "dev"
MANIFEST = "manifest.csv"
JOURNAL = "journal.jsonl"
_SCRATCH = ".unpacked"

KEPT = "kept"
UNDECODABLE = "undecodable"
DUPLICATE = "duplicate"


@dataclass(frozen=True)
class Parameters:
    """What determines a data set; its sources may be moved or repacked."""

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


@dataclass(frozen=True)
class Row:
    """One picture of the data set: a line of the manifest."""

    file: str  # within the folder
    source: str
    name: str  # within the source
    sha256: str  # of the picture's RGB bytes
    split: str


class DataFolder:
    """The decisions of this run and earlier ones, and the file of every picture, known before any is made."""

    def __init__(self, path: Path, parameters: Parameters) -> None:
        """Raises InputError if the folder's journal has other parameters or is damaged."""
        self.path = path
        self._parameters = parameters
        dev = draw_dev(parameters.counts, parameters.dev, parameters.seed)
        self._files = {
            (source, number): f"{DEV if (source, number) in dev else TRAIN}/{source}-{number:05d}.png"
            for source, count in parameters.counts.items()
            for number in range(count)
        }
        journal = path / JOURNAL
        self.decisions = _read(journal, parameters) if journal.exists() else []

    def rows(self) -> list[Row]:
        """The pictures kept, in the order of the decisions."""
        numbers: Counter[str] = Counter()
        rows = []
        for decision in self.decisions:
            if decision.outcome == KEPT:
                rows.append(self.row(decision, numbers[decision.source]))
                numbers[decision.source] += 1
        return rows

    def row(self, kept: Decision, number: int) -> Row:
        """The picture kept as the `number`-th of its source, from 0."""
        file = self._files[kept.source, number]
        return Row(file, kept.source, kept.name, kept.sha256, file.split("/")[0])

    def check(self) -> None:
        """Remove what a killed run left; raises InputError for anything else that is not of this data set."""
        if not self.path.exists():
            return
        if not (self.path / JOURNAL).exists() and any(not name.startswith(".") for name in _names(self.path)):
            raise InputError(f"{self.path}: has other files in it; choose an empty or a new folder")
        expected = set(self._files.values())
        for split in (TRAIN, DEV):
            sweep(str(self.path / split))
            for name in _names(self.path / split):
                if not name.startswith(".") and f"{split}/{name}" not in expected:
                    raise InputError(f"{self.path / split / name}: is not of this data set")

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder that is removed at the end. Raises OutputError."""
        path = self.path / _SCRATCH
        rmtree(path, ignore_errors=True)
        make_folder(path)
        try:
            yield path
        finally:
            rmtree(path, ignore_errors=True)

    @contextmanager
    def journal(self) -> Iterator[None]:
        """Opens journal and folders: enter it before making a picture or adding a decision. Raises OutputError."""
        with closing(JsonLines(self.path / JOURNAL, line_of(asdict(self._parameters)))) as self._lines:
            for split in (TRAIN, DEV):
                make_folder(self.path / split)
            yield

    def add(self, decision: Decision) -> None:
        """Raises OutputError."""
        self._lines.add({key: value for key, value in asdict(decision).items() if value})
        self.decisions.append(decision)

    def finish(self) -> None:
        """Verify the data set and write its manifest. Raises InputError as `verify` does, and OutputError."""
        self.check()
        rows = self.rows()
        missing = next((row.file for row in rows if not (self.path / row.file).is_file()), None)
        if missing is not None:
            raise InputError(f"{self.path / missing}: is gone; run again to make it")
        verify(rows)
        stream = StringIO()
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(field.name for field in fields(Row))
        table.writerows(map(astuple, rows))
        write_atomic(self.path / MANIFEST, stream.getvalue().encode("utf-8", "surrogateescape"))


def verify(rows: list[Row]) -> None:
    """Raises InputError if two rows of any split are the same file of a source or the same picture."""
    for kind, keys in (("file", [(row.source, row.name) for row in rows]), ("picture", [row.sha256 for row in rows])):
        seen: dict[object, str] = {}
        for row, key in zip(rows, keys, strict=True):
            other = seen.setdefault(key, row.file)
            if other != row.file:
                raise InputError(f"{other} and {row.file} are the same {kind}; build into another folder")


def make_folder(path: Path) -> None:
    """And its parents, unless they exist. Raises OutputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror or error}") from error


def _read(journal: Path, parameters: Parameters) -> list[Decision]:
    try:
        head, *lines = [json.loads(line) for line in whole_lines(journal, read_bytes(journal)).splitlines()]
        begun = Parameters(**head)
        decisions = [Decision(**line) for line in lines]
        kept = Counter(decision.source for decision in decisions if decision.outcome == KEPT)
        sound = kept <= Counter(begun.counts)
    except (ValueError, TypeError):
        sound = False
    if not sound:
        raise InputError(f"{journal}: damaged; build into another folder")
    if begun != parameters or list(begun.counts) != list(parameters.counts):
        was = f"seed {begun.seed}, dev {begun.dev}, {begun.counts}"
        raise InputError(f"{journal.parent}: begun with other parameters ({was}); choose another folder")
    return decisions


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}") from error
