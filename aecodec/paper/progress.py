"""A progress bar on stderr, where a person watches."""

from __future__ import annotations

import shutil
import time
from types import TracebackType

from aecodec.bench.progress import StatusLine

_WIDTH = 24
_REFRESH_SECONDS = 0.1


class Bar:
    """A context manager; silent off a terminal."""

    def __init__(self) -> None:
        self._line = StatusLine()
        self._due_at = 0.0
        self.start("", 0)

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.__exit__(kind, error, trace)

    def note(self, text: str) -> None:
        """A line for work whose length is not known."""
        self._line.show(text)

    def start(self, task: str, total: int) -> None:
        self._task, self._total, self._done = task, total, 0
        self._started_at = time.monotonic()

    def step(self, remark: str = "") -> None:
        """One more of `total` is done."""
        self._done += 1
        now = time.monotonic()
        if now < self._due_at and self._done < self._total:
            return
        self._due_at = now + _REFRESH_SECONDS
        filled = _WIDTH * self._done // self._total
        left = round((now - self._started_at) / self._done * (self._total - self._done))
        bar = "#" * filled + "-" * (_WIDTH - filled)
        text = f"{self._task} [{bar}] {self._done}/{self._total}, {left // 60}:{left % 60:02d} left{remark}"
        self._line.show(text[: shutil.get_terminal_size().columns - 1])
