"""Pictures reduced for coding, and enlarged again to the size they are shown at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from PIL import Image

from aecodec.codec.small import CODED_SIDE
from aecodec.format.compact import LARGEST_REDUCED
from aecodec.format.compact import reduced_size
from aecodec.format.extras import Extras
from aecodec.format.header import Size
from aecodec.geometry import TILE
from aecodec.image.reading import Picture
from aecodec.image.writing import to_image

# Bits per coded pixel at which a reduced picture can come closest to the original: more where there is more detail.
_BITS_PER_PIXEL = (0.095, 0.13, 0.18, 0.27, 0.42)
_SIDE_STEP = 32  # the coded grid: pixels beyond it would be coded for nothing
_LEAST_SIDE = 8  # on a grid of 32x32, so that only its detail is less


def sides_for(display: Size, allowed: int, compact: bool = False) -> list[int]:
    """Longer sides to try for a file of `allowed` bytes, the largest first; those that its form holds."""
    longer = max(display)
    steps = [side for side in range(_SIDE_STEP, longer, _SIDE_STEP) if not compact or side <= LARGEST_REDUCED]
    steps += [longer] if not compact or longer <= TILE or not steps else []
    sides = set()
    for bits in _BITS_PER_PIXEL:
        fitting = [side for side in steps if _coded_area(display, side) * bits <= 8 * allowed]
        sides.add(fitting[-1] if fitting else steps[0])
    return sorted(sides, reverse=True)


def smaller_sides(side: int) -> Iterator[int]:
    """Half the side, and half of that, down to the least one."""
    while (side := side // 2) >= _LEAST_SIDE:
        yield side - side % _LEAST_SIDE


def _coded_area(display: Size, side: int) -> int:
    width, height = display if side == max(display) else reduced_size(display, side)
    return max(width, CODED_SIDE) * max(height, CODED_SIDE)


def reduced(picture: Picture, side: int) -> Picture:
    """The picture with a longer side of `side` pixels; unchanged if it is no larger. Alpha is reduced with it."""
    height, width = picture.pixels.shape[:2]
    if side >= max(width, height):
        return picture
    image = to_image(picture.pixels, Extras(picture.extras.alpha))
    samples = np.asarray(resized(image, reduced_size((width, height), side)))  # colours weighted by their alpha
    if picture.extras.alpha is None:
        return replace(picture, pixels=samples)
    pixels = samples[..., 0] if picture.pixels.ndim == 2 else samples[..., :3]
    return replace(
        picture, pixels=np.ascontiguousarray(pixels), extras=replace(picture.extras, alpha=samples[..., -1].copy())
    )


def resized(image: Image.Image, size: Size) -> Image.Image:
    """The image at another size, by Lanczos; its `info` stays."""
    result = image.resize(size, Image.Resampling.LANCZOS)
    result.info = image.info
    return result


def error_at(original: Picture, coded: np.ndarray) -> float:
    """Mean squared error of a coded picture, shown at the size of the original; transparent pixels count by alpha."""
    pixels, alpha = original.pixels, original.extras.alpha
    height, width = pixels.shape[:2]
    shown = coded if coded.shape == pixels.shape else np.asarray(resized(Image.fromarray(coded), (width, height)))
    error = np.subtract(pixels, shown, dtype=np.float32) ** 2
    if alpha is not None:
        error *= (alpha if error.ndim == 2 else alpha[..., None]) / np.float32(255)
    return float(np.mean(error, dtype=np.float64))
