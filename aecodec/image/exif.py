"""EXIF and XMP of a Pillow image: its orientation, and both blocks made right for the upright picture."""

from __future__ import annotations

import re

from PIL import ExifTags
from PIL import Image

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


def orientation_of(image: Image.Image, notices: list[str]) -> int:
    """The EXIF orientation of a loaded image; upright, with a notice, if the EXIF block cannot be read."""
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # Pillow's parser raises many kinds of error on damage
        notices.append("the EXIF data is damaged: the picture is taken as upright")
        return 1


def exif_of(image: Image.Image, keep: bool, notices: list[str]) -> bytes:
    """The EXIF block of a loaded image, upright and without thumbnail, from its byte order mark on.

    Empty if there is none or none is to be kept; then a notice says so, if it tells anything about the photograph.
    """
    try:
        block = _upright(image.getexif())
        content = block.tobytes().removeprefix(b"Exif\0\0") if keep and len(block) else b""
    except Exception:  # as above
        if keep:
            notices.append("the EXIF data is damaged and dropped")
        return b""
    if not keep and set(block) - _IDLE:
        notices.append("the EXIF data is dropped")
    return content


def xmp_of(image: Image.Image, keep: bool, notices: list[str]) -> bytes:
    """The XMP packet of a loaded image with an orientation of 1; empty, with a notice, if it is not kept."""
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    packet = packet.encode() if isinstance(packet, str) else bytes(packet)
    if packet and not keep:
        notices.append("the XMP data is dropped")
    return _XMP_ORIENTATION.sub(rb"\g<1>1", packet) if keep else b""


def _upright(exif: Image.Exif) -> Image.Exif:
    """A copy with an orientation of 1, if it had one, and the tags of camera and place; Pillow omits the rest."""
    block = Image.Exif()
    block.endian = exif.endian
    for tag, value in exif.items():
        if tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            block[tag] = dict(exif.get_ifd(tag))
        elif tag not in _LAYOUT:
            block[tag] = value
    camera = block.get(ExifTags.IFD.Exif, {})
    if ExifTags.IFD.Interop in camera:
        camera[ExifTags.IFD.Interop] = dict(exif.get_ifd(ExifTags.IFD.Interop))
    sides = ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight
    if block.get(_ORIENTATION, 1) >= 5 and camera.keys() >= set(sides):
        camera[sides[0]], camera[sides[1]] = camera[sides[1]], camera[sides[0]]
    if _ORIENTATION in block:
        block[_ORIENTATION] = 1
    return block
