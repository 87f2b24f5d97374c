"""The folder of a data set: which file is whose, what does not belong there, its manifest.

- `train/imagenet-00000.png`, `dev/places-00017.png`: the pictures.
- `manifest.csv`: file, source, name in the source, sha256 of the RGB bytes, split.
- `journal.jsonl`: the parameters, every file drawn, and why some were left out.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from dataclasses import dataclass
from dataclasses import fields
from io import StringIO
from pathlib import Path
from shutil import rmtree

from aecodec.errors import InputError
from aecodec.errors import OutputError
from aecodec.files import sweep
from aecodec.files import write_atomic
from aecodec.paper.journal import JOURNAL
from aecodec.paper.journal import KEPT
from aecodec.paper.journal import Decision
from aecodec.paper.journal import Parameters
from aecodec.paper.sampling import draw_dev

TRAIN = "train"
DEV = "dev"
MANIFEST = "manifest.csv"
_SCRATCH = ".unpacked"


@dataclass(frozen=True)
class Row:
    """One picture of the data set, as the manifest has it."""

    file: str  # within the folder
    source: str
    name: str  # within the source
    sha256: str  # of the picture's RGB bytes
    split: str


class DataFolder:
    """Where every picture of a data set goes, which is known before any is made."""

    def __init__(self, path: Path, parameters: Parameters) -> None:
        self.path = path
        dev = draw_dev(parameters.counts, parameters.dev, parameters.seed)
        self._splits = {
            (source, number): DEV if (source, number) in dev else TRAIN
            for source, count in parameters.counts.items()
            for number in range(count)
        }

    def rows(self, decisions: Iterable[Decision]) -> list[Row]:
        """The pictures that were kept, in the order of the decisions."""
        numbers: Counter[str] = Counter()
        rows = []
        for decision in decisions:
            if decision.outcome == KEPT:
                rows.append(self.row(decision, numbers[decision.source]))
                numbers[decision.source] += 1
        return rows

    def row(self, kept: Decision, number: int) -> Row:
        """The picture kept as the `number`-th of its source, from 0."""
        split = self._splits[kept.source, number]
        return Row(_file(split, kept.source, number), kept.source, kept.name, kept.sha256, split)

    def check(self) -> None:
        """Remove what a killed run left; raises InputError where anything lies there that is not of this data set."""
        if not self.path.exists():
            return
        if not (self.path / JOURNAL).exists() and any(not name.startswith(".") for name in _names(self.path)):
            raise InputError(f"{self.path}: has other files in it; choose an empty or a new folder")
        expected = {_file(split, *slot) for slot, split in self._splits.items()}
        for split in (TRAIN, DEV):
            sweep(str(self.path / split))
            for name in _names(self.path / split):
                if not name.startswith(".") and f"{split}/{name}" not in expected:
                    raise InputError(f"{self.path / split / name}: is not of this data set")

    def make(self) -> None:
        """Raises OutputError."""
        try:
            for split in (TRAIN, DEV):
                (self.path / split).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self.path}: {error.strerror}") from error

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder that is gone at the end. Raises OutputError."""
        path = self.path / _SCRATCH
        rmtree(path, ignore_errors=True)
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise OutputError(f"{path}: {error.strerror}") from error
        try:
            yield path
        finally:
            rmtree(path, ignore_errors=True)

    def finish(self, rows: list[Row]) -> None:
        """Verify the data set and write its manifest. Raises InputError where `verify` does, and OutputError."""
        self.check()
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
    """Raises InputError where two rows, of train and dev or of either, are one file of a source or one picture."""
    for kind, keys in (("file", [(row.source, row.name) for row in rows]), ("picture", [row.sha256 for row in rows])):
        seen: dict[object, str] = {}
        for row, key in zip(rows, keys, strict=True):
            other = seen.setdefault(key, row.file)
            if other != row.file:
                raise InputError(f"{other} and {row.file} are the same {kind}; build into another folder")


def _file(split: str, source: str, number: int) -> str:
    return f"{split}/{source}-{number:05d}.png"


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}") from error
