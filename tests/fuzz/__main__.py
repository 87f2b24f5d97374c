"""Decodes seeded mutants of the golden files: each must be refused by name, or give a picture that is right.

A find is anything else: another exception, an abort, more than 3 s or 500 MB, or a wrong picture. Exit code 1 with
finds. The same seed makes the same mutants.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from itertools import takewhile
from pathlib import Path

from aecodec.format.compact import is_compact

from .driver import SECONDS
from .driver import Report
from .driver import Worker
from .driver import keep
from .driver import run
from .mutate import Mutant
from .mutate import golden_files
from .mutate import mutant

REFRESH = 0.5  # seconds between two lines of progress


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--mutants", type=int, default=5_000, metavar="N", help="how many (default: 5000)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="which ones (default: 0)")
    parser.add_argument("--form", choices=("full", "compact"), help="of one form only: its golden files and headers")
    parser.add_argument("--seconds", type=float, default=math.inf, metavar="S", help="end after that time")
    parser.add_argument("--slower", type=float, default=1.0, metavar="X", help="a file may take X times the 3 s")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="write finds there, each with its reason")
    return parser.parse_args(argv)


def summary(report: Report, seed: int, peak: int, seconds: float) -> str:
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in report.outcomes.most_common())
    limits = f"slowest {report.slowest:.2f} s, peak {peak / 1e6:.0f} MB"
    return f"{report.mutants} mutants of seed {seed} in {seconds:.0f} s: {outcomes}; {limits}; {report.finds} finds"


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    for library in ("OMP", "OPENBLAS", "MKL"):  # a worker's processor time is then its own time
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    start = shown = time.monotonic()
    terminal = sys.stderr.isatty()

    def found(mutant: Mutant, reason: str) -> None:
        print(f"find {mutant.number}: {mutant.story}: {reason.strip().splitlines()[-1]}", file=sys.stderr)
        if options.keep:
            keep(options.keep, options.seed, mutant, reason)

    def progress(report: Report) -> None:
        nonlocal shown
        now = time.monotonic()
        if terminal and now - shown > REFRESH:
            shown = now
            rate = report.mutants / (now - start)
            line = f"\r{report.mutants} of {options.mutants} mutants, {rate:.0f}/s, {report.finds} finds "
            print(line, end="", file=sys.stderr, flush=True)

    files, report = golden_files(), Report()
    if options.form:
        files = [golden for golden in files if is_compact(golden.data) == (options.form == "compact")]
    numbers = takewhile(lambda number: time.monotonic() - start < options.seconds, range(options.mutants))
    mutants = (mutant(files, options.seed, number) for number in numbers)
    with Worker() as worker:
        try:
            run(mutants, worker, report, seconds=SECONDS * options.slower, found=found, progress=progress)
        except KeyboardInterrupt:
            print("\ninterrupted", file=sys.stderr)
            return 130
    if terminal:
        print("\r\033[K", end="", file=sys.stderr)
    print(summary(report, options.seed, worker.peak, time.monotonic() - start))
    return 1 if report.finds else 0


if __name__ == "__main__":
    sys.exit(main())
