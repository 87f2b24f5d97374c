"""What workers do with a number, in a module that a worker imports quickly."""

from __future__ import annotations

import os
import signal


def square(number: int, retried: bool = False) -> int:
    return number * number


def lost(number: int) -> int:
    return -number


def dangerous_square(number: int, retried: bool) -> int:
    """Kills its process for 7, and for multiples of 5 the first time."""
    if number == 7 or (number % 5 == 0 and not retried):
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number
