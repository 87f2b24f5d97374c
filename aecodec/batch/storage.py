"""Where inputs and outputs lie: files by their path, objects by their URL (`s3://`, `gs://`, `memory://`) by fsspec.

Only here is a difference made between the two. A file is replaced in one step (`files.py`); an object is put whole or
not at all, which is what object stores do. The extra `ray` brings fsspec and the package for S3; credentials are found
as those packages find them, in the environment or from the machine's role.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

from aecodec.errors import AecError
from aecodec.errors import InputError
from aecodec.errors import MissingExtra
from aecodec.errors import OutputError
from aecodec.files import read_bytes
from aecodec.files import write_atomic

_URL = re.compile(r"[a-z][a-z0-9+.-]+://")  # two characters or more, unlike a drive of Windows
_FILE = "file://"

# What the stores call the time of the last change: S3, Google, Azure, others, fsspec's own memory.
_TIMES = ("LastModified", "mtime", "updated", "last_modified", "modified", "created")


@dataclass(frozen=True)
class Status:
    """Bytes of a file or object, and when it was last changed, in nanoseconds since 1970 where its store tells."""

    size: int
    modified: int | None


class Object(BytesIO):
    """The bytes of an object as a stream; `name` is its URL. Raises InputError."""

    def __init__(self, url: str) -> None:
        data = read(url)
        super().__init__(data)
        self.name, self.size = url, len(data)


def is_url(place: str | Path) -> bool:
    """Whether a place is an object's, or a folder of objects."""
    return isinstance(place, str) and _URL.match(place) is not None


def place(name: str) -> Path | str:
    """What a user named: a URL as it is, all else a path; `file://` URLs are paths, too."""
    return Path(name.removeprefix(_FILE)) if name.startswith(_FILE) or not is_url(name) else name


def join(folder: str | Path, relative: str) -> str:
    """The name of what lies below a folder; `relative` has "/" between its parts."""
    return f"{str(folder).rstrip('/')}/{relative}" if is_url(folder) else str(Path(folder, relative))


def status(name: str) -> Status | None:
    """None if no such file or object exists. Raises InputError if that cannot be determined."""
    if not is_url(name):
        if not os.path.isfile(name):
            return None
        found = os.stat(name)
        return Status(found.st_size, found.st_mtime_ns)
    with _naming(name, InputError):
        try:
            info = _filesystem(name).info(name)
        except FileNotFoundError:
            return None
        return None if info["type"] == "directory" else Status(info["size"], _nanoseconds(info))


def read(name: str) -> bytes:
    """Raises InputError."""
    if not is_url(name):
        return read_bytes(name)
    with _naming(name, InputError):
        data: bytes = _filesystem(name).cat_file(name)
    return data


def write(name: str, data: bytes) -> None:
    """Replaces a file or object; folders are made as needed. Raises OutputError."""
    if is_url(name):
        with _naming(name, OutputError):
            _filesystem(name).pipe_file(name, data)
        return
    try:
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
    except OSError as error:
        raise OutputError(f"{name}: {error.strerror}") from error
    write_atomic(name, data)


def find(url: str) -> Iterator[tuple[str, str]]:
    """URL and path below `url` of every object there, in one order; an object alone is itself. Raises InputError."""
    with _naming(url, InputError):
        filesystem = _filesystem(url)
        root: str = filesystem._strip_protocol(url).rstrip("/")
        names: list[str] = filesystem.find(root)
    if names == [root]:
        yield url, root.rpartition("/")[2]
        return
    for name in sorted(names):
        relative = name[len(root) :].lstrip("/")
        yield join(url, relative), relative


def _filesystem(url: str) -> Any:
    # One for all threads: by default fsspec makes one per thread, each with its own connections.
    return _filesystem_of(re.sub(r"(://[^/]*).*", r"\1", url, flags=re.DOTALL))


@lru_cache(maxsize=16)
def _filesystem_of(root: str) -> Any:
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtra('URLs need fsspec: pip install "aecodec[ray]"') from error
    try:
        return url_to_fs(root, use_listings_cache=False)[0]  # others write there, too
    except ImportError as error:
        raise MissingExtra(f"{root}: {error}") from error


def _nanoseconds(info: dict[str, Any]) -> int | None:
    for value in (info[name] for name in _TIMES if name in info):
        if isinstance(value, str):
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        seconds = value.timestamp() if isinstance(value, datetime) else value
        return int(seconds * 1e9)
    return None


@contextmanager
def _naming(url: str, kind: type[AecError]) -> Iterator[None]:
    """Whatever a store's package raises, of whose exceptions there is no common base, as one line with the URL."""
    try:
        yield
    except AecError:
        raise
    except FileNotFoundError as error:  # its words are the stores' own, or the name alone
        raise kind(f"{url}: {os.strerror(errno.ENOENT)}") from error
    except Exception as error:
        raise kind(" ".join(f"{url}: {error or type(error).__name__}".split())) from error
