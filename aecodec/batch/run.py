"""Does the items of a batch: one in the calling process, or all of them on this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import IO

from aecodec.batch import storage
from aecodec.batch.jobs import Product
from aecodec.batch.plan import BatchOptions
from aecodec.batch.plan import Existing
from aecodec.batch.plan import plan
from aecodec.batch.results import Item
from aecodec.batch.results import Result
from aecodec.batch.results import failure
from aecodec.batch.workers import in_any_order
from aecodec.batch.workers import in_threads
from aecodec.batch.workers import one_thread
from aecodec.errors import AecError
from aecodec.errors import OutputError

Job = Callable[[Path | IO[bytes], str], Product]


def run_batch(job: Job, options: BatchOptions) -> Generator[Result, None, None]:
    """Does what `plan` lists; yields results as they are ready, in any order.

    Closing the generator, or an exception such as KeyboardInterrupt, ends the workers; no output is ever half written.
    On the device "cuda", threads of this process share the GPU and one copy of the networks. Raises AecError if torch
    cannot use the GPU.
    """
    do = partial(do_item, job, options.existing)
    if getattr(job, "device", None) != "cuda":
        return in_any_order(do, plan(options), options.jobs, _lost)
    with one_thread():  # NumPy's own threads would compete with these
        from aecodec import api

        api.runtime("cuda")  # an error here is reported once, not for every picture
    return in_threads(do, plan(options), options.jobs)


def do_item(job: Job, existing: Existing, entry: Item | Result, retried: bool = False) -> Result:
    """Reads one input, does the job and writes the output; an entry that is a Result already is returned.

    A plain function of picklable arguments, for any process of any scheduler; it raises nothing that is wrong with the
    item. `retried`: a worker died on this item, perhaps after it had written the output.
    """
    if isinstance(entry, Result):
        return entry
    try:
        return _do(job, "force" if retried and existing == "update" else existing, entry)
    except AecError as error:
        return failure(entry, str(error))
    except MemoryError:
        return failure(entry, "out of memory")
    except Exception as error:  # the other items must not fail with it
        return failure(entry, f"{type(error).__name__}: {error}")


def _do(job: Job, existing: Existing, item: Item) -> Result:
    started = time.perf_counter()
    before = None if existing == "force" else storage.status(item.target)
    if before is not None and (existing == "skip" or _is_newer(before, item.source)):
        return Result(item.source, item.target, bytes_out=before.size, skipped=True)
    source = storage.Object(item.source) if storage.is_url(item.source) else Path(item.source)
    product = job(source, item.target)
    if _is_same(item.source, item.target):
        raise OutputError(f"{item.target}: is the input itself")
    storage.write(item.target, product.data)
    return Result(
        item.source,
        item.target,
        bytes_in=os.path.getsize(source) if isinstance(source, Path) else source.size,
        bytes_out=len(product.data),
        seconds=time.perf_counter() - started,
        summary=product.summary,
        notices=product.notices,
    )


def _is_newer(output: storage.Status, source: str) -> bool:
    """Whether an output is up to date: always if a store gives no times, never if the input is gone."""
    of_input = storage.status(source)
    if of_input is None:
        return False
    return of_input.modified is None or output.modified is None or output.modified >= of_input.modified


def _is_same(source: str, target: str) -> bool:
    if storage.is_url(source) or storage.is_url(target):
        return source == target
    return os.path.exists(target) and os.path.samefile(source, target)


def _lost(entry: Item | Result) -> Result:
    if isinstance(entry, Result):
        return entry
    return failure(entry, "the process that worked on it was killed, twice; out of memory perhaps")
