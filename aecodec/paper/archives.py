"""Picture files in a folder or in a tar, which is read in place.

Only a gzipped tar is decompressed first, to a plain one, because its middle cannot be read directly.
"""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from aecodec.errors import InputError
from aecodec.errors import OutputError
from aecodec.files import read_bytes

_GZIP_MAGIC = b"\x1f\x8b"


class NoFile(InputError):
    """An entry that is gone, a broken link, or a pipe, whose reading might never end."""

    reason = "missing or no regular file"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One picture file of a source. There may be millions, so it holds only what it needs."""

    name: str  # within the source, with slashes; the same however the source is packed
    container: str  # a tar, or the folder that `name` is relative to
    offset: int | None = None  # of the first byte in the tar; None for a file in a folder
    size_bytes: int = 0


def read(candidate: Candidate) -> bytes:
    """The bytes of the picture file.

    Raises NoFile if this one is missing, InputError if nothing can be read there or the tar has become shorter.
    """
    if candidate.offset is None:
        path = os.path.join(candidate.container, candidate.name)
        check_file(path)
        return read_bytes(path)
    try:
        with open(candidate.container, "rb") as file:
            file.seek(candidate.offset)
            data = file.read(candidate.size_bytes)
    except OSError as error:
        raise InputError(f"{candidate.container}: {error.strerror or error}") from error
    if len(data) != candidate.size_bytes:
        raise InputError(f"{candidate.container}: cut short")
    return data


def check_file(path: str | os.PathLike[str]) -> None:
    """Raises NoFile. Other problems, such as a missing folder, are left to the reader of the file."""
    try:
        no_file = not stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        no_file = os.path.isdir(os.path.dirname(path))
    except OSError:
        no_file = False
    if no_file:
        raise NoFile(f"{os.fspath(path)}: {NoFile.reason}")


def tar_files(path: Path, scratch: Path) -> Iterator[Candidate]:
    """The regular files of a tar and of the tars in it; `a.tar` counts as a folder `a`.

    A gzipped tar is decompressed into the folder `scratch`. Raises InputError if the file is not a tar, is damaged or
    cut short.
    """
    check_file(path)
    try:
        with open(path, "rb") as file:
            gzipped = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        plain = _gunzip(path, scratch) if gzipped else path
        with open(plain, "rb") as file:
            yield from _members(file, os.fspath(plain), 0, path.name.split(".")[0] + "/")
    except tarfile.TarError as error:
        raise InputError(f"{path}: no tar, damaged or cut short ({error})") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def _members(file: IO[bytes], container: str, start: int, prefix: str) -> Iterator[Candidate]:
    """`start` is where `file` begins in `container`."""
    with tarfile.open(fileobj=file, mode="r:") as tar:
        while (member := tar.next()) is not None:
            name = prefix + member.name.removeprefix("./")
            if not member.isreg():
                pass
            elif name.endswith(".tar"):
                nested = tar.extractfile(member)
                assert nested is not None, "a regular file has content"
                yield from _members(nested, container, start + member.offset_data, name.removesuffix(".tar") + "/")
            else:
                yield Candidate(name, container, start + member.offset_data, member.size)
            tar.members.clear()  # type: ignore[attr-defined]  # or tarfile keeps them all: gigabytes for large sets
        # tarfile takes a damaged or missing header for the end of the archive.
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("no end mark")


def _gunzip(path: Path, scratch: Path) -> Path:
    """The plain tar of a gzipped one, as a new file in `scratch`."""
    target = scratch / f"{len(os.listdir(scratch))}.tar"
    try:
        with gzip.open(path, "rb") as packed, open(target, "xb") as plain:
            shutil.copyfileobj(packed, plain, 1 << 20)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: damaged or cut short ({error})") from error
    except OSError as error:
        raise OutputError(f"{path}: cannot be unpacked to {scratch}: {error.strerror or error}") from error
    return target
