"""Measuring a codec on a set of pictures: every figure comes from files really encoded and decoded."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from aecodec.bench.codecs import BenchCodec
from aecodec.bench.metrics import l1
from aecodec.bench.metrics import ms_ssim
from aecodec.bench.metrics import psnr
from aecodec.bench.result import AtBytes
from aecodec.bench.result import Row

Report = Callable[[str], None]


class PictureSet(Protocol):
    """Pictures, uint8 [H, W, 3] or [H, W], that can be gone through any number of times."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[np.ndarray]: ...


def measure(codec: BenchCodec, quality: float, pictures: PictureSet, report: Report) -> Row:
    """Encode, decode and compare every picture at one setting; raises ValueError where a picture changes its size."""
    sizes, rates, psnrs, l1s, similarities = [], [], [], [], []
    encode_times, decode_times = [], []
    for number, pixels in enumerate(pictures, 1):
        report(f"{codec.name}, quality {quality:.4g}: picture {number} of {len(pictures)}")
        started = time.perf_counter()
        data = codec.encode(pixels, quality)
        encoded = time.perf_counter()
        decoded = codec.decode(data)
        decode_times.append(time.perf_counter() - encoded)
        encode_times.append(encoded - started)
        sizes.append(len(data))
        rates.append(8 * len(data) / (pixels.shape[0] * pixels.shape[1]))
        psnrs.append(psnr(pixels, decoded))
        l1s.append(l1(pixels, decoded))
        similarities.append(ms_ssim(pixels, decoded))
    return Row(
        codec=codec.name,
        quality=quality,
        size_bytes=statistics.fmean(sizes),
        bits_per_pixel=statistics.fmean(rates),
        psnr=statistics.fmean(psnrs),
        l1=statistics.fmean(l1s),
        ms_ssim=_mean_of_all(similarities),
        encode_seconds=statistics.median(encode_times),
        decode_seconds=statistics.median(decode_times),
    )


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
    share = math.log(target_bytes / row.size_bytes) / math.log(above.size_bytes / row.size_bytes)
    return AtBytes(
        codec=codec.name,
        target_bytes=target_bytes,
        smallest_bytes=smallest,
        row=row,
        interpolated_psnr=row.psnr + share * (above.psnr - row.psnr),
        interpolated_l1=row.l1 + share * (above.l1 - row.l1),
    )


def _largest_within(codec: BenchCodec, target_bytes: int, pictures: PictureSet, report: Report) -> int:
    """Index of that step, by bisection; the first is known to fit.

    Where sizes do not grow strictly along the steps, it is a step within the target whose successor is beyond it.
    """
    within, beyond = 0, len(codec.steps)  # invariant: `within` fits, `beyond` does not or is the end of the scale
    while beyond - within > 1:
        middle = (within + beyond) // 2
        if mean_bytes(codec, codec.steps[middle], pictures, report) <= target_bytes:
            within = middle
        else:
            beyond = middle
    return within
