"""The forms of a file: full, compact, cut to fewer bytes, and as text. None of them is decoded; no NumPy."""

from __future__ import annotations

import base64
import binascii
from contextlib import nullcontext
from dataclasses import replace
from numbers import Integral
from typing import IO

from aecodec.errors import CorruptFile
from aecodec.errors import InputError
from aecodec.errors import InvalidOption
from aecodec.format import container
from aecodec.format.header import MAX_HEADER_BYTES
from aecodec.info import as_bytes
from aecodec.info import id_of
from aecodec.info import most_bytes
from aecodec.inputs import Source
from aecodec.inputs import open_input
from aecodec.limits import MAX_PIXELS
from aecodec.options import CHECKS

_FIRST_BYTES = 1 << 16  # read before the header is looked at: most files are shorter
_HEADER_CHARACTERS = MAX_HEADER_BYTES * 4 // 3  # of base64url text


def pack(data: bytes | bytearray | memoryview, *, checksum: str = "crc-8") -> bytes:
    """The compact form of an `.aec` file: some ten bytes less, for up to 1024x1024 pixels without alpha and metadata.

    `checksum`: "none", "crc-8", "crc-16" or "crc-32". `unpack` gives the full form back, byte for byte.

    Raises AecError: if the picture has no compact form, InvalidOption, or as `decode` for a damaged file.
    """
    if not isinstance(checksum, str) or checksum not in CHECKS:
        raise InvalidOption(f"checksum {checksum!r} is not one of {', '.join(CHECKS)}")
    content = container.unpack(as_bytes(data), id_of)
    header = replace(content.header, compact=CHECKS[checksum])
    return container.pack(header, content.parts, id_of(header.weights))


def unpack(data: bytes | bytearray | memoryview) -> bytes:
    """The full form of an `.aec` file of either form. Raises as `decode` for a damaged file."""
    content = container.unpack(as_bytes(data), id_of)
    return container.pack(replace(content.header, compact=None), content.parts)


def cut(data: bytes | bytearray | memoryview, size: int) -> bytes:
    """A file of the same form and at most `size` bytes, whose decoded picture is that of a prefix.

    A file that is short enough comes back as it is. Alpha and metadata stay whole. Raises AecError if `size` is too
    small for them, or as `decode` for a damaged file.
    """
    if not isinstance(size, Integral):
        raise InvalidOption(f"size {size!r} is not a whole number")
    data = as_bytes(data)
    content = container.unpack(data, id_of)
    if len(data) <= size:
        return data
    weights_id = None if content.header.compact is None else id_of(content.header.weights)
    return container.cut(content, int(size), weights_id)


def read_file(source: Source, *, max_pixels: int = MAX_PIXELS, text: bool = False) -> bytes:
    """The bytes of an `.aec` file from a path or an open stream; from base64url if `text`.

    The header is read first, then no more than a file with that header can have: what is no file, or far too long for
    one, takes no memory. Raises as `container.read_header`, and InputError with the system's reason.
    """
    try:
        stream, own = open_input(source)
        with stream if own else nullcontext():
            return _read(stream, max_pixels, text)
    except OSError as error:
        raise InputError(f"{error.strerror or error}") from error


def _read(stream: IO[bytes], max_pixels: int, text: bool) -> bytes:
    start = _read_up_to(stream, _FIRST_BYTES)
    head = from_text(start.lstrip()[:_HEADER_CHARACTERS]) if text else start
    header = container.read_header(head[:MAX_HEADER_BYTES], max_pixels=max_pixels)
    limit = most_bytes(header)
    if text:
        limit = 4 * limit // 3 + 4 + _FIRST_BYTES  # white space around it
    data = start if len(start) < _FIRST_BYTES else start + _read_up_to(stream, limit + 1 - len(start))
    if len(data) > limit:
        raise CorruptFile(f"damaged file: more bytes than a picture of {header.width}x{header.height} pixels can take")
    return from_text(data) if text else data


def _read_up_to(stream: IO[bytes], count: int) -> bytes:
    """The next `count` bytes, fewer only at the end; pipes may give them in pieces.

    Python allocates what a read asks for before it knows what comes: so it asks for as much again as there was.
    """
    pieces, missing = [], count
    while missing > 0 and (piece := stream.read(min(missing, max(_FIRST_BYTES, count - missing)))):
        pieces.append(piece)
        missing -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def to_text(data: bytes) -> bytes:
    """A file as base64url text without padding: for attributes, addresses and messages."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def from_text(text: bytes | str) -> bytes:
    """The file that `to_text` made text of; white space around it does not count. Raises CorruptFile."""
    try:
        stripped = (text.encode("ascii") if isinstance(text, str) else text).strip()
        return base64.b64decode(stripped + b"=" * (-len(stripped) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise CorruptFile(f"not base64url text: {error}") from error
