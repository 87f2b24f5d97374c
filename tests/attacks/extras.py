"""Attacks by alpha and metadata: the container is right in every way, and all of its checksums."""

from __future__ import annotations

import zstandard

from aecodec.format.container import unpack
from aecodec.format.header import Extra
from aecodec.limits import MAX_METADATA_BYTES
from fuzz.container import EXTRAS
from fuzz.container import head
from fuzz.container import tiled
from helpers.paths import TINY


def frame(content: bytes, level: int = 3, **options: object) -> bytes:
    return zstandard.ZstdCompressor(level=level, **options).compress(content)  # type: ignore[arg-type]


PIXEL = frame(b"\x80")
BOMB = frame(bytes(1 << 28))  # in 8 kB
SKIPPED = b"\x50\x2a\x4d\x18\x04\0\0\0PK\x03\x04"  # decompressors pass over such a frame in silence
DICTIONARY = zstandard.train_dictionary(1000, [b"%d zstd dictionary %d" % (n, n * n) for n in range(1000)])

# Parts of a picture of one pixel, each with part of its message.
PARTS = {
    "alpha of no byte": (Extra.ALPHA, b"", "filter"),
    "a filter of bit 2": (Extra.ALPHA, b"\4" + PIXEL, "filter"),
    "alpha without a frame": (Extra.ALPHA, b"\0", "."),
    "alpha too short": (Extra.ALPHA, b"\0" + frame(b""), "0 bytes, where 1 are"),
    "alpha too long": (Extra.ALPHA, b"\0" + frame(b"\x80\x80"), "2 bytes, where 1 are"),
    "an alpha bomb": (Extra.ALPHA, b"\0" + BOMB, "268435456 bytes, where 1 are"),
    "alpha without a size": (Extra.ALPHA, b"\0" + frame(b"\x80", write_content_size=False), "how long"),
    "alpha cut short": (Extra.ALPHA, b"\0" + PIXEL[:-1], "."),
    "a byte behind alpha": (Extra.ALPHA, b"\0" + PIXEL + b"\0", "unused"),
    "a frame behind alpha": (Extra.ALPHA, b"\0" + PIXEL + PIXEL, "unused"),
    "a skippable frame": (Extra.ALPHA, b"\0" + SKIPPED, "not a zstd frame"),
    "a skippable frame before alpha": (Extra.ALPHA, b"\0" + SKIPPED + PIXEL, "not a zstd frame"),
    "a dictionary": (Extra.ALPHA, b"\0" + frame(b"\x80", dict_data=DICTIONARY), "dictionary"),
    "zlib": (Extra.ALPHA, b"\0\x78\x9c\x63\x60\x80\x00\x00\x00\x06\x00\x01", "."),
    "a profile bomb": (Extra.ICC, BOMB, "268435456 bytes, where 1 to 4194304"),
    # A reader that believes the size allocates it, or overflows.
    "a profile of exabytes": (
        Extra.ICC,
        b"\x28\xb5\x2f\xfd\xe0" + (1 << 63).to_bytes(8, "little") + b"\1\0\0",
        "9223372036854775808 bytes, where 1 to 4194304",
    ),
    "metadata over the limit": (Extra.XMP, frame(bytes(MAX_METADATA_BYTES + 1)), "4194305 bytes, where 1 to 4194304"),
    "metadata without a size": (Extra.XMP, frame(bytes(1 << 26), write_content_size=False), "how long"),
    # A second form of a file without it.
    "empty metadata": (Extra.XMP, frame(b""), "0 bytes, where 1 to 4194304"),
}


def file_with(kind: Extra, part: bytes) -> bytes:
    """A sound picture of one pixel, and this part behind its stream."""
    stream = unpack((TINY / "dot-100.aec").read_bytes())[1][0]
    return tiled(head(1, 1, flags=EXTRAS, kinds=kind), [stream, part])
