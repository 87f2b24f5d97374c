"""Trains one system of Table 3, all four on equal terms.

An epoch draws as many random crops as there are training pictures. The learning rate of Adam is constant at first, then
falls along a cosine to 2 %. The dev loss is measured after every epoch; reconstructions of the pictures shown are kept
after epochs 1, 2, 4, 8, ... A checkpoint is written after every epoch, every two minutes, and on an interrupt: a
resumed run ends in the same weights as an uninterrupted one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch.nn import functional

from aecodec.bench.metrics import l1
from aecodec.errors import InputError
from aecodec.files import write_atomic
from aecodec.image.writing import png_of
from aecodec.paper.systems import AutoEncoder
from aecodec.paper.table import Moment
from aecodec.paper.table import Outcome
from aecodec.paper.table import Setup
from aecodec.paper.table import System
from aecodec.train.checkpoint import first_line
from aecodec.train.checkpoint import read_checkpoint
from aecodec.train.checkpoint import write_checkpoint
from aecodec.train.data import Batches
from aecodec.train.data import Pictures
from aecodec.train.evaluate import as_input
from aecodec.train.evaluate import as_pixels
from aecodec.train.loop import TrainingDiverged
from aecodec.train.progress import Timer
from aecodec.train.schedule import falling

CHECKPOINT_SECONDS = 120.0

LOSSES = {"l1": functional.l1_loss, "l2": functional.mse_loss}


@dataclass(frozen=True)
class Data:
    """Pictures to train on, and dev pictures uint8 [H, W, 3] with sides that are multiples of 8."""

    training: Pictures
    dev: Sequence[np.ndarray]
    shown: tuple[int, ...]  # places in `dev`
    device: torch.device


@dataclass
class Counters:
    """The progress of a training."""

    step: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0  # since the last moment of the curve
    loss_steps: int = 0
    curve: list[Moment] = field(default_factory=list)

    @property
    def mean_loss(self) -> float:
        """Since the last moment of the curve."""
        return self.loss_sum / max(self.loss_steps, 1)


class Training:
    """One system in training; its checkpoint and kept pictures lie in the folder `work`."""

    def __init__(self, system: System, setup: Setup, data: Data, work: Path) -> None:
        """Resumes from the checkpoint, if there is one; raises InputError if it is damaged."""
        self.system, self.setup, self._data, self._work = system, setup, data, work
        torch.manual_seed(setup.seed)
        self.model = AutoEncoder(system).to(device=data.device, memory_format=torch.channels_last)
        self._optimizer = torch.optim.Adam(self.model.parameters(), fused=True)
        self._batches = Batches(
            data.training, crop=setup.crop, batch_size=setup.batch_size, device=data.device, seed=setup.seed
        )
        self.counters = Counters()
        self._loss = LOSSES[system.loss]
        if self._checkpoint.is_file():
            self._restore()

    def run(
        self, interrupted: Callable[[], bool] = lambda: False, tell: Callable[[bool], None] = lambda measured: None
    ) -> Outcome:
        """Train to the end, or until interrupted. Calls `tell` after every step and, with True, every measurement.

        Raises TrainingDiverged if the loss is not finite, and OutputError.
        """
        timer = Timer(CHECKPOINT_SECONDS)
        while not interrupted():
            measured = False
            if self._moment_is_due():
                measured = self._measure(interrupted)
                self._save()
            elif self.share >= 1:
                break
            else:
                self._step()
                if timer.due():
                    self._save()
            tell(measured)
        self._save()
        return self.outcome()

    def outcome(self) -> Outcome:
        """The state at the last moment of the curve."""
        curve = tuple(self.counters.curve)
        last = curve[-1] if curve else Moment(0.0, 0.0, math.nan, math.nan)
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        finished = self.share >= 1 and not self._moment_is_due()
        return Outcome(last.dev_l1, last.epoch, last.seconds, parameters, finished, curve)

    def weights(self) -> bytes:
        """A safetensors file of float32."""
        state = {name: tensor.cpu().contiguous() for name, tensor in self.model.state_dict().items()}
        return save(state, {"system": self.system.name})

    @property
    def epoch(self) -> float:
        return round(self.counters.step / self._steps_per_epoch, 6)

    @property
    def share(self) -> float:
        """The share of the training that is done; 1 or more at the end."""
        if self.setup.minutes is not None:
            return self.counters.seconds / (60 * self.setup.minutes)
        assert self.setup.epochs is not None
        return self.counters.step / math.ceil(self.setup.epochs * self._steps_per_epoch)

    @property
    def _steps_per_epoch(self) -> int:
        return math.ceil(self.setup.training_pictures / self.setup.batch_size)

    @property
    def _checkpoint(self) -> Path:
        return self._work / f"{self.system.name}.pt"

    def _step(self) -> None:
        started = time.monotonic()
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self.setup, self.share)
        x, _ = self._batches.draw()
        loss = self._loss(self.model(x), x)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        counters = self.counters
        counters.step += 1
        counters.loss_sum += loss.item()
        counters.loss_steps += 1
        if not math.isfinite(counters.loss_sum):
            raise TrainingDiverged(f"{self.system.name}: the loss is not finite at step {counters.step:,}")
        counters.seconds += time.monotonic() - started

    def _moment_is_due(self) -> bool:
        counters = self.counters
        if counters.step == 0 or (counters.curve and counters.curve[-1].epoch == self.epoch):
            return False
        return counters.step % self._steps_per_epoch == 0 or self.share >= 1

    def _measure(self, interrupted: Callable[[], bool]) -> bool:
        """Adds a moment to the curve; if interrupted, returns False and leaves it due."""
        losses = []
        kept = self.share >= 1 or is_kept(self.epoch)
        for place, pixels in enumerate(self._data.dev):
            if interrupted():
                return False
            reconstruction = self.reconstruct(pixels)
            losses.append(l1(pixels, reconstruction))
            if kept and place in self._data.shown:
                path = kept_picture(self._work, self.system.name, self.epoch, place)
                write_atomic(path, png_of(reconstruction))
        counters = self.counters
        dev_l1 = float(np.mean(losses))
        counters.curve.append(Moment(self.epoch, round(counters.seconds, 1), counters.mean_loss, dev_l1))
        counters.loss_sum, counters.loss_steps = 0.0, 0
        return True

    @torch.no_grad()
    def reconstruct(self, pixels: np.ndarray) -> np.ndarray:
        """The reconstruction of a picture uint8 [H, W, 3], in the same form."""
        return as_pixels(self.model(as_input(pixels[None], self._data.device))[0])

    def _save(self) -> None:
        content = {
            "config": self.system.name,
            "setup": asdict(self.setup),
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "counters": asdict(self.counters),
            "random": self._batches.generator.get_state(),
        }
        write_checkpoint(self._checkpoint, content)

    def _restore(self) -> None:
        content: dict[str, Any] = read_checkpoint(self._checkpoint)
        if (content.get("config"), content.get("setup")) != (self.system.name, asdict(self.setup)):
            raise InputError(f"{self._checkpoint}: of another system, or begun with other settings or pictures")
        try:
            self.model.load_state_dict(content["model"])
            self._optimizer.load_state_dict(content["optimizer"])
            curve = [Moment(**moment) for moment in content["counters"]["curve"]]
            self.counters = Counters(**{**content["counters"], "curve": curve})
            self._batches.generator.set_state(content["random"])
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(
                f"{self._checkpoint}: not a checkpoint of {self.system.name} ({first_line(error)})"
            ) from error


def learning_rate(setup: Setup, share: float) -> float:
    """At a share of the training: constant, then falling along a cosine to 2 %."""
    through = max(0.0, share - (1 - setup.falling_share)) / setup.falling_share
    return setup.learning_rate * falling(through)


def is_kept(epoch: float) -> bool:
    """Whether reconstructions are kept after an epoch: 1, 2, 4, 8, ..."""
    return epoch.is_integer() and int(epoch).bit_count() == 1


def kept_picture(work: Path, system: str, epoch: float, place: int) -> Path:
    """The file of the reconstruction of dev picture `place` after an epoch."""
    return work / f"{system}-epoch-{epoch:g}-{place}.png"
