"""Progress on stderr: a status line or a bar. Silent unless stderr is a terminal."""

from __future__ import annotations

import shutil
import sys
import time
from types import TracebackType

CLEAR_LINE = "\r\x1b[K"

_WIDTH = 24
_REFRESH_SECONDS = 0.1


class StatusLine:
    """A context manager whose line is overwritten by the next `show` and gone at the end; silent off a terminal."""

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._visible = self._stream.isatty()

    def __enter__(self) -> StatusLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write("")

    def show(self, text: str) -> None:
        self._write(text)

    def _write(self, text: str) -> None:
        if self._visible:
            self._stream.write(CLEAR_LINE + text)
            self._stream.flush()


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
