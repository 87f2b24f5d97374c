"""How input files are opened: by path or as an open stream, from a disk or from a pipe."""

from __future__ import annotations

import io
import os
import re
from typing import IO

Source = str | os.PathLike[str] | IO[bytes]

_DESCRIPTOR = re.compile(r"/dev/(std(in|out|err)|fd/\d+)|/proc/(self|thread-self|\d+)/fd/\d+")


def open_input(source: Source) -> tuple[IO[bytes], bool]:
    """A file by its path, or an open stream as it is; and whether it was opened here. Raises OSError."""
    if isinstance(source, (str, os.PathLike)):
        return open(source, "rb"), True
    return source, False


def open_seekable(source: Source) -> tuple[IO[bytes], bool]:
    """The same at its start and seekable: what a pipe gives, by path or as a stream, is read whole. Raises OSError."""
    file, own = open_input(source)
    try:
        file.seek(0)
    except (AttributeError, OSError):
        try:
            return io.BytesIO(file.read()), True
        finally:
            if own:
                file.close()
    return file, own


def is_descriptor(path: str | os.PathLike[str]) -> bool:
    """Whether a path names an open descriptor, such as `/dev/stdin`. It means something else in another process."""
    return _DESCRIPTOR.fullmatch(os.path.normpath(path)) is not None
