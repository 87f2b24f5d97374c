"""The forms of a file: full, compact, cut to fewer bytes, and as text. None of them is decoded; no NumPy."""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace

from aecodec.errors import CorruptFile
from aecodec.errors import InvalidOption
from aecodec.format import container
from aecodec.info import Buffer
from aecodec.info import as_bytes
from aecodec.info import id_of
from aecodec.options import CHECKS


def pack(data: Buffer, *, checksum: str = "crc-8") -> bytes:
    """The compact form of an `.aec` file: 7 to 12 bytes shorter, for up to 1024x1024 pixels without alpha and metadata.

    `checksum`: "none", "crc-8", "crc-16" or "crc-32". `unpack` gives the full form back, byte for byte.

    Raises AecError: if the picture has no compact form, InvalidOption, or as `decode` for a damaged file.
    """
    if checksum not in CHECKS:
        raise InvalidOption(f"checksum {checksum!r} is not one of {', '.join(CHECKS)}")
    content = container.unpack(as_bytes(data), id_of)
    header = replace(content.header, compact=CHECKS[checksum])
    return container.pack(header, content.parts, id_of(header.weights))


def unpack(data: Buffer) -> bytes:
    """The full form of an `.aec` file of either form. Raises as `decode` for a damaged file."""
    content = container.unpack(as_bytes(data), id_of)
    return container.pack(replace(content.header, compact=None), content.parts)


def cut(data: Buffer, size: int) -> bytes:
    """A file of the same form and at most `size` bytes, whose decoded picture is that of a prefix.

    A file that is short enough comes back as it is. Alpha and metadata stay whole. Raises AecError if `size` is too
    small for them, or as `decode` for a damaged file.
    """
    data = as_bytes(data)
    content = container.unpack(data, id_of)
    return data if len(data) <= size else container.cut(content, size, id_of(content.header.weights))


def to_text(data: bytes) -> bytes:
    """A file as base64url text without padding: for attributes, addresses and messages."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def from_text(text: bytes) -> bytes:
    """The file that `to_text` made text of; white space around it does not count. Raises CorruptFile."""
    stripped = text.strip()
    try:
        return base64.b64decode(stripped + b"=" * (-len(stripped) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise CorruptFile(f"not base64url text: {error}") from error
