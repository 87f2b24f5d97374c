"""Writes and reads the container without its checks: for files that `aecodec.format.container` would never write."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from aecodec.format.header import MAGIC
from aecodec.format.header import VERSION
from aecodec.geometry import tile_count

WEIGHTS_ID = bytes.fromhex("11ddc256")  # of the permanent tiny network
GREY = 1
EXTRAS = 2
DISPLAY = 4
CUT = 8
ALPHA = 1
OTHER_WEIGHTS = b"\xff"
MOST_TILES = 64 * 64  # of a picture whose sides are within the limit


@dataclass(frozen=True)
class Head:
    """The fields before the checksum as they stand, in or out of range, and where the checksum stands."""

    flags: int
    width: int
    height: int
    crc_at: int
    kinds: int = 0  # of extras
    display: tuple[int, ...] = ()

    @property
    def tiles(self) -> int:
        return tile_count(self.width, self.height)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the coded picture that the header declares."""
        channels = (1 if self.flags & GREY else 3) + (1 if self.kinds & ALPHA else 0)
        return (self.height, self.width) if channels == 1 else (self.height, self.width, channels)

    @property
    def parts(self) -> int:
        return self.tiles + self.kinds.bit_count()


def varint(value: int, padding: int = 0) -> bytes:
    """LEB128, longer than necessary by `padding` bytes."""
    digits = [value & 127]
    while value := value >> 7:
        digits.append(value & 127)
    digits += [0] * padding
    return bytes([digit | 128 for digit in digits[:-1]] + digits[-1:])


def crc(*pieces: bytes) -> bytes:
    return zlib.crc32(b"".join(pieces)).to_bytes(4, "big")


def head(
    width: int | bytes,
    height: int | bytes,
    *,
    flags: int = 0,
    version: int = VERSION,
    quality: int = 100,
    weights: bytes = OTHER_WEIGHTS + WEIGHTS_ID,
    display: tuple[int | bytes, ...] = (),
    kinds: int = 0,
    magic: bytes = MAGIC,
) -> bytes:
    """The fields before the checksum; sides given as bytes are used as they are; `kinds` is left out if 0."""
    sides = b"".join(side if isinstance(side, bytes) else varint(side) for side in (width, height, *display))
    return magic + bytes([version << 4 | flags]) + weights + sides + bytes([quality, kinds] if kinds else [quality])


def plain(fields: bytes, stream: bytes = b"") -> bytes:
    """A file without a directory, its checksum right."""
    return fields + crc(fields, stream) + stream


def tiled(fields: bytes, parts: Sequence[bytes], lengths: Sequence[bytes] | None = None) -> bytes:
    """A file with a directory, all its checksums right; `lengths` are what it says of the parts, as varints."""
    lengths = [varint(len(part)) for part in parts] if lengths is None else lengths
    directory = b"".join(length + crc(part) for length, part in zip(lengths, parts, strict=True))
    return b"".join([fields, crc(fields, directory), directory, *parts])


def read_varint(data: bytes, at: int) -> tuple[int, int] | None:
    """A number of any length in bytes, and the position after it; None if the data end first."""
    value = shift = 0
    for position in range(at, len(data)):
        value |= (data[position] & 127) << shift
        shift += 7
        if data[position] < 128:
            return value, position + 1
    return None


def read_head(data: bytes) -> Head | None:
    """The fields of a file, or None if it ends before its checksum does."""
    at = len(MAGIC) + 1
    if at >= len(data):
        return None
    flags = data[len(MAGIC)] & 15
    at += 5 if data[at] == 255 else 1
    sides = []
    for _ in range(4 if flags & DISPLAY else 2):
        side = read_varint(data, at)
        if side is None:
            return None
        sides.append(side[0])
        at = side[1]
    crc_at = at + (2 if flags & EXTRAS else 1)
    if crc_at + 4 > len(data):
        return None
    kinds = data[crc_at - 1] if flags & EXTRAS else 0
    return Head(flags, sides[0], sides[1], crc_at, kinds, tuple(sides[2:]))


def _read_lengths(body: bytes, count: int) -> tuple[list[tuple[int, bytes]], int] | None:
    """Each length of a directory as a number and as it stands, and where the streams start; None if it is cut short."""
    lengths, at = [], 0
    for _ in range(count):
        entry = read_varint(body, at)
        if entry is None or entry[1] + 4 > len(body):
            return None
        lengths.append((entry[0], body[at : entry[1]]))
        at = entry[1] + 4
    return lengths, at


def seal(data: bytes, *, mend_length: bool = False) -> bytes:
    """The same file with correct checksums, if it has room for them; its lengths may be wrong.

    With `mend_length`, the directory says that its last part reaches the end of the file.
    """
    found = read_head(data)
    if found is None:
        return data
    fields, body = data[: found.crc_at], data[found.crc_at + 4 :]
    directory = _read_lengths(body, found.parts) if found.parts > 1 and found.tiles <= MOST_TILES else None
    if directory is None:
        return plain(fields, body)
    lengths, at = directory
    parts = []
    for length, _ in lengths:
        parts.append(body[at : at + length])
        at += length
    stored = [stored for _, stored in lengths]
    if mend_length:
        parts[-1] += body[at:]
        return tiled(fields, parts, [*stored[:-1], varint(len(parts[-1]))])
    return tiled(fields, parts, stored) + body[at:]
