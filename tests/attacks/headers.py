"""Attacks by the container: refused before anything is allocated or decoded."""

from __future__ import annotations

from aecodec.format.header import MAGIC
from fuzz.container import DIRECTORY
from fuzz.container import WEIGHTS_ID
from fuzz.container import crc
from fuzz.container import head
from fuzz.container import plain
from fuzz.container import tiled
from fuzz.container import varint

TWO_TILES = head(1030, 9, flags=DIRECTORY)


def largest_varints() -> bytes:
    """Sides of 2^35 - 1, the most that five bytes hold: a buffer of their product is 2^70 pixels."""
    return plain(head(2**35 - 1, 2**35 - 1))


def sides_of_32_bits() -> bytes:
    """Sides of 2^32 - 1: as signed 32-bit numbers they are -1."""
    return plain(head(2**32 - 1, 2**32 - 1))


def product_that_wraps() -> bytes:
    """65536 x 65536 pixels: the product is 0 in 32 bits, and any limit on it is kept."""
    return plain(head(65536, 65536, flags=DIRECTORY))


def largest_sides() -> bytes:
    """65535 x 65535 pixels: each side is allowed, 12 GB of pixels are not."""
    return plain(head(65535, 65535, flags=DIRECTORY))


def one_row_too_many() -> bytes:
    """65535 x 2731 pixels: the least height above the limit at the largest width."""
    return plain(head(65535, 2731, flags=DIRECTORY))


def zero_width() -> bytes:
    """No columns: a division by the width, in the limit's own check too."""
    return plain(head(0, 2**32 - 1))


def zero_height() -> bytes:
    """No rows: networks over an empty field."""
    return plain(head(65535, 0))


def zero_sides() -> bytes:
    """No pixels at all, and no tiles: nothing is left to be refused later."""
    return plain(head(0, 0))


def overlong_width() -> bytes:
    """256 in three bytes: two files for one picture."""
    return plain(head(varint(256, padding=1), 256))


def overlong_zero() -> bytes:
    """A height of 0 in two bytes: it slips past a comparison of the byte with 0."""
    return plain(head(256, varint(0, padding=1)))


def overlong_length() -> bytes:
    """A stream's length in five bytes where one suffices."""
    return tiled(TWO_TILES, [b"a", b"b"], [varint(1, padding=4), varint(1)])


def six_byte_width() -> bytes:
    """A varint longer than five bytes: it shifts the value out of a machine word."""
    return plain(head(varint(1, padding=5), 1))


def endless_varint() -> bytes:
    """A width that goes on for a megabyte: a reader without a bound builds a number of 7 million bits."""
    return MAGIC + b"\0" + WEIGHTS_ID + b"\xff" * (1 << 20)


def reserved_bits() -> bytes:
    """Flags of a later version in this one: a reader that skips them decodes something else."""
    return plain(head(256, 256, flags=12))


def newer_version() -> bytes:
    """Version 1 with a picture that version 0 would read."""
    return plain(head(1, 1, version=1))


def newest_version_and_nothing() -> bytes:
    """Version 15, every other field absurd: the version is looked at first."""
    return plain(head(0, 2**35 - 1, version=15, flags=15))


def directory_of_one_tile() -> bytes:
    """The flag says directory, the sides say one tile: its entry would be decoded as a stream."""
    return tiled(head(256, 256, flags=DIRECTORY), [b"stream"])


def tiles_without_directory() -> bytes:
    """The sides say two tiles, the flag says no directory: the first bytes of the stream would be lengths."""
    return plain(head(1030, 9), b"\x02" * 64)


def directory_cut_short() -> bytes:
    """65535 x 2730 pixels, 192 tiles by the header and nothing behind it."""
    return plain(head(65535, 2730, flags=DIRECTORY))


def lengths_that_wrap_32_bits() -> bytes:
    """Lengths whose sum is right modulo 2^32: the first stream ends before it starts."""
    parts = [b"one", b"three"]
    return tiled(TWO_TILES, parts, [varint(2**32 - 1), varint(sum(map(len, parts)) + 1)])


def largest_lengths() -> bytes:
    """Two streams of 2^35 - 1 bytes in a file of a few dozen."""
    return tiled(TWO_TILES, [b"", b""], [varint(2**35 - 1)] * 2)


def length_of_the_whole_rest() -> bytes:
    """Both streams reach to the end of the file: they would share bytes."""
    return tiled(TWO_TILES, [b"", b"shared"], [varint(6), varint(6)])


def hole_behind_the_streams() -> bytes:
    """Bytes that no entry of the directory names: room for another file in this one."""
    return tiled(TWO_TILES, [b"one", b"two"]) + b"hole"


def wrong_stream_checksum() -> bytes:
    """The directory's own checksum is right, that of the second stream is not."""
    directory = varint(3) + crc(b"one") + varint(3) + crc(b"owt")
    return TWO_TILES + crc(TWO_TILES, directory) + directory + b"onetwo"


def no_checksum() -> bytes:
    """A header that ends where its checksum should stand."""
    return head(256, 256)


def foreign_weights() -> bytes:
    """Weights that nobody has: decoding with others would give noise."""
    return plain(head(256, 256, weights_id=b"\0\0\0\0"))


def weights_like_a_path() -> bytes:
    """An id that is a path: it must not be looked up as a file, nor printed as it stands."""
    return plain(head(256, 256, weights_id=b"../\x1b"))


CORRUPT = (
    zero_width,
    zero_height,
    zero_sides,
    overlong_width,
    overlong_zero,
    overlong_length,
    six_byte_width,
    endless_varint,
    reserved_bits,
    directory_of_one_tile,
    tiles_without_directory,
    directory_cut_short,
    lengths_that_wrap_32_bits,
    largest_lengths,
    length_of_the_whole_rest,
    hole_behind_the_streams,
    wrong_stream_checksum,
    no_checksum,
)
TOO_LARGE = (largest_varints, sides_of_32_bits, product_that_wraps, largest_sides, one_row_too_many)
TOO_NEW = (newer_version, newest_version_and_nothing)
UNKNOWN = (foreign_weights, weights_like_a_path)
