"""Samples of more than 8 bits to 8.

Integers are scaled by their stated depth: its upper 8 bits stay. Grey of 32 bits and floating-point grey rarely use the
whole depth that they state, and a picture scaled by it would be black. The range taken for them is the smallest of 0..1
(floats only), 0..255, 0..65535, 24 bits and the whole depth that holds every value; values a little above 65535 are
clipped. Values below 0 are black. A notice names the range.
"""

from __future__ import annotations

import math
from typing import Any
from typing import NamedTuple

import numpy as np
from PIL import Image

_BITS_PER_SAMPLE, _COMPRESSION, _PHOTOMETRIC, _PLANES, _SAMPLE_FORMAT = 258, 259, 262, 284, 339
_WHITE_IS_ZERO = 0
_UNSIGNED, _SIGNED = 1, 2
_PLANAR = 2
_SIZ = b"\xff\x4f\xff\x51"  # start of codestream, then its sizes
_HEADER_BYTES = 1 << 16
_DARK = 4095  # 16-bit grey below this is often 12-bit grey that was stored without scaling


class Stored(NamedTuple):
    """How a file stores its samples, as far as Pillow does not undo it."""

    bits: int = 8
    signed: bool = False
    unsigned: bool = False  # stated; Pillow reads unsigned samples of 32 bits as signed ones
    inverted: bool = False  # 0 is white


def stored_as(image: Image.Image) -> Stored:
    """Depth and sign of the samples in the file: Pillow silently cuts those of colour pictures to 8 bits.

    Only an image not yet loaded tells, by its decoding instructions: the raw mode, or the largest value of a PPM.
    """
    tags: Any = getattr(image, "tag_v2", None)
    if tags is not None and image.format == "TIFF":
        bits, kind = tags.get(_BITS_PER_SAMPLE, (1,)), tags.get(_SAMPLE_FORMAT, (1,))[0]
        deep = image.mode == "F" or image.mode.startswith("I")
        inverted = deep and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO  # which Pillow minds up to 8 bits
        return Stored(max(*bits, 8), kind == _SIGNED and image.mode in ("L", "I"), deep and kind == _UNSIGNED, inverted)
    for tile in getattr(image, "tile", ()):
        codec, arguments = tile[0], tile[3]
        for argument in arguments if isinstance(arguments, tuple) else (arguments,):
            if isinstance(argument, str) and ";16" in argument:
                return Stored(16)
            if argument in ("L;2", "L;4"):
                return Stored(int(argument[2:]))
            if codec == "ppm" and isinstance(argument, int) and argument > 255:
                return Stored(16)
    if image.format == "JPEG2000":
        return Stored(_jpeg2000_bits(image))
    return Stored(16 if image.mode.startswith("I;16") else 8 if image.mode != "I" else 32)


def put_planes_right(image: Image.Image) -> None:
    """Mends the decoding instructions of a TIFF in separate planes, which Pillow builds for 8-bit colours only."""
    tags: Any = getattr(image, "tag_v2", None)
    if tags is None or not getattr(image, "tile", ()) or tags.get(_PLANES) != _PLANAR or tags.get(_COMPRESSION, 1) != 1:
        return
    channels = image.getbands()
    if len(channels) == 1:  # one plane is no different from samples side by side
        tags[_PLANES] = 1
        image._setup()  # type: ignore[attr-defined]
        return
    if max(tags[_BITS_PER_SAMPLE]) == 16:
        order = ";16L" if tags.prefix == b"II" else ";16B"
        image.tile = [  # type: ignore[attr-defined]
            tile._replace(args=(tile.args[0] + order, *tile.args[1:]))
            for tile in image.tile  # type: ignore[attr-defined]
        ]


def to_eight_bit(image: Image.Image, stored: Stored, notices: list[str]) -> Image.Image:
    """Mode L for the deep grey modes I, I;16 and F; other modes unchanged, with a notice if the file was deeper."""
    if image.mode != "F" and not image.mode.startswith("I"):
        if stored.bits > 8:
            notices.append(f"{stored.bits}-bit samples are reduced to 8 bits")
        return _from_signed_bytes(image, notices) if stored.signed else image
    samples = np.asarray(image)
    if image.mode == "F":
        levels = _from_floats(samples, notices)
    elif stored.bits <= 16:
        levels = _from_short(samples, stored, image.format == "JPEG2000", notices)
    else:
        levels = _from_integers(samples, stored, notices)
    grey = Image.fromarray(255 - levels if stored.inverted else levels)
    key = image.info.get("transparency")
    if isinstance(key, int):
        grey.putalpha(Image.fromarray(np.where(samples == key, 0, 255).astype(np.uint8)))
    return grey


def key_in_eight_bits(image: Image.Image, stored: Stored, notices: list[str]) -> object:
    """The transparent colour of an image, in its 8-bit samples: Pillow leaves it in those of the file."""
    key = image.info.get("transparency")
    if isinstance(key, int) and image.mode == "L":
        return key * 255 // (2**stored.bits - 1)
    if isinstance(key, tuple) and stored.bits == 16 and image.mode == "RGB":
        notices.append("the transparent colour is compared in the upper 8 bits of 16")
        return tuple(level >> 8 for level in key)
    return key


def _from_signed_bytes(image: Image.Image, notices: list[str]) -> Image.Image:
    """Pillow takes them as unsigned ones."""
    samples = np.asarray(image).view(np.int8)
    notices.append(f"signed 8-bit samples are taken as 0..127{_below_zero(samples)}")
    return Image.fromarray(np.rint(samples.clip(0) * (255 / 127)).astype(np.uint8))


def _from_short(samples: np.ndarray, stored: Stored, scaled: bool, notices: list[str]) -> np.ndarray:
    """Pillow delivers 12-bit samples of TIFF as they are, and scales those of other formats to 16 bits."""
    bits = 16 if scaled else stored.bits - stored.signed
    taken = f", taken as 0..{2**bits - 1}," if stored.signed else ""
    notices.append(f"{stored.bits}-bit samples{taken} are reduced to 8 bits{_below_zero(samples)}")
    if bits >= 15 and samples.max() <= _DARK:
        notices.append(f"no 16-bit sample is above {samples.max()} of {2**bits - 1}: the picture is dark as stored")
    levels: np.ndarray = (np.clip(samples, 0, 2**bits - 1) >> (bits - 8)).astype(np.uint8)
    return levels


def _from_integers(samples: np.ndarray, stored: Stored, notices: list[str]) -> np.ndarray:
    values = samples.view(np.uint32) if stored.unsigned else samples
    top = _range_of(int(values.max()), 2**32 - 1 if stored.unsigned else 2**31 - 1)
    notices.append(f"32-bit samples, taken as 0..{top}, are reduced to 8 bits{_below_zero(values)}")
    levels: np.ndarray = (np.clip(values, 0, top) >> (top.bit_length() - 8)).astype(np.uint8)
    return levels


def _from_floats(samples: np.ndarray, notices: list[str]) -> np.ndarray:
    finite = samples[np.isfinite(samples)]
    largest = float(finite.max()) if finite.size else 0.0
    top = 1 if largest <= 1 else _range_of(largest, math.ceil(largest))
    notices.append(f"floating-point samples, taken as 0..{top}, are rounded to 8 bits{_below_zero(finite)}")
    levels: np.ndarray = np.rint(np.clip(np.nan_to_num(samples), 0, top) * (255 / top)).astype(np.uint8)
    return levels


def _range_of(largest: float, whole: int) -> int:
    """The largest value of the range that holds `largest`; `whole` is that of the stated depth."""
    if largest <= 255:
        return 255
    if largest < 2 * 65536:  # as 24 bits it would be black
        return 65535
    return 2**24 - 1 if largest < 2**24 else whole


def _below_zero(samples: np.ndarray) -> str:
    return "; negative ones are black" if samples.size and samples.min() < 0 else ""


def _jpeg2000_bits(image: Image.Image) -> int:
    """Bits of a sample by the SIZ marker of a JPEG 2000 codestream."""
    file = getattr(image, "fp", None)
    if file is None:
        return 8
    position = file.tell()
    file.seek(0)
    start = file.read(_HEADER_BYTES)
    file.seek(position)
    at = start.find(_SIZ)
    depths = start[at + 42 : at + 43] if at >= 0 else b""
    return (depths[0] & 0x7F) + 1 if depths else 8
