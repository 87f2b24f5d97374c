"""Reads and writes inputs and outputs: files by path, objects by URL (`s3://`, `gs://`, `memory://`) through fsspec.

No other module distinguishes the two. A file is replaced in one step (`files.py`); object stores write an object whole
or not at all. The extra `ray` brings fsspec and the package for S3, which find credentials in the environment or in the
machine's role.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from pathlib import PurePath
from typing import Any
from urllib.parse import unquote_to_bytes

from aecodec import files
from aecodec.errors import AecError
from aecodec.errors import InputError
from aecodec.errors import MissingExtra
from aecodec.errors import OutputError

_URL = re.compile(r"[a-z][a-z0-9+.-]+://")  # two characters or more, unlike a drive of Windows
_FILE = re.compile(r"file://(localhost(?=/))?")

# What changes with an object's content: names of its time and hash in S3, Google, Azure, others and fsspec's memory.
_STAMPS = ("LastModified", "mtime", "updated", "last_modified", "modified", "created", "ETag", "etag")


@dataclass(frozen=True)
class Status:
    """Bytes of a file or object, and a text that changes with its content: its times, or a store's name for it."""

    size: int
    stamp: str


class Object(BytesIO):
    """The bytes of an object as a stream; `name` is its URL. Raises InputError."""

    def __init__(self, url: str) -> None:
        data = read(url)
        super().__init__(data)
        self.name, self.size = url, len(data)


def is_url(place: str | Path) -> bool:
    """Whether a place is an object or a folder of objects."""
    return isinstance(place, str) and _URL.match(place) is not None


def place(name: str) -> Path | str:
    """The place that a user named: a URL stays a string; a `file://` URL and everything else becomes a path.

    Of a `file://` URL, `%20` is a space. `?` and `#` belong to the name, since no file has a query. Raises InputError.
    """
    path = _FILE.sub("", name, count=1)
    if path == name:
        return name if is_url(name) else Path(name)
    found = unquote_to_bytes(os.fsencode(path))
    if b"\0" in found:
        raise InputError(f"{name}: no file has a zero byte in its name")
    return Path(os.fsdecode(found))


def join(folder: str | Path, relative: str) -> str:
    """The name of a file or object below a folder; `relative` has "/" between its parts."""
    return f"{str(folder).rstrip('/')}/{relative}" if is_url(folder) else str(Path(folder, relative))


def below(folder: str | Path, name: str) -> str:
    """The reverse of `join`: the path of a file or object below a folder."""
    if is_url(folder):
        return name.removeprefix(f"{str(folder).rstrip('/')}/")
    return PurePath(name).relative_to(folder).as_posix()


def status(name: str) -> Status | None:
    """None if there is no such file or object. Raises InputError if that cannot be determined."""
    if not is_url(name):
        if not os.path.isfile(name):
            return None
        found = os.stat(name)
        # The second time tells of content with an old time: cp -p, rsync, unzip.
        return Status(found.st_size, f"{found.st_mtime_ns} {found.st_ctime_ns}")
    with _naming(name, InputError):
        try:
            info = _filesystem(name).info(name)
        except FileNotFoundError:
            return None
        return None if info["type"] == "directory" else Status(info["size"], _stamp(info))


def exists(name: str) -> bool:
    """Whether there is a file, folder or special file of that name, or an object. Raises InputError."""
    return status(name) is not None if is_url(name) else os.path.exists(name)


def read(name: str) -> bytes:
    """The content of a file or object. Raises InputError."""
    if not is_url(name):
        return files.read_bytes(name)
    with _naming(name, InputError):
        data: bytes = _filesystem(name).cat_file(name)
    return data


def write(name: str, data: bytes) -> None:
    """Replaces a file or object; creates folders as needed. Raises OutputError."""
    if is_url(name):
        with _naming(name, OutputError):
            _filesystem(name).pipe_file(name, data)
        return
    _make_folder_of(name)
    files.write_atomic(name, data)


def write_new(name: str, data: bytes) -> bool:
    """The same unless the name is taken; whether it wrote. Another writer of an object may still be overtaken."""
    if is_url(name):
        if status(name) is not None:
            return False
        write(name, data)
        return True
    _make_folder_of(name)
    return files.write_new(name, data)


def append(name: str, data: bytes) -> None:
    """Appends lines to a file. Objects cannot grow, so for a URL this writes another object beside it.

    Lines of several writers do not mix. Raises OutputError.
    """
    if is_url(name):
        stem, _, suffix = name.rpartition(".")
        write(f"{stem}-{os.urandom(8).hex()}.{suffix}", data)
        return
    _make_folder_of(name)
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(name, flags, 0o666), "ab", buffering=0) as file:
            file.write(data)
    except OSError as error:
        raise OutputError(f"{name}: {error.strerror}") from error


def listed(folder: str) -> list[str]:
    """The files or objects of a folder; none if there is no such folder. Raises InputError."""
    if is_url(folder):
        return [name for name, relative in find(folder) if relative]
    with suppress(OSError):
        return sorted(os.path.join(folder, name) for name in os.listdir(folder))
    return []


def find(url: str) -> Iterator[tuple[str, str]]:
    """URL and path below `url` of every object, sorted; the URL of an object gives that object. Raises InputError."""
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


def _make_folder_of(name: str) -> None:
    missing = [os.path.dirname(name)]  # makedirs() calls itself for each, and there may be a thousand
    while missing[-1] and not os.path.exists(missing[-1]):
        missing.append(os.path.dirname(missing[-1]))
    try:
        for folder in reversed(missing[:-1]):
            os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{name}: {error.strerror}") from error


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
        return url_to_fs(root, use_listings_cache=False)[0]  # others write there too
    except ImportError as error:
        raise MissingExtra(f"{root}: {error}") from error


def _stamp(info: dict[str, Any]) -> str:
    return " ".join(str(info[name]) for name in _STAMPS if info.get(name))


@contextmanager
def _naming(url: str, kind: type[AecError]) -> Iterator[None]:
    """Turns any exception of a store's package, which have no common base, into one line with the URL."""
    try:
        yield
    except AecError:
        raise
    except FileNotFoundError as error:  # its text depends on the store, or is only the name
        raise kind(f"{url}: {os.strerror(errno.ENOENT)}") from error
    except Exception as error:
        raise kind(" ".join(f"{url}: {error or type(error).__name__}".split())) from error
