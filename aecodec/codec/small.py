"""Sides of fewer than 32 pixels, coded at 32: a field of one hyper-latent position with nothing beyond its border.

The encoder enlarges such a side smoothly, keeping means; the decoder takes the means (`container.py`, "Pixels"). On 16
photographs reduced to 2, 8 and 16 pixels a side this gains 20, 10 and 4 dB at about the same bytes over coding the few
pixels in the corner of an empty field.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

CODED_SIDE = 32


def enlarge(pixels: np.ndarray) -> np.ndarray:
    """Pixels uint8 [max(H, 32), max(W, 32), ...] whose means are those of `pixels` uint8 [H, W, ...], but for rounding.

    A picture without a short side comes back as it is.
    """
    height, width = pixels.shape[:2]
    if min(height, width) >= CODED_SIDE:
        return pixels
    smooth = pixels.astype(np.float64)
    if height < CODED_SIDE:
        smooth = np.tensordot(_smoothest(height), smooth, (1, 0))
    if width < CODED_SIDE:
        smooth = np.moveaxis(np.tensordot(_smoothest(width), smooth, (1, 1)), 0, 1)
    return np.clip(np.rint(smooth), 0, 255).astype(np.uint8)


def reduce(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """The pixels of a picture of this size from decoded samples uint8 [H, W, 3].

    On each axis, if the picture's side is below 32, the samples are all 32 and become the side's pixels; otherwise they
    stay. Returns uint8.
    """
    if min(height, width) >= CODED_SIDE:
        return pixels
    total, share = pixels.astype(np.int64), 1
    if height < CODED_SIDE:
        total, share = np.tensordot(_overlap(height), total, (1, 0)), share * CODED_SIDE
    if width < CODED_SIDE:
        total, share = np.moveaxis(np.tensordot(_overlap(width), total, (1, 1)), 0, 1), share * CODED_SIDE
    return ((2 * total + share) // (2 * share)).astype(np.uint8)


def coded_sides(width: int, height: int) -> tuple[int, int]:
    """Width and height at which a picture is coded."""
    return max(width, CODED_SIDE), max(height, CODED_SIDE)


@lru_cache(maxsize=CODED_SIDE)
def _overlap(side: int) -> np.ndarray:
    """Weight of each of 32 samples in each of `side` pixels: int64 [side, 32], every row sums to 32."""
    pixel, sample = np.arange(side)[:, None], np.arange(CODED_SIDE)
    ends = np.minimum((pixel + 1) * CODED_SIDE, (sample + 1) * side)
    return np.maximum(ends - np.maximum(pixel * CODED_SIDE, sample * side), 0)


@lru_cache(maxsize=CODED_SIDE)
def _smoothest(side: int) -> np.ndarray:
    """From `side` pixels to the 32 samples with these means and the least sum of squared differences: [32, side]."""
    means = _overlap(side) / CODED_SIDE
    differences = np.diff(np.eye(CODED_SIDE), axis=0)
    # The Lagrangian's stationary point; its matrix is regular, since a constant has no differences but a mean.
    system = np.block([[differences.T @ differences, means.T], [means, np.zeros((side, side))]])
    wanted = np.vstack([np.zeros((CODED_SIDE, side)), np.eye(side)])
    return np.linalg.solve(system, wanted)[:CODED_SIDE]
