"""Building the data set of the paper: pictures of 256x256 drawn from several sources, for training and for dev.

Takes the files of each source in their drawn order until it has enough. Leaves out a file that is missing, cannot be
decoded, or gives the picture of an earlier file of any source; the next one takes its place. Does not look for nearly
equal pictures. Draws the dev set from all pictures alike.

The same command continues an interrupted run; on a finished data set it checks every file and remakes what is missing
or damaged. The outcome depends neither on where a run was cut nor on the number of processes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Generator
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from aecodec.batch.progress import Bar
from aecodec.batch.workers import cores
from aecodec.batch.workers import in_any_order
from aecodec.errors import AecError
from aecodec.errors import InputError
from aecodec.files import write_atomic
from aecodec.paper.archives import Candidate
from aecodec.paper.folder import DUPLICATE
from aecodec.paper.folder import KEPT
from aecodec.paper.folder import UNDECODABLE
from aecodec.paper.folder import DataFolder
from aecodec.paper.folder import Decision
from aecodec.paper.folder import Parameters
from aecodec.paper.folder import Row
from aecodec.paper.sampling import Sample
from aecodec.paper.sampling import digest_of
from aecodec.paper.sampling import draw_order
from aecodec.paper.sampling import sample
from aecodec.paper.sources import PUBLIC_SETS
from aecodec.paper.sources import Source
from aecodec.paper.sources import candidates

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class DatasetOptions:
    """What to build. Raises ValueError if the numbers do not fit each other, or a source is named twice."""

    sources: tuple[Source, ...]
    dev: int
    seed: int
    out: Path
    jobs: int | None = None  # processes; None: one per core

    def __post_init__(self) -> None:
        names = [source.name for source in self.sources]
        total = sum(source.count for source in self.sources)
        if not names:
            raise ValueError("no source: give --imagenet, --places, --lvis, --lfw or --folder")
        if len(set(names)) < len(names):
            raise ValueError("two sources have one name")
        if self.dev >= total:
            raise ValueError(f"a dev set of {self.dev} leaves nothing to train on of {total} pictures")


def build(options: DatasetOptions) -> list[str]:
    """Builds, continues or checks a data set; returns lines that say what it holds.

    Raises InputError if a source or the folder is not as it should be, if possible before making any picture;
    OutputError if the folder cannot be written.
    """
    for source in options.sources:
        if source.name not in PUBLIC_SETS and options.out.resolve().is_relative_to(source.path.resolve()):
            raise InputError(f"{options.out}: lies in {source.path}, which it is to be made from")
    counts = {source.name: source.count for source in options.sources}
    folder = DataFolder(options.out, Parameters(options.seed, options.dev, counts))
    folder.check()
    with folder.scratch() as scratch, Bar() as bar:
        builder = _Builder(folder, options.jobs or cores(), bar)
        builder.check()
        orders = {}
        for source in options.sources:
            if builder.needs(source):
                bar.note(f"listing the pictures of {source.name}")
                orders[source.name] = draw_order(candidates(source, scratch), source.name, options.seed)
        with folder.journal():
            bar.start("making", sum(map(builder.needs, options.sources)))
            for source in options.sources:
                if source.name in orders:
                    builder.complete(source, orders.pop(source.name))
        folder.finish()
    return _summary(folder, list(counts), builder.made)


def _summary(folder: DataFolder, sources: list[str], made: int) -> list[str]:
    outcomes = Counter((decision.source, decision.outcome) for decision in folder.decisions)
    lines = [
        f"{name}: {outcomes[name, KEPT]} pictures; left out: "
        f"{outcomes[name, UNDECODABLE]} undecodable, {outcomes[name, DUPLICATE]} duplicates"
        for name in sources
    ]
    splits = Counter(row.split for row in folder.rows())
    parts = ", ".join(f"{count} in {split}" for split, count in sorted(splits.items(), reverse=True))
    return [*lines, f"{parts}; verified: no picture twice; {made} made by this run"]


class _Builder:
    """The steps of `build` on one folder."""

    def __init__(self, folder: DataFolder, jobs: int, bar: Bar) -> None:
        self._folder = folder
        self._jobs = jobs
        self._bar = bar
        self._lost: list[Row] = []
        self.made = 0

    def check(self) -> None:
        """Find the pictures of earlier runs that are missing or damaged."""
        rows = self._folder.rows()
        self._bar.start("checking", len(rows))
        with closing(in_order(digest_of, [self._folder.path / row.file for row in rows], self._jobs)) as digests:
            for row, digest in zip(rows, digests, strict=True):
                if digest != row.sha256:
                    self._lost.append(row)
                self._bar.step()

    def needs(self, source: Source) -> int:
        """How many pictures of a source have to be made."""
        return source.count - self._kept(source) + sum(row.source == source.name for row in self._lost)

    def complete(self, source: Source, order: list[Candidate]) -> None:
        """Remake the lost pictures, then draw until the source has enough.

        Raises InputError if it has too few, or has changed.
        """
        decisions = self._decisions(source)
        drawn, rest = order[: len(decisions)], order[len(decisions) :]
        for decided, candidate in zip_longest(decisions, drawn):
            if candidate is None or decided.name != candidate.name:
                raise InputError(f"{source.path}: not the pictures it had when this was begun ({decided.name})")
        lost = {row.name: row for row in self._lost if row.source == source.name}
        again = [candidate for candidate in drawn if candidate.name in lost]
        seen = {decision.sha256 for decision in self._folder.decisions if decision.outcome == KEPT}
        kept = self._kept(source)
        with closing(in_order(sample, chain(again, rest), self._jobs)) as samples:
            for candidate, made in zip(again, samples, strict=False):
                if made.sha256 != lost[candidate.name].sha256:
                    raise InputError(f"{source.path}: {candidate.name} is not the picture it was when this was begun")
                self._write(lost[candidate.name], made)
            for candidate in rest:
                if kept == source.count:
                    break
                made = next(samples)
                decision = _decide(source, candidate, made, seen)
                if decision.outcome == KEPT:
                    self._write(self._folder.row(decision, kept), made)
                    seen.add(made.sha256)
                    kept += 1
                self._folder.add(decision)
        if kept < source.count:
            short = f"only {kept} usable pictures for {source.name}, {source.count} are asked for"
            raise InputError(f"{source.path}: {short}; {len(order) - kept} undecodable or duplicate")

    def _decisions(self, source: Source) -> list[Decision]:
        return [decision for decision in self._folder.decisions if decision.source == source.name]

    def _kept(self, source: Source) -> int:
        return sum(decision.outcome == KEPT for decision in self._decisions(source))

    def _write(self, row: Row, made: Sample) -> None:
        write_atomic(self._folder.path / row.file, made.png)
        self.made += 1
        self._bar.step(f", {row.source}")


def _decide(source: Source, candidate: Candidate, made: Sample, seen: set[str]) -> Decision:
    if made.problem:
        return Decision(source.name, candidate.name, UNDECODABLE, problem=made.problem)
    outcome = DUPLICATE if made.sha256 in seen else KEPT
    return Decision(source.name, candidate.name, outcome, made.sha256)


def in_order(function: Callable[[Item], Result], items: Iterable[Item], jobs: int) -> Generator[Result, None, None]:
    """`map` over processes, or in this one for a single job. `function` belongs to a module, so that it can be pickled.

    Raises the AecError that `function` raises, and one if an item's process was killed twice.
    """
    early: dict[int, Result | AecError] = {}  # by number, until those before them are ready
    wanted = 0
    with closing(in_any_order(partial(_numbered, function), enumerate(items), jobs, _lost)) as results:
        for number, result in results:
            early[number] = result
            while wanted in early:
                found = early.pop(wanted)
                if isinstance(found, AecError):
                    raise found
                yield found
                wanted += 1


def _numbered(
    function: Callable[[Item], Result], item: tuple[int, Item], retried: bool
) -> tuple[int, Result | AecError]:
    number, value = item
    try:
        return number, function(value)
    except AecError as error:
        return number, error


def _lost(item: tuple[int, Item]) -> tuple[int, AecError]:
    return item[0], AecError("a worker process was killed, twice; out of memory perhaps; run again to continue")
