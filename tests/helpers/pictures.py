"""Pictures made for a test, and pictures that Pillow does not write."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from aecodec.image.reading import Picture


def noise(*shape: int, top: int = 256, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(7).integers(0, top, shape).astype(dtype)


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Something with edges, slopes and some noise, uint8 [H, W, 3]."""
    y, x = np.mgrid[0:height, 0:width] / 16
    noise = np.random.default_rng(seed).normal(0, 6, (height, width, 3))
    planes = [np.sin(x + k) * 60 + np.where((x + y) % 5 > 3, 70, -20) + 8 * y % 40 for k in range(3)]
    return (np.stack(planes, axis=2) + 110 + noise).clip(0, 255).astype(np.uint8)


def tiff(pixels: bytes, size: tuple[int, int], tags: dict[int, tuple[int, ...]], order: str = "<") -> io.BytesIO:
    """A TIFF of one strip, or of equal planes, built by hand: Pillow writes few layouts. A tag is short numbers."""
    planes = tags[277][0] if tags.get(284) == (2,) else 1
    share = len(pixels) // planes
    longs = {256: size[:1], 257: size[1:], 278: size[1:], 279: (share,) * planes}
    longs[273] = tuple(8 + plane * share for plane in range(planes))
    directory, values = struct.pack(f"{order}H", len(tags | longs)), b""
    behind = 8 + len(pixels) + 2 + 12 * len(tags | longs) + 4
    for tag, content in sorted((tags | longs).items()):
        kind, letter = (4, "I") if tag in longs else (3, "H")
        data = struct.pack(f"{order}{len(content)}{letter}", *content)
        if len(data) > 4:
            data, values = struct.pack(f"{order}I", behind + len(values)), values + data + bytes(len(data) % 2)
        directory += struct.pack(f"{order}HHI", tag, kind, len(content)) + data.ljust(4, b"\0")
    magic = b"II*\0" if order == "<" else b"MM\0*"
    start = magic + struct.pack(f"{order}I", 8 + len(pixels))
    return io.BytesIO(start + pixels + directory + bytes(4) + values)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    samples: np.ndarray, colour_type: int, *, extra: bytes = b"", size: tuple[int, int] | None = None, bits: int = 0
) -> io.BytesIO:
    """A PNG built by hand, since Pillow writes no 16-bit colour: uint8 or uint16 samples `[H, W, channels]`.

    Samples of fewer `bits` come packed, with the `size` of the picture.
    """

    width, height = size or (samples.shape[1], samples.shape[0])
    header = struct.pack(">IIBBBBB", width, height, bits or 8 * samples.itemsize, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(f">u{samples.itemsize}").tobytes() for row in samples)
    chunks = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + chunks)


def file_of(image: Image.Image, format: str, **options: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, format, **options)
    file.seek(0)
    return file


def assert_pixels(picture: Picture, expected: np.ndarray) -> None:
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.flags.c_contiguous
    np.testing.assert_array_equal(picture.pixels, expected)


def assert_alpha(picture: Picture, expected: np.ndarray | None) -> None:
    assert (picture.extras.alpha is None) == (expected is None)
    if picture.extras.alpha is not None:
        assert picture.extras.alpha.dtype == np.uint8
        np.testing.assert_array_equal(picture.extras.alpha, expected)


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif
