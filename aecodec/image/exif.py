"""EXIF and XMP of a Pillow image: its orientation, and both blocks made right for the upright picture."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from PIL import ExifTags
from PIL import Image

from aecodec.image.exif_block import Block

_ORIENTATION = ExifTags.Base.Orientation

# Tags on the layout of a TIFF file or a thumbnail, useless outside it.
_LAYOUT = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 330, 332, 338, 339}
    | {347, 512, 513, 514, 529, 530, 532}
    | {700, 33723, 34377, 34675}  # XMP, IPTC, Photoshop's own, ICC
)
# Tags that say nothing about the photograph: resolution, sample positions, place of the camera tags.
_IDLE = frozenset({274, 282, 283, 296, 531})

_XMP_ORIENTATION = re.compile(rb'(tiff:Orientation(?:="|>))[0-9]+')


class _Text(str):
    """Text of a tag. Pillow reads any bytes as Latin-1, but writes ASCII and question marks."""

    def encode(self, encoding: str = "", errors: str = "") -> bytes:
        try:
            return super().encode("latin-1")
        except UnicodeEncodeError:  # set by the caller in Python
            return super().encode("utf-8")


class _Directories(Image.Exif):
    """Tags with directories as their values: `get_ifd` of Pillow's own looks into a file."""

    def get_ifd(self, tag: int) -> dict[int, Any]:
        value = self.get(tag)
        return value if isinstance(value, dict) else super().get_ifd(tag)


def orientation_of(image: Image.Image, notices: list[str]) -> int:
    """The EXIF orientation of a loaded image; upright, with a notice, if the EXIF block cannot be read."""
    try:
        block = _block_of(image)
        return _as_number(image.getexif().get(_ORIENTATION, 1)) if block is None else block.orientation()
    except Exception:  # Pillow's parser raises many kinds of error on damage
        notices.append("the EXIF data is damaged: the picture is taken as upright")
        return 1


def exif_of(image: Image.Image, keep: bool, notices: list[str]) -> bytes:
    """The EXIF block of a loaded image, upright and without thumbnail, from its byte order mark on.

    A block in the file comes as it is. That of a TIFF, or one changed in Python, is written by Pillow. Empty if there
    is none or none is to be kept; then a notice says so, if it tells anything about the photograph.
    """
    try:
        block = _stored_block(image) or _block_of(image)
        if block is None:
            tags = upright(image.getexif())
            told, content = set(tags), tags.tobytes().removeprefix(b"Exif\0\0") if keep and len(tags) else b""
        else:
            told = {entry.tag for entry in block.entries(block.first)}
            block.turn_upright()
            block.cut_thumbnail()
            content = bytes(block.data) if keep and told else b""
    except Exception:  # as above
        if keep:
            notices.append("the EXIF data is damaged and dropped")
        return b""
    if not keep and told - _IDLE:
        notices.append("the EXIF data is dropped")
    return content


def xmp_of(image: Image.Image, keep: bool, notices: list[str]) -> bytes:
    """The XMP packet of a loaded image with an orientation of 1; empty, with a notice, if it is not kept."""
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    packet = packet.encode() if isinstance(packet, str) else bytes(packet)
    if packet and not keep:
        notices.append("the XMP data is dropped")
    return _XMP_ORIENTATION.sub(rb"\g<1>1", packet) if keep else b""


def upright(exif: Image.Exif) -> Image.Exif:
    """A copy with an orientation of 1, if it had one, and the tags of camera and place; Pillow omits the rest."""
    block = _Directories()
    block.endian = exif.endian
    for tag, value in exif.items():
        if tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            block[tag] = _plain(exif.get_ifd(tag))
        elif tag not in _LAYOUT:
            block[tag] = _plain(value)
    camera = block.get(ExifTags.IFD.Exif, {})
    if ExifTags.IFD.Interop in camera:
        camera[ExifTags.IFD.Interop] = _plain(exif.get_ifd(ExifTags.IFD.Interop))
    sides = ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight
    if _as_number(block.get(_ORIENTATION, 1)) >= 5 and camera.keys() >= set(sides):
        camera[sides[0]], camera[sides[1]] = camera[sides[1]], camera[sides[0]]
    if _ORIENTATION in block:
        block[_ORIENTATION] = 1
    return block


def _plain(value: Any) -> Any:
    """A tag's value, or a directory, whose text keeps its bytes."""
    if isinstance(value, dict):
        return {tag: _plain(own) for tag, own in value.items()}
    return _Text(value) if isinstance(value, str) else value


def _block_of(image: Image.Image) -> Block | None:
    """The block in `info`, unless there is none or the tags that Pillow read from it were changed since."""
    stored = image.info.get("exif")
    if not isinstance(stored, bytes) or not stored:
        return None
    with suppress(Exception):  # what Pillow cannot read was not changed
        as_stored, now = Image.Exif(), image.getexif()
        as_stored.load(stored)
        if _tags(as_stored) != _tags(now):
            return None
    return Block(stored)


def _stored_block(image: Image.Image) -> Block | None:
    """The block of an AVIF file. Pillow rewrites that in `info` if the container turns the picture."""
    decoder = getattr(image, "_decoder", None)
    if image.format != "AVIF" or decoder is None or _block_of(image) is None:
        return None
    with suppress(Exception):  # another version of Pillow
        return Block(decoder.get_info()[4])
    return None


def _tags(exif: Image.Exif) -> list[object]:
    """All tags. Pillow would create a directory that is asked for, so that is asked for only if it is there."""
    created = getattr(exif, "_ifds", {})
    directories = ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo
    plain = {tag: value for tag, value in exif.items() if tag not in directories}
    return [plain, *(dict(exif.get_ifd(ifd)) if ifd in exif else created.get(ifd) or {} for ifd in directories)]


def _as_number(orientation: object) -> int:
    """The orientation that a tag of any type means; 0, which is upright, if it means none."""
    if isinstance(orientation, tuple):
        orientation = orientation[0] if orientation else 0
    if isinstance(orientation, bytes):
        orientation = int.from_bytes(orientation.strip(b"\0"), "little") if len(orientation) < 5 else 0
    with suppress(ValueError, TypeError, ArithmeticError):
        return int(orientation)  # type: ignore[call-overload]
    return 0
