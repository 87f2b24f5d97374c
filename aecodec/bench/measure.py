"""Measuring a codec on a set of pictures: every figure comes from files really encoded and decoded."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from aecodec.bench.codecs import BenchCodec
from aecodec.bench.metrics import l1
from aecodec.bench.metrics import ms_ssim
from aecodec.bench.metrics import psnr
from aecodec.bench.result import AtBytes
from aecodec.bench.result import Measurement
from aecodec.bench.result import Row
from aecodec.bench.similarity import ssimulacra2

Report = Callable[[str], None]

TARGET_BYTES = 1966  # 1 % of a raw 256x256 RGB picture


class PictureSet(Protocol):
    """Pictures, uint8 [H, W, 3] or [H, W], that can be gone through any number of times."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[np.ndarray]: ...


def measure_picture(
    codec: BenchCodec, quality: float, name: str, pixels: np.ndarray, *, perceptual: bool = False
) -> Measurement:
    """Encode, decode and compare one picture; `perceptual` adds SSIMULACRA2, which takes longer than all the rest.

    Raises ValueError where the decoded picture has another size.
    """
    height, width = pixels.shape[:2]
    started = time.perf_counter()
    data = codec.encode(pixels, quality)
    encoded = time.perf_counter()
    decoded = codec.decode(data)
    finished = time.perf_counter()
    return Measurement(
        picture=name,
        width=width,
        height=height,
        codec=codec.name,
        quality=quality,
        size_bytes=len(data),
        bits_per_pixel=8 * len(data) / (height * width),
        psnr=psnr(pixels, decoded),
        l1=l1(pixels, decoded),
        ms_ssim=ms_ssim(pixels, decoded),
        ssimulacra2=ssimulacra2(pixels, decoded) if perceptual else None,
        encode_seconds=encoded - started,
        decode_seconds=finished - encoded,
    )


def mean_row(measurements: Sequence[Measurement]) -> Row:
    """The means of one codec at one setting over its pictures, one or more."""
    first = measurements[0]
    return Row(
        codec=first.codec,
        quality=first.quality,
        size_bytes=statistics.fmean(each.size_bytes for each in measurements),
        bits_per_pixel=statistics.fmean(each.bits_per_pixel for each in measurements),
        psnr=statistics.fmean(each.psnr for each in measurements),
        l1=statistics.fmean(each.l1 for each in measurements),
        ms_ssim=_mean_of_all([each.ms_ssim for each in measurements]),
        encode_seconds=statistics.median(each.encode_seconds for each in measurements),
        decode_seconds=statistics.median(each.decode_seconds for each in measurements),
        ssimulacra2=_mean_of_all([each.ssimulacra2 for each in measurements]),
    )


def measure(codec: BenchCodec, quality: float, pictures: PictureSet, report: Report) -> Row:
    """Every picture at one setting. Raises as measure_picture."""
    measurements = []
    for number, pixels in enumerate(pictures, 1):
        report(f"{codec.name}, quality {quality:.4g}: picture {number} of {len(pictures)}")
        measurements.append(measure_picture(codec, quality, str(number), pixels))
    return mean_row(measurements)


def _mean_of_all(values: list[float | None]) -> float | None:
    """A mean over some of the pictures would not compare with the other columns."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None


def mean_bytes(codec: BenchCodec, quality: float, pictures: PictureSet, report: Report) -> float:
    """Mean file size at one setting."""
    sizes = []
    for number, pixels in enumerate(pictures, 1):
        report(f"{codec.name}, quality {quality:.4g}: size of picture {number} of {len(pictures)}")
        sizes.append(len(codec.encode(pixels, quality)))
    return statistics.fmean(sizes)


def measure_at_bytes(codec: BenchCodec, target_bytes: int, pictures: PictureSet, report: Report) -> AtBytes:
    """The codec at its largest setting whose mean file has at most `target_bytes`, and between it and the next."""
    steps = codec.steps
    smallest = mean_bytes(codec, steps[0], pictures, report)
    if smallest > target_bytes:
        return AtBytes(codec.name, target_bytes, smallest, row=None, interpolated_psnr=None, interpolated_l1=None)
    within = _largest_within(codec, target_bytes, pictures, report)
    row = measure(codec, steps[within], pictures, report)
    if within + 1 == len(steps):
        return AtBytes(codec.name, target_bytes, smallest, row, interpolated_psnr=None, interpolated_l1=None)
    above = measure(codec, steps[within + 1], pictures, report)
    return _between(target_bytes, smallest, row, above)


def measure_between(
    codec: BenchCodec, settings: Sequence[float], target_bytes: int, pictures: PictureSet, report: Report
) -> AtBytes:
    """The codec at a few settings, ascending, and between the two whose mean files are about `target_bytes`."""
    rows = [measure(codec, setting, pictures, report) for setting in settings]
    smallest = rows[0].size_bytes
    within = [row for row in rows if row.size_bytes <= target_bytes]
    if not within or len(within) == len(rows):
        row = within[-1] if within else None
        return AtBytes(codec.name, target_bytes, smallest, row, interpolated_psnr=None, interpolated_l1=None)
    return _between(target_bytes, smallest, within[-1], rows[len(within)])


def _between(target_bytes: int, smallest: float, row: Row, above: Row) -> AtBytes:
    """Linear in the logarithm of the size."""
    share = math.log(target_bytes / row.size_bytes) / math.log(above.size_bytes / row.size_bytes)
    return AtBytes(
        codec=row.codec,
        target_bytes=target_bytes,
        smallest_bytes=smallest,
        row=row,
        interpolated_psnr=row.psnr + share * (above.psnr - row.psnr),
        interpolated_l1=row.l1 + share * (above.l1 - row.l1),
    )


def _largest_within(codec: BenchCodec, target_bytes: int, pictures: PictureSet, report: Report) -> int:
    """Index of that step; the first is known to fit."""
    return last_fitting(codec.steps, lambda step: mean_bytes(codec, step, pictures, report) <= target_bytes)


def last_fitting(steps: Sequence[float], fits: Callable[[float], bool]) -> int:
    """Index of the last step that fits, by bisection; the first counts as fitting.

    Where sizes do not grow strictly along the steps, it is a step that fits whose successor does not.
    """
    within, beyond = 0, len(steps)  # invariant: `within` fits, `beyond` does not or is the end of the scale
    while beyond - within > 1:
        middle = (within + beyond) // 2
        if fits(steps[middle]):
            within = middle
        else:
            beyond = middle
    return within


def quality_within(codec: BenchCodec, pixels: np.ndarray, size_bytes: int) -> float:
    """The codec's largest quality whose file of this picture fits the given bytes; its lowest if none does."""
    return codec.steps[last_fitting(codec.steps, lambda step: len(codec.encode(pixels, step)) <= size_bytes)]


def within(codec: BenchCodec, pixels: np.ndarray, size_bytes: int) -> np.ndarray:
    """What comes back of a picture at that quality."""
    return codec.decode(codec.encode(pixels, quality_within(codec, pixels, size_bytes)))
