"""Table 3 of the paper: its rows, and what a run has found for each: plain values, kept in results.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from aecodec.errors import InputError
from aecodec.files import read_bytes
from aecodec.files import write_atomic

RESULTS = "results.json"


@dataclass(frozen=True)
class System:
    """One of the four auto-encoders. `strides` are the plain encoder's; without any, Tables 1 and 2 are meant."""

    name: str
    title: str
    paper_l1: float  # on the paper's own dev set
    strides: tuple[int, ...] = ()
    loss: str = "l1"  # or "l2"


SYSTEMS = (
    System("conv4", "4 conv + 4 deconv", 0.0523, strides=(1, 2, 2, 2)),
    System("conv6", "6 conv + 6 deconv", 0.0601, strides=(1, 2, 1, 2, 1, 2)),
    System("conv4-l2", "4 conv + 4 deconv, L2 loss", 0.0623, strides=(1, 2, 2, 2), loss="l2"),
    System("paper", "final: Tables 1 and 2", 0.0477),
)


@dataclass(frozen=True)
class Moment:
    """Where a training stood. `loss` is the mean since the moment before, in the system's own loss."""

    epoch: float
    seconds: float  # of training, measuring not counted
    loss: float
    dev_l1: float


@dataclass(frozen=True)
class Outcome:
    """What training a system has come to; `finished` is False for one that was cut."""

    l1: float
    epochs: float
    seconds: float
    parameters: int
    finished: bool
    curve: tuple[Moment, ...]


@dataclass(frozen=True)
class Setup:
    """What all systems of a run have in common: a run is gone on with under the same setup only."""

    epochs: float | None  # of each system; None where minutes limit it
    minutes: float | None  # of training of each system
    crop: int
    batch_size: int
    seed: int
    training_pictures: int
    dev: str  # name of the dev folder, or that it is the validation part
    dev_pictures: int
    shown: tuple[str, ...]  # file names of the dev pictures in Figure 1


@dataclass(frozen=True)
class Results:
    """All that the table, the curves and the report are made of."""

    setup: Setup | None = None
    table3: dict[str, Outcome] = field(default_factory=dict)  # by the name of the system
    references: dict[str, float] = field(default_factory=dict)  # L1 by the name of the reference
    authors: dict[str, str] = field(default_factory=dict)  # of the pictures shown, with their licence
    machine: str = ""


def write_results(folder: Path, results: Results) -> None:
    """Raises OutputError."""
    write_atomic(folder / RESULTS, (json.dumps(asdict(results), indent=1) + "\n").encode())


def read_results(folder: Path) -> Results:
    """Empty where nothing has run yet. Raises InputError where the file is damaged."""
    path = folder / RESULTS
    if not path.is_file():
        return Results()
    try:
        return _parse(json.loads(read_bytes(path)))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: not the results of a run ({error})") from error


def _parse(content: dict[str, Any]) -> Results:
    setup = content["setup"]
    outcomes = {
        name: Outcome(**{**values, "curve": tuple(Moment(**moment) for moment in values["curve"])})
        for name, values in content["table3"].items()
    }
    return Results(
        setup=setup and Setup(**{**setup, "shown": tuple(setup["shown"])}),
        table3=outcomes,
        references=content["references"],
        authors=content["authors"],
        machine=content["machine"],
    )


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells, headings first, in aligned columns: readable in a terminal too."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join([first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])]) + " |" for first, *rest in rows
    ]
    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
