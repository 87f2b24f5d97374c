"""Commands as whole processes from cold, as multiples of what no program of their kind can start without.

    python benchmarks/cold.py [--rounds 15] [--compressai PYTHON]

`decode` and `encode` of 256x256 are compared with `python -c "import numpy, PIL.Image"` and with themselves on NumPy
(AECODEC_RUNTIME=numpy), `--help` and `info` with `python -c "import click"`. Every command runs in turn with what it is
compared with, and a ratio is the median of those of the rounds: what slows the machine slows both. Processor time is
printed as well as elapsed time; where other programs keep the machine busy it is the one to look at. With
`--compressai`, the Python of an environment that has it, `decode` and `encode` are also compared with its hyperprior as
a process (see compressai_peer.py).
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from PIL import Image

from aecodec.native.library import VARIABLE
from aecodec.native.library import describe

PHOTO = Path(__file__).parents[1] / "examples" / "photos" / "bay.png"
PEER = str(Path(__file__).with_name("compressai_peer.py"))
PICTURES, COMMANDS = "import numpy, PIL.Image", "import click"


def seconds(arguments: list[str], python: str = sys.executable, runtime: str = "") -> tuple[float, float]:
    """Elapsed and processor seconds of a Python process."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", VARIABLE: runtime}
    # What is installed has its bytecode: here the first pair writes it.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([python, *arguments], env=environment, check=True, capture_output=True)
    elapsed, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return elapsed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare(name: str, arguments: list[str], reference: str, rounds: int, goal: float, on_numpy: bool = False) -> None:
    """Prints a command's ratios to its reference, and with `on_numpy` to itself on NumPy.

    A first round fills the caches and does not count.
    """
    calls = [partial(seconds, arguments), partial(seconds, ["-c", reference])]
    if on_numpy:
        calls.append(partial(seconds, arguments, runtime="numpy"))
    taken = [[call() for call in calls] for _ in range(rounds + 1)][1:]
    print(f"{name:8} {_figures(taken, 1)}; goal {goal} x {reference!r}", flush=True)
    if on_numpy:
        print(f"{'':8} {_figures(taken, 2)} on NumPy", flush=True)


def _figures(taken: list[list[tuple[float, float]]], other: int) -> str:
    """The first column of times against another."""
    elapsed, used = (statistics.median(row[0][n] / row[other][n] for row in taken) for n in (0, 1))
    own_ms, other_ms = (1000 * statistics.median(row[column][1] for row in taken) for column in (0, other))
    return f"{elapsed:.2f} x elapsed, {used:.2f} x processor time ({own_ms:.0f} against {other_ms:.0f} ms)"


def compare_compressai(name: str, arguments: list[str], python: str, peer: list[str], rounds: int) -> None:
    """Prints how many times as fast as the peer's process a command is, elapsed."""
    pairs = [(seconds(arguments)[0], seconds([PEER, *peer], python)[0]) for _ in range(rounds + 1)][1:]
    times = statistics.median(theirs / own for own, theirs in pairs)
    own_ms, their_ms = (1000 * statistics.median(pair[n] for pair in pairs) for n in (0, 1))
    figures = f"{times:.1f} times as fast as CompressAI's hyperprior ({own_ms:.0f} against {their_ms:.0f} ms)"
    print(f"{name:8} {figures}; goal 10")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--compressai", metavar="PYTHON", help="of an environment that has CompressAI")
    options = parser.parse_args()
    rounds = options.rounds
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{machine}, Python {platform.python_version()}, runtime {describe()}")
    with tempfile.TemporaryDirectory() as folder:
        picture, coded, decoded = (str(Path(folder, name)) for name in ("in.png", "out.aec", "out.png"))
        with Image.open(PHOTO) as image:
            image.convert("RGB").resize((256, 256)).save(picture)
        run = ["-c", "from aecodec.__main__ import main; main()"]  # what the installed command does
        encode, decode = [*run, "encode", picture, coded], [*run, "decode", coded, decoded]
        compare("encode", encode, PICTURES, rounds, 1.8, on_numpy=True)
        compare("decode", decode, PICTURES, rounds, 1.8, on_numpy=True)
        compare("info", [*run, "info", coded], COMMANDS, rounds, 1.5)
        compare("--help", [*run, "--help"], COMMANDS, rounds, 1.5)
        if options.compressai:
            theirs, back = str(Path(folder, "out.bin")), str(Path(folder, "back.png"))
            compare_compressai("encode", encode, options.compressai, ["encode", picture, theirs], rounds)
            compare_compressai("decode", decode, options.compressai, ["decode", theirs, back], rounds)


if __name__ == "__main__":
    main()
