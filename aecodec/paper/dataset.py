"""Building the data set of the paper: pictures of 256x256 drawn from several sources, for training and for dev.

Files of each source are taken in their drawn order until there are enough. One that is missing or cannot be
decoded, or whose picture is there already, from whatever source, is left out and the next one takes its place. Nearly
equal pictures are not looked for. The dev set is drawn from all pictures alike.

The same command continues an interrupted run; on a finished data set it checks every file and makes
again what is missing or damaged. The outcome does not depend on where it was cut, nor on the number of processes.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from aecodec.batch.progress import Bar
from aecodec.batch.workers import cores
from aecodec.errors import InputError
from aecodec.files import write_atomic
from aecodec.paper.archives import Candidate
from aecodec.paper.folder import DataFolder
from aecodec.paper.folder import Row
from aecodec.paper.journal import DUPLICATE
from aecodec.paper.journal import KEPT
from aecodec.paper.journal import UNDECODABLE
from aecodec.paper.journal import Decision
from aecodec.paper.journal import Journal
from aecodec.paper.journal import Parameters
from aecodec.paper.sampling import Sample
from aecodec.paper.sampling import digest_of
from aecodec.paper.sampling import draw_order
from aecodec.paper.sampling import sample
from aecodec.paper.sources import PUBLIC_SETS
from aecodec.paper.sources import Source
from aecodec.paper.sources import candidates
from aecodec.paper.workers import Workers


@dataclass(frozen=True)
class DatasetOptions:
    """What to build. Raises ValueError where the numbers do not fit each other, or a source is named twice."""

    sources: tuple[Source, ...]
    dev: int
    seed: int
    out: Path
    jobs: int | None = None  # processes; None: one a core

    def __post_init__(self) -> None:
        names = [source.name for source in self.sources]
        total = sum(source.count for source in self.sources)
        if not names:
            raise ValueError("no source: give --imagenet, --places, --lvis, --lfw or --folder")
        if len(set(names)) < len(names):
            raise ValueError("two sources have one name")
        if self.dev >= total:
            raise ValueError(f"a dev set of {self.dev} leaves nothing to train on of {total} pictures")


@dataclass(frozen=True)
class Report:
    """What a data set has in it."""

    outcomes: dict[str, Counter[str]]  # of each source's files that were drawn
    splits: Counter[str]
    made: int  # pictures that this run wrote

    def lines(self) -> list[str]:
        lines = [
            f"{source}: {of[KEPT]} pictures; left out: {of[UNDECODABLE]} undecodable, {of[DUPLICATE]} duplicates"
            for source, of in self.outcomes.items()
        ]
        parts = ", ".join(f"{count} in {split}" for split, count in sorted(self.splits.items(), reverse=True))
        return [*lines, f"{parts}; verified: no picture twice; {self.made} made by this run"]


def build(options: DatasetOptions) -> Report:
    """Builds, continues or checks a data set.

    Raises InputError where a source or what is in the folder is not as it should be, before any picture is made
    where that can be known; OutputError where the folder cannot be written.
    """
    for source in options.sources:
        if source.name not in PUBLIC_SETS and options.out.resolve().is_relative_to(source.path.resolve()):
            raise InputError(f"{options.out}: lies in {source.path}, which it is to be made from")
    counts = {source.name: source.count for source in options.sources}
    parameters = Parameters(options.seed, options.dev, counts)
    folder = DataFolder(options.out, parameters)
    journal = Journal(options.out, parameters)
    folder.check()
    with folder.scratch() as scratch, Workers(options.jobs or cores()) as workers, Bar() as bar:
        builder = _Builder(folder, journal, workers, bar)
        builder.check()
        orders = {}
        for source in options.sources:
            if builder.needs(source):
                bar.note(f"listing the pictures of {source.name}")
                orders[source.name] = draw_order(candidates(source, scratch), source.name, options.seed)
        with journal:
            folder.make()
            bar.start("making", sum(map(builder.needs, options.sources)))
            for source in options.sources:
                if source.name in orders:
                    builder.repair(source, orders[source.name])
                    builder.extend(source, orders.pop(source.name))
        rows = folder.rows(journal.decisions)
        folder.finish(rows)
        outcomes = {name: Counter(of.outcome for of in journal.decisions if of.source == name) for name in counts}
        return Report(outcomes, Counter(row.split for row in rows), builder.made)


class _Builder:
    """The steps of `build` on one folder."""

    def __init__(self, folder: DataFolder, journal: Journal, workers: Workers, bar: Bar) -> None:
        self._folder = folder
        self._journal = journal
        self._workers = workers
        self._bar = bar
        self._lost: list[Row] = []
        self.made = 0

    def check(self) -> None:
        """Find out which pictures of earlier runs are missing or damaged."""
        rows = self._folder.rows(self._journal.decisions)
        self._bar.start("checking", len(rows))
        digests = self._workers.in_order(digest_of, [self._folder.path / row.file for row in rows])
        for row, digest in zip(rows, digests, strict=True):
            if digest != row.sha256:
                self._lost.append(row)
            self._bar.step()

    def needs(self, source: Source) -> int:
        """How many pictures of a source have to be made."""
        kept = sum(of.outcome == KEPT for of in self._decisions(source))
        return source.count - kept + sum(row.source == source.name for row in self._lost)

    def repair(self, source: Source, order: list[Candidate]) -> None:
        """Make the lost pictures again. Raises InputError where the source is not what it was."""
        decisions = self._decisions(source)
        for decided, candidate in zip(decisions, order, strict=False):
            if decided.name != candidate.name:
                raise InputError(f"{source.path}: not the pictures it had when this was begun ({decided.name})")
        drawn = {candidate.name: candidate for candidate in order[: len(decisions)]}
        lost = [row for row in self._lost if row.source == source.name]
        samples = self._workers.in_order(sample, [drawn[row.name] for row in lost])
        for row, made in zip(lost, samples, strict=True):
            if made.sha256 != row.sha256:
                raise InputError(f"{source.path}: {row.name} is not the picture it was when this was begun")
            self._write(row, made)

    def extend(self, source: Source, order: list[Candidate]) -> None:
        """Draw on until there are enough. Raises InputError where the source has too few."""
        decisions = self._decisions(source)
        seen = {of.sha256 for of in self._journal.decisions if of.outcome == KEPT}
        kept = sum(of.outcome == KEPT for of in decisions)
        rest = order[len(decisions) :]
        with closing(self._workers.in_order(sample, rest)) as samples:
            drawn = zip(rest, samples, strict=True)
            while kept < source.count:
                candidate, made = next(drawn, (None, Sample()))
                if candidate is None:
                    short = f"only {kept} usable pictures for {source.name}, {source.count} are asked for"
                    raise InputError(f"{source.path}: {short}; {len(order) - kept} undecodable or duplicate")
                decision = _decide(source, candidate, made, seen)
                if decision.outcome == KEPT:
                    self._write(self._folder.row(decision, kept), made)
                    seen.add(made.sha256)
                    kept += 1
                self._journal.add(decision)

    def _decisions(self, source: Source) -> list[Decision]:
        return [decision for decision in self._journal.decisions if decision.source == source.name]

    def _write(self, row: Row, made: Sample) -> None:
        write_atomic(self._folder.path / row.file, made.png)
        self.made += 1
        self._bar.step(f", {row.source}")


def _decide(source: Source, candidate: Candidate, made: Sample, seen: set[str]) -> Decision:
    if made.problem:
        return Decision(source.name, candidate.name, UNDECODABLE, problem=made.problem)
    outcome = DUPLICATE if made.sha256 in seen else KEPT
    return Decision(source.name, candidate.name, outcome, made.sha256)
