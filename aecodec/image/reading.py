"""Picture files and Pillow images to upright 8-bit arrays.

Any picture that Pillow opens becomes sRGB, `[H, W, 3]`, or grey, `[H, W]`. Grey is what the file declares grey (modes
1, L, LA, I, I;16, F); a colour picture whose channels happen to be equal stays colour. Alpha is kept if some of it is
below 255, metadata on request. Every loss and every change is a notice of one line.

With a kept profile the pixels stay in its colour space. A profile that cannot describe them (of inks, or of colours for
a grey picture) is applied and left out, like any profile that is not kept.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image
from PIL import UnidentifiedImageError

from aecodec.errors import AecError
from aecodec.errors import InputError
from aecodec.errors import LimitExceeded
from aecodec.format.extras import NOTHING
from aecodec.format.extras import Extras
from aecodec.image.colour import describes
from aecodec.image.colour import to_srgb
from aecodec.image.declared import colour_space
from aecodec.image.declared import declared_by
from aecodec.image.declared import refuse_raw
from aecodec.image.declared import tell_what_is_left_out
from aecodec.image.exif import exif_of
from aecodec.image.exif import orientation_of
from aecodec.image.exif import xmp_of
from aecodec.image.key_colour import lower_bytes
from aecodec.image.key_colour import masked
from aecodec.image.opening import open_image
from aecodec.image.samples import key_in_eight_bits
from aecodec.image.samples import put_planes_right
from aecodec.image.samples import stored_as
from aecodec.image.samples import to_eight_bit
from aecodec.image.writing import reason
from aecodec.inputs import Source
from aecodec.limits import MAX_PIXELS
from aecodec.limits import exceeded_limit

# EXIF orientation -> transpose, then flip rows, then flip columns; 1 and anything unknown is upright.
_TURNS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}

# Pillow hands these to another program (Ghostscript), which is unsafe with untrusted pictures.
_PROGRAM_FORMATS = frozenset({"EPS"})

_STRIP_ROWS = 256


@dataclass(frozen=True, eq=False)
class Picture:
    """Upright 8-bit samples, their alpha and metadata, and notices of what was lost or changed."""

    pixels: np.ndarray  # uint8 [H, W, 3] or [H, W], C-contiguous; sRGB, or of the profile in extras
    notices: tuple[str, ...] = ()
    extras: Extras = NOTHING


def open_picture(
    source: Source,
    *,
    max_pixels: int = MAX_PIXELS,
    alpha: bool = True,
    metadata: Collection[str] = (),
) -> Picture:
    """Reads a picture file, recognised by its content, not by its name; of several frames, the first.

    `alpha`: whether to keep it. `metadata`: which of "icc", "exif" and "xmp" to keep. Raises InputError if the file is
    missing, damaged or no picture, and LimitExceeded, before anything is decoded, if it has more than `max_pixels`
    pixels or a side above MAX_SIDE.
    """
    name = _name(source)
    with _pillow_errors(name):
        image = open_image(source, lambda width, height: _check_size((width, height), name, max_pixels))
    with image:
        if image.format in _PROGRAM_FORMATS:
            raise InputError(f"{name}: {image.format} files are not read")
        refuse_raw(image, name)
        return _to_picture(image, name, max_pixels, alpha, metadata)


def from_image(
    image: Image.Image, *, max_pixels: int = MAX_PIXELS, alpha: bool = True, metadata: Collection[str] = ()
) -> Picture:
    """The same for the current frame of a Pillow image. Raises as `open_picture`."""
    return _to_picture(image, "picture", max_pixels, alpha, metadata)


def _to_picture(image: Image.Image, name: str, max_pixels: int, alpha: bool, metadata: Collection[str]) -> Picture:
    _check_size(image.size, name, max_pixels)
    notices: list[str] = []
    with _pillow_errors(name):
        if getattr(image, "is_animated", False):
            notices.append("of several frames only one is kept")
        put_planes_right(image)
        stored, declared = stored_as(image), declared_by(image)
        lower = lower_bytes(image) if stored.bits == 16 else None
        image.load()
    _check_size(image.size, name, max_pixels)  # some readers learn it only now
    with _pillow_errors(name):
        orientation = orientation_of(image, notices)
        profile = image.info.get("icc_profile") or declared.profile
        exif, xmp = exif_of(image, "exif" in metadata, notices), xmp_of(image, "xmp" in metadata, notices)
        tell_what_is_left_out(image, declared, notices)
        plain = to_eight_bit(image, stored._replace(bits=max(stored.bits, declared.bits)), notices)
        if lower is not None:
            plain = masked(plain, lower)
        plain, mask = _split_alpha(plain, alpha, key_in_eight_bits(plain, stored, notices), notices)
        kept = profile if "icc" in metadata and describes(profile, plain) else b""
        if profile:
            plain = to_srgb(plain, b"" if kept else profile, "the ICC profile", notices)
        else:
            plain = to_srgb(plain, *colour_space(image, declared, notices), notices)
        extras = Extras(None if mask is None else _upright(_to_array(mask), orientation), kept, exif, xmp)
        return Picture(_upright(_to_array(plain), orientation), tuple(notices), extras)


def _check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise InputError(f"{name}: the picture is empty ({width}x{height} pixels)")
    if limit := exceeded_limit(width, height, max_pixels):
        raise LimitExceeded(f"{name}: {width}x{height} pixels exceed the limit of {limit}")


def _split_alpha(
    image: Image.Image, keep: bool, key: object, notices: list[str]
) -> tuple[Image.Image, Image.Image | None]:
    """The colours as stored, even under alpha 0, and alpha, unless the picture is opaque; `key` is transparent."""
    if not image.has_transparency_data:
        return image, None
    if key != image.info.get("transparency"):
        image = image.copy()
        image.info["transparency"] = key
    grey = image.mode in ("1", "L", "LA", "La")
    image = image.convert("LA" if grey else "RGBA")
    alpha = image.getchannel("A")
    colours = image.convert("L" if grey else "RGB")
    if alpha.getextrema()[0] == 255:
        return colours, None
    if not keep:
        notices.append("the alpha channel is dropped")
    return colours, alpha if keep else None


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    transpose, flip_rows, flip_columns = _TURNS.get(orientation, (False, False, False))
    if transpose:
        pixels = pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1])


def _to_array(image: Image.Image) -> np.ndarray:
    """uint8 `[H, W, 3]` or `[H, W]`; in strips, because np.asarray of a whole image holds it three times."""
    width, height = image.size
    pixels = np.empty((height, width, 3) if image.mode == "RGB" else (height, width), np.uint8)
    for top in range(0, height, _STRIP_ROWS):
        bottom = min(top + _STRIP_ROWS, height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, width, bottom)))
    return pixels


@contextmanager
def _pillow_errors(name: str) -> Iterator[None]:
    """Turns what Pillow raises into one line. On damaged files its readers raise far more than OSError."""
    try:
        yield
    except AecError:
        raise
    except Image.DecompressionBombError as error:
        # It names its own limit and the size, and says more that would alarm.
        what = reason(error).partition(", could be")[0].replace("Image size", "image size")
        raise LimitExceeded(f"{name}: {what}, which Pillow sets for files of this format") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{name}: not a picture of a format that can be read") from error
    except OSError as error:
        problem = "" if error.errno is not None else "the picture cannot be decoded: "
        raise InputError(f"{name}: {problem}{reason(error)}") from error
    except Exception as error:
        raise InputError(f"{name}: the picture cannot be decoded: {reason(error)}") from error


def _name(source: Source) -> str:
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "picture"
