"""Temporary files beside an output: claimed by their writer, and removed where a killed one left them behind.

A file `.NAME.RANDOM.aec-tmp` is claimed by a lock (flock) that its writer holds until the file has its final name. The
system drops the lock with the process, however that ends: one that can be locked has no writer. It works across hosts
where the file system's locks do. Where there are none (some network file systems), nothing is removed. On Windows
there is no flock, and none is needed: a file that is open cannot be removed.

The writer trusts nobody: where its file is gone or claimed by another, it begins anew (`files.py`).
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import lru_cache

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

TEMPORARY_SUFFIX = ".aec-tmp"

# An open file can be given another name. Windows refuses that.
MOVES_OPEN_FILES = fcntl is not None

# Keeps the name under the 255 bytes of common file systems, at up to four bytes a character.
_NAME_PART = 50

_PATTERN = re.compile(r"\..*\.[0-9a-f]{16}" + re.escape(TEMPORARY_SUFFIX), re.DOTALL)


def temporary_beside(target: str) -> str:
    """A new name in the folder of `target`, whose prefix and suffix tell what it is."""
    folder, base = os.path.split(target)
    return os.path.join(folder, f".{base[:_NAME_PART]}.{os.urandom(8).hex()}{TEMPORARY_SUFFIX}")


def claim(descriptor: int) -> bool:
    """Locks a file just created, until it is closed; False where a sweep of another process was quicker."""
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
    """Removes what killed writers left in a folder. What cannot be removed stays, without a word."""
    with suppress(OSError), os.scandir(folder or os.curdir) as entries:
        for entry in entries:
            if _PATTERN.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    _remove_unclaimed(entry.path)


@lru_cache(maxsize=1024)
def sweep_once(folder: str) -> None:
    """`sweep`, the first time that this process writes there: 0.05 s with 100,000 other files in it."""
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
