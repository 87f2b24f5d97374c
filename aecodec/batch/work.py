"""One item of a batch: a file read, worked on and written. Never raises for what is wrong with the item."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from typing import Literal

from aecodec.batch import storage
from aecodec.batch.jobs import Product
from aecodec.errors import AecError
from aecodec.errors import OutputError

Task = Callable[[Path | IO[bytes], str], Product]

# What becomes of an output that is there already: kept unless older than its input, kept, or made anew.
Existing = Literal["update", "skip", "force"]


@dataclass(frozen=True)
class Item:
    """An input and the output to make of it, each a path or a URL; the latter's folder need not exist.

    `again`: a worker died on this item, and may have written the output first.
    """

    source: str
    target: str
    again: bool = False


@dataclass(frozen=True)
class Result:
    """What became of an item: done, skipped (the output was there), or failed with an error of one line."""

    source: str
    target: str
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    skipped: bool = False
    summary: str = ""
    notices: tuple[str, ...] = ()
    error: str | None = None


def process(task: Task, existing: Existing, item: Item) -> Result:
    """Does one item: a plain function of picklable arguments, for any process of any scheduler."""
    started = time.perf_counter()
    if item.again and existing == "update":
        existing = "force"  # else its output would be reported as skipped
    try:
        there = None if existing == "force" else storage.status(item.target)
        if there is not None and (existing == "skip" or _is_newer(there, item.source)):
            return Result(item.source, item.target, bytes_out=there.size, skipped=True)
        source = storage.Object(item.source) if storage.is_url(item.source) else Path(item.source)
        product = task(source, item.target)
        _write(item, product.data)
        return Result(
            item.source,
            item.target,
            bytes_in=os.path.getsize(source) if isinstance(source, Path) else source.size,
            bytes_out=len(product.data),
            seconds=time.perf_counter() - started,
            summary=product.summary,
            notices=product.notices,
        )
    except AecError as error:
        return failure(item, str(error))
    except MemoryError:
        return failure(item, "out of memory")
    except Exception as error:  # the other items must not fail with it
        return failure(item, f"{type(error).__name__}: {error}")


def failure(item: Item, message: str) -> Result:
    """The result of an item that failed; the message names its input."""
    named = message if item.source in message or item.target in message else f"{item.source}: {message}"
    return Result(item.source, item.target, error=" ".join(named.split()))


def _is_newer(there: storage.Status, source: str) -> bool:
    """Whether an output is up to date; where a store tells no times, every output is. False where the input is gone."""
    of_input = storage.status(source)
    if of_input is None:
        return False
    return of_input.modified is None or there.modified is None or there.modified >= of_input.modified


def _write(item: Item, data: bytes) -> None:
    if _is_same(item.source, item.target):
        raise OutputError(f"{item.target}: is the input itself")
    storage.write(item.target, data)


def _is_same(source: str, target: str) -> bool:
    if storage.is_url(source) or storage.is_url(target):
        return source == target
    return os.path.exists(target) and os.path.samefile(source, target)
