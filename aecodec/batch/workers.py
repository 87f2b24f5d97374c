"""Processes that work on a stream of items. If one is killed, only the time it spent on its item is lost.

A pool of the standard library breaks as a whole when one process is killed, and does not say which item was lost. Here
each worker has a pipe and one item at a time, so the pipe that ends says which.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable
from collections.abc import Generator
from collections.abc import Iterable
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import as_completed
from concurrent.futures import wait as wait_for_futures
from contextlib import contextmanager
from contextlib import suppress
from itertools import islice
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.connection import wait
from typing import Generic
from typing import TypeVar

from aecodec.files import remove_unfinished

Item = TypeVar("Item")
Result = TypeVar("Result")

INTERRUPTS = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}  # Windows lacks the last

# The BLAS libraries read these when NumPy loads them. A worker has one thread, or jobs would multiply with threads.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

_PATIENCE = 10.0  # seconds that a worker has to clean up


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_any_order(
    function: Callable[[Item, bool], Result], items: Iterable[Item], jobs: int, lost: Callable[[Item], Result]
) -> Generator[Result, None, None]:
    """`function(item, retried)` of every item, as results are ready; `lost(item)` if its process was killed twice.

    A process may be killed after it has done everything but report: its item is given out once more, `retried`.
    `function` is picklable and does not raise. One job runs in this process. A worker that is free takes the next item
    from the iterable, so that a stream of any length takes no memory.
    """
    if jobs == 1:
        with one_thread():
            for item in items:
                yield function(item, False)
        return
    stream, workers = iter(items), list[_Worker[Item, Result]]()
    try:
        while True:
            _feed(stream, workers, function, jobs)
            busy = {worker.connection: worker for worker in workers if worker.item is not None}
            if not busy:
                return
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                result = busy[connection].take(lost)
                if result is not None:
                    yield result
    finally:
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.join()


def _feed(
    items: Iterator[Item],
    workers: list[_Worker[Item, Result]],
    function: Callable[[Item, bool], Result],
    jobs: int,
) -> None:
    """Gives an item to each idle worker, and starts workers while items are left and there are fewer than `jobs`."""
    idle = [worker for worker in workers if worker.item is None]
    for item in islice(items, jobs - len(workers) + len(idle)):
        if not idle:
            idle.append(_Worker(function))
            workers += idle
        idle.pop().give(item)


def in_threads(
    function: Callable[[Item, bool], Result], items: Iterable[Item], threads: int
) -> Generator[Result, None, None]:
    """As `in_any_order`, on threads of this process, where nothing is retried.

    The first item runs alone, to load what all threads share. Closing the generator waits for the items that threads
    are working on.
    """
    items = iter(items)
    for item in items:
        yield function(item, False)
        break
    running: set[Future[Result]] = set()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            running.add(pool.submit(function, item, False))
            if len(running) == 2 * threads:  # no thread waits for the caller to take its result
                done, running = wait_for_futures(running, return_when=FIRST_COMPLETED)
                yield from [future.result() for future in done]
        yield from (future.result() for future in as_completed(running))
    finally:
        pool.shutdown(cancel_futures=True)


class _Worker(Generic[Item, Result]):
    """A process, restarted if it is killed, and the item that it works on."""

    def __init__(self, function: Callable[[Item, bool], Result]) -> None:
        self._function = function
        self._retried = False
        self.item: Item | None = None
        self._start()

    def _start(self) -> None:
        # Spawned on every system, since a fork copies the locks of other threads as they are.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._function), daemon=True)
        with theirs, one_thread(), interrupts_held():  # only the child keeps `theirs`: its death ends the pipe
            self._process.start()

    def give(self, item: Item, retried: bool = False) -> None:
        self.item, self._retried = item, retried
        try:
            self.connection.send((item, retried))
        except OSError:  # killed while it had nothing to do
            self._restart()
            with suppress(OSError):  # killed again: `take` finds the pipe ended
                self.connection.send((item, retried))

    def _restart(self) -> None:
        self.stop()
        self.join()
        self._start()

    def take(self, lost: Callable[[Item], Result]) -> Result | None:
        """The result, once the connection is ready; None if the worker was killed and tries again."""
        assert self.item is not None
        item = self.item
        try:
            result: Result = self.connection.recv()
        except (EOFError, OSError):
            self._restart()
            if not self._retried:  # a process may die of a neighbour's memory, but twice on one item is the item's
                self.give(item, retried=True)
                return None
            result = lost(item)
        self.item = None
        return result

    def stop(self) -> None:
        self.connection.close()
        self._process.terminate()

    def join(self) -> None:
        self._process.join(_PATIENCE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _serve(connection: Connection, function: Callable[[Item, bool], Result]) -> None:
    """The loop of a worker, which ends when its parent closes the pipe or dies."""
    for number in INTERRUPTS:  # the parent's to handle; it ends its workers by SIGTERM
        signal.signal(number, _end if number == signal.SIGTERM else signal.SIG_IGN)
    threading.Thread(target=_outlive, daemon=True).start()
    warnings.simplefilter("ignore")
    with suppress(EOFError, OSError):
        while True:
            connection.send(function(*connection.recv()))


def _outlive() -> None:
    """Ends this worker when its parent is dead: no one would record what it writes from then on."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        _end()


def _end(*_: object) -> None:
    """Ends a worker at once, with no file half written.

    An exception would do it only mostly: imports turn it into other errors, callbacks print and drop it.
    """
    remove_unfinished()
    os._exit(0)


@contextmanager
def one_thread() -> Iterator[None]:
    """Sets the environment so that NumPy, if not loaded yet, gets a BLAS of one thread; restores it afterwards."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Holds back interrupts until the block ends, and from the first moment in processes that it starts.

    A process whose start is interrupted gets half of what it needs to know, and prints a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # started within the block, it would let interrupts through again
    with _handlers_held():  # the system may give an interrupt to any thread that does not block it
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _handlers_held() -> Iterator[None]:
    """Calls the handlers of interrupts when the block ends. Python calls them in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in INTERRUPTS}
    callables = {number: handler for number, handler in handlers.items() if callable(handler)}
    held: list[int] = []
    for number in callables:
        signal.signal(number, lambda number, _: held.append(number))
    try:
        yield
    finally:
        for number, handler in callables.items():
            signal.signal(number, handler)
        for number in held[:1]:  # the others would be its echoes
            signal.raise_signal(number)
