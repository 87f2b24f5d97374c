"""The command: `python -m tests.crash`."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from . import __doc__ as description
from .series import Outcome
from .series import jobs
from .series import series

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # on Windows SIGTERM kills, too


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=description)
    parser.add_argument("--kills", type=int, default=200, metavar="N", help="SIGKILLs (default: 200)")
    parser.add_argument(
        "--interrupts", type=int, default=50, metavar="N", help="SIGINT, SIGTERM, SIGHUP by turns (default: 50)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the moments (default: 0)")
    options = parser.parse_args(argv)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, its children too
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "outputs")
        folder.mkdir()
        both = jobs(Path(scratch))
        torn = 0
        heard = [number for number in INTERRUPTS if signal.getsignal(number) is not signal.SIG_IGN]  # not under nohup
        for name, sent, count in (("kill", [KILL], options.kills), ("interrupt", heard, options.interrupts)):
            outcome = Outcome()
            for outcome in series(both, count, options.seed, folder, sent):
                if sys.stderr.isatty():
                    print(f"\r{outcome.codes.total()} of {count} {name}s", end="", file=sys.stderr, flush=True)
            report(f"{count} {name}s of seed {options.seed}", outcome)
            torn += len(outcome.torn)
    return 1 if torn else 0


def report(what: str, outcome: Outcome) -> None:
    found = ", ".join(f"{number} {name}" for name, number in outcome.found.most_common())
    codes = ", ".join(f"{code} ({number})" for code, number in outcome.codes.most_common())
    print(f"{what}: {found}; exit codes {codes}; {len(outcome.torn)} torn or lost", flush=True)
    for line in outcome.torn:
        print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
