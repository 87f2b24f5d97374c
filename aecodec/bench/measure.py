"""Measures a codec on a set of pictures: every figure comes from whole files, encoded and decoded."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from aecodec.bench.codecs import BenchCodec
from aecodec.bench.metrics import l1
from aecodec.bench.metrics import ms_ssim
from aecodec.bench.metrics import psnr
from aecodec.bench.metrics import ssimulacra2
from aecodec.bench.pictures import Pictures
from aecodec.bench.result import AtBytes
from aecodec.bench.result import Measurement
from aecodec.bench.result import Row

Report = Callable[[str], None]
PictureSet = Pictures | Sequence[np.ndarray]  # uint8 [H, W, 3] or [H, W]

LOSSLESS_PSNR = 60.0  # dB: the most that a picture counts in a mean, as in libvmaf for 8 bits

TARGET_BYTES = 1966  # 1 % of a raw 256x256 RGB picture


def measure_picture(
    codec: BenchCodec, quality: float, name: str, pixels: np.ndarray, *, perceptual: bool = False
) -> Measurement:
    """Encode, decode and compare one picture; `perceptual` adds SSIMULACRA2, which takes longer than all the rest.

    Raises ValueError if the decoded picture has another size.
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
        psnr=statistics.fmean(min(each.psnr, LOSSLESS_PSNR) for each in measurements),
        l1=statistics.fmean(each.l1 for each in measurements),
        ms_ssim=_mean_of_all([each.ms_ssim for each in measurements]),
        encode_seconds=statistics.median(each.encode_seconds for each in measurements),
        decode_seconds=statistics.median(each.decode_seconds for each in measurements),
        ssimulacra2=_mean_of_all([each.ssimulacra2 for each in measurements]),
    )


def measure(codec: BenchCodec, quality: float, pictures: PictureSet, report: Report) -> Row:
    """Every picture at one setting. Raises as measure_picture."""
    each = _reported(codec, quality, pictures, report)
    return mean_row([measure_picture(codec, quality, "", pixels) for pixels in each])


def mean_bytes(codec: BenchCodec, quality: float, pictures: PictureSet, report: Report) -> float:
    """Mean file size at one setting."""
    each = _reported(codec, quality, pictures, report)
    return statistics.fmean(len(codec.encode(pixels, quality)) for pixels in each)


def _reported(codec: BenchCodec, quality: float, pictures: PictureSet, report: Report) -> Iterator[np.ndarray]:
    for number, pixels in enumerate(pictures, 1):
        report(f"{codec.name}, quality {quality:.4g}: picture {number} of {len(pictures)}")
        yield pixels


def _mean_of_all(values: list[float | None]) -> float | None:
    """A mean over some of the pictures would not compare with the other columns."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None


def measure_at_bytes(codec: BenchCodec, target_bytes: int, pictures: PictureSet, report: Report) -> AtBytes:
    """The codec at its largest setting whose mean file has at most `target_bytes`, and between it and the next."""
    smallest = mean_bytes(codec, codec.steps[0], pictures, report)
    if smallest > target_bytes:
        return AtBytes(codec.name, target_bytes, smallest, row=None)
    within = last_fitting(codec.steps, lambda step: mean_bytes(codec, step, pictures, report) <= target_bytes)
    found = measure_between(codec, codec.steps[within : within + 2], target_bytes, pictures, report)
    return replace(found, smallest_bytes=smallest)


def measure_between(
    codec: BenchCodec, settings: Sequence[float], target_bytes: int, pictures: PictureSet, report: Report
) -> AtBytes:
    """The codec at a few settings, ascending, and between the two whose mean files are about `target_bytes`.

    Interpolation is linear in the logarithm of the size.
    """
    rows = [measure(codec, setting, pictures, report) for setting in settings]
    within = [row for row in rows if row.size_bytes <= target_bytes]
    found = AtBytes(codec.name, target_bytes, rows[0].size_bytes, within[-1] if within else None)
    if not within or len(within) == len(rows):
        return found
    row, above = within[-1], rows[len(within)]
    share = math.log(target_bytes / row.size_bytes) / math.log(above.size_bytes / row.size_bytes)
    return replace(
        found,
        interpolated_psnr=row.psnr + share * (above.psnr - row.psnr),
        interpolated_l1=row.l1 + share * (above.l1 - row.l1),
    )


def last_fitting(steps: Sequence[float], fits: Callable[[float], bool]) -> int:
    """Index of the last step that fits, by bisection; the first is taken to fit.

    If sizes do not grow strictly along the steps, it is a step that fits and whose successor does not.
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
    """The codec's largest quality whose file of this picture fits into `size_bytes`; its lowest if none does."""
    return codec.steps[last_fitting(codec.steps, lambda step: len(codec.encode(pixels, step)) <= size_bytes)]


def within(codec: BenchCodec, pixels: np.ndarray, size_bytes: int) -> np.ndarray:
    """The picture as decoded at that quality."""
    return codec.decode(codec.encode(pixels, quality_within(codec, pixels, size_bytes)))
