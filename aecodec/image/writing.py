"""Decoded pixels to Pillow images and picture files."""

from __future__ import annotations

import io
import os
import re
from typing import IO
from typing import Any

import numpy as np
from PIL import Image
from PIL import PngImagePlugin

from aecodec.errors import OutputError
from aecodec.format.extras import NOTHING
from aecodec.format.extras import Extras
from aecodec.image.exif import upright
from aecodec.image.exif_block import Block

# Formats whose alpha Pillow and other programs read. A 32-bit BMP does not count; GIF has one transparent colour.
ALPHA_FORMATS = frozenset({"PNG", "WEBP", "AVIF", "TIFF", "JPEG2000", "TGA", "ICO", "NPY"})

# The metadata that Pillow writes, by format.
_METADATA_FORMATS = {
    "PNG": ("ICC", "EXIF", "XMP"),
    "JPEG": ("ICC", "EXIF", "XMP"),
    "WEBP": ("ICC", "EXIF", "XMP"),
    "AVIF": ("ICC", "EXIF", "XMP"),
    "TIFF": ("ICC", "EXIF", "XMP"),
}
_TIFF_XMP = 700
_EXIF_PARSED = frozenset({"TIFF", "AVIF"})
_MOST_IN_JPEG = {"EXIF": 65_533, "XMP": 65_504}
_XMP_PADDING = re.compile(rb"\s+(<\?xpacket end=[^>]*>)?\s*$")

# A decoded picture should lose little more; formats not named here are lossless by default.
_SAVE_OPTIONS: dict[str, dict[str, object]] = {
    "PNG": {"compress_level": 4},  # half the time of Pillow's 6, and photographs come out no larger
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    "MPO": {"quality": 95, "subsampling": "4:4:4"},
    "PDF": {"quality": 95, "subsampling": "4:4:4"},
}

_ICO_SIDE = 256  # its fields for width and height have one byte each
_GIF_COLOURS = 256

_ARRAY_FORMAT = "NPY"  # NumPy's: the array that `aec_decode` returns
_OWN_FORMAT = "AEC"  # known to Pillow once the plugin is registered; a decoded picture is not encoded again


def to_image(pixels: np.ndarray, extras: Extras = NOTHING) -> Image.Image:
    """An image of mode RGB from uint8 `[H, W, 3]`, or L from `[H, W]`; RGBA or LA with alpha.

    Metadata is in its `info`, by Pillow's names. Raises ValueError for pixels of another type or shape.
    """
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise ValueError(f"pixels must be uint8 [H, W, 3] or [H, W], not {pixels.dtype} {list(pixels.shape)}")
    image = Image.fromarray(pixels)
    if extras.alpha is not None:
        image.putalpha(Image.fromarray(extras.alpha))
    image.info.update(info_of(extras))
    return image


def info_of(extras: Extras) -> dict[str, bytes]:
    """The metadata present, by its names in Pillow's `Image.info`."""
    exif = b"Exif\0\0" + extras.exif if extras.exif else b""
    info = {"icc_profile": extras.icc, "exif": exif, "xmp": extras.xmp}
    return {name: content for name, content in info.items() if content}


def format_of(path: str | os.PathLike[str]) -> str:
    """The Pillow format, or NPY, that the extension of `path` means. Raises OutputError if it means none."""
    extension = os.path.splitext(os.fspath(path))[1].lower()
    if extension == ".npy":
        return _ARRAY_FORMAT
    if extension not in Image.EXTENSION:  # this module loads PNG; loading other plugins is slow
        Image.preinit()  # the common formats; loading all of them takes longer than decoding a small picture
    name = Image.EXTENSION.get(extension) or Image.registered_extensions().get(extension)
    if name is None or name not in Image.SAVE or name == _OWN_FORMAT:
        what = f"the extension {extension}" if extension else "a name without extension"
        message = f"{what} stands for no picture format that can be written (.png, .jpg, .webp and .avif are some)"
        raise OutputError(f"{os.fspath(path)}: {message}")
    return name


def write_image(image: Image.Image, file: IO[bytes], format: str) -> tuple[str, ...]:
    """Writes `image`, with the metadata in its `info`, to an open binary file in a format of Pillow or NPY.

    Returns notices of what the format cannot hold. Raises OutputError if the picture cannot be written.
    """
    notices = []
    if image.mode in ("LA", "RGBA") and format not in ALPHA_FORMATS:
        notices.append(f"{format} holds no alpha: it is dropped")
        metadata, image = image.info, image.convert(image.mode[:-1])
        image.info = metadata
    options = _metadata_options(image, format, notices) | _size_options(image, format, notices)
    options |= _SAVE_OPTIONS.get(format, {})
    if format == "GIF" and image.mode == "RGB" and image.getcolors(_GIF_COLOURS) is None:
        notices.append(f"GIF holds {_GIF_COLOURS} colours: the picture is reduced to them")
    elif format == "QOI" and image.mode == "L":  # without a loss, but Pillow leaves it to the caller
        image = image.convert("RGB")
    try:
        if format == "PNG":
            image.save(_Named(file), **options)
        elif format == _ARRAY_FORMAT:
            np.save(file, np.asarray(image))
        else:
            image.save(file, format, **options)
    except Exception as error:  # on damaged metadata Pillow's writers raise many kinds
        raise OutputError(f"the picture cannot be written as {format}: {reason(error)}") from error
    return tuple(notices)


def png_of(pixels: np.ndarray) -> bytes:
    """A PNG file of uint8 `[H, W, 3]` or `[H, W]`."""
    stream = io.BytesIO()
    write_image(to_image(pixels), stream, "PNG")
    return stream.getvalue()


class _Named:
    """A file named .png: given a name, Pillow loads one plugin; given a format, all common ones."""

    name = "picture.png"

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._file, attribute)


def _metadata_options(image: Image.Image, format: str, notices: list[str]) -> dict[str, Any]:
    """Pillow's options to write the metadata in an image's `info`, without what the format cannot hold."""
    held, lacking = _METADATA_FORMATS.get(format, ()), []
    options: dict[str, Any] = {}
    for option, name in (("icc_profile", "ICC"), ("exif", "EXIF"), ("xmp", "XMP")):
        content = image.info.get(option)
        if content and name not in held:
            lacking.append(name)
        elif content:
            options[option] = content
    if lacking:
        notices.append(f"{format} holds no {', '.join(lacking)}: dropped")
    if format in _EXIF_PARSED and "exif" in options:
        try:
            options["exif"] = _parsed_exif(options["exif"], format)
        except Exception:  # as above
            del options["exif"]
            notices.append(f"the EXIF data is damaged: {format} cannot hold it and it is dropped")
    if format == "JPEG":
        _fit_segments(options, notices)
    elif format == "PNG" and "xmp" in options:
        options["pnginfo"] = chunks = PngImagePlugin.PngInfo()
        chunks.add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode("utf-8", "replace"))
    elif format == "TIFF" and "xmp" in options:  # a tag in TIFF, as EXIF is
        options["exif"] = tags = options.get("exif", Image.Exif())
        tags[_TIFF_XMP] = options.pop("xmp")
    return options


def _size_options(image: Image.Image, format: str, notices: list[str]) -> dict[str, Any]:
    """Pillow's options for the formats of icons, which it would write in other sizes. Raises OutputError."""
    width, height = image.size
    if format == "ICO":
        if max(image.size) > _ICO_SIDE:
            raise OutputError(f"ICO holds at most {_ICO_SIDE}x{_ICO_SIDE} pixels, not {width}x{height}")
        return {"sizes": [image.size]}
    if format == "ICNS":
        if width != height:
            raise OutputError(f"ICNS holds square icons, not {width}x{height} pixels")
        notices.append("ICNS holds icons of 16 to 1024 pixels a side: the picture is resized to each of them")
    return {}


def _parsed_exif(block: bytes, format: str) -> bytes | Image.Exif:
    """What a format that Pillow parses EXIF for needs; raises if Pillow cannot parse or write it.

    Pillow rewrites the block for AVIF, unless it has no orientation.
    """
    tags = Image.Exif()
    tags.load(block)
    tags = upright(tags)
    tags.tobytes()
    if format == "TIFF":
        return tags
    bare = Block(block)
    bare.remove_orientation()
    return bytes(bare.data)


def _fit_segments(options: dict[str, Any], notices: list[str]) -> None:
    """Leaves out what is too long for a segment of JPEG, of 64 kB; XMP, after its padding for editors in place."""
    xmp = options.get("xmp", b"")
    if len(xmp) > _MOST_IN_JPEG["XMP"]:
        options["xmp"] = _XMP_PADDING.sub(rb"\1", xmp)
    for option, name in (("exif", "EXIF"), ("xmp", "XMP")):
        size, most = len(options.get(option, b"")), _MOST_IN_JPEG[name]
        if size > most:
            del options[option]
            notices.append(f"JPEG holds at most {most} bytes of {name}: {size} are dropped")


def reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())
