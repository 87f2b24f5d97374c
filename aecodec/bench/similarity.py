"""SSIMULACRA2, from the package of that name: the port to NumPy and SciPy of the metric of libjxl's authors.

Optional: it comes with the extra `bench`, and what is measured without it says `None`.
"""

from __future__ import annotations

import importlib.util
import io

import numpy as np
from PIL import Image

from aecodec.bench.metrics import as_rgb

# The metric compares at six scales and wants the finest to have this many pixels a side.
MIN_SIDE = 8


def available() -> bool:
    """Whether the package is installed."""
    return importlib.util.find_spec("ssimulacra2") is not None


def ssimulacra2(original: np.ndarray, decoded: np.ndarray) -> float | None:
    """At most 100, may be negative; of two pictures uint8 [H, W, 3] or [H, W]. `None` under 8 pixels a side."""
    from ssimulacra2 import compute_ssimulacra2

    if min(original.shape[:2]) < MIN_SIDE:
        return None
    return float(compute_ssimulacra2(_file(original), _file(decoded)))


def _file(pixels: np.ndarray) -> io.BytesIO:
    """The package reads files only: an uncompressed one in memory."""
    file = io.BytesIO()
    Image.fromarray(as_rgb(pixels)).save(file, "BMP")
    return file
