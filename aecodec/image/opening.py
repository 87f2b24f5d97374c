"""Picture files to Pillow images that are not loaded yet, within a limit of pixels.

Pillow's own way, `Image.open`, checks sizes against a global limit, which other threads share. This one asks the same
plugins in the same order and leaves the check to the caller. Icons and textures, which hold pictures of other formats
and sizes than they state, are looked through first. A picture is read through one open file, never by its name again.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from collections.abc import Iterator
from typing import IO

from PIL import Image
from PIL import ImageFile
from PIL import PngImagePlugin
from PIL import UnidentifiedImageError

from aecodec.inputs import Source
from aecodec.inputs import open_seekable
from aecodec.limits import MAX_METADATA_BYTES

Check = Callable[[int, int], None]

_PNG = b"\x89PNG\r\n\x1a\n"
_NAMED_FORMAT = "AEC"  # which tells some of its files by their name
_HEAD_BYTES = 1 << 12  # of a picture within an icon
_JPEG2000_SIZES = b"\xff\x4f\xff\x51"
_TEXTURE_BYTES = 160  # of a BLP file before its first picture
_XMP_NAME = b"XML:com.adobe.xmp"


def open_image(source: Source, check: Check) -> Image.Image:
    """The image that the first fitting plugin makes of a file; closing it closes a file opened here.

    `check` gets width and height of every picture in an icon or texture, and raises if they are too large. Raises
    OSError or UnidentifiedImageError, and what Pillow raises on damage.
    """
    name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else ""
    given, own = open_seekable(source)
    try:
        _check_icon(given, check)
        _check_texture(given, check)
        file, removed = _without_large_chunks(given)
        image = _identified(file, name)
    except BaseException:
        if own:
            given.close()
        raise
    if own and file is not given:
        given.close()
    image._exclusive_fp = own
    image.info |= removed
    if image.format != _NAMED_FORMAT:
        image.filename = ""  # by which Pillow would map the file into memory
    return image


def _identified(file: IO[bytes], name: str) -> ImageFile.ImageFile:
    """As `Image.open` does: the plugin of the extension, then the common ones, then all."""
    by_extension = getattr(Image, "_import_plugin_for_extension", lambda _: False)
    file.seek(0)
    prefix, tried = file.read(16), set[str]()
    for load in (lambda: by_extension(os.path.splitext(name)[1].lower()), Image.preinit, Image.init):
        load()
        for format in [format for format in Image.ID if format not in tried]:
            tried.add(format)
            factory, accept = Image.OPEN[format]
            try:
                accepted = not accept or accept(prefix)
                if accepted and not isinstance(accepted, str):  # text says why the plugin does not work here
                    file.seek(0)
                    return factory(file, name)
            except (SyntaxError, IndexError, TypeError, struct.error):
                continue  # another plugin may know it
    raise UnidentifiedImageError("not a picture of a known format")


def _check_icon(file: IO[bytes], check: Check) -> None:
    """Checks the sizes of all pictures in an ICO, CUR or ICNS file."""
    start = file.read(8)
    file.seek(0)
    if len(start) == 8 and start[:4] in (b"\0\0\1\0", b"\0\0\2\0"):
        places = _in_windows_icon(file)
    elif start[:4] == b"icns":
        places = _in_apple_icon(file)
    else:
        return
    for place in [*places]:
        file.seek(place)
        if size := _size_of(file.read(_HEAD_BYTES)):
            check(*size)
    file.seek(0)


def _in_windows_icon(file: IO[bytes]) -> Iterator[int]:
    (count,) = struct.unpack("<4xH", file.read(6))
    directory = file.read(16 * count)
    for at in range(0, len(directory) - 15, 16):
        yield struct.unpack_from("<I", directory, at + 12)[0]


def _in_apple_icon(file: IO[bytes]) -> Iterator[int]:
    at = 8
    while True:
        file.seek(at)
        header = file.read(8)
        if len(header) < 8:
            return
        yield at + 8
        at += max(int.from_bytes(header[4:], "big"), 8)


def _size_of(head: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG, a JPEG 2000 codestream or a bitmap with a mask below it; None for raw samples."""
    if head.startswith(_PNG) and len(head) >= 24:
        return struct.unpack_from(">II", head, 16)
    at = head.find(_JPEG2000_SIZES)
    if at >= 0 and at + 24 <= len(head):
        right, bottom, left, top = struct.unpack_from(">4I", head, at + 8)
        return max(right - left, 0), max(bottom - top, 0)
    if head.startswith(b"\x28\0\0\0") and len(head) >= 12:
        width, height = struct.unpack_from("<ii", head, 4)
        return abs(width), abs(height) // 2
    return None


def _check_texture(file: IO[bytes], check: Check) -> None:
    """Checks the size of the JPEG in a BLP file, which Pillow decodes at whichever size it has."""
    head = file.read(_TEXTURE_BYTES)
    if len(head) == _TEXTURE_BYTES and head.startswith(b"BLP1\0\0\0\0"):
        place, length, shared = (struct.unpack_from("<I", head, at)[0] for at in (28, 92, 156))
        end = file.seek(0, os.SEEK_END)
        file.seek(_TEXTURE_BYTES)
        data = file.read(min(shared, end))
        file.seek(min(place, end))
        if size := _size_of_jpeg(data + file.read(min(length, end))):
            check(*size)
    file.seek(0)


def _size_of_jpeg(data: bytes) -> tuple[int, int] | None:
    """Width and height; None of damage, of which Pillow says more when it decodes."""
    from PIL.JpegImagePlugin import JpegImageFile

    try:
        return JpegImageFile(io.BytesIO(data)).size
    except Exception:
        return None


def _without_large_chunks(file: IO[bytes]) -> tuple[IO[bytes], dict[str | tuple[int, int], object]]:
    """A PNG without compressed texts and profiles of over a megabyte, which Pillow refuses; and what they hold.

    Of texts other than XMP that is their names. Other files are returned as they are.
    """
    if file.read(8) != _PNG:
        file.seek(0)
        return file, {}
    removed: dict[str | tuple[int, int], object] = {}
    parts: list[tuple[int, int]] = [(0, 8)]
    at = 8
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        large = _large(kind, file.read(length)) if kind in (b"zTXt", b"iTXt", b"iCCP") else {}
        removed |= large
        if not large:
            parts.append((at, 12 + length))
        at += 12 + length
        file.seek(at)
    if removed:
        kept = io.BytesIO()
        for start, length in parts:
            file.seek(start)
            kept.write(file.read(length))
        file = kept
    file.seek(0)
    return file, removed


def _large(kind: bytes, data: bytes) -> dict[str | tuple[int, int], object]:
    """What `info` gets for a chunk that Pillow refuses; empty for others."""
    name, _, rest = data.partition(b"\0")
    if kind == b"iTXt":
        if rest[:1] != b"\1":
            return {}
        rest = rest[2:].split(b"\0", 2)[-1]
    else:
        rest = rest[1:]
    try:
        content = zlib.decompressobj().decompress(rest, PngImagePlugin.MAX_TEXT_CHUNK + 1)
        if len(content) <= PngImagePlugin.MAX_TEXT_CHUNK:
            return {}
        if kind == b"iCCP":  # one cut off is told by what applies it
            return {"icc_profile": zlib.decompressobj().decompress(rest, MAX_METADATA_BYTES)}
        if name == _XMP_NAME:
            return {"xmp": zlib.decompressobj().decompress(rest, MAX_METADATA_BYTES + 1)}
    except zlib.error:
        return {}
    return {name.decode("latin-1"): ""}
