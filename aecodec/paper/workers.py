"""Work on all cores, its results in order."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable
from collections.abc import Generator
from collections.abc import Iterable
from concurrent.futures import Future
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import TypeVar

from aecodec.batch.workers import interrupts_held
from aecodec.errors import AecError

Item = TypeVar("Item")
Result = TypeVar("Result")

# Enough that no worker waits for the one ahead of it, and few enough to be thrown away when results suffice.
_AHEAD = 4


class Workers:
    """A context manager of `jobs` processes, started on demand; a single job runs in this process."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        # Spawned on every system, since a fork copies the locks of other threads as they are.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(jobs, context, _prepare_worker) if jobs > 1 else None

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            with interrupts_held():  # within, Python 3.11 takes a thread for ended that is not, and hangs at exit
                self._pool.shutdown(cancel_futures=True)

    def in_order(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
        """`map`, working a little ahead; what was begun is dropped when the iterator is closed.

        `function` is one of a module. Raises what it raises, and AecError where a process was killed.
        """
        if self._pool is None:
            yield from map(function, items)
            return
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                with interrupts_held():  # for the process that this may start
                    waiting.append(self._pool.submit(function, item))
                if len(waiting) == _AHEAD * self._jobs:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise AecError("a worker process was killed, for want of memory perhaps; run again to go on") from error
        finally:
            for future in waiting:
                future.cancel()


def _prepare_worker() -> None:
    """An interrupt is the parent's to handle, and a worker ends with its parent, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
