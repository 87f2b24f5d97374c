"""One line of progress on stderr, where a person watches."""

from __future__ import annotations

import sys
from types import TracebackType

CLEAR_LINE = "\r\x1b[K"


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
