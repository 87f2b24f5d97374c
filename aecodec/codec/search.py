"""The best file that meets a target, among those of all quality steps, without making each of them.

For photographs, size and error are monotone in the quality step except for noise, so bisection finds the step. For
flat, drawn and tiny pictures they are not: a later step may fit although an earlier one does not. So later steps are
tried, too, until one is far from fitting. If the very last step is far from it, the curve is steep enough for bisection
alone.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from typing import TypeVar

Made = TypeVar("Made")

_NOISE = 4  # steps past a bisection's result, all of them tried
_STRIDE, _FINE = 16, 4  # from one step to the next beyond those
_FAR, _HOPELESS = 1.6, 2.0  # times the target: from there, sizes and errors do not come back; nor if nothing fits yet
_STEEP = 3.5  # times the target at the last step: so steep a curve is monotone


def last_fitting(
    make: Callable[[int], Made], excess: Callable[[Made], float], count: int, thorough: bool
) -> tuple[int, Made] | None:
    """The last of steps 0 to `count` - 1 found to fit, and what it gives; None if none does.

    `excess`: the size or error of what a step gives, as a multiple of what the target allows. `thorough`: tries more of
    the later steps, all of them where step 0 does not fit.
    """

    def trial(step: int) -> tuple[Made, float]:
        made = make(step)
        return made, excess(made)

    def last(steps: Iterable[int], far: float = _FAR) -> tuple[int, Made] | None:
        found = None
        for step in steps:
            made, over = trial(step)
            if over > far:
                break
            found = (step, made) if over <= 1 else found
        return found

    first, over = trial(0)
    if over > 1:
        return last(range(1, count if over <= _HOPELESS else 1, 1 if thorough else _FINE), _HOPELESS)
    low, best = _bisected(trial, first, count)
    near = last(range(low + 2, min(low + _NOISE + 1, count)))
    stride = _FINE if thorough else _STRIDE
    if low + stride >= count or trial(count - 1)[1] > _STEEP:
        return near or (low, best)
    coarse = last(range(low + stride, count, stride))
    if coarse is None:
        return near or (low, best)
    return last(range(coarse[0] + 1, min(coarse[0] + stride, count))) or coarse


def _bisected(trial: Callable[[int], tuple[Made, float]], first: Made, count: int) -> tuple[int, Made]:
    """The last step that fits if every earlier one does, as the first is known to."""
    low, high, best = 0, count - 1, first
    while low < high:
        middle = (low + high + 1) // 2
        made, over = trial(middle)
        if over <= 1:
            low, best = middle, made
        else:
            high = middle - 1
    return low, best
