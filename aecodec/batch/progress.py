"""Progress on stderr, on one line that is cleared at the end. Only on a terminal."""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import suppress

CLEAR_LINE = "\r\x1b[K"

_WIDTH = 24
_REFRESH_SECONDS = 0.1


class Bar:
    """A context manager."""

    def __init__(self) -> None:
        self.visible = sys.stderr.isatty()
        self._due_at = 0.0
        self.start("", 0)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: object) -> None:
        self.note("")

    def note(self, text: str) -> None:
        """Shows a text until the next note or step; for work of unknown length."""
        if self.visible:
            with suppress(OSError):  # of a terminal that was closed
                sys.stderr.write(CLEAR_LINE + text[: shutil.get_terminal_size().columns - 1])
                sys.stderr.flush()

    def say(self, text: str) -> None:
        """Prints a line that stays, on a terminal or not."""
        self.note("")
        print(text, file=sys.stderr, flush=True)

    def start(self, task: str, total: int) -> None:
        self._task, self._total, self._done = task, total, 0
        self._started_at = time.monotonic()

    def skip(self) -> None:
        """One of `total` was done earlier: it says nothing about the pace."""
        self._total -= 1

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
        self.note(f"{self._task} [{bar}] {self._done}/{self._total}, {left // 60}:{left % 60:02d} left{remark}")
