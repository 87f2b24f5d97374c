"""Pictures per second of whole commands on a folder, with one process and with several, and their peak memory.

    python benchmarks/bulk.py FOLDER [--jobs 1,2] [--rounds 3] [--model standard] [--device auto]

Encodes the folder, then decodes what came of it, into a temporary folder. The numbers of jobs take turns, and each
figure is the median of the rounds. Time includes starting Python, reading and writing; that of processors is summed
over the command and its workers, and depends less on what else the machine does (POSIX only). Memory is the largest
sum over the command and its workers of what each has resident (Linux only; pages that processes share count once for
each).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

SAMPLE_SECONDS = 0.05


@dataclass(frozen=True)
class Run:
    pictures: int
    seconds: float
    peak_bytes: int
    processor_seconds: float

    @property
    def rate(self) -> float:
        return self.pictures / self.seconds


def measure(verb: str, source: Path, out: Path, jobs: int, options: list[str]) -> Run:
    """One command, watched. Raises SystemExit where it fails."""
    command = [sys.executable, "-m", "aecodec", verb, str(source), "--out-dir", str(out), "--jobs", str(jobs)]
    peak, before = 0, processor_seconds()
    with tempfile.TemporaryFile("w+") as said:
        started = time.perf_counter()
        with subprocess.Popen([*command, "--force", "--json", "--quiet", *options], stdout=said) as process:
            while process.poll() is None:
                peak = max(peak, resident(process.pid))
                time.sleep(SAMPLE_SECONDS)
        seconds = time.perf_counter() - started
        said.seek(0)
        results = [json.loads(line) for line in said]
    if process.returncode != 0 or not results:
        raise SystemExit(f"{verb} of {source} failed with exit code {process.returncode}")
    return Run(len(results), seconds, peak, processor_seconds() - before)


def processor_seconds() -> float:
    """Of all processes that this one has started and waited for, and of theirs; 0 where the system does not say."""
    if resource is None:
        return 0.0
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def resident(pid: int) -> int:
    """Bytes that a process and its children have resident; 0 where the system does not say."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(resident(int(child)) for child in children)


def compare(verb: str, source: Path, out: Path, jobs: list[int], rounds: int, options: list[str]) -> None:
    """Prints a line for each number of jobs; the first is what the others are compared with."""
    runs: dict[int, list[Run]] = {count: [] for count in jobs}
    for _ in range(rounds):
        for count in jobs:
            runs[count].append(measure(verb, source, out, count, options))
    first = statistics.median(run.rate for run in runs[jobs[0]])
    for count in jobs:
        rate = statistics.median(run.rate for run in runs[count])
        memory = max(run.peak_bytes for run in runs[count]) / 1e6
        pictures = runs[count][0].pictures
        used = 1000 * statistics.median(run.processor_seconds / run.pictures for run in runs[count])
        times = f"{rate:6.1f} a second, {rate / first:.2f} x, {used:.1f} ms of a processor each"
        print(f"{verb} {pictures} pictures, jobs {count}: {times}, {memory:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", default="1,2", help="numbers of processes, the first to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="standard")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    arguments = parser.parse_args()
    jobs = [int(count) for count in arguments.jobs.split(",")]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder:
        encoded = Path(folder, "encoded")
        device = ["--device", arguments.device]
        compare("encode", arguments.folder, encoded, jobs, arguments.rounds, ["--model", arguments.model, *device])
        compare("decode", encoded, Path(folder, "decoded"), jobs, arguments.rounds, device)


if __name__ == "__main__":
    main()
