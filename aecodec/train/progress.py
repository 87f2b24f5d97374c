"""What a training run reports: status, validation and contact sheets, on the terminal and in a log of JSON lines."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from aecodec.batch.journal import JsonLines
from aecodec.batch.progress import Bar
from aecodec.files import read_bytes
from aecodec.files import write_atomic
from aecodec.train.checkpoint import Counters
from aecodec.train.checkpoint import State
from aecodec.train.data import Dataset
from aecodec.train.evaluate import central_crops
from aecodec.train.evaluate import measure
from aecodec.train.evaluate import write_contact_sheet
from aecodec.train.model import Coded
from aecodec.train.schedule import TrainOptions

REFRESH_SECONDS = 1.0
REPORT_SECONDS = 60.0

VALIDATION_PICTURES = 64
VALIDATION_SECONDS = 300.0
VALIDATION_SHARE = 0.04  # of the time: slow validations are further apart

SHEET_PICTURES = 6
SHEET_SECONDS = 1200.0
FIRST_SHEET_STEP = 50


class Timer:
    """Reports once per interval that it has passed."""

    def __init__(self, seconds: float) -> None:
        self.restart(seconds)

    def due(self) -> bool:
        if time.monotonic() < self._due_at:
            return False
        self.restart(self._seconds)
        return True

    def restart(self, seconds: float) -> None:
        """Set the interval, which begins now."""
        self._seconds = seconds
        self._due_at = time.monotonic() + seconds


@dataclass(frozen=True)
class Step:
    """What one step saw and did."""

    x: Tensor  # float32 [B, 3, H, W] in 0..1
    coded: Coded
    loss: Tensor  # scalar
    learning_rate: float
    updated: bool  # False if the loss or its gradient was not finite
    seconds: float


class Meter:
    """Means over the steps since it was last cleared. The sums stay on the device until they are read."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._sums: Tensor | float = 0.0
        self._steps = 0
        self._pixels = 0
        self._seconds = 0.0

    @torch.no_grad()
    def add(self, step: Step) -> None:
        """Count a step; without an update, only its time, since its values are not finite."""
        self._seconds += step.seconds
        if not step.updated:
            return
        error = step.coded.reconstruction - step.x
        bpp = (step.coded.bits + step.coded.hyper_bits).mean() / step.x[0, 0].numel()
        self._sums = self._sums + torch.stack((bpp, error.square().mean(), error.abs().mean(), step.loss))
        self._steps += 1
        self._pixels += step.x[:, 0].numel()

    @property
    def seconds_per_step(self) -> float:
        return self._seconds / self._steps if self._steps else math.inf

    def means(self) -> dict[str, float]:
        """bpp, psnr (dB), l1 (0..1), loss and mpx_per_s; empty if no step was counted."""
        if not isinstance(self._sums, Tensor):
            return {}
        bpp, square, l1, loss = (self._sums / self._steps).tolist()
        psnr = -10 * math.log10(max(square, 1e-10))
        return {"bpp": bpp, "psnr": psnr, "l1": l1, "loss": loss, "mpx_per_s": self._pixels / self._seconds / 1e6}


class Observer:
    """Sees every step and does what is due. Changes nothing in the run."""

    def __init__(
        self,
        state: State,
        dataset: Dataset,
        options: TrainOptions,
        log: JsonLines,
        terminal: Bar,
        interrupted: Callable[[], bool],
    ) -> None:
        """`interrupted` ends a validation early."""
        self.budget = options.budget(state.counters)
        self._state = state
        self._options = options
        self._log = log
        self._terminal = terminal
        self._interrupted = interrupted
        self._meter = Meter()
        self._learning_rate = 0.0
        self._validation = central_crops(dataset.validation, VALIDATION_PICTURES)
        self._training = central_crops(dataset.training, len(self._validation))
        self._shown = central_crops(dataset.validation or dataset.training, SHEET_PICTURES)
        self._refresh_timer = Timer(REFRESH_SECONDS)
        self._report_timer = Timer(REPORT_SECONDS)
        self._validation_timer = Timer(VALIDATION_SECONDS)
        self._sheet_timer = Timer(SHEET_SECONDS)

    def look(self, step: Step) -> None:
        """After each step."""
        self._meter.add(step)
        self._learning_rate = step.learning_rate
        if self._terminal.visible and self._refresh_timer.due():
            self._terminal.note(self._status())
        if self._report_timer.due():
            self._report()
        if self._validation_timer.due():
            self._validate()
        if is_early_sheet(self._state.counters.step) or self._sheet_timer.due():
            self._write_sheet()

    def conclude(self) -> None:
        """After the last step: a report, and unless the run was interrupted a validation and a sheet."""
        self._report()
        if not self._interrupted():
            self._validate()
            self._write_sheet()

    def _status(self) -> str:
        counters = self._state.counters
        seconds_left = self.budget.seconds_left(counters, self._meter.seconds_per_step)
        return status_line(counters, self._meter.means(), seconds_left)

    def _report(self) -> None:
        """Log the means since the last report and show them; in a file or pipe the line stays."""
        means = self._meter.means()
        if means:
            self._write(**means, learning_rate=self._learning_rate)
        show = self._terminal.note if self._terminal.visible else self._terminal.say
        show(self._status())
        self._meter.clear()

    def _validate(self) -> None:
        """Measure the validation pictures and as many training pictures; the gap is how much better the latter do."""
        if not self._validation:
            return
        state, started = self._state, time.monotonic()
        parts = []
        for crops in (self._validation, self._training):
            part = measure(state.model, crops, state.device, plain=state.is_plain, interrupted=self._interrupted)
            if part is None:
                return
            parts.append(part)
        validation, training = parts
        self._write(
            validation=[asdict(point) for point in validation.points],
            training=[asdict(point) for point in training.points],
            validation_loss=validation.loss,
            training_loss=training.loss,
            gap=validation.loss - training.loss,
        )
        points = ", ".join(f"{point.bpp:.3f} bpp {point.psnr:.2f} dB" for point in validation.points)
        losses = f"loss {validation.loss:.4f}, on training pictures {training.loss:.4f}"
        self._terminal.say(f"validation: {points}; {losses}")
        self._validation_timer.restart(max(VALIDATION_SECONDS, (time.monotonic() - started) / VALIDATION_SHARE))

    def _write_sheet(self) -> None:
        state = self._state
        path = self._options.sheet(state.counters.step)
        write_contact_sheet(path, state.model, self._shown, state.device, plain=state.is_plain)
        self._sheet_timer.restart(SHEET_SECONDS)

    def _write(self, **values: object) -> None:
        """A line in the log: the state of the run, then `values`."""
        counters = self._state.counters
        minutes = round(counters.seconds / 60, 3)
        where = {"step": counters.step, "minutes": minutes, "pixels": counters.pixels, "skipped": counters.skipped}
        self._log.add(where | values)


def is_early_sheet(step: int) -> bool:
    """Steps 50, 100, 200, 400, ...: a network changes most in its first steps."""
    return step % FIRST_SHEET_STEP == 0 and (step // FIRST_SHEET_STEP).bit_count() == 1


def open_log(path: Path, keep_to_step: int | None) -> JsonLines:
    """A log that keeps the lines up to a step, or none; raises OutputError."""
    kept = b""
    if keep_to_step is not None and path.exists():
        with suppress(ValueError, KeyError, TypeError):  # from a line that a crash cut short
            for line in read_bytes(path).splitlines(keepends=True):
                if not line.endswith(b"\n") or json.loads(line)["step"] > keep_to_step:
                    break
                kept += line
    write_atomic(path, kept)
    return JsonLines(path, b"")


def status_line(counters: Counters, means: dict[str, float], seconds_left: float | None) -> str:
    """The state of the run for a reader."""
    parts = [f"step {counters.step:,}"]
    if means:
        parts.append(f"{means['bpp']:.3f} bpp")
        parts.append(f"PSNR {means['psnr']:.2f} dB")
        parts.append(f"L1 {means['l1']:.4f}")
        parts.append(f"{means['mpx_per_s']:.2f} Mpx/s")
    if counters.skipped:
        parts.append(f"{counters.skipped} skipped")
    if seconds_left is not None and math.isfinite(seconds_left):
        parts.append(f"{duration(seconds_left)} left")
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """Hours, minutes or seconds, rounded for a reader."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
