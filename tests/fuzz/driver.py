"""Sends mutants to a worker, watches its time and memory, and judges its answers."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from types import TracebackType

from aecodec.format.compact import is_compact

from .container import read_head
from .mutate import Mutant
from .worker import Answer
from .worker import serve

SECONDS = 3.0  # of processor time for a file
PATIENCE = 30.0  # seconds without an answer, on a machine that may be busy
START_PATIENCE = 120.0  # the same for a worker to start
MEMORY = 500_000_000  # bytes of a worker
GLANCE = 0.05  # seconds between looks at a busy worker's memory


class Died(Exception):
    """The worker gave no answer; says why."""


def peak_memory(pid: int) -> int:
    """Peak memory of a process in bytes; 0 on systems without /proc."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return 0


class Worker:
    """A decoding process, restarted whenever it dies."""

    def __init__(self, serve: Callable[..., None] = serve) -> None:
        self._serve = serve
        self._process: multiprocessing.process.BaseProcess | None = None
        self.peak = 0  # bytes, of all processes so far

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def decode(self, data: bytes) -> Answer:
        """The answer to a file. Raises Died for an abort, a hang, or too much memory."""
        if self._process is None:
            self._start()
        try:
            self._pipe.send_bytes(data)
            answer = self._receive(PATIENCE)
        except Died:
            self._end()
            raise
        except (EOFError, OSError) as error:
            code = self._end()
            raise Died(f"abort: the process ended with {code}") from error
        assert isinstance(answer, Answer)
        return answer

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=self._serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self._receive(START_PATIENCE)

    def _receive(self, patience: float) -> object:
        assert self._process is not None and self._process.pid is not None
        deadline = time.monotonic() + patience
        while True:
            came = self._pipe.poll(GLANCE)
            memory = peak_memory(self._process.pid)
            self.peak = max(self.peak, memory)
            if memory > MEMORY:
                raise Died(f"memory: {memory} bytes")
            if came:
                return self._pipe.recv()
            if time.monotonic() > deadline:
                raise Died(f"hang: no answer in {patience:.0f} s")

    def _end(self) -> int | None:
        """Ends the process; returns its exit code if it had already ended."""
        if self._process is None:
            return None
        self._pipe.close()
        self._process.join(GLANCE)
        code = self._process.exitcode
        self._process.kill()
        self._process.join()
        self._process = None
        return code


def find_in(mutant: Mutant, answer: Answer, seconds: float = SECONDS) -> str:
    """Why an answer is wrong, or came after more than `seconds`; empty if it is right."""
    if answer.uncaught:
        return answer.uncaught
    if answer.seconds > seconds:
        return f"slow: {answer.seconds:.1f} s"
    if answer.refusal or is_compact(mutant.data):  # checksums of a byte, or none: some damage goes unnoticed
        return ""
    if mutant.sealed:
        declared = read_head(mutant.data)
        if declared is None or answer.shape != declared.shape:
            return f"wrong picture: {answer.shape} where the header says {declared}"
    elif (answer.shape, answer.sha256) not in {(origin.shape, origin.sha256) for origin in mutant.origins}:
        return "wrong picture: accepted with the checksum as it fell, and other pixels"
    return ""


@dataclass
class Report:
    """The outcomes of the mutants so far."""

    outcomes: Counter[str] = field(default_factory=Counter)
    finds: int = 0
    slowest: float = 0.0  # seconds

    @property
    def mutants(self) -> int:
        return self.outcomes.total()


def run(
    mutants: Iterable[Mutant],
    worker: Worker,
    report: Report,
    *,
    seconds: float = SECONDS,
    found: Callable[[Mutant, str], None],
    progress: Callable[[Report], None] = lambda report: None,
) -> None:
    """Decodes every mutant and adds it to the report; `found` is called with each find and its reason."""
    for mutant in mutants:
        try:
            answer = worker.decode(mutant.data)
        except Died as death:
            reason, outcome = str(death), "find"
        else:
            reason = find_in(mutant, answer, seconds)
            outcome = "find" if reason else _outcome(mutant, answer)
            report.slowest = max(report.slowest, answer.seconds)
        report.outcomes[outcome] += 1
        if reason:
            report.finds += 1
            found(mutant, reason)
        progress(report)


def _outcome(mutant: Mutant, answer: Answer) -> str:
    if answer.refusal:
        return answer.refusal
    return "picture of the header's size" if mutant.sealed else "the very same picture"


def keep(folder: Path, seed: int, mutant: Mutant, reason: str) -> None:
    """Writes a find and its reason into `folder`."""
    os.makedirs(folder, exist_ok=True)
    name = f"seed-{seed}-number-{mutant.number}"
    (folder / f"{name}.aec").write_bytes(mutant.data)
    (folder / f"{name}.txt").write_text(f"{mutant.story}\n\n{reason}\n", "utf-8")
