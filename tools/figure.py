"""The README's picture: an original, aecodec's and JPEG's rendering of it at equal bytes, side by side."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from aecodec import api
from aecodec.bench.measure import within
from aecodec.bench.peers import peers_named
from aecodec.files import write_atomic
from aecodec.image.reading import open_picture

PHOTOS = ("lighthouse.png", "aqueduct.png")  # never trained on
GAP = 8


def write_figure(path: Path, photos: Path, weights: Path) -> None:
    """Rows: photographs. Columns: original, aecodec at its default quality, JPEG within as many bytes."""
    (jpeg,) = peers_named(["jpeg"])
    rows = []
    for name in PHOTOS:
        pixels = open_picture(photos / name).pixels
        data = api.encode(pixels, weights=weights / "standard.decoder.safetensors")
        decoded = api.decode_pixels(data, weights=weights / "standard.decoder.safetensors")
        rows.append(_beside([pixels, decoded, within(jpeg, pixels, len(data))]))
    gap = np.full((GAP, rows[0].shape[1], 3), 255, np.uint8)
    sheet = np.concatenate([part for row in rows for part in (row, gap)][:-1])
    stream = io.BytesIO()
    Image.fromarray(sheet).save(stream, "PNG", optimize=True)
    write_atomic(path, stream.getvalue())


def _beside(pictures: list[np.ndarray]) -> np.ndarray:
    gap = np.full((pictures[0].shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], axis=1)
