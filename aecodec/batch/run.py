"""Runs a batch on this machine."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial

from aecodec.batch.plan import BatchOptions
from aecodec.batch.plan import plan
from aecodec.batch.work import Item
from aecodec.batch.work import Result
from aecodec.batch.work import Task
from aecodec.batch.work import failure
from aecodec.batch.work import process
from aecodec.batch.workers import in_any_order
from aecodec.batch.workers import in_threads
from aecodec.batch.workers import one_thread


def run_batch(task: Task, options: BatchOptions) -> Generator[Result, None, None]:
    """Does what `plan` lists; results come as they are ready, in any order.

    Closing the generator, or an exception such as KeyboardInterrupt, ends the workers; no output is ever half written.
    On the device "cuda", threads of this process share the GPU and one copy of the networks. Raises AecError if torch
    cannot use the GPU.
    """
    refused: deque[Result] = deque()
    items = _accepted(plan(options), refused)
    do = partial(process, task, options.existing)
    if getattr(task, "device", None) == "cuda":
        with one_thread():  # NumPy's own threads would compete with these
            from aecodec import api

            api.runtime("cuda")  # an error here is reported once, not for every picture
        work = in_threads(do, items, options.jobs)
    else:
        work = in_any_order(do, items, options.jobs, _lost, _again)
    with closing(work) as results:
        for result in results:
            while refused:
                yield refused.popleft()
            yield result
    yield from refused


def _accepted(planned: Iterable[Item | Result], refused: deque[Result]) -> Iterator[Item]:
    for entry in planned:
        if isinstance(entry, Item):
            yield entry
        else:
            refused.append(entry)


def _again(item: Item) -> Item:
    return replace(item, again=True)


def _lost(item: Item) -> Result:
    return failure(item, "the process that worked on it was killed, twice; out of memory perhaps")
