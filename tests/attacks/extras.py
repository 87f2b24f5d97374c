"""Attacks by alpha and metadata: the container is right in every way, and all of its checksums."""

from __future__ import annotations

from collections.abc import Sequence

import zstandard

from aecodec.format.container import unpack
from aecodec.limits import MAX_METADATA_BYTES
from fuzz.container import DIRECTORY
from fuzz.container import EXTRAS
from fuzz.container import crc
from fuzz.container import head
from fuzz.container import plain
from fuzz.container import tiled
from fuzz.mutate import TINY

ALPHA, ICC, XMP = 1, 2, 8
DOT_STREAM = unpack((TINY / "dot-100.aec").read_bytes())[1][0]
PIXEL = b"\x28\xb5\x2f\xfd\x20\x01\x09\x00\x00\x80"  # a frame of one byte


def _frame(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=3).compress(content)


def _rich(kinds: int, parts: Sequence[bytes], flags: int = EXTRAS | DIRECTORY) -> bytes:
    """A sound picture of one pixel, and these parts behind its stream."""
    return tiled(head(1, 1, flags=flags) + bytes([kinds]), [DOT_STREAM, *parts])


def alpha_bomb() -> bytes:
    """One pixel whose alpha is a frame of 256 MB in 8 kB."""
    return _rich(ALPHA, [b"\0" + _frame(bytes(1 << 28))])


def profile_bomb() -> bytes:
    """An ICC profile of 256 MB, likewise."""
    return _rich(ICC, [_frame(bytes(1 << 28))])


def profile_of_exabytes() -> bytes:
    """A frame that says 2^63 bytes: a reader that believes it allocates them, or overflows."""
    return _rich(ICC, [b"\x28\xb5\x2f\xfd\xe0" + (1 << 63).to_bytes(8, "little") + b"\x01\x00\x00"])


def metadata_over_the_limit() -> bytes:
    """One byte more than is allowed."""
    return _rich(XMP, [_frame(bytes(MAX_METADATA_BYTES + 1))])


def frame_without_size() -> bytes:
    """A frame that does not say how long its content is, and goes on for 64 MB."""
    return _rich(XMP, [zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 26))])


def alpha_of_another_size() -> bytes:
    """Two samples for one pixel: read as they come, they are another picture's."""
    return _rich(ALPHA, [b"\0" + _frame(b"\x80\x80")])


def alpha_without_frame() -> bytes:
    """A filter, and nothing behind it."""
    return _rich(ALPHA, [b"\0"])


def unknown_filter() -> bytes:
    """A filter of a later version in this one."""
    return _rich(ALPHA, [b"\4" + PIXEL])


def second_frame() -> bytes:
    """Another frame behind the first: room for a message."""
    return _rich(ALPHA, [b"\0" + PIXEL + PIXEL])


def skippable_frame() -> bytes:
    """A frame that decompressors pass over in silence, before the one that they show."""
    return _rich(ALPHA, [b"\0" + b"\x50\x2a\x4d\x18\x04\x00\x00\x00PK\x03\x04" + PIXEL])


def empty_metadata() -> bytes:
    """An XMP packet of no bytes: a second form of a file without one."""
    return _rich(XMP, [_frame(b"")])


def unknown_kind() -> bytes:
    """An extra that this version does not know: to skip it could change the picture."""
    return _rich(16, [PIXEL])


def no_kind() -> bytes:
    """The flag says extras, and there are none: a second form of a plain file."""
    return _rich(0, [])


def extras_without_directory() -> bytes:
    """The flags contradict each other: what is the stream, and what the directory?"""
    return plain(head(1, 1, flags=EXTRAS) + bytes([ALPHA]), DOT_STREAM)


def more_kinds_than_parts() -> bytes:
    """Two kinds and one part: the stream would be taken for a length."""
    return _rich(ALPHA | XMP, [b"\0" + PIXEL])


def fewer_kinds_than_parts() -> bytes:
    """A part that no kind names: room for anything."""
    return _rich(ALPHA, [b"\0" + PIXEL, b"hidden"])


def wrong_checksum_of_an_extra() -> bytes:
    """The directory's own checksum is right, that of alpha is not."""
    fields = head(1, 1, flags=EXTRAS | DIRECTORY) + bytes([ALPHA])
    part = b"\0" + PIXEL
    directory = bytes([len(DOT_STREAM)]) + crc(DOT_STREAM) + bytes([len(part)]) + crc(b"other")
    return fields + crc(fields, directory) + directory + DOT_STREAM + part


CORRUPT = (
    alpha_bomb,
    profile_bomb,
    profile_of_exabytes,
    metadata_over_the_limit,
    frame_without_size,
    alpha_of_another_size,
    alpha_without_frame,
    unknown_filter,
    second_frame,
    skippable_frame,
    empty_metadata,
    unknown_kind,
    no_kind,
    extras_without_directory,
    more_kinds_than_parts,
    fewer_kinds_than_parts,
    wrong_checksum_of_an_extra,
)
