"""The search for the step that meets a target, on made-up curves: which step it finds, and how many it makes."""

from __future__ import annotations

import pytest

from aecodec.codec.search import last_fitting


def searched(sizes: list[int], target: int, thorough: bool = True) -> tuple[int | None, int]:
    """The step found, and how many were made."""
    made: list[int] = []

    def make(step: int) -> int:
        made.append(step)
        return step

    found = last_fitting(make, lambda step: sizes[step] / target, len(sizes), thorough)
    assert found is None or found[0] == found[1]
    return None if found is None else found[0], len(made)


STEEP = [round(100 * 1.009**step) for step in range(256)]
FLAT = [40 + 10 * (step // 32 % 2) + step // 16 for step in range(256)]  # a saw, as flat colours give


@pytest.mark.parametrize("thorough", [True, False])
@pytest.mark.parametrize("target", [100, 123, 200, 500, 10_000])
def test_a_steep_curve_costs_little_more_than_bisection(target: int, thorough: bool) -> None:
    step, made = searched(STEEP, target, thorough)
    assert step == max(n for n in range(256) if STEEP[n] <= target)
    assert made <= (13 if target < STEEP[-1] / 3.5 else 32)


def test_noise_within_a_few_steps() -> None:
    """A bisection ends at step 97 here; four steps further fits again."""
    noisy = [10 * step for step in range(1024)]
    noisy[101] = 965
    assert searched(noisy, 970) == (101, 15)


@pytest.mark.parametrize("target", range(40, 70))
def test_a_curve_that_falls_again(target: int) -> None:
    step, made = searched(FLAT, target)
    assert step is not None and FLAT[step] <= target
    assert step >= max(n for n in range(256) if FLAT[n] <= target) - 4
    assert made <= 80
    coarse, made = searched(FLAT, target, thorough=False)
    assert coarse is not None and FLAT[coarse] <= target and made <= 45


@pytest.mark.parametrize("least", [1, 5, 100])
def test_a_target_that_only_a_later_step_meets(least: int) -> None:
    sizes = [33] * 256
    sizes[least] = 21
    assert searched(sizes, 21) == (least, 256)
    assert searched(sizes, 20) == (None, 256)
    assert searched(sizes, 16) == (None, 1), "too far to look"
    assert searched(sizes, 21, thorough=False)[1] == 65
