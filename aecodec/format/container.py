r"""The `.aec` file format, version 0: this page and the modules it names are its definition.

Layout
------
    bytes  field       contents
    4      magic       ae 43 0d 0a: a byte above 127 and a line end, so that damage by text-mode transfers shows at once
    1      version     high four bits: format version, 0; low four bits: flags
                       (bit 0: grey, one channel; bit 1: a directory follows the checksum; bit 2: extras;
                       bit 3: always 0)
    4      weights     id of the weights that decode the picture
    1-3    width       varint, 1..65535 pixels
    1-3    height      varint, 1..65535 pixels
    1      quality     0..255: index into the quality tables of the weights
    0-1    extras      there where flag bit 2 is 1: which extras the file holds, at least one
                       (bit 0: alpha; bit 1: ICC profile; bit 2: EXIF; bit 3: XMP; bits 4 to 7: always 0)
    4      checksum    CRC-32, big-endian
    ...    body        to the end of the file

*Varint* (LEB128): seven bits a byte, least significant first; the top bit is set in every byte but the last. At most
five bytes, shortest form only: the last byte is not 0 unless it is the only one.
*CRC-32*: that of zlib, PNG and gzip (`zlib.crc32`), stored big-endian.

The picture is cut into coded tiles of 1024x1024 pixels, those at the right and bottom edge being what is left; their
number n = ceil(width / 1024) ceil(height / 1024) follows from the sides and is stored nowhere.

- n = 1 and no extras: no directory (flag bit 1 is 0). The body is the tile's one stream; it may be empty. The checksum
  covers all other bytes of the file, those before it and the body.
- n > 1 or extras: flag bit 1 is 1. The body starts with the directory: for each part the length of the part (varint)
  and its CRC-32. The parts are the streams of the tiles in raster order, then the extras in the order of their bits,
  lowest first. The parts follow in the same order, without gaps, and the file ends with the last one. The checksum
  covers the bytes before it and the directory.

Order of checks
---------------
A reader makes them in this order and refuses the file at the first that fails, before any memory is allocated for the
picture and before anything is decoded:

(1) magic; (2) version (a newer one needs a newer reader); (3) no side is 0; (4) no side is above 65535, and width times
height is within the reader's own limit (178,956,970 pixels unless told otherwise), tested as height > limit // width;
(5) reserved bits are 0, extras are at least one where flag bit 2 is 1, and flag bit 1 is 1 exactly where n > 1 or flag
bit 2 is 1; (6) directory and parts fill the file exactly; (7) checksum, then those of the parts; (8) the weights are
known; (9) what a frame of an extra says of itself (`extras.py`), for each extra before it is decompressed.

A file cut short, a varint in another than its shortest form and bytes after the end are damage. So is, while a stream
is decoded, what no encoder writes: a quotient without a symbol or another end than the symbols call for
(`range_coder.py`), an escape that was not needed (`symbols.py`), a frame with anything but its content (`extras.py`).

Coded grid
----------
A latent position holds 16 channels and stands for 8x8 pixels, a hyper-latent position for 32x32. Both sides of the
picture are padded at the right and bottom to a multiple of 32 pixels (by an encoder: with copies of the last column and
row): the latent field has 4 ceil(height / 32) rows and 4 ceil(width / 32) columns. A coded tile is 128x128 positions of
it, counted from the top left, or what is left of them at the right and bottom edge: h rows and w columns, both
multiples of 4, and h/4 x w/4 hyper-latent positions.

From streams to pixels
----------------------
Everything is an integer, and a decoder gives exactly these pixels. floor rounds towards minus infinity; "b bits" is the
range -2^(b-1)..2^(b-1) - 1; arrays are [rows, columns, channels]; and

    narrow(x, s, b) = floor(x 2^-s + 1/2), clipped to b bits

*Weights* (`weights.py`): the file whose SHA-256 starts with the weights id holds all tensors, shifts and networks that
are named below. How a network is computed is defined in `quantized.py`.

*Quality*: the quality byte q is the row of every tensor that has 256 rows, and decides nothing else.

*Streams* (`range_coder.py`, `latent_coding.py`): each gives the latent [h, w, 16] and the hyper features [h, w, 32] of
its tile, without a look at other tiles; put together they are the latent and the features of the whole field.

*Symbols* (`symbols.py`): magnitude up to 1024, by a table of the weights or its escape.

*Pixels*: the network "synthesis" runs over the whole field and knows no tiles. Its input is, channel by channel,
narrow(latent * inverse_gain[q], inverse_shift, 12), its second input the features. Its output y has 8 times the field's
rows and columns, and the channels R, G and B (sRGB); with e its exponent in the weights,

    pixel = floor(y 2^(7-e)) + 128, clipped to 0..255

The picture is the first `height` rows and `width` columns. In a grey file each of its pixels becomes

    L = floor((19595 R + 38470 G + 7471 B + 32768) / 65536)

*Extras* (`extras.py`): alpha gives every pixel one sample more, 0 (transparent) to 255, not premultiplied. An ICC
profile says which colour space the pixels are in; without one they are sRGB. EXIF and XMP change no pixel.

Compatibility
-------------
Until aecodec 1.0 the version is 0, and format and weights may still change together. From 1.0 on, a file that a release
has written decodes to the same pixels in every later one: a weights id never changes its meaning, the decoding half of
a superseded model stays, and a change of this page takes a new version, which older readers refuse. `tests/golden` has
files with the hashes of their pixels; `examples/decode_from_spec.py` is a decoder made of these pages alone.

Worked examples
---------------
A picture of one tile with a stream of three bytes:

    ae 43 0d 0a    magic
    00             version 0, flags 0
    12 34 56 78    weights 12345678
    80 02          width 256
    80 02          height 256
    80             quality 128
    ba 3e 07 a4    checksum of all other bytes
    c0 ff ee       stream

A grey picture of two tiles; the stream of the second is empty:

    ae 43 0d 0a    magic
    03             version 0, flags 3
    12 34 56 78    weights 12345678
    81 08          width 1025
    01             height 1
    00             quality 0
    ec e3 e0 a1    checksum of the bytes above and the directory
    03             length 3
    ba 78 7d 5f    checksum of the first stream
    00             length 0
    00 00 00 00    checksum of the second stream
    c0 ff ee       stream

A picture of 3x2 pixels with alpha and an XMP packet, "<x/>"; of the six samples of alpha one is 0, the others are 255:

    ae 43 0d 0a    magic
    06             version 0, flags 6
    12 34 56 78    weights 12345678
    03             width 3
    02             height 2
    64             quality 100
    09             extras: alpha and XMP
    e1 2a 9e 97    checksum of the bytes above and the directory
    03             length 3
    ba 78 7d 5f    checksum of the stream
    10             length 16
    41 1e 09 e4    checksum of alpha
    0d             length 13
    a6 81 69 90    checksum of XMP
    c0 ff ee       stream
    03             alpha: filter 3
    28 b5 2f fd    magic of a zstd frame
    20 06          its descriptor, and the size of its content, 6
    31 00 00       its only block: the last, stored as it is, 6 bytes
    ff 00 00       first row, filtered
    00 00 01       second row, filtered
    28 b5 2f fd    XMP: magic of a zstd frame
    20 04          its descriptor, and the size of its content, 4
    21 00 00       its only block
    3c 78 2f 3e    "<x/>"
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from aecodec.errors import CorruptFile
from aecodec.format.header import CRC_BYTES
from aecodec.format.header import CUT_SHORT
from aecodec.format.header import Extra
from aecodec.format.header import Header
from aecodec.format.header import pack_fields
from aecodec.format.header import pack_varint
from aecodec.format.header import parse_fields
from aecodec.format.header import parse_varint
from aecodec.format.header import take
from aecodec.limits import MAX_PIXELS


def pack(header: Header, parts: Sequence[bytes]) -> bytes:
    """The file of a picture. Raises ValueError for another number of parts than `header.parts`.

    `parts`: one range-coded stream per coded tile in raster order, then one part per extra in the order of `Extra`.
    """
    if len(parts) != header.parts:
        raise ValueError(f"{len(parts)} parts where {header.tiles} tiles and the extras call for {header.parts}")
    fields = pack_fields(header)
    if header.parts == 1:
        (stream,) = parts
        return fields + _crc(fields, stream) + stream
    directory = b"".join(pack_varint(len(part)) + _crc(part) for part in parts)
    return b"".join([fields, _crc(fields, directory), directory, *parts])


def unpack(data: bytes, *, max_pixels: int = MAX_PIXELS) -> tuple[Header, list[bytes]]:
    """Header and parts, as `pack` takes them, of a whole file; checks 1 to 7.

    Raises CorruptFile, HeaderLimitExceeded (a side above 65535 or more than `max_pixels`) or UnsupportedVersion.
    """
    header, crc_at = parse_fields(data, max_pixels)
    fields, body_at = data[:crc_at], crc_at + CRC_BYTES
    crc = data[crc_at:body_at]
    if header.parts == 1:
        stream = data[body_at:]
        _check_crc(crc, fields, stream)
        return header, [stream]
    entries, parts_at = _parse_directory(data, body_at, header.parts)
    _check_length(len(data) - parts_at, sum(length for length, _ in entries))
    _check_crc(crc, fields, data[body_at:parts_at])
    parts = []
    for length, part_crc in entries:
        part = data[parts_at : parts_at + length]
        _check_crc(part_crc, part)
        parts.append(part)
        parts_at += length
    return header, parts


def extra_sizes(data: bytes, *, max_pixels: int = MAX_PIXELS) -> dict[Extra, int]:
    """Bytes that each extra takes in a file, by its directory; no checksum is compared. Raises what `unpack` raises."""
    header, crc_at = parse_fields(data, max_pixels)
    if not header.extras:
        return {}
    entries, _ = _parse_directory(data, crc_at + CRC_BYTES, header.parts)
    return {extra: length for extra, (length, _) in zip(header.kinds, entries[header.tiles :], strict=True)}


def _parse_directory(data: bytes, at: int, count: int) -> tuple[list[tuple[int, bytes]], int]:
    """Length and stored CRC of each of `count` parts, and where the first one starts."""
    entries = []
    for _ in range(count):
        length, at = parse_varint(data, at)
        crc, at = take(data, at, CRC_BYTES)
        entries.append((length, crc))
    return entries, at


def _check_length(found: int, expected: int) -> None:
    if found < expected:
        raise CorruptFile(CUT_SHORT)
    if found > expected:
        raise CorruptFile(f"damaged file: {found - expected} bytes after its end")


def _crc(*pieces: bytes) -> bytes:
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
    return crc.to_bytes(CRC_BYTES, "big")


def _check_crc(stored: bytes, *pieces: bytes) -> None:
    if _crc(*pieces) != stored:
        raise CorruptFile("damaged file: a checksum does not match")
