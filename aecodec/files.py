"""Whole files in and out: an output file is the old one or the complete new one, at every moment."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from aecodec.errors import InputError
from aecodec.errors import OutputError

# Ends the name of a file being written. One is left behind only where the process is killed outright.
TEMPORARY_SUFFIX = ".aec-tmp"

# Names of open descriptors. What they lead to belongs to whoever opened it, and is never replaced by another file.
_DESCRIPTORS = ("/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/")

# Keeps the temporary name under the 255 bytes of common file systems, at up to four bytes a character.
_NAME_PART = 50


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The whole content of a file. Raises InputError with the system's reason."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise InputError(f"{os.fspath(path)}: {error.strerror or error}") from error


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a whole file by way of a temporary one beside it, which is removed on any failure or interrupt.

    Permissions are those of the file replaced, or what open() gives a new one. Behind a symbolic link, the file it
    points to is replaced. Devices, pipes and open descriptors (/dev/stdout) are written directly. A file that
    open() could not write is not replaced either. Raises OutputError with the system's reason.
    """
    name = os.fspath(path)
    try:
        previous = _status(name)
        if previous is not None and not stat.S_ISREG(previous.st_mode) or _is_descriptor(name):
            with open(name, "wb") as file:
                file.write(data)
        else:
            _replace(name, data, previous)
    except OSError as error:
        raise OutputError(f"{name}: {error.strerror or error}") from error


def _status(name: str) -> os.stat_result | None:
    try:
        return os.stat(name)
    except FileNotFoundError:
        return None


def _is_descriptor(name: str) -> bool:
    return os.path.abspath(name).startswith(_DESCRIPTORS)


def _replace(name: str, data: bytes, previous: os.stat_result | None) -> None:
    if not os.path.basename(name):
        raise OSError(errno.ENOENT if not name else errno.EISDIR, "not the name of a file")
    if previous is not None and not os.access(name, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    target = os.path.realpath(name)
    folder, base = os.path.split(target)
    temporary = os.path.join(folder, f".{base[:_NAME_PART]}.{os.urandom(8).hex()}{TEMPORARY_SUFFIX}")
    permissions = 0o666 if previous is None else stat.S_IMODE(previous.st_mode) & 0o777
    try:
        # Created with the permissions, less the umask: a private file is not open to others for a moment.
        with open(temporary, "xb", opener=lambda path, flags: os.open(path, flags, permissions)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if previous is not None:
            os.chmod(temporary, permissions)
        os.replace(temporary, target)
    except BaseException:  # KeyboardInterrupt too
        with suppress(OSError):
            os.unlink(temporary)
        raise
