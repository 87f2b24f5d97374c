"""How a run goes: its options and files, its length, and the learning rate and rate weight of each step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from aecodec.geometry import HYPER_STRIDE
from aecodec.train.checkpoint import Counters

ROUNDING_SHARE = 0.6  # of a decay branch; four minutes of rounding are enough to train its loss away
WARM_UP_STEPS = 300
BRANCH_START = 0.3  # of the constant rate: at all of it a branch would lose the mean that it starts from
DECAY_FLOOR = 0.02


@dataclass(frozen=True)
class TrainOptions:
    """What to train, on what, for how long. Raises ValueError if options contradict each other.

    `minutes` or `steps` limit this sitting at the constant rate, or a decay branch as a whole, over all sittings.
    `minutes` is training time; reading pictures does not count.
    """

    config: str
    data: tuple[Path, ...]
    out: Path
    minutes: float | None = None
    steps: int | None = None
    resume: bool = False
    init: Path | None = None  # float weights to start from
    device: str = "auto"  # auto, cpu or cuda
    batch_size: int = 8
    crop: int = 128
    small: float = 0.0  # share of the batches that hold whole photographs as thumbnails
    drawn: float = 0.0  # share of the crops that show drawings instead of photographs
    threads: int | None = None  # of the CPU; None: torch's choice
    seed: int = 0
    decay: bool = False
    rounding: bool | None = None  # integer rounding in the loop; None: in the last part of a decay branch
    bfloat16: bool = False  # the wide products, wherever there is no rounding
    learning_rate: float | None = None  # None: the run's own, at first the configuration's
    optimizer: str | None = None  # adam or soap; None: the run's own, at first adam

    def __post_init__(self) -> None:
        if self.minutes is not None and self.steps is not None:
            raise ValueError("give minutes or steps, not both")
        if self.decay and self.minutes is None and self.steps is None:
            raise ValueError("a decay branch needs minutes or steps: the learning rate falls by the share used")
        if self.resume and self.init is not None:
            raise ValueError("resume continues a checkpoint, init starts from weights: give one of them")
        if self.crop < HYPER_STRIDE or self.crop % HYPER_STRIDE:
            raise ValueError(f"the crop is a multiple of {HYPER_STRIDE}, not {self.crop}")
        if min(value for value in (self.minutes, self.steps, self.batch_size) if value is not None) <= 0:
            raise ValueError("minutes, steps and batch size are larger than zero")
        if not (0 <= self.small <= 1 and 0 <= self.drawn <= 1):
            raise ValueError("the shares of small and of drawn pictures are from 0 to 1")

    @property
    def checkpoint(self) -> Path:
        """The one that this run writes and resumes."""
        return self.out / ("decayed.pt" if self.decay else "latest.pt")

    @property
    def parent(self) -> Path | None:
        """The checkpoint to start from: the own one on resuming, or that of the run to branch off."""
        if self.resume:
            return self.checkpoint
        return self.out / "latest.pt" if self.decay and self.init is None else None

    @property
    def log(self) -> Path:
        return self.out / ("decayed.jsonl" if self.decay else "log.jsonl")

    def sheet(self, step: int) -> Path:
        return self.out / "sheets" / (f"decayed-{step}.png" if self.decay else f"{step}.png")

    def budget(self, counters: Counters) -> Budget:
        """Counted from here or, for a branch, from its start."""
        if self.decay:
            return Budget(self.minutes, self.steps, from_seconds=0.0, from_step=counters.first_step)
        return Budget(self.minutes, self.steps, from_seconds=counters.seconds, from_step=counters.step)

    def with_rounding(self, share: float) -> bool:
        """Whether weights and activations are rounded to integers once `share` of the budget is used up."""
        return self.decay and share >= ROUNDING_SHARE if self.rounding is None else self.rounding


@dataclass(frozen=True)
class Budget:
    """How long to train, from given counters."""

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
    """From 1 to 2 % along a cosine over a share of 0..1, then constant."""
    return DECAY_FLOOR + (1 - DECAY_FLOOR) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


def rate_weight(step: int, plain_steps: int) -> float:
    """Weight of the rate in the loss: 0 for the plain steps, then rising to 1 over as many."""
    if plain_steps == 0:
        return 1.0
    return min(max(step - plain_steps, 0) / plain_steps, 1.0)
