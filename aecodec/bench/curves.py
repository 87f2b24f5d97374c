"""Measuring the curves: picture by picture, every codec at every setting, each figure kept at once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aecodec.bench.codecs import BenchCodec
from aecodec.bench.journal import Journal
from aecodec.bench.journal import key_of
from aecodec.bench.measure import Report
from aecodec.bench.measure import measure_picture
from aecodec.bench.measure import quality_within
from aecodec.bench.pictures import Pictures
from aecodec.bench.result import Environment
from aecodec.bench.result import Measurement


@dataclass(frozen=True)
class Plan:
    """What is measured of every picture.

    settings: codecs, aecodec first, each with its qualities. shown_quality: where the peers are compared at as many
    bytes as aecodec takes there; `None`: nowhere. perceptual: whether SSIMULACRA2 is measured.
    """

    settings: Sequence[tuple[BenchCodec, Sequence[float]]]
    shown_quality: float | None
    perceptual: bool

    @property
    def per_picture(self) -> int:
        """Measurements of one picture."""
        equal = 0 if self.shown_quality is None else len(self.settings) - 1
        return sum(len(qualities) for _, qualities in self.settings) + equal


@dataclass(frozen=True)
class Measured:
    """Both in the order of the pictures, then of the plan."""

    measurements: tuple[Measurement, ...]
    equal_bytes: tuple[Measurement, ...]


def measure_curves(
    plan: Plan, pictures: Pictures, journal: Journal, environment: Environment, report: Report
) -> Measured:
    """Measures what the journal does not hold yet. Raises AecError."""
    clock = _Clock(plan.per_picture, pictures, report)
    measurements: list[Measurement] = []
    equal_bytes: list[Measurement] = []
    for name, pixels in pictures.named():
        bench = _PictureBench(plan, name, pixels, journal, environment, clock)
        found = [bench.at(codec, quality) for codec, qualities in plan.settings for quality in qualities]
        measurements += found
        if plan.shown_quality is not None:
            own = next(each for each in found if each.quality == plan.shown_quality)
            equal_bytes += [bench.within(codec, own.size_bytes) for codec, _ in plan.settings[1:]]
    return Measured(tuple(measurements), tuple(equal_bytes))


class _PictureBench:
    """One picture through any codec, by way of the journal."""

    def __init__(
        self,
        plan: Plan,
        name: str,
        pixels: np.ndarray,
        journal: Journal,
        environment: Environment,
        clock: _Clock,
    ) -> None:
        self._plan, self._name, self._pixels = plan, name, pixels
        self._journal, self._clock = journal, clock
        digest = hashlib.sha256(pixels.tobytes()).hexdigest()
        self._circumstances = (environment, name, pixels.shape, digest, plan.perceptual)

    def at(self, codec: BenchCodec, quality: float) -> Measurement:
        """At one quality."""
        key = key_of(*self._circumstances, codec.name, codec.description, "quality", float(quality))
        return self._journal.get(key) or self._measure(key, codec, quality)

    def within(self, codec: BenchCodec, size_bytes: int) -> Measurement:
        """At the largest quality whose file fits the given bytes; at the lowest if none does."""
        key = key_of(*self._circumstances, codec.name, codec.description, "bytes", size_bytes)
        known = self._journal.get(key)
        return known or self._measure(key, codec, quality_within(codec, self._pixels, size_bytes))

    def _measure(self, key: str, codec: BenchCodec, quality: float) -> Measurement:
        self._clock.tick(f"{self._name}: {codec.name}, quality {quality:.4g}", len(self._journal))
        found = measure_picture(codec, quality, self._name, self._pixels, perceptual=self._plan.perceptual)
        self._journal.add(key, found)
        return found


class _Clock:
    """Says what is measured now, how much is done and how long the rest will take at the pace so far."""

    def __init__(self, per_picture: int, pictures: Pictures, report: Report) -> None:
        self._total = per_picture * len(pictures)
        self._report = report
        self._made = 0
        self._started_at = time.monotonic()

    def tick(self, text: str, done: int) -> None:
        """Before each measurement; `done`: how many there are, those of earlier runs too."""
        left = ""
        if self._made:
            seconds = (time.monotonic() - self._started_at) / self._made * max(self._total - done, 1)
            left = f", {seconds // 60:.0f}:{seconds % 60:02.0f} left"
        self._made += 1
        self._report(f"{done} of {self._total}{left}  {text}")
