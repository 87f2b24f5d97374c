"""Figure 1 of the paper: the same dev pictures as they come back after more and more epochs, beside the input."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont

from aecodec.files import write_atomic

GAP = 6
LABEL_HEIGHT = 28
LABEL_SIZE = 18


def write_figure1(path: Path, columns: Sequence[tuple[str, Sequence[np.ndarray]]]) -> None:
    """Write a JPEG: a label and one picture a row for each column, all uint8 [H, W, 3]. Raises OutputError."""
    heights = [max(pictures[row].shape[0] for _, pictures in columns) for row in range(len(columns[0][1]))]
    width = max(picture.shape[1] for _, pictures in columns for picture in pictures)
    size = len(columns) * (width + GAP) - GAP, LABEL_HEIGHT + sum(heights) + GAP * (len(heights) - 1)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(LABEL_SIZE)
    for place, (label, pictures) in enumerate(columns):
        left, top = place * (width + GAP), LABEL_HEIGHT
        draw.text((left + width // 2, LABEL_HEIGHT // 2), label, "black", font, anchor="mm")
        for height, picture in zip(heights, pictures, strict=True):
            sheet.paste(Image.fromarray(picture), (left, top))
            top += height + GAP
    stream = io.BytesIO()
    sheet.save(stream, "JPEG", quality=90, subsampling="4:4:4", optimize=True)
    write_atomic(path, stream.getvalue())
