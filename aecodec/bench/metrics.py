"""Distortion metrics of 8-bit pictures in NumPy.

Every function takes two pictures of one size, uint8 [H, W, 3] or [H, W]; a grey one counts as RGB with three equal
channels, so that a grey original can be compared with a decoder that returns RGB.
"""

from __future__ import annotations

import importlib.util
import io
import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

PEAK = 255.0

# Wang, Simoncelli and Bovik 2003: exponents of the scales, finest first; window and constants as in SSIM (2004).
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW_SIDE = 11
WINDOW_SIGMA = 1.5
C1 = (0.01 * PEAK) ** 2
C2 = (0.03 * PEAK) ** 2

# Four halvings (rounded up) must leave the coarsest scale room for one whole window.
MS_SSIM_MIN_SIDE = (WINDOW_SIDE - 1) * 2 ** (len(SCALE_WEIGHTS) - 1) + 1
SSIMULACRA2_MIN_SIDE = 8


def as_rgb(pixels: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] of a picture [H, W, 3] or [H, W]."""
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels


def _pair(original: np.ndarray, decoded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both pictures as uint8 [H, W, 3]; raises ValueError if they cannot be compared."""
    first, second = as_rgb(original), as_rgb(decoded)
    if first.dtype != np.uint8 or second.dtype != np.uint8:
        raise ValueError(f"pictures must be uint8, not {first.dtype} and {second.dtype}")
    if first.shape != second.shape:
        raise ValueError(f"pictures differ in shape: {first.shape} and {second.shape}")
    return first, second


def _difference(original: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """float64 [H, W, 3], -255..255."""
    return np.subtract(*_pair(original, decoded), dtype=np.float64)


def psnr(original: np.ndarray, decoded: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB over all samples of the RGB picture; infinite for equal pictures."""
    mean_squared_error = float(np.mean(_difference(original, decoded) ** 2))
    if mean_squared_error == 0:
        return math.inf
    return 10 * math.log10(PEAK**2 / mean_squared_error)


def l1(original: np.ndarray, decoded: np.ndarray) -> float:
    """Mean absolute difference per sample on the scale 0..1."""
    return float(np.mean(np.abs(_difference(original, decoded)))) / PEAK


def ms_ssim(original: np.ndarray, decoded: np.ndarray) -> float | None:
    """Multi-scale structural similarity, at most 1: mean of the three channels; `None` under 161 pixels a side.

    Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality assessment" (2003): five scales,
    11x11 Gaussian window of sigma 1.5, valid positions only. A negative contrast term counts as zero.
    """
    first, second = _pair(original, decoded)
    if min(first.shape[:2]) < MS_SSIM_MIN_SIDE:
        return None
    planes = (_ms_ssim_plane(first[:, :, c].astype(np.float64), second[:, :, c].astype(np.float64)) for c in range(3))
    return sum(planes) / 3


def _ms_ssim_plane(first: np.ndarray, second: np.ndarray) -> float:
    """Of one channel: float64 [H, W], 0..255."""
    product = 1.0
    for weight in SCALE_WEIGHTS[:-1]:
        contrast, _ = _similarity(first, second)
        product *= math.pow(max(contrast, 0.0), weight)
        first, second = halve(first), halve(second)
    _, similarity = _similarity(first, second)
    return product * math.pow(max(similarity, 0.0), SCALE_WEIGHTS[-1])


def _similarity(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Means over a plane of the contrast-structure term and of the whole SSIM index."""
    mean_1, mean_2 = _smooth(first), _smooth(second)
    variances = _smooth(first**2 + second**2) - mean_1**2 - mean_2**2
    covariance = _smooth(first * second) - mean_1 * mean_2
    contrast = (2 * covariance + C2) / (variances + C2)
    luminance = (2 * mean_1 * mean_2 + C1) / (mean_1**2 + mean_2**2 + C1)
    return float(np.mean(contrast)), float(np.mean(luminance * contrast))


_OFFSETS = np.arange(WINDOW_SIDE) - WINDOW_SIDE // 2
_GAUSSIAN = np.exp(-(_OFFSETS**2) / (2 * WINDOW_SIGMA**2))
WINDOW = _GAUSSIAN / _GAUSSIAN.sum()  # [11], separable


def _smooth(plane: np.ndarray) -> np.ndarray:
    """Gaussian means at the valid positions: [H, W] -> [H-10, W-10]."""
    rows = sliding_window_view(plane, WINDOW_SIDE, axis=0) @ WINDOW
    return sliding_window_view(rows, WINDOW_SIDE, axis=1) @ WINDOW


def halve(plane: np.ndarray) -> np.ndarray:
    """Means of 2x2 samples; an odd side is continued by its last line, as the authors' program does."""
    height, width = plane.shape
    even = np.pad(plane, ((0, height % 2), (0, width % 2)), mode="edge")
    return (even[0::2, 0::2] + even[0::2, 1::2] + even[1::2, 0::2] + even[1::2, 1::2]) / 4


def has_ssimulacra2() -> bool:
    """Whether its package is installed, of the extra `bench`."""
    return importlib.util.find_spec("ssimulacra2") is not None


def ssimulacra2(original: np.ndarray, decoded: np.ndarray) -> float | None:
    """A perceptual metric, at most 100, may be negative; `None` under 8 pixels a side, as its six scales need."""
    from PIL import Image
    from ssimulacra2 import compute_ssimulacra2

    if min(original.shape[:2]) < SSIMULACRA2_MIN_SIDE:
        return None
    files = io.BytesIO(), io.BytesIO()  # the package reads files only
    for file, pixels in zip(files, _pair(original, decoded), strict=True):
        Image.fromarray(pixels).save(file, "BMP")
    return float(compute_ssimulacra2(*files))
