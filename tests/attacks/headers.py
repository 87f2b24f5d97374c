"""Attacks by the container: refused before anything is allocated or decoded."""

from __future__ import annotations

from typing import NamedTuple

from aecodec.errors import AecError
from aecodec.errors import CorruptFile
from aecodec.errors import HeaderLimitExceeded
from aecodec.errors import UnknownWeights
from aecodec.errors import UnsupportedVersion
from fuzz.container import ALPHA
from fuzz.container import DISPLAY
from fuzz.container import EXTRAS
from fuzz.container import OTHER_WEIGHTS
from fuzz.container import crc
from fuzz.container import head
from fuzz.container import plain
from fuzz.container import tiled
from fuzz.container import varint


class Case(NamedTuple):
    data: bytes
    error: type[AecError]
    ours: str  # part of the package's message
    spec: str  # part of the message of examples/decode_from_spec.py


def corrupt(data: bytes, ours: str, spec: str) -> Case:
    return Case(data, CorruptFile, ours, spec)


def large(width: int, height: int, ours: str, flags: int = 0) -> Case:
    return Case(plain(head(width, height, flags=flags)), HeaderLimitExceeded, ours, "too large")


def newer(data: bytes, ours: str) -> Case:
    return Case(data, UnsupportedVersion, ours, "another reader")


# Their checksums are right, so that only the check named refuses them.
HEADERS = {
    "no width": corrupt(plain(head(0, 1)), "0x1 pixels", "a side is 0"),
    "no height": corrupt(plain(head(65535, 0)), "65535x0 pixels", "a side is 0"),
    "no pixels": corrupt(plain(head(0, 0)), "0x0 pixels", "a side is 0"),
    "no width, huge height": corrupt(plain(head(0, 2**32 - 1)), "0x4294967295 pixels", "a side is 0"),
    "width 65536": large(65536, 1, "65535"),
    "height 65536": large(1, 65536, "65535"),
    "100000x100000": large(100_000, 100_000, "100000x100000"),
    "sides that are -1 in signed 32 bits": large(2**32 - 1, 2**32 - 1, "4294967295"),
    "the largest sides of five bytes": large(2**35 - 1, 2**35 - 1, "34359738367x34359738367"),
    "an area that is 0 in 32 bits": large(65536, 65536, "65535"),
    "the largest sides": large(65535, 65535, "178956970"),
    "one row too many": large(65535, 2731, "178956970"),
    "no display width": corrupt(plain(head(1, 1, flags=DISPLAY, display=(0, 9))), "0x9 pixels", "a side is 0"),
    "a display size over the limit": Case(
        plain(head(1, 1, flags=DISPLAY, display=(65535, 2731))), HeaderLimitExceeded, "178956970", "too large"
    ),
    "a display side over the limit": Case(
        plain(head(1, 1, flags=DISPLAY, display=(65536, 1))), HeaderLimitExceeded, "65535", "too large"
    ),
    "its own display size": corrupt(
        plain(head(9, 8, flags=DISPLAY, display=(9, 8))), "the picture's own", "the picture's own"
    ),
    "a long display height": corrupt(
        plain(head(9, 8, flags=DISPLAY, display=(9, varint(1, padding=1)))), "shortest form", "longer than need be"
    ),
    "no extras": corrupt(plain(head(1, 1, flags=EXTRAS) + b"\0"), "no extras", "no extras"),
    "extras of bit 4": corrupt(tiled(head(1, 1, flags=EXTRAS, kinds=16), [b"", b""]), "unknown kind", "unknown ones"),
    "extras of bit 7": corrupt(plain(head(1, 1, flags=EXTRAS, kinds=128)), "unknown kind", "unknown ones"),
    "version 0": Case(plain(head(1, 1, version=0)), UnsupportedVersion, "no longer read", "another reader"),
    "version 2": newer(plain(head(1, 1, version=2)), "version 2"),
    "version 15": newer(plain(head(1, 1, version=15)), "version 15"),
    "a newer version, all else absurd": newer(plain(head(0, 2**35 - 1, version=15, flags=15)), "version 15"),
    # Otherwise one picture would have several files.
    "a long width": corrupt(plain(head(varint(1, padding=1), 1)), "shortest form", "longer than need be"),
    "a long height": corrupt(plain(head(1, varint(1, padding=2))), "shortest form", "longer than need be"),
    "a long zero": corrupt(plain(head(256, varint(0, padding=1))), "shortest form", "longer than need be"),
    "a width of six bytes": corrupt(plain(head(varint(1, padding=5), 1)), "shortest form", "more than five bytes"),
    "a width of seven million bits": corrupt(head(b"\xff" * (1 << 20), b""), "shortest form", "more than five bytes"),
    "another magic": corrupt(plain(head(1, 1, magic=b"\xaeC\n\n")), "not an .aec", "not an .aec"),
    "a text file": corrupt(b"To be, or not to be, that is the question", "not an .aec", "not an .aec"),
    "nothing": corrupt(b"", "not an .aec", "not an .aec"),
    "no checksum": corrupt(head(256, 256), "cut short", "cut short"),
}

TWO_TILES = head(1030, 9)
SOUND = tiled(TWO_TILES, [b"one", b"two"])


def lengths(*values: int) -> bytes:
    """Two streams, and what the directory says of their lengths."""
    return tiled(TWO_TILES, [b"one", b"two"], [varint(value) for value in values])


def wrong_part(fields: bytes) -> bytes:
    """The checksum of the directory is right, that of the second part is not."""
    directory = varint(3) + crc(b"one") + varint(3) + crc(b"owt")
    return fields + crc(fields, directory) + directory + b"onetwo"


# Their headers are sound.
DIRECTORIES = {
    "extras without a directory": corrupt(plain(head(1, 1, flags=EXTRAS, kinds=1)), "cut short", "cut short"),
    "a long length": corrupt(
        tiled(TWO_TILES, [b"a", b"b"], [varint(1, padding=4), varint(1)]), "shortest form", "longer than need be"
    ),
    "192 tiles and nothing": corrupt(plain(head(65535, 2730)), "cut short", "cut short"),
    "lengths that are right in 32 bits": corrupt(lengths(2**32 - 1, 7), "cut short", "do not fill"),
    "the largest lengths": corrupt(lengths(2**35 - 1, 2**35 - 1), "cut short", "do not fill"),
    "both streams to the end of the file": corrupt(lengths(6, 6), "cut short", "do not fill"),
    "a longer first stream": corrupt(lengths(4, 3), "cut short", "do not fill"),
    "a shorter last stream": corrupt(lengths(3, 2), "1 bytes after", "do not fill"),
    "a hole behind the streams": corrupt(SOUND + b"hole", "4 bytes after", "do not fill"),
    "the border of the streams moved": corrupt(lengths(2, 4), "checksum", "a part's checksum"),
    "streams that changed places": corrupt(SOUND[:-6] + b"twoone", "checksum", "a part's checksum"),
    "a stream of another checksum": corrupt(wrong_part(TWO_TILES), "checksum", "a part's checksum"),
    "alpha of another checksum": corrupt(
        wrong_part(head(1, 1, flags=EXTRAS, kinds=ALPHA)), "checksum", "a part's checksum"
    ),
    "a directory of another checksum": corrupt(
        TWO_TILES + bytes(4) + SOUND[len(TWO_TILES) + 4 :], "checksum", "damaged: checksum"
    ),
    "another checksum": corrupt(head(1, 1) + bytes(4) + b"stream", "checksum", "damaged: checksum"),
    "a byte after the end": corrupt(plain(head(1, 1), b"stream") + b"\0", "checksum", "damaged: checksum"),
    "more kinds than parts": corrupt(
        tiled(head(1, 1, flags=EXTRAS, kinds=9), [b"one", b"two"]), "cut short", "do not fill"
    ),
    "fewer kinds than parts": corrupt(
        tiled(head(1, 1, flags=EXTRAS, kinds=1), [b"one", b"two", b"hidden"]), "after its", "do not fill"
    ),
}

# An id that is a path must not be looked up as a file, nor printed as it stands.
UNKNOWN = {
    "weights that nobody has": Case(
        plain(head(256, 256, weights=OTHER_WEIGHTS + bytes(4))),
        UnknownWeights,
        "weights 00000000",
        "needs weights 00000000",
    ),
    "a model that nobody has": Case(
        plain(head(256, 256, weights=b"\xfe")), UnknownWeights, "model number 254", "needs model number 254"
    ),
    "weights like a path": Case(
        plain(head(256, 256, weights=OTHER_WEIGHTS + b"../\x1b")),
        UnknownWeights,
        "weights 2e2e2f1b",
        "needs weights 2e2e2f1b",
    ),
}
