"""Whole files in and out: an output file is the old one or the complete new one, at every moment.

A file is written under a temporary name beside its own, `.NAME.RANDOM.aec-tmp`, and then renamed. Its writer locks it
(flock) until then, and the system drops the lock when the process ends. So a temporary file that can be locked has lost
its writer, and the next run removes it. Locks work across hosts if the file system supports that; on a file system
without locks nothing is removed. Windows has no flock and needs none: it does not remove open files.

A writer starts again if another process has removed or locked its temporary file.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from functools import lru_cache

from aecodec.errors import InputError
from aecodec.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# Names of open descriptors. Their files belong to the process that opened them, and are never replaced.
_DESCRIPTORS = ("/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/")

# Attempts at writing a file whose temporary one keeps disappearing. Twice is a rare accident.
_ATTEMPTS = 5

TEMPORARY_SUFFIX = ".aec-tmp"

# Of link() on file systems without hard links, such as FAT.
_NO_LINKS = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP)

# An open file can be given another name. Windows refuses that.
MOVES_OPEN_FILES = fcntl is not None

# Keeps the name under the 255 bytes of common file systems, at up to four bytes a character.
_NAME_PART = 50

_unfinished: set[str] = set()  # temporary files of this process

_PATTERN = re.compile(r"\..*\.[0-9a-f]{16}" + re.escape(TEMPORARY_SUFFIX), re.DOTALL)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The whole content of a file. Raises InputError with the system's reason."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise InputError(f"{os.fspath(path)}: {error.strerror or error}") from error


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a whole file by way of a temporary one beside it, which is removed on any failure or interrupt.

    Temporary files of killed processes in that folder are removed first.

    Permissions are those of the file replaced, or what open() gives a new one; owner and group are kept where the
    system allows it. Other hard links of a replaced file keep its old content. A symbolic link stays, and the file it
    points to is replaced. Devices, pipes and open descriptors (/dev/stdout) are written directly. A file that
    open() could not write is not replaced either. Raises OutputError with the system's reason.
    """
    name = os.fspath(path)
    with _naming(name):
        previous = _status(name)
        if (previous is not None and not stat.S_ISREG(previous.st_mode)) or _is_descriptor(name):
            with open(name, "wb") as file:
                file.write(data)
        else:
            _replace(name, data, previous)


def write_new(path: str | os.PathLike[str], data: bytes) -> bool:
    """Writes a whole file as `write_atomic`, unless its name is taken, even since a moment ago; whether it did.

    Raises OutputError.
    """
    name = os.fspath(path)
    with _naming(name):
        if _status(name) is not None:
            return False
        try:
            _replace(name, data, None, keep=True)
        except FileExistsError:
            return False
    return True


@contextmanager
def _naming(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{name}: {error.strerror or error}") from error


def _status(name: str) -> os.stat_result | None:
    try:
        return os.stat(name)
    except FileNotFoundError:
        return None


def _is_descriptor(name: str) -> bool:
    return os.path.abspath(name).startswith(_DESCRIPTORS)


def _replace(name: str, data: bytes, previous: os.stat_result | None, *, keep: bool = False) -> None:
    """`keep`: raises FileExistsError instead of replacing a file."""
    if not os.path.basename(name):
        raise OSError(errno.ENOENT if not name else errno.EISDIR, "not the name of a file")
    if previous is not None:
        os.close(os.open(name, os.O_WRONLY))  # raises the system's reason if the file is not writable
    target = os.path.realpath(name)
    sweep_once(os.path.dirname(target))
    for _ in range(_ATTEMPTS):
        if _written(target, data, previous, _take if keep else os.replace):
            _sync_folder(os.path.dirname(target))
            return
    raise OSError(errno.EBUSY, "other processes keep removing its temporary file")


def _written(target: str, data: bytes, previous: os.stat_result | None, move: Callable[[str, str], None]) -> bool:
    """Whether the file was written; False if its temporary one disappeared."""
    permissions = 0o666 if previous is None else stat.S_IMODE(previous.st_mode) & 0o777
    temporary = temporary_beside(target)
    _unfinished.add(temporary)
    try:
        # Created with the permissions, less the umask, so that a private file is never open to others.
        with open(temporary, "xb", opener=lambda path, flags: os.open(path, flags, permissions)) as file:
            if not claim(file.fileno()):
                return False
            if previous is not None:
                _pass_on(previous, file.fileno(), temporary)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if MOVES_OPEN_FILES:
                return _moved(temporary, target, move)
        return _moved(temporary, target, move)
    except BaseException:  # KeyboardInterrupt too
        with suppress(OSError):
            os.unlink(temporary)
        raise
    finally:
        _unfinished.discard(temporary)


def remove_unfinished() -> None:
    """Removes what this process is writing, as it ends without an exception."""
    for temporary in tuple(_unfinished):
        with suppress(OSError):
            os.unlink(temporary)


def _pass_on(previous: os.stat_result, descriptor: int, temporary: str) -> None:
    """Gives a new file the owner, where the system allows it, and the permissions of the file it replaces."""
    if not hasattr(os, "fchmod"):  # Windows, before Python 3.13
        os.chmod(temporary, stat.S_IMODE(previous.st_mode) & 0o777)
        return
    # By descriptor: in a folder of another user, its name may have become a link to any file.
    own = os.fstat(descriptor)
    if (previous.st_uid, previous.st_gid) != (own.st_uid, own.st_gid):
        for owner in (previous.st_uid, -1):  # the group alone, if the owner is not ours to give
            with suppress(OSError):
                os.fchown(descriptor, owner, previous.st_gid)
                break
    os.fchmod(descriptor, stat.S_IMODE(previous.st_mode) & 0o777)


def _sync_folder(folder: str) -> None:
    """Puts a new name on the disk. Some systems cannot open or synchronize folders; theirs is not an error."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in (errno.EIO, errno.ENOSPC, errno.EDQUOT):
            raise
    finally:
        os.close(descriptor)


def _moved(temporary: str, target: str, move: Callable[[str, str], None]) -> bool:
    try:
        move(temporary, target)
    except FileNotFoundError:
        return False
    return True


def _take(temporary: str, target: str) -> None:
    """Renames a file, or raises FileExistsError if its new name is taken: by a link, since rename() would replace."""
    try:
        os.link(temporary, target)
        os.unlink(temporary)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        try:
            os.replace(temporary, target)
        except BaseException:
            os.unlink(target)
            raise


def temporary_beside(target: str) -> str:
    """A new name in the folder of `target`, with the prefix and suffix of a temporary file."""
    folder, base = os.path.split(target)
    return os.path.join(folder, f".{base[:_NAME_PART]}.{os.urandom(8).hex()}{TEMPORARY_SUFFIX}")


def claim(descriptor: int) -> bool:
    """Locks a file just created, until it is closed; False if the sweep of another process was quicker."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks here, so no sweep removes anything
        return True
    return os.fstat(descriptor).st_nlink > 0


def sweep(folder: str) -> None:
    """Removes the temporary files of killed writers from a folder. Files that cannot be removed stay, silently."""
    with suppress(OSError), os.scandir(folder or os.curdir) as entries:
        for entry in entries:
            if _PATTERN.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    _remove_unclaimed(entry.path)


@lru_cache(maxsize=1024)
def sweep_once(folder: str) -> None:
    """`sweep`, once for each folder and process: 0.05 s in a folder of 100,000 files."""
    sweep(folder)


def _remove_unclaimed(path: str) -> None:
    if fcntl is None:
        os.unlink(path)
        return
    # For writing, since locks over NFS ask for it.
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)  # still locked: no writer can claim it any more
    finally:
        os.close(descriptor)


def walk(root: str | os.PathLike[str]) -> Iterator[str]:
    """Paths of the files under a folder, relative to it with slashes, always in one order; hidden ones are left out.

    Follows links to folders, and visits no folder twice. Raises InputError if a folder cannot be read.
    """
    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, onerror=_refuse, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = os.path.relpath(folder, root).replace(os.sep, "/")
        prefix = "" if relative == "." else f"{relative}/"
        yield from (prefix + name for name in sorted(files) if not name.startswith("."))


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename}: {error.strerror or error}") from error
