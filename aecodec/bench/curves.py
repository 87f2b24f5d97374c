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
from aecodec.errors import InputError


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


def measure_curves(
    plan: Plan, pictures: Pictures, journal: Journal, environment: Environment, bar: Bar
) -> tuple[list[Measurement], list[Measurement]]:
    """Measures what the journal does not hold yet: the curves, and the peers at equal bytes. Raises AecError.

    Both are in the order of the pictures, then of the plan. A picture that a codec cannot hold is left out.
    """
    bar.start("measuring", plan.per_picture * len(pictures))
    measurements: list[Measurement] = []
    equal_bytes: list[Measurement] = []
    for name, pixels in pictures.named():
        digest = hashlib.sha256(pixels.tobytes()).hexdigest()
        circumstances = (environment, name, pixels.shape, digest, plan.perceptual)
        try:
            curves, peers = _measure_one(plan, name, pixels, circumstances, journal, bar)
        except InputError as error:
            pictures.leave_out(name, error)
            continue
        measurements += curves
        equal_bytes += peers
    return measurements, equal_bytes


def _measure_one(
    plan: Plan, name: str, pixels: np.ndarray, circumstances: tuple[object, ...], journal: Journal, bar: Bar
) -> tuple[list[Measurement], list[Measurement]]:
    def measured(codec: BenchCodec, quality: float | None, size_bytes: int = 0) -> Measurement:
        """At a quality; without one, at the largest whose file fits into `size_bytes`, or the lowest if none does."""
        setting = ("bytes", size_bytes) if quality is None else ("quality", float(quality))
        key = key_of(*circumstances, codec.name, codec.description, *setting)
        known = journal.get(key)
        if known is not None:
            bar.skip()
            return known
        quality = quality_within(codec, pixels, size_bytes) if quality is None else quality
        found = measure_picture(codec, quality, name, pixels, perceptual=plan.perceptual)
        journal.add(key, found)
        bar.step(f"  {name}: {codec.name}, quality {quality:.4g}")
        return found

    curves = [measured(codec, quality) for codec, qualities in plan.settings for quality in qualities]
    if plan.shown_quality is None:
        return curves, []
    own = next(each for each in curves if each.quality == plan.shown_quality)
    return curves, [measured(codec, None, own.size_bytes) for codec, _ in plan.settings[1:]]
