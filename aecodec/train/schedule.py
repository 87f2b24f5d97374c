"""How long to train, and with what learning rate and weight of the rate at each step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from aecodec.train.checkpoint import Counters

WARM_UP_STEPS = 300
BRANCH_START = 0.3  # of the constant rate: at all of it a branch would lose the mean that it starts from
DECAY_FLOOR = 0.02


@dataclass(frozen=True)
class Budget:
    """How long to train, counted from where the counters stood."""

    minutes: float | None
    steps: int | None
    from_seconds: float
    from_step: int

    def share(self, counters: Counters) -> float:
        """The share used up, 1 at the end; always 0 without a limit."""
        if self.steps is not None:
            return (counters.step - self.from_step) / self.steps
        if self.minutes is not None:
            return (counters.seconds - self.from_seconds) / (60 * self.minutes)
        return 0.0

    def seconds_left(self, counters: Counters, seconds_per_step: float) -> float | None:
        """None without a limit."""
        if self.steps is not None:
            return (self.steps - (counters.step - self.from_step)) * seconds_per_step
        if self.minutes is not None:
            return max(60 * self.minutes - (counters.seconds - self.from_seconds), 0.0)
        return None


def learning_rate_factor(step: int, share: float, decay: bool) -> float:
    """Factor on the learning rate: linear warm-up, then constant; in a branch a cosine from 0.3 to 2 % of that."""
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    if not decay:
        return warm_up
    return warm_up * BRANCH_START * falling(share)


def falling(share: float) -> float:
    """From 1 along a cosine to 2 % over a share of 0..1, and there from then on."""
    return DECAY_FLOOR + (1 - DECAY_FLOOR) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


def rate_weight(step: int, plain_steps: int) -> float:
    """Weight of the rate in the loss: 0 while training as a plain auto-encoder, then up to 1 in as many steps."""
    if plain_steps == 0:
        return 1.0
    return min(max(step - plain_steps, 0) / plain_steps, 1.0)
