"""The header of a file: its record, its bytes, and the checks that need nothing else (1 to 5).

The page of the format is the head of `container.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

from aecodec.errors import CorruptFile
from aecodec.errors import HeaderLimitExceeded
from aecodec.errors import UnsupportedVersion
from aecodec.geometry import tile_count
from aecodec.limits import MAX_PIXELS
from aecodec.limits import MAX_SIDE

MAGIC = b"\xaeC\r\n"
VERSION = 0
QUALITY_STEPS = 256  # values of the quality byte

# The longest header, checksum included, even of a refused file: `read_header` needs no more of a file than this.
MAX_HEADER_BYTES = 25

_GREY = 1
_DIRECTORY = 2
_EXTRAS = 4
_RESERVED = 8

_WEIGHTS_ID_BYTES = 4
CRC_BYTES = 4
_VARINT_BYTES = 5

CUT_SHORT = "damaged file: it is cut short"


class Extra(IntFlag):
    """What a file can hold beside its streams, in the order of its parts."""

    ALPHA = 1
    ICC = 2
    EXIF = 4
    XMP = 8


_KNOWN_EXTRAS = sum(Extra)
NO_EXTRAS = Extra(0)


@dataclass(frozen=True)
class Header:
    """What a file states about its picture. Raises ValueError for a field out of range."""

    width: int  # pixels, 1..65535
    height: int  # pixels, 1..65535
    quality: int  # index, 0..255
    weights_id: bytes  # 4 bytes
    grey: bool = False
    extras: Extra = NO_EXTRAS

    def __post_init__(self) -> None:
        if not (1 <= self.width <= MAX_SIDE and 1 <= self.height <= MAX_SIDE):
            raise ValueError(f"{self.width}x{self.height} pixels: sides must be in 1..{MAX_SIDE}")
        if not 0 <= self.quality <= 255:
            raise ValueError(f"quality index {self.quality} is not in 0..255")
        if len(self.weights_id) != _WEIGHTS_ID_BYTES:
            raise ValueError(f"a weights id has {_WEIGHTS_ID_BYTES} bytes, not {len(self.weights_id)}")
        if not 0 <= self.extras <= _KNOWN_EXTRAS:
            raise ValueError(f"extras {int(self.extras)} are not in 0..{_KNOWN_EXTRAS}")

    @property
    def tiles(self) -> int:
        """Number of coded tiles, and of streams in the file."""
        return tile_count(self.width, self.height)

    @property
    def parts(self) -> int:
        """Number of parts of the file: the streams, then the extras."""
        return self.tiles + len(self.kinds)

    @property
    def kinds(self) -> tuple[Extra, ...]:
        """The extras one by one, in the order of their parts."""
        return tuple(extra for extra in Extra if extra in self.extras)

    @property
    def mode(self) -> str:
        """The mode of the picture as Pillow names it: L, LA, RGB or RGBA."""
        return ("L" if self.grey else "RGB") + ("A" if Extra.ALPHA in self.extras else "")


def header_size(header: Header) -> int:
    """Bytes before the body, checksum included: the fixed cost of a plain picture of one tile (18 at 256x256)."""
    return len(pack_fields(header)) + CRC_BYTES


def read_header(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Header:
    """Header from a file's first bytes (MAX_HEADER_BYTES of them suffice); no checksum is compared.

    Raises what `unpack` raises.
    """
    header, _ = parse_fields(data, max_pixels)
    return header


def pack_fields(header: Header) -> bytes:
    flags = _GREY if header.grey else 0
    if header.parts > 1:
        flags |= _DIRECTORY
    if header.extras:
        flags |= _EXTRAS
    start = MAGIC + bytes([VERSION << 4 | flags]) + header.weights_id
    sides = pack_varint(header.width) + pack_varint(header.height)
    return start + sides + bytes([header.quality]) + (bytes([header.extras]) if header.extras else b"")


def parse_fields(data: bytes, max_pixels: int) -> tuple[Header, int]:
    """Checks 1 to 5: the header, and the position of its checksum, which is known to be there."""
    at = len(MAGIC)
    if data[:at] != MAGIC:
        raise CorruptFile("not an .aec file")
    versions, at = take(data, at, 1)
    version, flags = versions[0] >> 4, versions[0] & 15
    if version > VERSION:
        raise UnsupportedVersion(f"format version {version}: this reader knows versions up to {VERSION}")
    weights_id, at = take(data, at, _WEIGHTS_ID_BYTES)
    width, at = parse_varint(data, at)
    height, at = parse_varint(data, at)
    check_sides(width, height, max_pixels)
    _check_flags(flags, tile_count(width, height))
    qualities, at = take(data, at, 1)
    extras = NO_EXTRAS
    if flags & _EXTRAS:
        kinds, at = take(data, at, 1)
        extras = _parse_extras(kinds[0])
    take(data, at, CRC_BYTES)
    return Header(width, height, qualities[0], weights_id, bool(flags & _GREY), extras), at


def _check_flags(flags: int, tiles: int) -> None:
    if flags & _RESERVED:
        raise CorruptFile("damaged file: reserved bits are set")
    if bool(flags & _DIRECTORY) != (tiles > 1 or bool(flags & _EXTRAS)):
        raise CorruptFile("damaged file: directory flag and number of parts disagree")


def _parse_extras(kinds: int) -> Extra:
    if kinds & ~_KNOWN_EXTRAS:
        raise CorruptFile("damaged file: extras of an unknown kind")
    if not kinds:
        raise CorruptFile("damaged file: no extras where its flags say some")
    return Extra(kinds)


def check_sides(width: int, height: int, max_pixels: int) -> None:
    if not (width and height):
        raise CorruptFile(f"damaged file: a picture of {width}x{height} pixels")
    if max(width, height) > MAX_SIDE:
        raise HeaderLimitExceeded(f"the header asks for {width}x{height} pixels: sides are limited to {MAX_SIDE}")
    if height > max_pixels // width:
        raise HeaderLimitExceeded(f"the header asks for {width}x{height} pixels: the limit is {max_pixels} in all")


def take(data: bytes, at: int, count: int) -> tuple[bytes, int]:
    """`count` bytes at a position, and the position after them."""
    end = at + count
    if end > len(data):
        raise CorruptFile(CUT_SHORT)
    return data[at:end], end


def pack_varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def parse_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a position, and the position after it."""
    value = 0
    for index in range(_VARINT_BYTES):
        (byte,), at = take(data, at, 1)
        value |= (byte & 127) << 7 * index
        if byte < 128:
            if byte == 0 and index > 0:
                break
            return value, at
    raise CorruptFile("damaged file: a number is not in its shortest form")
