"""What a step of the proof is: commands, their result, and the figures on pages that it is compared with."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGE = ("aecodec", "browser", "weights", "setup.py", "setup.cfg")
BUILT_WITH = ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
SOURCES = (*PACKAGE, *BUILT_WITH)
PASSED = r"^.*\b\d+ passed.*$"
SHOWN = 3  # figures that differ, in a result
Command = list[str]


class Claim(NamedTuple):
    """Figures on a page, and the same in a command's output: all groups of all matches of two expressions, in order.

    If the output has more than the page, its last ones count.
    """

    page: str
    figures: str
    printed: str
    tolerance: float
    relative: bool = False  # the tolerance is a share of what the page has

    def compare(self, output: str) -> tuple[bool, str]:
        """Whether the page has what the command printed, and that in a few words."""
        said = _numbers(self.figures, (ROOT / self.page).read_text("utf-8"))
        printed = _numbers(self.printed, output)
        found = printed[-len(said) :]
        if not said:
            return False, f"{self.page} lacks the figure {' and '.join(map(_short, printed[-SHOWN:]))}"
        if len(found) < len(said):
            return False, f"{len(found)} of the {len(said)} figures of {self.page} were printed"
        far = [(own, other) for own, other in zip(found, said, strict=True) if not self._agree(own, other)]
        if far or len(said) == 1:
            told = [f"{_short(own)} ({_short(other)})" for own, other in (far or [(found[0], said[0])])]
            rest = f" and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
            return not far, f"{', '.join(told[:SHOWN])}{rest} in {self.page}"
        margin = f"{100 * self.tolerance:g} %" if self.relative else f"{self.tolerance:g}"
        return True, f"{len(said)} figures of {self.page} within {margin}"

    def _agree(self, found: float, said: float) -> bool:
        return found == said or abs(found - said) <= self.tolerance * (abs(said) if self.relative else 1)


def _numbers(expression: str, text: str) -> list[float]:
    matches = re.finditer(expression, text, re.MULTILINE)
    return [float(group.replace(",", "")) for match in matches for group in match.groups()]


def _short(number: float) -> str:
    return f"{number:.6g}"


@dataclass(frozen=True)
class Step:
    """Commands that must all succeed. The result is the last match of `result` in their output, which must have one.

    With claims, the result is what came of them.
    """

    name: str
    commands: list[Command]
    result: str
    claims: tuple[Claim, ...] = ()
    before: Callable[[], object] = field(default=lambda: None)
    fresh: bool = False  # nothing of this checkout is on the path
    variables: tuple[tuple[str, str], ...] = ()


class Setting(NamedTuple):
    folder: Path  # of results
    quick: bool
    kodak: Path | None = None
    dev: Path | None = None
    compressai: Path | None = None  # the Python of an environment that has it
    of: str = ""  # the hash of what is proved: measurements of another state are not resumed

    def size(self, quick: Any, full: Any) -> Any:
        return quick if self.quick else full


Part = Callable[[Setting], Iterator[Step]]


def python(*arguments: object) -> Command:
    return [sys.executable, *map(str, arguments)]


def copy_tree(folder: Path, *names: str) -> None:
    """A clean tree, to build or land in."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "_kernels.*"))
        else:
            shutil.copy(ROOT / name, folder / name)
