"""What a file declares or holds beside its pixels and Pillow ignores: colour spaces, depth, texts, raw data.

Colour spaces become ICC profiles, which `colour` applies. In PNG, cICP comes before sRGB, and both before gAMA and
cHRM, as its third edition says. A gamma close to 1/2.2 and primaries close to those of sRGB mean sRGB.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from typing import IO
from typing import Any
from typing import NamedTuple

import numpy as np
from PIL import Image

from aecodec.errors import InputError
from aecodec.image.profiles import SRGB_PRIMARIES
from aecodec.image.profiles import gamma_curve
from aecodec.image.profiles import matrix_profile
from aecodec.image.profiles import srgb_curve
from aecodec.limits import MAX_METADATA_BYTES

_START_BYTES = 1 << 16

# Code points of ITU-T H.273, as in cICP and nclx. Those left out are close to sRGB, or say nothing.
_PRIMARIES = {
    9: ("BT.2020", (0.3127, 0.329, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046)),
    12: ("Display P3", (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)),
}
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_HDR = {16: "PQ", 18: "HLG"}

_NEAR_GAMMA = (0.43, 0.48)  # of 1/2.2
_NEAR_PRIMARY = 0.01

# Texts of PNG that say nothing about the picture, or that are read as EXIF and XMP.
_IDLE_TEXTS = frozenset({"Software", "date:create", "date:modify", "date:timestamp"})
_METADATA_TEXTS = frozenset({"XML:com.adobe.xmp", "Raw profile type exif", "Raw profile type APP1"})
_MOST_NAMES = 5
_IPTC_TAG, _IPTC_RESOURCE = 33723, 0x0404

_SUBFILE_TYPE, _SUB_DIRECTORIES, _DNG_VERSION, _REDUCED = 254, 330, 50706, 1


class Declared(NamedTuple):
    """Read from the file while it is open, or given by a plugin."""

    bits: int = 8
    primaries: int = 2  # unspecified
    transfer: int = 2
    gain_map: bool = False
    profile: bytes = b""  # that Pillow does not read


def declared_by(image: Image.Image) -> Declared:
    """What the head of a PNG, AVIF or JPEG 2000 file or the plugin for HEIF says; else the defaults."""
    file = getattr(image, "fp", None)
    if image.format in ("HEIF", "HEIC"):  # names of pillow-heif
        told = image.info.get("nclx_profile") or {}
        primaries, transfer = int(told.get("color_primaries", 2)), int(told.get("transfer_characteristics", 2))
        return Declared(int(image.info.get("bit_depth") or 8), primaries, transfer)
    if image.format not in ("PNG", "AVIF", "JPEG2000") or file is None:
        return Declared()
    with suppress(OSError, ValueError, AttributeError):
        position = file.tell()
        try:
            file.seek(0)
            if image.format == "PNG":
                return _in_png(file)
            return _in_avif(file.read(_START_BYTES)) if image.format == "AVIF" else _in_jpeg2000(file)
        finally:
            file.seek(position)
    return Declared()


def _in_png(file: IO[bytes]) -> Declared:
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"cICP" and length == 4:
            return Declared(primaries=file.read(1)[0], transfer=file.read(1)[0])
        if kind == b"IDAT":
            break
        file.seek(length + 4, os.SEEK_CUR)
    return Declared()


def _in_avif(start: bytes) -> Declared:
    bits, at = 8, start.find(b"av1C")
    while at >= 0 and at + 6 < len(start):
        bits = max(bits, {0x40: 10, 0x60: 12}.get(start[at + 6] & 0x60, 8))
        at = start.find(b"av1C", at + 4)
    gain_map = b"tmap" in start[8:64]  # then a second picture has colours of its own
    at = start.find(b"colrnclx")
    if at < 0 or gain_map or at + 12 > len(start):
        return Declared(bits, gain_map=gain_map)
    return Declared(bits, *struct.unpack_from(">HH", start, at + 8))


def _in_jpeg2000(file: IO[bytes]) -> Declared:
    """The profile in the box `colr`, if it has one instead of a number."""
    start = file.read(_START_BYTES)
    at = start.find(b"colr\2", 0, max(start.find(b"jp2c"), 0))
    if at < 4:
        return Declared()
    length = min(int.from_bytes(start[at - 4 : at], "big") - 11, MAX_METADATA_BYTES)
    file.seek(at + 7)
    return Declared(profile=file.read(max(length, 0)))


def colour_space(image: Image.Image, declared: Declared, notices: list[str]) -> tuple[bytes, str]:
    """An ICC profile of the colours that a file declares by other means, and their name; empty if that is sRGB."""
    if declared.transfer in _HDR:
        notices.append(f"HDR colours ({_HDR[declared.transfer]}) are taken as sRGB: the picture looks flat")
        return b"", ""
    name, primaries = _PRIMARIES.get(declared.primaries, ("", SRGB_PRIMARIES))
    gamma = _GAMMAS.get(declared.transfer)
    if name or gamma:
        curve = gamma_curve(gamma) if gamma else srgb_curve()
        return matrix_profile(primaries, curve), " of ".join(filter(None, (name, f"gamma {gamma}" if gamma else "")))
    if image.format != "PNG" or declared != Declared() or "srgb" in image.info:
        return b"", ""
    try:
        return _by_gamma_and_primaries(image.info), "the gamma and primaries of the file"
    except (ValueError, ArithmeticError, struct.error):
        notices.append("the gamma and primaries of the file are damaged: colours are taken as sRGB")
        return b"", ""


def _by_gamma_and_primaries(info: dict[Any, Any]) -> bytes:
    """Empty if both are close to those of sRGB. Raises one of several errors if they make no sense."""
    gamma, primaries = info.get("gamma", 1 / 2.2), info.get("chromaticity", SRGB_PRIMARIES)
    usual = _NEAR_GAMMA[0] <= gamma <= _NEAR_GAMMA[1]
    near = np.abs(np.subtract(primaries, SRGB_PRIMARIES)).max() <= _NEAR_PRIMARY
    if usual and near:
        return b""
    return matrix_profile(SRGB_PRIMARIES if near else primaries, srgb_curve() if usual else gamma_curve(1 / gamma))


def tell_what_is_left_out(image: Image.Image, declared: Declared, notices: list[str]) -> None:
    """Notices of texts, comments, IPTC data and gain maps, which are not kept."""
    info: dict[Any, Any] = image.info
    if image.format == "PNG":
        names = [name for name, text in info.items() if isinstance(text, str)]
        names = [_one_line(name) for name in names if name not in _IDLE_TEXTS | _METADATA_TEXTS]
        if names:
            more = [] if len(names) <= _MOST_NAMES else [f"{len(names) - _MOST_NAMES} more"]
            notices.append(f"text of the PNG is dropped: {', '.join(names[:_MOST_NAMES] + more)}")
    if image.format in ("JPEG", "MPO", "GIF") and info.get("comment"):
        notices.append("the comment is dropped")
    photoshop = info.get("photoshop")
    tags = getattr(image, "tag_v2", {})
    if (isinstance(photoshop, dict) and photoshop.get(_IPTC_RESOURCE)) or _IPTC_TAG in tags:
        notices.append("the IPTC data is dropped")
    xmp = info.get("xmp", b"")
    if isinstance(xmp, bytes) and b"HasExtendedXMP" in xmp:
        notices.append("the extended XMP data is dropped")
    if declared.gain_map or (isinstance(xmp, bytes) and (b"hdrgm:" in xmp or b"HDRGainMap" in xmp)):
        notices.append("the gain map for HDR displays is dropped")


def _one_line(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name[:40])


def refuse_raw(image: Image.Image, name: str) -> None:
    """Raises InputError for a camera raw file, of which Pillow reads the preview."""
    tags: Any = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    kind = tags.get(_SUBFILE_TYPE)
    if isinstance(kind, int) and kind & _REDUCED and (_SUB_DIRECTORIES in tags or _DNG_VERSION in tags):
        width, height = image.size
        message = f"a camera raw file, of which only the preview of {width}x{height} pixels could be read"
        raise InputError(f"{name}: {message}; develop it first")
