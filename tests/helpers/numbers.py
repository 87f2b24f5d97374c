"""What workers do with a number, in a module that a worker imports quickly."""

from __future__ import annotations

import os
import signal
import weakref

from aecodec.files import write_atomic


def square(number: int, retried: bool = False) -> int:
    return number * number


def lost(number: int) -> int:
    return -number


def dangerous_square(number: int, retried: bool) -> int:
    """Kills its process for 7, and for multiples of 5 the first time."""
    if number == 7 or (number % 5 == 0 and not retried):
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def end(*_: object) -> None:
    """Ends its process as a batch ends its workers."""
    os.kill(os.getpid(), signal.SIGTERM)


def ended_in_a_callback(number: int, retried: bool) -> int:
    """Python prints and forgets what is raised in the callback of a weak reference."""
    target = {number}
    reference = weakref.ref(target, end)
    del target
    assert reference() is None
    return number


def ended_while_writing(path: str, retried: bool) -> str:
    os.fsync = end  # this process ends with it
    write_atomic(path, b"half")
    return path
