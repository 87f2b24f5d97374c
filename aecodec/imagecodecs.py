"""Arrays to `.aec` bytes and back by the calls of imagecodecs: `aec_encode`, `aec_decode`, `aec_check`, `aec_version`.

    data = aec_encode(pixels, level=40)
    pixels = aec_decode(data)

Pixels are uint8 [H, W, 3] or [H, W] (grey), with alpha [H, W, 4] or [H, W, 2]; grey may be given as [H, W, 1]. Options
and errors are those of `aecodec.api`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aecodec import __version__
from aecodec import api
from aecodec.errors import AecError
from aecodec.errors import InputError
from aecodec.errors import OutputError
from aecodec.format.compact import is_compact
from aecodec.format.header import MAGIC
from aecodec.info import as_bytes
from aecodec.info import read_info


def aec_encode(
    data: np.ndarray,
    level: float | None = None,
    *,
    out: bytearray | memoryview | None = None,
    **options: Any,
) -> bytes:
    """Encodes an array to the bytes of an `.aec` file.

        data = aec_encode(pixels, 40)

    `data`: uint8 [H, W, 3], [H, W] or [H, W, 1]; with alpha [H, W, 4] or [H, W, 2], stored unless all of it is 255.
    `level`: quality 0..100, by default the model's own. `out`: a writable buffer; the file returned is copied to its
    start. `options`: the others of `aecodec.encode`, by keyword.
    Raises AecError: InputError for another array, OutputError if `out` is read-only or too small.
    """
    if not isinstance(data, np.ndarray):
        raise InputError(f"data must be an array, not {type(data).__name__}")
    encoded = api.encode(data, level, **options)
    if out is not None:
        view = memoryview(out).cast("B")
        if view.readonly or len(view) < len(encoded):
            raise OutputError(f"out must be a writable buffer of at least {len(encoded)} bytes")
        view[: len(encoded)] = encoded
    return encoded


def aec_decode(data: bytes | bytearray | memoryview, *, out: np.ndarray | None = None) -> np.ndarray:
    """Decodes the bytes of an `.aec` file to a uint8 array [H, W, 3], or [H, W] where it is grey.

    Stored alpha is the last channel: [H, W, 4] or [H, W, 2].

        pixels = aec_decode(data)
        aec_decode(data, out=frames[7])

    `out`: a uint8 array of that shape, or [H, W, 1] for grey, contiguous or not, that receives the pixels and is
    returned. Raises as `aecodec.decode`, and OutputError before anything is decoded if `out` does not fit.
    """
    if out is None:
        return api.decode_pixels(data)
    info = read_info(data)
    shape = (info.height, info.width) if info.mode == "L" else (info.height, info.width, len(info.mode))
    fits = isinstance(out, np.ndarray) and out.shape in (shape, (*shape, 1)[:3])
    if not fits or out.dtype != np.uint8 or not out.flags.writeable:
        raise OutputError(f"out must be a writable uint8 array of shape {list(shape)}")
    out[...] = api.decode_pixels(data).reshape(out.shape)
    return out


def aec_check(data: bytes | bytearray | memoryview) -> bool:
    """Whether bytes begin as an `.aec` file does, or are a whole file of the compact form.

        aec_check(Path("in.aec").read_bytes())

    Of the full form, the first four bytes suffice. `aecodec.verify` checks a whole file.
    """
    data = as_bytes(data)
    if not is_compact(data):
        return data.startswith(MAGIC)
    try:
        return read_info(data).complete is True
    except AecError:
        return False


def aec_version() -> str:
    """Name and version of this library, as in "aecodec 1.0.0"."""
    return f"aecodec {__version__}"
