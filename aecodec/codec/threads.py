"""The blocks of one picture on several threads: NumPy's products, the native kernels and torch release the GIL."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from typing import TypeVar

Item = TypeVar("Item")


def on_threads(work: Callable[[Item], None], items: Iterable[Item], threads: int) -> None:
    """`work` of every item, on at most `threads` threads, which end with it. After an error no other item is begun."""
    items = list(items)
    count = min(threads, len(items))
    if count < 2:
        for item in items:
            work(item)
        return
    from concurrent.futures import ThreadPoolExecutor  # a plain start does without it

    with ThreadPoolExecutor(count) as pool:
        for _ in pool.map(work, items):  # raises in the order of items, and cancels the others
            pass
