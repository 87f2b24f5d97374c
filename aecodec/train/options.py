"""The options of a training run, and what stands where in its output folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aecodec.geometry import HYPER_STRIDE

ROUNDING_SHARE = 0.6  # of a decay branch; four minutes of rounding are enough to train its loss away


@dataclass(frozen=True)
class TrainOptions:
    """What to train, on what, for how long. Raises ValueError where options contradict each other.

    `minutes` or `steps` count this sitting of the constant schedule, or a decay branch as a whole: a resumed branch
    runs for what is left of it. `minutes` is training time, without the reading of pictures.
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
    threads: int | None = None  # of the CPU; torch's choice where not given
    seed: int = 0
    decay: bool = False
    rounding: bool | None = None  # integer rounding in the loop; None: in the last part of a decay branch
    bfloat16: bool = False  # the wide products, wherever there is no rounding
    learning_rate: float | None = None  # None: the run's own, at first the configuration's
    checkpoint_minutes: float = 3.0

    def __post_init__(self) -> None:
        if self.minutes is not None and self.steps is not None:
            message = "give minutes or steps, not both"
        elif self.decay and self.minutes is None and self.steps is None:
            message = "a decay branch needs minutes or steps: the learning rate falls by the share used"
        elif self.resume and self.init is not None:
            message = "resume continues a checkpoint, init starts from weights: give one of them"
        elif self.crop < HYPER_STRIDE or self.crop % HYPER_STRIDE:
            message = f"the crop is a multiple of {HYPER_STRIDE}, not {self.crop}"
        elif min(value for value in (self.minutes, self.steps, self.batch_size) if value is not None) <= 0:
            message = "minutes, steps and batch size are larger than zero"
        else:
            return
        raise ValueError(message)

    @property
    def checkpoint(self) -> Path:
        """What this run writes."""
        return self.out / "decayed.pt" if self.decay else self.constant_checkpoint

    @property
    def constant_checkpoint(self) -> Path:
        """The state at the constant learning rate, from which decay branches start."""
        return self.out / "latest.pt"

    @property
    def log(self) -> Path:
        return self.out / ("decayed.jsonl" if self.decay else "log.jsonl")

    def sheet(self, step: int) -> Path:
        return self.out / "sheets" / (f"decayed-{step}.png" if self.decay else f"{step}.png")

    @property
    def is_fresh(self) -> bool:
        """Whether the weights start at random."""
        return not self.resume and not self.decay and self.init is None

    def with_rounding(self, share: float) -> bool:
        """Whether weights and activations are rounded to integers in the loop once `share` of the budget is used up."""
        return self.decay and share >= ROUNDING_SHARE if self.rounding is None else self.rounding
