"""Table 3 of the paper: its rows, and a run's results for each, plain values kept in results.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any
from typing import get_args
from typing import get_origin
from typing import get_type_hints

from aecodec.errors import InputError
from aecodec.files import read_bytes
from aecodec.files import write_atomic

RESULTS = "results.json"
VALIDATION = "validation part of the training pictures"  # the dev set if none was given


@dataclass(frozen=True)
class System:
    """One of the four auto-encoders. `strides` are the plain encoder's; without any, it is that of Tables 1 and 2."""

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
    """A point of a training curve. `loss` is the mean since the previous one, in the system's own loss."""

    epoch: float
    seconds: float  # of training, without measuring
    loss: float
    dev_l1: float


@dataclass(frozen=True)
class Outcome:
    """The state of a system's training at the last moment of its curve."""

    l1: float
    epochs: float
    seconds: float
    parameters: int
    finished: bool
    curve: tuple[Moment, ...]


@dataclass(frozen=True)
class Setup:
    """What all systems of a run have in common; only the same setup resumes a run.

    Raises ValueError unless exactly one of `epochs` and `minutes` is given.
    """

    epochs: float | None  # of each system
    minutes: float | None  # of training of each system, instead
    learning_rate: float
    falling_share: float  # of the training, at its end, in which the learning rate falls
    crop: int
    batch_size: int
    seed: int
    training_pictures: int
    training_sha256: str  # of all their pixels
    dev: str  # name of the dev folder, or that it is the validation part
    dev_pictures: int
    dev_sha256: str
    shown: tuple[str, ...]  # file names of the dev pictures in Figure 1

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.minutes is None):
            raise ValueError("either epochs or minutes limit a run")


@dataclass(frozen=True)
class Reference:
    """Something to compare the networks with. `beyond` counts dev pictures that took more bytes than allowed."""

    l1: float
    beyond: int = 0


@dataclass(frozen=True)
class Results:
    """Everything that table, curves and report show."""

    setup: Setup
    table3: dict[str, Outcome] = field(default_factory=dict)  # by the name of the system
    references: dict[str, Reference] = field(default_factory=dict)  # by name
    authors: dict[str, str] = field(default_factory=dict)  # of the pictures shown, with their licence
    machine: str = ""


def write_results(folder: Path, results: Results) -> None:
    """Raises OutputError."""
    write_atomic(folder / RESULTS, (json.dumps(asdict(results), indent=1) + "\n").encode())


def read_results(folder: Path) -> Results | None:
    """None if nothing has run yet. Raises InputError if the file is damaged."""
    path = folder / RESULTS
    if not path.is_file():
        return None
    try:
        results: Results = _read(Results, json.loads(read_bytes(path)))
        unknown = set(results.table3) - {system.name for system in SYSTEMS}
        if unknown:
            raise ValueError(f"no system of Table 3: {min(unknown)}")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not the results of a run ({error})") from error
    return results


def _read(kind: Any, value: Any) -> Any:
    """Decodes JSON's `value` as `kind`: a plain type, a dataclass, tuple[X, ...], dict[str, X] or X | None.

    Raises TypeError, KeyError and AttributeError.
    """
    of = get_args(kind)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{name: _read(hints[name], each) for name, each in value.items()})  # type: ignore[operator]
    if get_origin(kind) is dict:
        return {name: _read(of[1], each) for name, each in value.items()}
    if get_origin(kind) is tuple and isinstance(value, list):
        return tuple(_read(of[0], each) for each in value)
    if type(None) in of:
        return value if value is None else _read(of[0], value)
    if type(value) is kind or (kind is float and type(value) is int):
        return value
    raise TypeError(f"{value!r} is not {kind}")


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells, headings first, as a table in aligned columns, readable in a terminal too."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join([first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])]) + " |" for first, *rest in rows
    ]
    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
