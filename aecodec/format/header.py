"""The header: its record for both forms of a file, and the bytes and checks (1 to 5) of the full one.

The head of `container.py` documents the format.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from enum import IntFlag

from aecodec.errors import CorruptFile
from aecodec.errors import HeaderLimitExceeded
from aecodec.errors import UnsupportedVersion
from aecodec.geometry import tile_count
from aecodec.limits import MAX_SIDE
from aecodec.limits import exceeded_limit

MAGIC = b"\xaeC\r\n"
VERSION = 1
QUALITY_STEPS = 256  # values of the quality byte

# The longest header, checksum included, even of a refused file: `read_header` needs no more of a file than this.
MAX_HEADER_BYTES = 36

_GREY = 1
_EXTRAS = 2
_DISPLAY = 4
_CUT = 8

_WEIGHTS_ID_BYTES = 4
_OTHER_WEIGHTS = 255
CRC_BYTES = 4
_VARINT_BYTES = 5

CUT_SHORT = "damaged file: it is cut short"

Weights = int | bytes  # the number of a registered model, 0..254, or the four-byte id of other weights
Size = tuple[int, int]  # width and height in pixels


class Extra(IntFlag):
    """What a file can hold beside its streams, in the order of its parts."""

    ALPHA = 1
    ICC = 2
    EXIF = 4
    XMP = 8


_KNOWN_EXTRAS = sum(Extra)
NO_EXTRAS = Extra(0)


class Check(IntEnum):
    """The checksum of a compact file."""

    NONE = 0
    CRC8 = 1
    CRC16 = 2
    CRC32 = 3


@dataclass(frozen=True)
class Header:
    """What a file states about its picture. Raises ValueError for a field out of range."""

    width: int  # pixels, 1..65535
    height: int  # pixels, 1..65535
    quality: int  # index, 0..255
    weights: Weights
    grey: bool = False
    extras: Extra = NO_EXTRAS
    display: Size | None = None  # of the picture that this one stands for, if it was reduced
    cut: bool = False  # whether the streams are prefixes
    compact: Check | None = None  # None: the full form

    def __post_init__(self) -> None:
        for width, height in (self.size, self.shown):
            if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
                raise ValueError(f"{width}x{height} pixels: sides must be in 1..{MAX_SIDE}")
        if self.display == self.size:
            raise ValueError("a display size that is the picture's own is not stored")
        if not 0 <= self.quality <= 255:
            raise ValueError(f"quality index {self.quality} is not in 0..255")
        if isinstance(self.weights, bytes):
            if len(self.weights) != _WEIGHTS_ID_BYTES:
                raise ValueError(f"a weights id has {_WEIGHTS_ID_BYTES} bytes, not {len(self.weights)}")
        elif not 0 <= self.weights < _OTHER_WEIGHTS:
            raise ValueError(f"the number of a model is in 0..{_OTHER_WEIGHTS - 1}, not {self.weights}")
        if not 0 <= self.extras <= _KNOWN_EXTRAS:
            raise ValueError(f"extras {int(self.extras)} are not in 0..{_KNOWN_EXTRAS}")

    @property
    def size(self) -> Size:
        """Width and height of the picture that is coded."""
        return self.width, self.height

    @property
    def shown(self) -> Size:
        """Width and height of the picture that is shown."""
        return self.display or self.size

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


def pack_fields(header: Header) -> bytes:
    """The full header without its checksum."""
    flags = _GREY * header.grey | _EXTRAS * bool(header.extras) | _DISPLAY * bool(header.display) | _CUT * header.cut
    fields = MAGIC + bytes([VERSION << 4 | flags]) + pack_weights(header.weights, _OTHER_WEIGHTS)
    fields += b"".join(map(pack_varint, header.size + (header.display or ())))
    return fields + bytes([header.quality]) + (bytes([header.extras]) if header.extras else b"")


def header_size(header: Header) -> int:
    """Bytes of the full form before the body, checksum included: 15 for a plain picture of 256x256 pixels."""
    return len(pack_fields(header)) + CRC_BYTES


def parse_fields(data: bytes, max_pixels: int) -> tuple[Header, int]:
    """Checks 1 to 5 of the full form: the header, and the position of its checksum, which is known to be there."""
    at = len(MAGIC)
    if data[:at] != MAGIC:
        raise CorruptFile("not an .aec file")
    (first,), at = take(data, at, 1)
    version, flags = first >> 4, first & 15
    if version > VERSION:
        raise UnsupportedVersion(f"format version {version}: this reader knows version {VERSION}; upgrade aecodec")
    if version < VERSION:
        raise UnsupportedVersion(f"format version {version}: that of development versions, which is no longer read")
    (number,), at = take(data, at, 1)
    weights, at = (number, at) if number != _OTHER_WEIGHTS else take(data, at, _WEIGHTS_ID_BYTES)
    size, at = _parse_size(data, at, max_pixels)
    display, at = _parse_size(data, at, max_pixels) if flags & _DISPLAY else (None, at)
    if display == size:
        raise CorruptFile("damaged file: a display size that is the picture's own")
    (quality,), at = take(data, at, 1)
    extras = NO_EXTRAS
    if flags & _EXTRAS:
        (kinds,), at = take(data, at, 1)
        extras = _parse_extras(kinds)
    take(data, at, CRC_BYTES)
    return Header(*size, quality, weights, bool(flags & _GREY), extras, display, bool(flags & _CUT)), at


def pack_weights(weights: Weights, other: int) -> bytes:
    """One byte for a registered model; for other weights the byte `other`, then their id."""
    return bytes([other]) + weights if isinstance(weights, bytes) else bytes([weights])


def _parse_size(data: bytes, at: int, max_pixels: int) -> tuple[Size, int]:
    width, at = parse_varint(data, at)
    height, at = parse_varint(data, at)
    check_sides(width, height, max_pixels)
    return (width, height), at


def _parse_extras(kinds: int) -> Extra:
    if kinds & ~_KNOWN_EXTRAS:
        raise CorruptFile("damaged file: extras of an unknown kind")
    if not kinds:
        raise CorruptFile("damaged file: no extras although its flags announce some")
    return Extra(kinds)


def check_sides(width: int, height: int, max_pixels: int) -> None:
    """Raises CorruptFile for a side of 0, HeaderLimitExceeded for a side or a picture over its limit."""
    if not (width and height):
        raise CorruptFile(f"damaged file: a picture of {width}x{height} pixels")
    if limit := exceeded_limit(width, height, max_pixels):
        raise HeaderLimitExceeded(f"the header asks for {width}x{height} pixels: the limit is {limit}")


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
