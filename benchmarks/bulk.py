"""Pictures per second of whole commands on a folder, by processes and runtimes, and their peak memory.

    python benchmarks/bulk.py FOLDER [--jobs 1,2] [--runtimes numpy,native] [--rounds 3] [--model standard]
                              [--effort 0]

Encodes the folder, then decodes what came of it, into a temporary folder. Numbers of jobs and runtimes take turns, and
each figure is the median of the rounds. Runtimes are those of AECODEC_RUNTIME; `native` is what aecodec chooses
without it. Time includes starting Python, reading and writing; that of processors is summed
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
from itertools import product
from pathlib import Path
from typing import NamedTuple

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


class Case(NamedTuple):
    jobs: int
    runtime: str


def measure(verb: str, source: Path, out: Path, case: Case, options: list[str]) -> Run:
    """One command, watched. Raises SystemExit where it fails."""
    command = [sys.executable, "-m", "aecodec", verb, str(source), "--out-dir", str(out), "--jobs", str(case.jobs)]
    environment = {**os.environ, "AECODEC_RUNTIME": "" if case.runtime == "native" else case.runtime}
    peak, before = 0, processor_seconds()
    with tempfile.TemporaryFile("w+") as said:
        started = time.perf_counter()
        arguments = [*command, "--force", "--json", "--quiet", *options]
        with subprocess.Popen(arguments, stdout=said, env=environment) as process:
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


def compare(verb: str, source: Path, out: Path, cases: list[Case], rounds: int, options: list[str]) -> None:
    """Prints a line for each case, with its rate over those of the first number of jobs and of the first runtime."""
    runs: dict[Case, list[Run]] = {case: [] for case in cases}
    for _ in range(rounds):
        for case in cases:
            runs[case].append(measure(verb, source, out, case, options))
    rates = {case: statistics.median(run.rate for run in own) for case, own in runs.items()}
    used_by = {
        case: 1000 * statistics.median(run.processor_seconds / run.pictures for run in own)
        for case, own in runs.items()
    }
    first = cases[0]
    for case, own in runs.items():
        memory = max(run.peak_bytes for run in own) / 1e6
        used = used_by[case]
        by_jobs = f"{rates[case] / rates[case._replace(jobs=first.jobs)]:.2f} x jobs {first.jobs}"
        by_runtime = f"{rates[case] / rates[case._replace(runtime=first.runtime)]:.2f} x {first.runtime}"
        by_processor = f"{used / used_by[case._replace(runtime=first.runtime)]:.2f} x {first.runtime}"
        times = (
            f"{rates[case]:6.1f} a second, {by_jobs}, {by_runtime}, {used:.1f} ms of a processor each, {by_processor}"
        )
        print(
            f"{verb} {own[0].pictures} pictures, jobs {case.jobs}, {case.runtime}: {times}, {memory:.0f} MB", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", default="1,2", help="numbers of processes, the first to compare with")
    parser.add_argument("--runtimes", default="numpy,native", help="the first to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="standard")
    parser.add_argument("--effort", default="0", help="of encoding")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    arguments = parser.parse_args()
    jobs, runtimes = map(int, arguments.jobs.split(",")), arguments.runtimes.split(",")
    cases = [Case(*case) for case in product(jobs, runtimes)]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder:
        encoded = Path(folder, "encoded")
        device = ["--device", arguments.device]
        options = ["--model", arguments.model, "--effort", arguments.effort, *device]
        compare("encode", arguments.folder, encoded, cases, arguments.rounds, options)
        compare("decode", encoded, Path(folder, "decoded"), cases, arguments.rounds, device)


if __name__ == "__main__":
    main()
