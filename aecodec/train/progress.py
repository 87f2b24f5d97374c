"""What a training run tells: a log of JSON lines, and the terminal."""

from __future__ import annotations

import json
import math
import shutil
import time
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING
from typing import Any
from typing import TextIO

import torch
from torch import Tensor

from aecodec.errors import OutputError
from aecodec.train.checkpoint import Counters
from aecodec.train.evaluate import Measurement

if TYPE_CHECKING:
    from aecodec.train.model import Coded

REFRESH_SECONDS = 1.0


class Timer:
    """Says once per interval that it has passed."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due_at = time.monotonic() + seconds

    def due(self) -> bool:
        if time.monotonic() < self._due_at:
            return False
        self.restart(self._seconds)
        return True

    def restart(self, seconds: float) -> None:
        """Wait for `seconds` from now, and for as long each time after."""
        self._seconds = seconds
        self._due_at = time.monotonic() + seconds


@dataclass(frozen=True)
class Step:
    """What one step saw and did."""

    x: Tensor  # float32 [B, 3, H, W] in 0..1
    coded: Coded
    loss: Tensor  # scalar
    learning_rate: float
    updated: bool  # False where loss or gradient was not finite
    seconds: float


class Meter:
    """Means over the steps since it was last cleared. The sums stay on the device until they are asked for."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._sums: Tensor | float = 0.0
        self._steps = 0
        self._pixels = 0
        self._seconds = 0.0

    def add(self, step: Step) -> None:
        """Count a step, unless it made no update: its values are no numbers."""
        self._seconds += step.seconds
        if not step.updated:
            return
        with torch.no_grad():
            error = step.coded.reconstruction - step.x
            bpp = (step.coded.bits + step.coded.hyper_bits).mean() / step.x[0, 0].numel()
            self._sums = self._sums + torch.stack((bpp, error.square().mean(), error.abs().mean(), step.loss))
        self._steps += 1
        self._pixels += step.x[:, 0].numel()

    @property
    def seconds_per_step(self) -> float:
        return self._seconds / self._steps if self._steps else math.inf

    def means(self) -> dict[str, float]:
        """bpp, psnr (dB), l1 (0..1), loss and mpx_per_s; empty where no step was counted."""
        if not isinstance(self._sums, Tensor):
            return {}
        bpp, square, l1, loss = (self._sums / self._steps).tolist()
        psnr = -10 * math.log10(max(square, 1e-10))
        return {"bpp": bpp, "psnr": psnr, "l1": l1, "loss": loss, "mpx_per_s": self._pixels / self._seconds / 1e6}


class Log:
    """A file of JSON lines. Opened again for a resumed run, it drops the lines that lie after the checkpoint."""

    def __init__(self, path: Path, keep_to_step: int | None) -> None:
        """Keep lines up to a step, or none; raises OutputError."""
        try:
            self._file = path.open("ab")
            self._file.truncate(0 if keep_to_step is None else _size_until(path, keep_to_step))
        except OSError as error:
            raise OutputError(f"{path}: {error.strerror}") from error

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, counters: Counters, **values: Any) -> None:
        """One line: where the run stands, then `values`."""
        record = {
            "step": counters.step,
            "minutes": round(counters.seconds / 60, 3),
            "pixels": counters.pixels,
            "skipped": counters.skipped,
            **values,
        }
        self._file.write(json.dumps(record).encode() + b"\n")
        self._file.flush()

    def write_validation(self, counters: Counters, validation: Measurement, training: Measurement) -> None:
        """The points on both parts, and the gap: how much larger the loss is on pictures never trained on."""
        self.write(
            counters,
            validation=[asdict(point) for point in validation.points],
            training=[asdict(point) for point in training.points],
            validation_loss=validation.loss,
            training_loss=training.loss,
            gap=validation.loss - training.loss,
        )


def _size_until(path: Path, step: int) -> int:
    """Size in bytes of the leading lines up to a step; a line cut short by a crash ends them."""
    size_bytes = 0
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            kept = line.endswith(b"\n") and json.loads(line)["step"] <= step
        except (ValueError, KeyError, TypeError):
            break
        if not kept:
            break
        size_bytes += len(line)
    return size_bytes


class Terminal:
    """Lines on a stream; on a terminal the state of the run is one line that is written over and over."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.updates = stream.isatty()
        self._refresh = Timer(REFRESH_SECONDS)
        self._shown = 0

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._print(text, "\n")
        self._shown = 0

    def wants_update(self) -> bool:
        """Whether the updating line, if there is one, has grown old."""
        return self.updates and self._refresh.due()

    def update(self, text: str) -> None:
        """Write over the updating line, which must not wrap."""
        text = text[: shutil.get_terminal_size().columns - 1]
        self._print(text, "")
        self._shown = len(text)

    def _print(self, text: str, end: str) -> None:
        over = f"\r{text:{self._shown}}" if self._shown else text
        print(over, end=end, file=self._stream, flush=True)


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


def validation_line(validation: Measurement, training: Measurement) -> str:
    """The validation for a reader: rate and PSNR by quality, losses of both parts."""
    points = ", ".join(f"{point.bpp:.3f} bpp {point.psnr:.2f} dB" for point in validation.points)
    return f"validation: {points}; loss {validation.loss:.4f}, on training pictures {training.loss:.4f}"


def duration(seconds: float) -> str:
    """Hours, minutes or seconds, as coarse as a reader wants them."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
