"""Does the items of a batch: one in the calling process, or all of them on this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from collections.abc import Generator
from contextlib import AbstractContextManager
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import IO

from aecodec.batch import made
from aecodec.batch import storage
from aecodec.batch.jobs import DecodeJob
from aecodec.batch.jobs import EncodeJob
from aecodec.batch.jobs import Product
from aecodec.batch.plan import BatchOptions
from aecodec.batch.plan import Existing
from aecodec.batch.plan import plan
from aecodec.batch.results import Item
from aecodec.batch.results import Made
from aecodec.batch.results import Result
from aecodec.batch.results import failure
from aecodec.batch.workers import in_any_order
from aecodec.batch.workers import in_threads
from aecodec.batch.workers import one_thread
from aecodec.errors import AecError
from aecodec.errors import OutputError

Job = Callable[[Path | IO[bytes], str], Product]

_IN_THE_WAY = "exists, and is not what this command makes; --force replaces it, --skip-existing keeps it"


def run_batch(job: Job, options: BatchOptions) -> Generator[Result, None, None]:
    """Does what `plan` lists; yields results as they are ready, in any order.

    Closing the generator, or an exception such as KeyboardInterrupt, ends the workers; no output is ever half written.
    On the device "cuda", threads of this process share the GPU and one copy of the networks. Raises AecError if torch
    cannot use the GPU.
    """
    part = "" if options.shard is None else f"-{options.shard.name}"
    return made.recording(_results(job, options), options.out_dir, part)


def _results(job: Job, options: BatchOptions) -> Generator[Result, None, None]:
    do = partial(do_item, job, options.existing)
    if getattr(job, "device", None) != "cuda":
        return in_any_order(do, plan(options), options.jobs, _lost)
    with one_thread():  # NumPy's own threads would compete with these
        from aecodec import api

        api.runtime("cuda")  # an error here is reported once, not for every picture
    return in_threads(do, plan(options), options.jobs)


def do_item(
    job: Job,
    existing: Existing,
    entry: Item | Result,
    retried: bool = False,
    turn: AbstractContextManager[object] = nullcontext(),
) -> Result:
    """Reads one input, does the job and writes the output; an entry that is a Result already is returned.

    A plain function of picklable arguments, for any process of any scheduler; it raises nothing that is wrong with the
    item. `retried`: a worker died on this item, perhaps after it had written the output; that is found and compared.
    `turn` is held while the job runs.
    """
    if isinstance(entry, Result):
        return entry
    try:
        return _do(job, existing, entry, turn)
    except AecError as error:
        return failure(entry, str(error))
    except MemoryError:
        return failure(entry, "out of memory")
    except Exception as error:  # the other items must not fail with it
        return failure(entry, f"{type(error).__name__}: {error}")


def _do(job: Job, existing: Existing, item: Item, turn: AbstractContextManager[object]) -> Result:
    started = time.perf_counter()
    recipe = job.recipe() if isinstance(job, EncodeJob | DecodeJob) else ""
    before = None if existing == "force" else storage.status(item.target)
    of_input = storage.status(item.source)  # before it is read: what changes from now on is seen the next time
    standing = () if before is None else tuple(one for one in item.records if one.gave(item.target, before))
    if before is not None and (_is_kept(existing, item) or _is_current(standing, item, of_input, recipe)):
        return _kept(item, before)
    other = made.living(standing, item.source)
    if other is not None:
        raise OutputError(f"{item.source}: its output {item.target} was made from {other}; --force replaces it")
    source = storage.Object(item.source) if storage.is_url(item.source) else Path(item.source)
    with turn:
        product = job(source, item.target)
    if made.is_same(item.source, item.target):
        raise OutputError(f"{item.target}: is the input itself")
    if existing == "force" or standing:
        storage.write(item.target, product.data)
    elif not _put(job, existing, item, product.data):
        return _kept(item, storage.status(item.target))
    entry = None if of_input is None else made.made(item.source, of_input, recipe, item.target, product.data)
    return Result(
        item.source,
        item.target,
        bytes_in=os.path.getsize(source) if isinstance(source, Path) else source.size,
        bytes_out=len(product.data),
        seconds=time.perf_counter() - started,
        summary=product.summary,
        notices=product.notices,
        made=None if entry in item.records else entry,
    )


def _kept(item: Item, output: storage.Status | None) -> Result:
    return Result(item.source, item.target, bytes_out=0 if output is None else output.size, skipped=True)


def _is_kept(existing: Existing, item: Item) -> bool:
    """Whether an output is kept because it exists. Its input has to exist, too."""
    return existing == "skip" and storage.exists(item.source)


def _is_current(standing: tuple[Made, ...], item: Item, of_input: storage.Status | None, recipe: str) -> bool:
    """Whether the input, as it is now, gave the output that is there."""
    return of_input is not None and any(
        (one.size, one.stamp, one.options) == (of_input.size, of_input.stamp, recipe)
        and made.is_same(one.source, item.source)
        for one in standing
    )


def _put(job: Job, existing: Existing, item: Item, data: bytes) -> bool:
    """Writes an output where none is known to be; whether it is there now, and not kept as an existing one.

    A file that is there nevertheless may be an original: it is replaced only if that loses nothing. Raises OutputError.
    """
    if storage.write_new(item.target, data):
        return True
    if existing == "skip":
        return False
    there = storage.read(item.target)
    if there == data:
        return True
    ours = bool(item.records)  # or it was, before it was damaged
    if not data.startswith(there) and not (ours and _is_damaged(job, there)):
        raise OutputError(f"{item.target}: {_IN_THE_WAY}")
    storage.write(item.target, data)
    return True


def _is_damaged(job: Job, output: bytes) -> bool:
    return isinstance(job, EncodeJob | DecodeJob) and not job.is_whole(output)


def _lost(entry: Item | Result) -> Result:
    if isinstance(entry, Result):
        return entry
    return failure(entry, "the process that worked on it was killed, twice; out of memory perhaps")
