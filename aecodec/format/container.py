r"""The `.aec` file format, version 1: this page and the modules it names are its definition.

Layout
------
    bytes  field       contents
    4      magic       ae 43 0d 0a: a byte above 127 and a line end, so that damage by text-mode transfers shows at once
    1      version     high four bits: format version, 1; low four bits: flags
                       (bit 0: grey, one channel; bit 1: extras; bit 2: reduced; bit 3: cut)
    1, 5   weights     number of a registered model, 0..254; or 255, and then the four-byte id of other weights
    1-3    width       varint, 1..65535 pixels
    1-3    height      varint, 1..65535 pixels
    0-6    display     present if flag bit 2 is 1: width and height, two varints, that the picture is shown at
    1      quality     0..255: index into the quality tables of the weights
    0-1    extras      present if flag bit 1 is 1: which extras the file holds, at least one
                       (bit 0: alpha; bit 1: ICC profile; bit 2: EXIF; bit 3: XMP; bits 4 to 7: always 0)
    4      checksum    CRC-32, big-endian
    ...    body        to the end of the file

*Varint* (LEB128): seven bits a byte, least significant first; the top bit is set in every byte but the last. At most
five bytes, shortest form only: the last byte is not 0 unless it is the only one.
*CRC-32*: that of zlib, PNG and gzip (`zlib.crc32`), stored big-endian.
*Registered models*: numbers and ids of the weights that come with aecodec stand in `weights/manifest.json`. A number
never changes its weights.

The picture is cut into coded tiles of 1024x1024 pixels; tiles at the right and bottom edge are smaller. Their number
n = ceil(width / 1024) ceil(height / 1024) follows from the sides and is not stored.

- n = 1 and no extras: the body is the tile's one stream; it may be empty. The checksum covers all other bytes of the
  file, those before it and the body.
- n > 1 or extras: the body starts with a directory: for each part the length of the part (varint) and its CRC-32. The
  parts are the streams of the tiles in raster order, then the extras in the order of their bits, lowest first. The
  parts follow in the same order, without gaps, and the file ends with the last one. The checksum covers the bytes
  before it and the directory.

`compact.py` defines a shorter form for small pictures.

Order of checks
---------------
A reader makes these checks in order and refuses the file at the first that fails, before it allocates memory for the
picture and before it decodes anything:

(1) magic; (2) version; (3) no side is 0; (4) no side is above 65535, and width times height is within the reader's own
limit (178,956,970 pixels by default), tested as height > limit // width; (3) and (4) for the picture, then for its
display size; (5) the display size differs from the picture's, and extras are at least one and of known kinds; (6)
directory and parts fill the file exactly; (7) checksum, then those of the parts; (8) the weights are known; (9) the
frame header of each extra (`extras.py`), before it is decompressed.

A file that ends early, a varint in another than its shortest form, and bytes after the end are damage. While a stream
is decoded, so is anything that no encoder writes: a quotient that belongs to no symbol or an end that does not match
the symbols (`range_coder.py`), an escape for a symbol that its table holds (`symbols.py`), a zstd frame with anything
but its content (`extras.py`).

Coded grid
----------
A side of less than 32 pixels is coded at 32 ("Pixels"). Then both sides are padded at the right and bottom to a
multiple of 32 pixels (by an encoder: with copies of the last column and row). A latent position holds 16 channels and
stands for 8x8 pixels, a hyper-latent position for 32x32. The latent field has 4 ceil(height / 32) rows and
4 ceil(width / 32) columns. A coded tile is 128x128 positions of it, counted from the top left, or fewer at the right
and bottom edge: h rows and w columns, both multiples of 4, and h/4 x w/4 hyper-latent positions.

From streams to pixels
----------------------
Everything is an integer, and a decoder gives exactly these pixels. floor rounds towards minus infinity; "b bits" is the
range -2^(b-1)..2^(b-1) - 1; arrays are [rows, columns, channels]; and

    narrow(x, s, b) = floor(x 2^-s + 1/2), clipped to b bits

*Weights* (`weights.py`): the file whose SHA-256 starts with the weights id holds all tensors, shifts and networks that
are named below. `quantized.py` defines how a network is computed.

*Quality*: the quality byte q selects a row of every tensor that has 256 rows, and nothing else.

*Streams* (`range_coder.py`, `latent_coding.py`): each gives the latent [h, w, 16] and the hyper features [h, w, 32] of
its tile, independent of other tiles; together they make the latent and the features of the whole field.

*Symbols* (`symbols.py`): magnitude up to 1024, by a table of the weights or its escape.

*Pixels*: the network "synthesis" runs over the whole field, across tiles. Its input is, channel by channel,
narrow(latent * inverse_gain[q], inverse_shift, 12), its second input the features. Its output y has 8 times the field's
rows and columns, and the channels R, G and B (sRGB); with e its exponent in the weights,

    pixel = floor(y 2^(7-e)) + 128, clipped to 0..255

The picture is the first `height` rows and `width` columns. A side of n < 32 pixels is different: its first 32 samples
become n by their means. Sample x covers x..x + 1, pixel i covers 32 i / n..32 (i + 1) / n, and the weight of x in i is
the part that both cover,

    w(i, x) = max(0, min(32 (i + 1), n (x + 1)) - max(32 i, n x)), of 32 in all

With w the identity, of 1 in all, for a side of 32 or more, and S the product of the two "in all" (1, 32 or 1024), pixel
(i, j) is floor(sum over x, y of w(i, y) w(j, x) sample(y, x) / S + 1/2).

In a grey file each pixel then becomes

    L = floor((19595 R + 38470 G + 7471 B + 32768) / 65536)

*Extras* (`extras.py`): alpha gives every pixel one more sample, 0 (transparent) to 255, not premultiplied. An ICC
profile names the colour space of the pixels; without one they are sRGB. EXIF and XMP change no pixel.

*Display size*: these are the exact pixels of the picture as it was coded. A reader shows them, and alpha, resampled to
the display size, by a filter of its choice; aecodec takes Pillow's Lanczos.

Prefixes
--------
A stream goes from coarse to fine, so that its first bytes already give a picture. A reader may be asked to decode a
file that ends early, and can if the header and its checksum are complete. The streams of a file with the flag "cut" are
such prefixes, each of any length: its checksums cover what is there, and a reader decodes it like any other.

A symbol of a prefix counts if the prefix decides it: decoded once with zero bytes after the prefix and once with ff
bytes, it is the same, and neither quotient is 2^24 or more. The first symbol that does not count, and all after it, are
0; so is an escaped symbol whose value does not count. The means of `latent_coding.py` thus stand for what is missing.
The end of the stream is not checked. If the directory is incomplete, every stream is empty. Of parts that are
incomplete, a stream is decoded as a prefix and an extra is missing; complete parts are decoded as in a whole file. A
compact file without a checksum, or with one of a byte, counts as one that ends early.

Compatibility
-------------
From aecodec 1.0 on, a file that a release has written decodes to the same pixels in every later one: a number and a
weights id never change their meaning, the decoding half of a superseded model stays, and a change of this page takes a
new version, which older readers refuse. Development versions wrote version 0. `tests/golden` has files with the hashes
of their pixels; `examples/decode_from_spec.py` is a decoder made from these pages alone.

Worked examples
---------------
A picture of one tile with a stream of three bytes:

    ae 43 0d 0a    magic
    10             version 1, flags 0
    00             weights: registered model 0
    80 02          width 256
    80 02          height 256
    80             quality 128
    07 6a 5f a7    checksum of all other bytes
    c0 ff ee       stream

A grey picture of two tiles by other weights; the stream of the second is empty:

    ae 43 0d 0a    magic
    11             version 1, flags 1
    ff 12 34 56 78 weights 12345678
    81 08          width 1025
    01             height 1
    00             quality 0
    c3 49 c4 d1    checksum of the bytes above and the directory
    03             length 3
    ba 78 7d 5f    checksum of the first stream
    00             length 0
    00 00 00 00    checksum of the second stream
    c0 ff ee       stream

A picture of 3x2 pixels with alpha and an XMP packet, "<x/>", shown at 300x200; of the six samples of alpha one is 0,
the others are 255:

    ae 43 0d 0a    magic
    16             version 1, flags 6
    00             weights: registered model 0
    03             width 3
    02             height 2
    ac 02 c8 01    display 300x200
    64             quality 100
    09             extras: alpha and XMP
    c3 8a ac ac    checksum of the bytes above and the directory
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
from dataclasses import replace
from itertools import accumulate
from typing import NamedTuple

from aecodec.errors import AecError
from aecodec.errors import CorruptFile
from aecodec.errors import UnknownWeights
from aecodec.format.compact import IdOf
from aecodec.format.compact import is_compact
from aecodec.format.compact import pack_compact
from aecodec.format.compact import parse_compact
from aecodec.format.compact import unpack_compact
from aecodec.format.header import CRC_BYTES
from aecodec.format.header import CUT_SHORT
from aecodec.format.header import Check
from aecodec.format.header import Extra
from aecodec.format.header import Header
from aecodec.format.header import Weights
from aecodec.format.header import pack_fields
from aecodec.format.header import pack_varint
from aecodec.format.header import parse_fields
from aecodec.format.header import parse_varint
from aecodec.format.header import take
from aecodec.limits import MAX_PIXELS
from aecodec.limits import MAX_SIDE


class Prefix(bytes):
    """The beginning of a stream, in a file that ends early."""


class Content(NamedTuple):
    """A file taken apart: one stream per coded tile in raster order, then one part per extra in the order of `Extra`.

    In a file that ends early, streams that are not whole are a `Prefix`, and only whole extras are in the header.
    """

    header: Header
    parts: list[bytes]
    complete: bool = True

    @property
    def streams(self) -> list[bytes]:
        return self.parts[: self.header.tiles]

    @property
    def extras(self) -> dict[Extra, bytes]:
        return dict(zip(self.header.kinds, self.parts[self.header.tiles :], strict=True))

    def is_prefix(self, stream: bytes) -> bool:
        """Whether a stream may end anywhere."""
        return self.header.cut or isinstance(stream, Prefix)


def pack(header: Header, parts: Sequence[bytes], weights_id: bytes | None = None) -> bytes:
    """The file of a picture, in the form that its header names; the compact one needs the id of the weights.

    `parts` as in `Content`. Raises ValueError for another number of parts than `header.parts`, AecError if the compact
    form does not hold the picture.
    """
    if len(parts) != header.parts:
        raise ValueError(f"{len(parts)} parts, but {header.tiles} tiles and the extras call for {header.parts}")
    if header.compact is not None:
        if weights_id is None:
            raise ValueError("the checksum of the compact form covers the weights id")
        return pack_compact(header, parts[0], weights_id)
    fields = pack_fields(header)
    if header.parts == 1:
        (stream,) = parts
        return fields + _crc(fields, stream) + stream
    directory = b"".join(pack_varint(len(part)) + _crc(part) for part in parts)
    return b"".join([fields, _crc(fields, directory), directory, *parts])


def no_ids(weights: Weights) -> bytes:
    """For readers that take no compact file."""
    raise UnknownWeights("a compact file is read with its weights only")


def unpack(data: bytes, id_of: IdOf = no_ids, *, max_pixels: int = MAX_PIXELS, partial: bool = False) -> Content:
    """Takes a file of either form apart; checks 1 to 7.

    `id_of` gives the id of the weights that a compact file names. `partial` also takes a file that ends anywhere after
    its header. Raises CorruptFile, HeaderLimitExceeded (a side above 65535 or more than `max_pixels`),
    UnsupportedVersion, or what `id_of` raises.
    """
    if is_compact(data):
        header, stream, sound = unpack_compact(data, max_pixels, id_of)
        # A short checksum fits one prefix in 256.
        complete = sound and not (partial and header.compact in (Check.NONE, Check.CRC8))
        return _checked(Content(header, [stream], complete), partial)
    header, crc_at = parse_fields(data, max_pixels)
    fields, body_at = data[:crc_at], crc_at + CRC_BYTES
    crc = data[crc_at:body_at]
    if header.parts == 1:
        stream = data[body_at:]
        return _checked(Content(header, [stream], _crc(fields, stream) == crc), partial)
    try:
        entries, parts_at = _parse_directory(data, body_at, header.parts)
    except CorruptFile:
        if not partial:
            raise
        return Content(replace(header, extras=Extra(0)), [Prefix()] * header.tiles, complete=False)
    lengths = [length for length, _ in entries]
    missing = parts_at + sum(lengths) - len(data)
    if missing < 0:
        raise CorruptFile(f"damaged file: {-missing} bytes after its end")
    if missing > 0 and not partial:
        raise CorruptFile(CUT_SHORT)
    _check_crc(crc, fields, data[body_at:parts_at])
    ends = list(accumulate(lengths, initial=parts_at))
    parts = [data[start : start + length] for start, length in zip(ends, lengths, strict=False)]
    for part, (length, part_crc) in zip(parts, entries, strict=True):
        if len(part) == length:
            _check_crc(part_crc, part)
    return _whole_extras(Content(header, parts), lengths) if missing > 0 else Content(header, parts)


def _checked(content: Content, partial: bool) -> Content:
    """Content of one stream, which is a prefix if the file is not complete."""
    if content.complete:
        return content
    if not partial:
        raise CorruptFile(_MISMATCH if content.header.compact is None else _COMPACT_MISMATCH)
    return content._replace(parts=[Prefix(content.parts[0])])


def _whole_extras(content: Content, lengths: Sequence[int]) -> Content:
    """The content of a file that ends early, without the extras that are not whole."""
    tiles = content.header.tiles
    sizes = dict(zip(content.header.kinds, lengths[tiles:], strict=True))
    whole = {kind: part for kind, part in content.extras.items() if len(part) == sizes[kind]}
    header = replace(content.header, extras=Extra(sum(whole)))
    streams = [
        part if len(part) == length else Prefix(part) for part, length in zip(content.streams, lengths, strict=False)
    ]
    return Content(header, [*streams, *whole.values()], complete=False)


def cut(content: Content, size: int, weights_id: bytes | None) -> bytes:
    """A file of at most `size` bytes, its streams cut to prefixes by the same share; extras stay whole.

    Raises AecError if header, directory and extras take more.
    """
    header, streams, extras = replace(content.header, cut=True), content.streams, list(content.extras.values())
    fixed = len(pack(header, [b""] * len(streams) + extras, weights_id))
    if header.parts > 1:  # the directory with the lengths as they are, at most
        fixed += sum(len(pack_varint(len(stream))) - 1 for stream in streams)
    room, total = size - fixed, sum(map(len, streams))
    if room < 0:
        raise AecError(f"{size} bytes are too few: header, directory, alpha and metadata take {fixed}")
    room = min(room, total)
    shares = [len(stream) * room // max(total, 1) for stream in streams]
    return pack(header, [*(stream[:share] for stream, share in zip(streams, shares, strict=True)), *extras], weights_id)


def read_header(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Header:
    """Header from a file's first bytes (MAX_HEADER_BYTES of them suffice), in either form; no checksum is compared.

    Raises what `unpack` raises.
    """
    header, _ = parse_compact(data, max_pixels) if is_compact(data) else parse_fields(data, max_pixels)
    return header


def extra_sizes(data: bytes, *, max_pixels: int = MAX_PIXELS) -> dict[Extra, int]:
    """Bytes that each extra takes in a file, by its directory; no checksum is compared. Raises what `unpack` raises."""
    if is_compact(data):
        return {}
    header, crc_at = parse_fields(data, max_pixels)
    if not header.extras:
        return {}
    entries, _ = _parse_directory(data, crc_at + CRC_BYTES, header.parts)
    return {extra: length for extra, (length, _) in zip(header.kinds, entries[header.tiles :], strict=True)}


def is_short(data: bytes) -> bool:
    """Whether a file that `unpack` takes with `partial` is known to end early: its directory declares more bytes.

    A file of one stream has no directory: what is wrong with it cannot be known.
    """
    if is_compact(data):
        return False
    header, crc_at = parse_fields(data, MAX_SIDE**2)
    if header.parts == 1:
        return False
    try:
        entries, parts_at = _parse_directory(data, crc_at + CRC_BYTES, header.parts)
    except CorruptFile:  # it is cut, or damaged
        return False
    return len(data) < parts_at + sum(length for length, _ in entries)


def _parse_directory(data: bytes, at: int, count: int) -> tuple[list[tuple[int, bytes]], int]:
    """Length and stored CRC of each of `count` parts, and where the first one starts."""
    entries = []
    for _ in range(count):
        length, at = parse_varint(data, at)
        crc, at = take(data, at, CRC_BYTES)
        entries.append((length, crc))
    return entries, at


_MISMATCH = "damaged file: a checksum does not match"
_COMPACT_MISMATCH = "damaged file, or no .aec file: its checksum does not match"


def _crc(*pieces: bytes) -> bytes:
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
    return crc.to_bytes(CRC_BYTES, "big")


def _check_crc(stored: bytes, *pieces: bytes) -> None:
    if _crc(*pieces) != stored:
        raise CorruptFile(_MISMATCH)
