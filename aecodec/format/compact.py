"""The compact form: one coded tile without extras, after a header of a few bytes (4 at 256x256).

Part of the format's definition. The stream is that of the full form (`container.py`), to the bit, so that either form
turns into the other without decoding. The compact form is for places that store a length anyway: packets, attributes,
database columns. Its first byte is c0 to f7: no full file, PNG, JPEG, WebP or JPEG XL file begins with one of these.

Layout
------
    bytes  field       contents
    1      lead        bits 7 and 6: both 1; bits 5 to 3: model; bit 2: grey; bits 1 and 0: kind of checksum
    0-5    model       present if the model bits of the lead are 6
    1      quality     as in the full form
    1-8    sides       see below
    0-4    checksum    none (kind 0), CRC-8 (1), CRC-16 (2) or CRC-32 (3), big-endian
    ...    stream      to the end; may be empty

*Model*: 0 to 5 are the number of a registered model. With 6, a byte follows: its bit 7 is the flag "cut" of the full
form, and its bits 6 to 0 are the number, or 127 before the four-byte weights id. A reader refuses the longer way if the
shorter one would do. 7 is not used.

*Sides*: the first of these forms that can hold them; the leading bits tell which.

    0vvvvvvv                      width = height = 8 (v + 1)
    10wwwwww whhhhhhh             width - 1 and height - 1, seven bits each
    110wwwww wwwwwhhh hhhhhhh0    width - 1 and height - 1, ten bits each
    111vvvvv, then a size         a picture reduced for coding: the size is the one it is shown at, in one of the three
                                  ways above or as ff and two varints

Of a reduced picture, the longer side has 8 (v + 1) pixels, and the shorter one max(1, floor(8 (v + 1) s / l + 1/2)),
for a display size of sides l >= s; the picture is upright if the display size is. The two sizes differ.

*Checksum*: over the weights id (four bytes, even if the file has only a number), all bytes before the checksum, and the
stream. CRC-8 has the polynomial x^8 + x^2 + x + 1 and starts at 0; CRC-16 has x^16 + x^12 + x^5 + 1 and starts at ffff;
both take the most significant bit first. Without a checksum, damage may give a wrong picture; so may damage to the two
bits of the lead that say which one there is.

Order of checks: (1) lead; (2) model; (3) sides, with the limits of the full form; (4) one tile; (5) the weights are
known; (6) checksum. No stream takes more than 85 bytes a latent position: a reader may refuse longer ones at once.

Worked examples
---------------
Weights 12345678 are registered with number 0; the stream is c0 ff ee.

    c1 80 1f 3a c0 ff ee               256x256, quality 128, CRC-8
    c4 00 b1 bf                        grey, 100x64, quality 0, no checksum, an empty stream
    f1 ff 12 34 56 78 80 e3 1f d1      cut, weights by their id, 32x32 shown at 256x256, CRC-8, an empty stream
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Callable
from functools import lru_cache

from aecodec.errors import AecError
from aecodec.errors import CorruptFile
from aecodec.format.header import NO_EXTRAS
from aecodec.format.header import Check
from aecodec.format.header import Header
from aecodec.format.header import Size
from aecodec.format.header import Weights
from aecodec.format.header import check_sides
from aecodec.format.header import pack_varint
from aecodec.format.header import pack_weights
from aecodec.format.header import parse_varint
from aecodec.format.header import take
from aecodec.geometry import latent_shape

_LEAD = 0xC0
_LEADS = range(0xC0, 0xF8)
_LONG_MODEL = 6
_CUT = 128
_OTHER_WEIGHTS = 127
_REDUCED = 0xE0
_LARGE = b"\xff"
_STEP = 8  # pixels
LARGEST_REDUCED = 32 * _STEP  # the longer side of a reduced picture
_REDUCED_SIDES = range(_STEP, LARGEST_REDUCED + 1, _STEP)
MOST_BYTES_A_POSITION = 17 * 5  # a latent position has 17 symbols with the hyper-latent's, of 35 bits at most
_CHECK_BYTES = {Check.NONE: 0, Check.CRC8: 1, Check.CRC16: 2, Check.CRC32: 4}

IdOf = Callable[[Weights], bytes]  # the four-byte id of the weights that a header names; raises UnknownWeights


def is_compact(data: bytes) -> bool:
    """Whether a file, by its first byte, can be of the compact form and not of the full one."""
    return data[:1] != b"" and data[0] in _LEADS


def check_compact(header: Header) -> None:
    """Raises AecError if the compact form cannot hold such a picture."""
    if header.tiles > 1 or header.extras:
        raise AecError("only a picture of up to 1024x1024 pixels, without alpha and metadata, has a compact form")
    if header.display is not None and not (
        max(header.size) in _REDUCED_SIDES and header.size == reduced_size(header.display, max(header.size))
    ):
        sides = f"8, 16, .. {LARGEST_REDUCED}"
        raise AecError(f"in compact form, a picture is reduced to a longer side of {sides}, not {max(header.size)}")
    if isinstance(header.weights, int) and header.weights >= _OTHER_WEIGHTS:
        raise AecError(f"the compact form holds models up to number {_OTHER_WEIGHTS - 1}")


def reduced_size(display: Size, longer: int) -> Size:
    """Width and height of a picture reduced until its longer side has `longer` pixels."""
    width, height = display
    most = max(display)
    return max(1, (2 * longer * width + most) // (2 * most)), max(1, (2 * longer * height + most) // (2 * most))


def pack_compact(header: Header, stream: bytes, weights_id: bytes) -> bytes:
    """The compact file of a picture. Raises AecError as `check_compact`."""
    check_compact(header)
    fields = _pack_fields(header)
    assert header.compact is not None
    return fields + checksum(header.compact, weights_id + fields + stream) + stream


def unpack_compact(data: bytes, max_pixels: int, id_of: IdOf) -> tuple[Header, bytes, bool]:
    """Header, stream, and whether the checksum matches. Raises as `container.unpack`."""
    header, at = parse_compact(data, max_pixels)
    assert header.compact is not None
    weights_id = id_of(header.weights)
    end = at + _CHECK_BYTES[header.compact]
    stream = data[end:]
    rows, columns = latent_shape(*header.size)
    if len(stream) > rows * columns * MOST_BYTES_A_POSITION:
        raise CorruptFile("damaged file, or no .aec file: it is longer than its picture can be")
    return header, stream, checksum(header.compact, weights_id + data[:at] + stream) == data[at:end]


def parse_compact(data: bytes, max_pixels: int) -> tuple[Header, int]:
    """Checks 1 to 4: the header, and the position of its checksum, which is known to be there."""
    (lead,), at = take(data, 0, 1)
    if lead not in _LEADS:
        raise CorruptFile("not an .aec file")
    check = Check(lead & 3)
    weights, cut, at = _parse_model(data, at, lead >> 3 & 7)
    (quality,), at = take(data, at, 1)
    sides_at = at
    size, display, at = _parse_sides(data, at)
    for width, height in (size, display or size):
        check_sides(width, height, max_pixels)
    take(data, at, _CHECK_BYTES[check])
    header = Header(*size, quality, weights, bool(lead & 4), NO_EXTRAS, display, cut, check)
    if header.tiles > 1 or _pack_sides(header) != data[sides_at:at]:
        raise CorruptFile("damaged file: its sides are not in their shortest form")
    return header, at


def _pack_fields(header: Header) -> bytes:
    number = header.weights
    short = isinstance(number, int) and number < _LONG_MODEL and not header.cut
    model = number if short and isinstance(number, int) else _LONG_MODEL
    lead = _LEAD | model << 3 | header.grey << 2 | (header.compact or Check.NONE)
    long = b""
    if not short:
        long = pack_weights(number, _OTHER_WEIGHTS)
        long = bytes([long[0] | _CUT * header.cut]) + long[1:]
    return bytes([lead]) + long + bytes([header.quality]) + _pack_sides(header)


def _parse_model(data: bytes, at: int, model: int) -> tuple[Weights, bool, int]:
    """The weights, whether the stream is cut, and the position after them."""
    if model < _LONG_MODEL:
        return model, False, at
    (byte,), at = take(data, at, 1)
    cut, number = bool(byte & _CUT), byte & ~_CUT
    if number == _OTHER_WEIGHTS:
        weights_id, at = take(data, at, 4)
        return weights_id, cut, at
    if number < _LONG_MODEL and not cut:
        raise CorruptFile("damaged file: its model is not in its shortest form")
    return number, cut, at


def _pack_sides(header: Header) -> bytes:
    if header.display is None:
        return _pack_size(header.size)
    return bytes([_REDUCED | max(header.size) // _STEP - 1]) + _pack_size(header.display)


def _pack_size(size: Size) -> bytes:
    width, height = size
    if width == height and width % _STEP == 0 and width <= 128 * _STEP:
        return bytes([width // _STEP - 1])
    if max(size) <= 1 << 7:
        return (0x8000 | width - 1 << 7 | height - 1).to_bytes(2, "big")
    if max(size) <= 1 << 10:
        return (0xC00000 | width - 1 << 11 | height - 1 << 1).to_bytes(3, "big")
    return _LARGE + pack_varint(width) + pack_varint(height)


def _parse_sides(data: bytes, at: int) -> tuple[Size, Size | None, int]:
    """Size, display size, and the position after them."""
    (first,), after = take(data, at, 1)
    if first < _REDUCED:
        size, at = _parse_size(data, at)
        return size, None, at
    display, at = _parse_size(data, after)
    if not min(display):
        raise CorruptFile(f"damaged file: a picture of {display[0]}x{display[1]} pixels")
    size = reduced_size(display, _STEP * ((first & 31) + 1))
    if size == display:
        raise CorruptFile("damaged file: a display size that is the picture's own")
    return size, display, at


def _parse_size(data: bytes, at: int) -> tuple[Size, int]:
    (first,), after = take(data, at, 1)
    if first < 0x80:
        return (_STEP * (first + 1), _STEP * (first + 1)), after
    if first < 0xC0:
        both, at = take(data, at, 2)
        value = int.from_bytes(both, "big")
        return ((value >> 7 & 127) + 1, (value & 127) + 1), at
    if first < _REDUCED:
        three, at = take(data, at, 3)
        value = int.from_bytes(three, "big")
        return ((value >> 11 & 1023) + 1, (value >> 1 & 1023) + 1), at
    width, at = parse_varint(data, after)
    height, at = parse_varint(data, at)
    return (width, height), at


def checksum(check: Check, data: bytes) -> bytes:
    """The checksum of some bytes, of the kind asked for."""
    if check is Check.NONE:
        return b""
    if check is Check.CRC8:
        return _crc8(data)
    if check is Check.CRC16:
        return binascii.crc_hqx(data, 0xFFFF).to_bytes(2, "big")
    return zlib.crc32(data).to_bytes(4, "big")


def _crc8(data: bytes) -> bytes:
    table, crc = _crc8_table(), 0
    for byte in data:
        crc = table[crc ^ byte]
    return bytes([crc])


@lru_cache(maxsize=1)
def _crc8_table() -> bytes:
    crcs = bytes(range(256))
    for _ in range(8):
        crcs = bytes((crc << 1 ^ 7) & 255 if crc & 128 else crc << 1 for crc in crcs)
    return crcs
