"""One item of a batch: a file read, worked on and written. Never raises for what is wrong with the item."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from typing import Literal

from aecodec.errors import AecError
from aecodec.errors import OutputError
from aecodec.files import write_atomic
from aecodec.task import Product

Task = Callable[[Path | IO[bytes], str], Product]

# What becomes of an output that is there already: kept unless older than its input, kept, or made anew.
Existing = Literal["update", "skip", "force"]


@dataclass(frozen=True)
class Item:
    """An input file and the output file to make of it; the latter's folder need not exist."""

    source: str
    target: str


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
    try:
        if _is_done(item, existing):
            return Result(item.source, item.target, bytes_out=os.path.getsize(item.target), skipped=True)
        product = task(Path(item.source), item.target)
        _write(item, product.data)
        return Result(
            item.source,
            item.target,
            bytes_in=os.path.getsize(item.source),
            bytes_out=len(product.data),
            seconds=time.perf_counter() - started,
            summary=product.summary,
            notices=product.notices,
        )
    except AecError as error:
        return failure(item, str(error))
    except MemoryError:
        return failure(item, "out of memory")
    except Exception as error:  # whatever it is, the other items go on
        return failure(item, f"{type(error).__name__}: {error}")


def failure(item: Item, message: str) -> Result:
    """The result of an item that failed; the message names its input."""
    named = message if item.source in message or item.target in message else f"{item.source}: {message}"
    return Result(item.source, item.target, error=" ".join(named.split()))


def _is_done(item: Item, existing: Existing) -> bool:
    if existing == "force" or not os.path.isfile(item.target):
        return False
    return existing == "skip" or os.stat(item.target).st_mtime_ns >= os.stat(item.source).st_mtime_ns


def _write(item: Item, data: bytes) -> None:
    if os.path.exists(item.target) and os.path.samefile(item.source, item.target):
        message = f"{item.target}: is the input itself"
        raise OutputError(message)
    try:
        os.makedirs(os.path.dirname(item.target) or ".", exist_ok=True)
    except OSError as error:
        message = f"{item.target}: {error.strerror}"
        raise OutputError(message) from error
    write_atomic(item.target, data)
