"""What workers do with a number, in a module that a worker imports quickly."""

from __future__ import annotations

import os
import signal


def square(number: int, retried: bool = False) -> int:
    return number * number


def lost(number: int) -> int:
    return -number


def die_at_seven(number: int, retried: bool) -> int:
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def die_once(number: int, retried: bool) -> int:
    if number % 5 == 0 and not retried:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number
