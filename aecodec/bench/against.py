"""A file and the picture it was made from, as arrays that can be compared and shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aecodec import api
from aecodec.batch.jobs import naming
from aecodec.errors import InputError
from aecodec.image.reading import Picture
from aecodec.image.reading import from_image
from aecodec.image.reading import open_picture

_WHITE = 255


def decoded_beside(data: bytes, name: str | Path, source: Path, partial: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The picture `source` and the decoded file of this name, both as sRGB or grey, uint8 [H, W, 3] or [H, W].

    If both have alpha, both are seen over white, since the file does not store colours under full transparency. If only
    one has alpha, it is ignored. `partial`: as for `api.decode`.

    Raises AecError, with the name of the file at fault; of `source`, if they differ in size.
    """
    original = open_picture(source)
    with naming(name):
        decoded = from_image(api.decode(data, partial=partial))
    if original.pixels.shape[:2] != decoded.pixels.shape[:2]:
        sizes = [f"{picture.pixels.shape[1]}x{picture.pixels.shape[0]}" for picture in (original, decoded)]
        raise InputError(f"{source}: {sizes[0]} pixels, where {name} has {sizes[1]}")
    if original.extras.alpha is None or decoded.extras.alpha is None:
        return original.pixels, decoded.pixels
    return over_white(original), over_white(decoded)


def decoded_alone(data: bytes) -> np.ndarray:
    """The decoded file in the same way, as seen over white. Raises AecError."""
    return over_white(from_image(api.decode(data)))


def over_white(picture: Picture) -> np.ndarray:
    """Its pixels as a white page shows them."""
    alpha = picture.extras.alpha
    if alpha is None:
        return picture.pixels
    weight = alpha if picture.pixels.ndim == 2 else alpha[:, :, None]
    seen = _WHITE + (picture.pixels.astype(np.float32) - _WHITE) * (weight / np.float32(255))
    return np.rint(seen).astype(np.uint8)
