"""Distortion in bits: the loss that a model was trained with."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace

import numpy as np

from aecodec.format.header import QUALITY_STEPS


@dataclass(frozen=True)
class RateDistortion:
    """Converts distortion to bits, as the loss of a model's training does.

    The weight runs geometrically over the quality steps, from `low` to `high`, in bits per pixel and unit of
    distortion: the mean over all samples of the squared error in 8-bit levels ("mse"), or of 16 times the absolute
    error ("l1").
    """

    distortion: str = "mse"
    low: float = 0.0005
    high: float = 0.02

    def bits(self, error: np.ndarray, quality: int) -> float:
        """Distortion, in bits, of a whole picture's errors [H, W, 3] in 8-bit levels, at quality step 0..255."""
        wide = error.astype(np.float64)
        total = np.square(wide).sum() if self.distortion == "mse" else 16 * np.abs(wide).sum()
        return float(total) * self._per_sample(quality)

    def slope(self, error: np.ndarray, quality: int) -> np.ndarray:
        """Derivative of `bits` by each error."""
        by_error = 2 * error if self.distortion == "mse" else 16 * np.sign(error)
        return by_error * np.float32(self._per_sample(quality))

    def weighted(self, factor: float) -> RateDistortion:
        """The same with distortion worth `factor` times as many bits."""
        return replace(self, low=factor * self.low, high=factor * self.high)

    def _per_sample(self, quality: int) -> float:
        return float(self.low * (self.high / self.low) ** (quality / (QUALITY_STEPS - 1)) / 3)
