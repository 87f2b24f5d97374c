"""Commands, the moments at which they end, and what is found afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from random import Random

from aecodec.files import TEMPORARY_SUFFIX

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "golden" / "tiny"
PHOTO = ROOT / "examples" / "photos" / "car.jpg"
PATIENCE = 120.0  # seconds, on a machine that may be busy
# Python's own words, and exit code 1, when it is interrupted before it runs anything of ours.
STARTING = b"Fatal Python error: init_"


@dataclass(frozen=True)
class Job:
    """A command whose output is `name`; `old` is there before, `new` is what it writes."""

    name: str
    arguments: tuple[str, ...]  # those before the output
    options: tuple[str, ...]  # those after it
    old: bytes
    new: bytes

    def start(self, folder: Path) -> subprocess.Popen[bytes]:
        return start([*self.arguments, str(folder / self.name), *self.options])


@dataclass
class Outcome:
    """What was found so far. `torn` names every file that is neither old nor new, `codes` counts exit codes."""

    found: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    torn: list[str] = field(default_factory=list)


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    """`aecodec ...` as a process of its own, with the tiny network on the search path."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "AECODEC_WEIGHTS": str(TINY)}
    command = [sys.executable, "-m", "aecodec", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def jobs(scratch: Path) -> tuple[Job, Job]:
    """An encode and a decode over the files of another quality; the pictures are made here."""
    files, pictures = [], []
    for step in (0, 255):
        data = (TINY / f"car-{step}.aec").read_bytes()
        source, target = scratch / f"{step}.aec", scratch / f"{step}.png"
        source.write_bytes(data)
        finish(start(["decode", str(source), str(target)]))
        files.append(data)
        pictures.append(target.read_bytes())
    encode = Job("out.aec", ("encode", str(PHOTO)), ("--model", "tiny", "-q", "100"), *files)
    return encode, Job("out.png", ("decode", str(scratch / "255.aec")), (), *pictures)


def finish(process: subprocess.Popen[bytes]) -> None:
    """Lets a command end by itself, and well."""
    _, complaint = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, complaint


def left_in(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.endswith(TEMPORARY_SUFFIX)]


def run_undisturbed(job: Job, folder: Path) -> float:
    """Seconds that a run takes; checks that it writes what it should."""
    began = time.monotonic()
    finish(job.start(folder))
    assert (folder / job.name).read_bytes() == job.new
    return time.monotonic() - began


def _wait_for_temporary(process: subprocess.Popen[bytes], folder: Path, before: set[Path]) -> None:
    while process.poll() is None and not set(left_in(folder)) - before:
        pass


def end_one(job: Job, folder: Path, rng: Random, seconds: float, number: int, sent: signal.Signals) -> tuple[str, int]:
    """Runs the command over the old file (every third time over none), ends it, and says what its output then is."""
    target = folder / job.name
    if number % 3:
        target.write_bytes(job.old)
    else:
        target.unlink(missing_ok=True)
    before = set(left_in(folder))
    process = job.start(folder)
    if number % 2:
        _wait_for_temporary(process, folder, before)
        time.sleep(rng.uniform(0, 0.003))
    else:
        time.sleep(rng.uniform(0, seconds))
    process.send_signal(sent)
    _, complaint = process.communicate(timeout=PATIENCE)
    code = -sent if STARTING in complaint else process.returncode
    if not target.exists():
        return ("none" if number % 3 == 0 else "lost"), code
    data = target.read_bytes()
    return ("new" if data == job.new else "old" if data == job.old else "torn"), code


def series(
    both: tuple[Job, Job], count: int, seed: int, folder: Path, sent: Sequence[signal.Signals]
) -> Iterator[Outcome]:
    """Ends `count` commands, encodes and decodes by turns, by each signal in turn.

    Yields the same outcome, grown, after each.
    """
    outcome, rng = Outcome(), Random(seed)
    seconds = run_undisturbed(both[0], folder) if count else 0.0
    for number in range(count):
        job = both[number % 4 // 2]
        what, code = end_one(job, folder, rng, seconds, number, sent[number % len(sent)])
        outcome.found[what] += 1
        outcome.codes[code] += 1
        if what in ("torn", "lost"):
            outcome.torn.append(f"{job.name} after {number}: {what}")
        if left := left_in(folder):
            outcome.found["temporary file left"] += 1
            run_undisturbed(rng.choice(both), folder)
            outcome.torn += [f"{path.name} stayed" for path in left if path.exists()]
        yield outcome
