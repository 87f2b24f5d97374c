"""Bjontegaard delta rate: how many percent fewer (negative) or more bits one codec needs for the same PSNR.

Bjontegaard, "Calculation of average PSNR differences between RD-curves" (VCEG-M33, 2001), with the piecewise cubic
interpolation of later practice: the logarithm of the rate is a monotone cubic of PSNR, and the mean difference of two
such curves is taken over the PSNR range that both cover. The interpolant is the one of Fritsch and Carlson (1980)
with the slopes of Fritsch and Butland (1984), as in SciPy's `PchipInterpolator`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

# VCEG-M33 fits four points per curve; fewer say too little about the range between them.
MIN_POINTS = 4

# aecodec's curve is cut here, in bits per pixel: the rates it is made for, which its BD-rates cover.
LOW_RATE, HIGH_RATE = 0.1, 0.5


class Pchip:
    """Monotone piecewise cubic through (x, y): float64 [N], N >= 2, x strictly increasing. No extrapolation."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        if x.ndim != 1 or x.shape != y.shape or len(x) < 2 or not np.all(np.diff(x) > 0):
            raise ValueError("a curve needs two points or more, x strictly increasing")
        self.x, self.y = x.astype(np.float64), y.astype(np.float64)
        self.slopes = _slopes(self.x, self.y)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Values at `points` [M]; raises ValueError outside the first and last x."""
        if np.any(points < self.x[0]) or np.any(points > self.x[-1]):
            raise ValueError(f"outside the curve, which spans {self.x[0]:g} to {self.x[-1]:g}")
        i = np.clip(np.searchsorted(self.x, points, side="right") - 1, 0, len(self.x) - 2)
        width = self.x[i + 1] - self.x[i]
        t = (points - self.x[i]) / width
        # Hermite form: values and slopes at both ends of the interval.
        start = (1 + 2 * t) * (1 - t) ** 2 * self.y[i] + t * (1 - t) ** 2 * width * self.slopes[i]
        end = t**2 * (3 - 2 * t) * self.y[i + 1] - t**2 * (1 - t) * width * self.slopes[i + 1]
        return start + end

    def integral(self, low: float, high: float) -> float:
        """Integral from `low` to `high`, both within the curve: Simpson's rule, exact on each cubic piece."""
        inside = self.x[(self.x > low) & (self.x < high)]
        ends = np.concatenate([[low], inside, [high]])
        middles = (ends[:-1] + ends[1:]) / 2
        values = self(ends)
        return float(np.sum(np.diff(ends) * (values[:-1] + 4 * self(middles) + values[1:]) / 6))


def _slopes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Derivatives at the knots, such that every piece is monotone: [N] -> [N]."""
    widths, secants = np.diff(x), np.diff(y) / np.diff(x)
    if len(secants) == 1:
        return np.repeat(secants, 2)
    slopes = np.zeros_like(x)
    left, right = 2 * widths[1:] + widths[:-1], widths[1:] + 2 * widths[:-1]
    rising = secants[:-1] * secants[1:] > 0  # a slope of zero wherever the data turn
    before, after = secants[:-1][rising], secants[1:][rising]
    slopes[1:-1][rising] = (left + right)[rising] / (left[rising] / before + right[rising] / after)
    slopes[0] = _end_slope(widths[0], widths[1], secants[0], secants[1])
    slopes[-1] = _end_slope(widths[-1], widths[-2], secants[-1], secants[-2])
    return slopes


def _end_slope(width: float, next_width: float, secant: float, next_secant: float) -> float:
    """One-sided three-point derivative, limited so that the last piece keeps its shape."""
    slope = ((2 * width + next_width) * secant - width * next_secant) / (width + next_width)
    if slope * secant <= 0:
        return 0.0
    if secant * next_secant <= 0 and abs(slope) > 3 * abs(secant):
        return 3 * secant
    return slope


@dataclass(frozen=True)
class Curve:
    """A rate-distortion curve: log rate and PSNR in dB, float64 [N], both strictly increasing."""

    log_rate: np.ndarray
    psnr: np.ndarray

    @classmethod
    def of(cls, points: Iterable[tuple[float, float]]) -> Curve:
        """From (rate, PSNR) in any order; leaves out a point that costs more than another without being better."""
        kept: list[tuple[float, float]] = []
        for rate, psnr in sorted(points, key=lambda point: (point[0], -point[1])):
            if math.isfinite(psnr) and (not kept or psnr > kept[-1][1]):
                kept.append((math.log(rate), psnr))
        columns = np.array(kept, dtype=np.float64).reshape(-1, 2)
        return cls(columns[:, 0], columns[:, 1])

    def __len__(self) -> int:
        return len(self.psnr)

    def cut(self, low_rate: float, high_rate: float) -> Curve:
        """The part from `low_rate` to `high_rate`: the points strictly inside, and interpolated points at both ends.

        If the curve does not reach an end, it keeps its own first or last point. PSNR at the ends is a monotone cubic
        of the log rate over the whole curve.
        """
        if len(self) < 2:
            return self
        low = max(math.log(low_rate), float(self.log_rate[0]))
        high = min(math.log(high_rate), float(self.log_rate[-1]))
        if low >= high:
            return Curve(self.log_rate[:0], self.psnr[:0])
        inside = (self.log_rate > low) & (self.log_rate < high)
        ends = Pchip(self.log_rate, self.psnr)(np.array([low, high]))
        log_rate = np.concatenate([[low], self.log_rate[inside], [high]])
        return Curve(log_rate, np.concatenate([ends[:1], self.psnr[inside], ends[1:]]))


def _common_range(first: Curve, second: Curve) -> tuple[float, float]:
    return float(max(first.psnr[0], second.psnr[0])), float(min(first.psnr[-1], second.psnr[-1]))


def bd_rate(test: Curve, reference: Curve) -> float | None:
    """Mean rate of `test` against `reference` at equal PSNR, in percent; negative: `test` needs fewer bits.

    `None` if a curve has under four points or the two share no PSNR range.
    """
    if min(len(test), len(reference)) < MIN_POINTS:
        return None
    low, high = _common_range(test, reference)
    if low >= high:
        return None
    area = Pchip(test.psnr, test.log_rate).integral(low, high)
    reference_area = Pchip(reference.psnr, reference.log_rate).integral(low, high)
    return 100 * math.expm1((area - reference_area) / (high - low))


def overlap(test: Curve, reference: Curve) -> float:
    """Share, 0..1, of the PSNR range of `test` that `reference` covers: the part of `test` behind a BD-rate."""
    if min(len(test), len(reference)) < 2:
        return 0.0
    low, high = _common_range(test, reference)
    return max(high - low, 0.0) / float(test.psnr[-1] - test.psnr[0])
