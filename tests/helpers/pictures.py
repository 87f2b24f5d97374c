"""Pictures made for a test, and pictures that Pillow does not write."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Something with edges, slopes and some noise, uint8 [H, W, 3]."""
    y, x = np.mgrid[0:height, 0:width] / 16
    noise = np.random.default_rng(seed).normal(0, 6, (height, width, 3))
    planes = [np.sin(x + k) * 60 + np.where((x + y) % 5 > 3, 70, -20) + 8 * y % 40 for k in range(3)]
    return (np.stack(planes, axis=2) + 110 + noise).clip(0, 255).astype(np.uint8)


def png(
    samples: np.ndarray, colour_type: int, *, extra: bytes = b"", size: tuple[int, int] | None = None
) -> io.BytesIO:
    """A PNG built by hand, since Pillow writes no 16-bit colour: uint8 or uint16 samples `[H, W, channels]`."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    width, height = size or (samples.shape[1], samples.shape[0])
    header = struct.pack(">IIBBBBB", width, height, 8 * samples.itemsize, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(f">u{samples.itemsize}").tobytes() for row in samples)
    chunks = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + chunks)
