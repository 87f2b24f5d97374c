"""The order of symbols in a stream, and their probability tables.

Part of the format's definition; `latent_coding.py` defines the symbols.

*Order*: the symbols of the hyper-latent, and those of each context step, are grouped by scale index, from 63 down to 0,
so that those with the most information come first. Within a group they keep the order of `latent_coding.py`.

*Tables*: the table of a scale index has 2K+2 entries for a support K: symbols -K..K, then the escape, which stands for
every other symbol. After the symbols of a group follow the values of its escaped symbols, in order: symbol + 1024, in a
table of 2049 equal entries of 8188 (the last one takes the remainder of 2^24: 8192). A symbol that its table holds is
never escaped.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from functools import lru_cache
from itertools import pairwise
from typing import Any
from typing import Protocol

import numpy as np

from aecodec.errors import CorruptFile
from aecodec.format.range_coder import MISFIT
from aecodec.format.range_coder import Decoder
from aecodec.format.range_coder import Encoder
from aecodec.format.range_coder import PrefixDecoder
from aecodec.format.range_coder import Tables
from aecodec.limits import MAX_SYMBOL

UNIT_BITS = 6
UNIT = 1 << UNIT_BITS
SCALE_COUNT = 64
TOTAL = 1 << 24

NEEDLESS = f"{MISFIT}: the stream escapes a symbol that its table holds"


def clip_bits(x: np.ndarray, bits: int) -> np.ndarray:
    """`x` clipped to two's complement of `bits` bits."""
    highest = (1 << (bits - 1)) - 1
    return clip(x, ~highest, highest)


def clip(x: np.ndarray, low: int, high: int) -> np.ndarray:
    """`np.clip` with cached bounds: converting Python numbers takes three times as long as clipping a small array."""
    return x.clip(*_bounds(low, high, x.dtype))


@lru_cache(maxsize=64)
def _bounds(low: int, high: int, dtype: np.dtype[Any]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(low, dtype), np.array(high, dtype)


def to_symbols(latent: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Symbols -1024..1024 of latents, both in 1/64."""
    return clip((latent - mean + UNIT // 2) >> UNIT_BITS, -MAX_SYMBOL, MAX_SYMBOL)


def from_symbols(symbols: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Decoded latents in 1/64, 16 bits wide."""
    return clip_bits(UNIT * symbols + mean, 16)


@dataclass(frozen=True, eq=False)
class SymbolTables:
    """The probability tables: for scale index i, `frequencies[i]` of length 2 support[i] + 2, summing to 2^24."""

    frequencies: tuple[np.ndarray, ...]

    @cached_property
    def supports(self) -> np.ndarray:
        return np.array([len(table) // 2 - 1 for table in self.frequencies])

    def positions(self, index: np.ndarray, symbols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whether each symbol escapes its table; and its position there, int32, or the escape's."""
        support = self.supports[index]
        escaped = np.abs(symbols) > support
        return escaped, np.where(escaped, 2 * support + 1, symbols + support).astype(np.int32)

    @cached_property
    def coder(self) -> Tables:
        """The tables of all scale indexes, then that of escaped symbols."""
        size = 2 * MAX_SYMBOL + 1
        escape = np.full(size, TOTAL // size, np.int64)
        escape[-1] += TOTAL - int(escape.sum())
        return Tables([*self.frequencies, escape])


class Sink(Protocol):
    """Takes symbols with their scale indexes, one-dimensional, in coding order."""

    def write(self, index: np.ndarray, symbols: np.ndarray) -> None: ...


class Writer(Sink, Protocol):
    """A sink that makes a stream."""

    def finish(self) -> bytes: ...


def _groups(index: np.ndarray) -> tuple[np.ndarray, list[tuple[int, slice]]]:
    """The coding order of symbols with these scale indexes: by index, largest first, and as given within an index.

    Returns the positions in that order, and each scale index that occurs with the slice that it takes of them.
    """
    last = SCALE_COUNT - 1
    from_last = (last - index).astype(np.uint8)  # NumPy sorts bytes by counting
    ends = np.cumsum(np.bincount(from_last)).tolist()
    groups = [(last - i, slice(start, end)) for i, (start, end) in enumerate(pairwise([0, *ends])) if start < end]
    return np.argsort(from_last, kind="stable"), groups


class SymbolWriter:
    """Range-codes symbols, in Python: the twin of `NativeWriter` (`symbol_coding.py`)."""

    def __init__(self, tables: SymbolTables) -> None:
        self._tables = tables
        self._encoder = Encoder(tables.coder)

    def write(self, index: np.ndarray, symbols: np.ndarray) -> None:
        order, groups = _groups(index)
        values = symbols[order]
        escaped, positions = self._tables.positions(index[order], values)
        some = bool(escaped.any())
        for table, part in groups:
            self._encoder.encode_known(table, positions[part])
            if some and escaped[part].any():
                self._encoder.encode(SCALE_COUNT, values[part][escaped[part]] + MAX_SYMBOL)

    def finish(self) -> bytes:
        return self._encoder.finish()


class Source(Protocol):
    """Gives symbols for scale indexes, one-dimensional, in coding order."""

    def read(self, index: np.ndarray) -> np.ndarray: ...

    def finish(self) -> None: ...


class Reader(Source, Protocol):
    """A source that counts the symbols it has read."""

    known: int


class SymbolReader:
    """Reads what `SymbolWriter` wrote, in Python. Raises CorruptFile on anything else."""

    def __init__(self, tables: SymbolTables, data: bytes) -> None:
        self._tables = tables
        self._decoder = Decoder(tables.coder, data)
        self.known = 0  # symbols read

    def read(self, index: np.ndarray) -> np.ndarray:
        order, groups = _groups(index)
        self.known += len(index)
        positions, escapes = [], []
        for table, part in groups:
            own = self._decoder.decode(table, part.stop - part.start)
            positions.append(own)
            last = len(self._tables.frequencies[table]) - 1
            if own[own.argmax()] == last:  # in a third of the time of `max`
                escapes.append(self._decoder.decode(SCALE_COUNT, int((own == last).sum())) - MAX_SYMBOL)
        support = self._tables.supports[index[order]]
        values = np.concatenate(positions) - support
        if escapes:
            escaped = values > support
            values[escaped] = np.concatenate(escapes)
            if (np.abs(values) <= support)[escaped].any():
                raise CorruptFile(NEEDLESS)
        symbols = np.empty(len(index), np.int32)
        symbols[order] = values
        return symbols

    def finish(self) -> None:
        self._decoder.finish()


class PrefixReader:
    """Reads the symbols that the prefix of a stream decides; all others are 0 (`container.py`, "Prefixes")."""

    def __init__(self, tables: SymbolTables, data: bytes) -> None:
        self._tables = tables
        self._decoder = PrefixDecoder(tables.coder, data)
        self.known = 0  # symbols that counted

    def read(self, index: np.ndarray) -> np.ndarray:
        order, groups = _groups(index)
        symbols = np.zeros(len(index), np.int32)
        for table, part in groups:
            if self._decoder.exhausted:
                break
            found = self._decoder.decode(table, part.stop - part.start)
            values = found - self._tables.supports[table]
            escaped = np.flatnonzero(found == len(self._tables.frequencies[table]) - 1)
            escapes = self._decoder.decode(SCALE_COUNT, len(escaped)) - MAX_SYMBOL
            values[escaped] = 0
            values[escaped[: len(escapes)]] = escapes
            symbols[order[part][: len(values)]] = values
            self.known += len(values) - len(escaped) + len(escapes)
        return symbols

    def finish(self) -> None:
        """A prefix may end anywhere."""


class StageReader:
    """The first `stages` of a stream's five stages, hyper-latent and context steps; symbols of later ones are 0."""

    def __init__(self, source: Source, stages: int) -> None:
        self._source, self._stages = source, stages

    def read(self, index: np.ndarray) -> np.ndarray:
        if not self._stages:
            return np.zeros(len(index), np.int32)
        self._stages -= 1
        return self._source.read(index)

    def finish(self) -> None:
        """Later stages are not read."""
