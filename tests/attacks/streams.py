"""Attacks by the coded stream: the container is right in every way, so the decoder has to notice."""

from __future__ import annotations

from random import Random

import numpy as np

from aecodec.codec.latent_coding import decode_latent
from aecodec.format.range_coder import Encoder
from aecodec.format.symbols import SCALE_COUNT
from aecodec.geometry import latent_shape
from aecodec.limits import MAX_SYMBOL
from fuzz.container import head
from fuzz.container import plain
from fuzz.container import read_head
from fuzz.container import tiled
from fuzz.mutate import TINY
from helpers.tiny import RUNTIME
from helpers.tiny import load_tiny

SIDE = 256
QUALITY = 100


class Forger:
    """Poses as a reader of symbols: invents them, all escaped, and keeps the stream that codes them."""

    def __init__(self, value: int, alternating: bool = False) -> None:
        self._tables = load_tiny()[1].entropy.tables
        self._encoder = Encoder(self._tables.coder)
        self._value = value
        self._alternating = alternating
        self.stream = b""

    def read(self, index: np.ndarray) -> np.ndarray:
        """As `SymbolReader.read`: symbols grouped by table, each group's escapes and then their values."""
        symbols = np.full(len(index), self._value, np.int32)
        if self._alternating:
            symbols[1::2] *= -1
        for table in np.unique(index)[::-1]:
            values = symbols[index == table]
            escape = 2 * int(self._tables.supports[table]) + 1
            self._encoder.encode(int(table), np.full(len(values), escape))
            self._encoder.encode(SCALE_COUNT, values + MAX_SYMBOL)
        return symbols

    def finish(self) -> None:
        self.stream = self._encoder.finish()


def _forged(forger: Forger, side: int = SIDE) -> bytes:
    model, shape = load_tiny()[1].entropy, latent_shape(side, side)
    decode_latent(model, RUNTIME, [forger], shape, np.array([QUALITY]))  # type: ignore[list-item]
    return plain(head(side, side, quality=QUALITY), forger.stream)


def _golden(name: str = "car-128.aec") -> tuple[bytes, bytes]:
    """The fields and the stream of a golden file."""
    data = (TINY / name).read_bytes()
    found = read_head(data)
    assert found is not None, "golden files have headers"
    return data[: found.crc_at], data[found.crc_at + 4 :]


def escapes_of_what_a_table_holds() -> bytes:
    """Every symbol is 0, but escaped: a second, longer form of one picture."""
    return _forged(Forger(0))


def unused_zero_byte() -> bytes:
    """A stream with one more zero, which a range decoder reads anyway beyond the end."""
    fields, stream = _golden()
    return plain(fields, stream + b"\0")


def unused_bytes() -> bytes:
    """Bytes after the last symbol's: room for a message, or another file."""
    fields, stream = _golden()
    return plain(fields, stream + b"PK\x03\x04 not a picture")


def unused_megabytes() -> bytes:
    """A picture of one pixel with 4 MB behind it."""
    fields, stream = _golden("dot-100.aec")
    return plain(fields, stream + Random(1).randbytes(1 << 22))


def unused_bytes_of_a_tile() -> bytes:
    """The same within a directory, whose length and checksum name the bytes too."""
    return tiled(head(1030, 9, quality=30), [b"", b"\0"])


def longer_form_of_the_end() -> bytes:
    """The last byte less one, then ff: often the same symbols, as any number within the last interval is."""
    fields, stream = _golden()
    return plain(fields, stream[:-1] + bytes([stream[-1] - 1]) + b"\xff" * 8)


def no_symbol() -> bytes:
    """The end of the code space, which division leaves to no symbol; constriction only asserts that it is not met."""
    fields, _ = _golden()
    return plain(fields, b"\xff" * 4096)


def stream_of_a_larger_picture() -> bytes:
    """Another picture's stream: too long for this one's symbols."""
    _, stream = _golden()
    return plain(head(32, 32, quality=128), stream)


def empty_stream() -> bytes:
    """No bytes: each symbol is its table's first. 19 bytes for any picture of one tile, and a valid one."""
    return plain(head(1024, 1024))


def empty_streams_of_the_longest_strip() -> bytes:
    """65535 x 16 pixels in 64 empty streams: the widest field within 2^20 pixels, padded to twice its height."""
    return tiled(head(65535, 16), [b""] * 64)


def largest_symbols() -> bytes:
    """Every symbol is escaped and 1024: the largest latents that there are, to the bound of every network."""
    return _forged(Forger(MAX_SYMBOL))


def smallest_symbols() -> bytes:
    """The same with -1024."""
    return _forged(Forger(-MAX_SYMBOL))


def alternating_symbols() -> bytes:
    """1024 and -1024 in turn: the largest differences."""
    return _forged(Forger(MAX_SYMBOL, alternating=True))


CORRUPT = (
    escapes_of_what_a_table_holds,
    unused_zero_byte,
    unused_bytes,
    unused_megabytes,
    unused_bytes_of_a_tile,
    longer_form_of_the_end,
    no_symbol,
    stream_of_a_larger_picture,
)
VALID = (empty_stream, empty_streams_of_the_longest_strip, largest_symbols, smallest_symbols, alternating_symbols)
