"""The transparent colour of a PNG of 16-bit colours, of which Pillow delivers the upper bytes only.

PNG filters each byte of a pixel separately. So the lower bytes of all samples, with the filters of their
rows, make a PNG of 8-bit colours, which Pillow decodes.
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image


def lower_bytes(image: Image.Image) -> np.ndarray | None:
    """uint8 `[H, W, 3]` of an image with such a colour, not loaded yet; None for others and for interlaced files."""
    file = getattr(image, "fp", None)
    key = image.info.get("transparency")
    if image.format != "PNG" or image.mode != "RGB" or file is None or not isinstance(key, tuple):
        return None
    if image.info.get("interlace"):
        return None
    position = file.tell()
    file.seek(8)
    parts, (width, height) = [], image.size
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IDAT":
            parts.append(file.read(length))
        file.seek(4 if kind == b"IDAT" else length + 4, io.SEEK_CUR)
    file.seek(position)
    row = 1 + 6 * width
    samples = zlib.decompressobj().decompress(b"".join(parts), row * height)
    if len(samples) < row * height:
        return None  # loading tells what is wrong
    rows = np.frombuffer(samples, np.uint8).reshape(height, row)
    return _decoded(np.concatenate([rows[:, :1], rows[:, 2::2]], axis=1).tobytes(), image.size)


def masked(image: Image.Image, lower: np.ndarray) -> Image.Image:
    """The loaded image with alpha 0 where all 16 bits of a pixel are those of the transparent colour."""
    key = np.array(image.info["transparency"])
    hit = (np.asarray(image) == key >> 8).all(axis=2) & (lower == key & 255).all(axis=2)
    result = image.copy()
    del result.info["transparency"]
    result.putalpha(Image.fromarray(np.where(hit, 0, 255).astype(np.uint8)))
    return result


def _decoded(filtered: bytes, size: tuple[int, int]) -> np.ndarray:
    chunks = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(filtered, 1)), (b"IEND", b"")):
        chunks += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    from PIL.PngImagePlugin import PngImageFile

    return np.asarray(PngImageFile(io.BytesIO(chunks)))
