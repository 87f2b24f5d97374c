"""Measures the curves: picture by picture, every codec at every setting, each figure kept as soon as it is known."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aecodec.batch.progress import Bar
from aecodec.bench.codecs import BenchCodec
from aecodec.bench.journal import Journal
from aecodec.bench.journal import key_of
from aecodec.bench.measure import measure_picture
from aecodec.bench.measure import quality_within
from aecodec.bench.pictures import Pictures
from aecodec.bench.result import Environment
from aecodec.bench.result import Measurement


@dataclass(frozen=True)
class Plan:
    """What to measure of every picture.

    settings: codecs, aecodec first, each with its qualities. shown_quality: aecodec's quality at whose bytes the peers
    are compared; `None`: no such comparison. perceptual: measure SSIMULACRA2 too.
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


def measure_curves(plan: Plan, pictures: Pictures, journal: Journal, environment: Environment, bar: Bar) -> Measured:
    """Measures what the journal does not hold yet. Raises AecError."""
    bar.start("measuring", plan.per_picture * len(pictures))
    measurements: list[Measurement] = []
    equal_bytes: list[Measurement] = []
    for name, pixels in pictures.named():
        bench = _PictureBench(plan, name, pixels, journal, environment, bar)
        found = [bench.at(codec, quality) for codec, qualities in plan.settings for quality in qualities]
        measurements += found
        if plan.shown_quality is not None:
            own = next(each for each in found if each.quality == plan.shown_quality)
            equal_bytes += [bench.within(codec, own.size_bytes) for codec, _ in plan.settings[1:]]
    return Measured(tuple(measurements), tuple(equal_bytes))


class _PictureBench:
    """One picture through any codec, unless the journal knows the result."""

    def __init__(
        self, plan: Plan, name: str, pixels: np.ndarray, journal: Journal, environment: Environment, bar: Bar
    ) -> None:
        self._plan, self._name, self._pixels, self._journal, self._bar = plan, name, pixels, journal, bar
        digest = hashlib.sha256(pixels.tobytes()).hexdigest()
        self._circumstances = (environment, name, pixels.shape, digest, plan.perceptual)

    def at(self, codec: BenchCodec, quality: float) -> Measurement:
        """At one quality."""
        key = self._key(codec, "quality", float(quality))
        return self._known(key) or self._measure(key, codec, quality)

    def within(self, codec: BenchCodec, size_bytes: int) -> Measurement:
        """At the largest quality whose file fits into `size_bytes`, or at the lowest if none does."""
        key = self._key(codec, "bytes", size_bytes)
        return self._known(key) or self._measure(key, codec, quality_within(codec, self._pixels, size_bytes))

    def _key(self, codec: BenchCodec, kind: str, value: float) -> str:
        return key_of(*self._circumstances, codec.name, codec.description, kind, value)

    def _known(self, key: str) -> Measurement | None:
        known = self._journal.get(key)
        if known is not None:
            self._bar.skip()
        return known

    def _measure(self, key: str, codec: BenchCodec, quality: float) -> Measurement:
        found = measure_picture(codec, quality, self._name, self._pixels, perceptual=self._plan.perceptual)
        self._journal.add(key, found)
        self._bar.step(f"  {self._name}: {codec.name}, quality {quality:.4g}")
        return found
