"""Pictures reduced for coding, and enlarged again to the size they are shown at."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from PIL import Image

from aecodec.format.compact import reduced_size
from aecodec.format.header import Size
from aecodec.image.reading import Picture

# Bits per coded pixel at which a reduced picture can come closest to the original: more where there is more detail.
_BITS_PER_PIXEL = (0.095, 0.13, 0.18, 0.27, 0.42)
_SIDE_STEP = 32  # the coded grid: pixels beyond it would be coded for nothing
_LEAST_SIDE = 8  # on a grid of 32x32, so that only its detail is less


def sides_for(display: Size, allowed: int) -> list[int]:
    """Longer sides to try for a file of `allowed` bytes, the largest first; the last one fits if any does."""
    longer, shorter = max(display), min(display)
    wished = (math.sqrt(8 * allowed / bits * longer / shorter) for bits in _BITS_PER_PIXEL)
    stepped = {max(_SIDE_STEP * round(side / _SIDE_STEP), _SIDE_STEP) for side in wished}
    return sorted({min(side, longer) for side in (*stepped, _LEAST_SIDE)}, reverse=True)


def reduced(picture: Picture, side: int) -> Picture:
    """The picture with a longer side of `side` pixels; unchanged if it is no larger. Alpha is reduced with it."""
    height, width = picture.pixels.shape[:2]
    if side >= max(width, height):
        return picture
    size, extras = reduced_size((width, height), side), picture.extras
    if extras.alpha is not None:
        extras = replace(extras, alpha=np.asarray(resized(Image.fromarray(extras.alpha), size)))
    return replace(picture, pixels=np.asarray(resized(Image.fromarray(picture.pixels), size)), extras=extras)


def resized(image: Image.Image, size: Size) -> Image.Image:
    """The image at another size, by Lanczos; its `info` stays."""
    result = image.resize(size, Image.Resampling.LANCZOS)
    result.info = image.info
    return result


def error_at(original: np.ndarray, coded: np.ndarray) -> float:
    """Mean squared error of a coded picture, shown at the size of the original."""
    height, width = original.shape[:2]
    shown = coded if coded.shape == original.shape else np.asarray(resized(Image.fromarray(coded), (width, height)))
    return float(np.mean(np.subtract(original, shown, dtype=np.float32) ** 2, dtype=np.float64))
