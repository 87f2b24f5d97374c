"""Range coder over integer frequency tables: the definition, in Python, which runs if the native coder does not.

`aecodec/native/range_coder.c` is the same in C, fifty times as fast; `symbol_coding.py` chooses.

The stream (G. N. N. Martin, "Range encoding: an algorithm for removing redundancy from a digitised message", 1979, in
the form of `constriction.stream.queue` 0.5 with 32-bit words, 64 bits of state and 24-bit probabilities):

- A table holds frequencies of at least 1 that sum to 2^24; left[s] is the sum of those before symbol s.
- The encoder narrows an interval of binary fractions. The interval starts at the 32-bit words output so far, most
  significant first, followed by the 64 bits of `low`; its length is `width`, in units of the last bit of `low`. At
  first no words are output, low = 0 and width = 2^64 - 1.
- To encode symbol s: scale = floor(width / 2^24); low += scale left[s]; width = scale frequency[s]. A carry out of low
  is added to the words. If width is now under 2^32, the upper half of low is output and both move up by 32 bits.
- To decode: let `value` be the 64 bits of the stream at the place of `low` and q = floor((value - low) / scale). The
  symbol is the one with left[s] <= q < left[s] + frequency[s]; then continue as above. In a damaged stream q may be
  2^24 or more, which belongs to no symbol. A decoder keeps only the difference value - low: at first, the first 8 bytes
  of the stream; each symbol subtracts scale left[s]; when low moves up by 32 bits, so does the difference, and the next
  4 bytes of the stream fill its lower half.
- *Tail*: the stream is the shortest byte string that lies in the final interval when padded with zero bytes, and the
  smallest of those. Words are big-endian, so the bytes dropped are the least significant. A stream never ends in a
  zero byte; with no symbols, or a few likely ones, it is empty.
- A decoder reads zeros beyond the end; the caller knows the number of symbols. A stream is damaged unless the encoder
  makes the same one from the decoded symbols.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from collections.abc import Sequence
from itertools import accumulate
from itertools import repeat
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from aecodec.errors import CorruptFile

if TYPE_CHECKING:
    from numpy.typing import NDArray

PRECISION = 24  # bits of a probability
MAX_ALPHABET = 4096

_TOTAL = 1 << PRECISION
_WORD_BITS = 32
_WORD = 1 << _WORD_BITS
_WORD_MASK = _WORD - 1
_STATE_BYTES = 8
_STATE = 1 << 8 * _STATE_BYTES

# No transfer does this to a file whose checksum matches, but other weights do: until 1.0, a model number changed them.
MISFIT = "damaged, or made before aecodec 1.0 with other weights"
IMPOSSIBLE = f"{MISFIT}: the coded stream holds no symbol of its table"


class Tables:
    """Frequency tables, validated once and shared by any number of coders."""

    frequencies: tuple[NDArray[np.int64], ...]

    def __init__(self, frequencies: Sequence[NDArray[np.integer[Any]]]) -> None:
        """`frequencies[t]` is 1-D, of integers >= 1 that sum to 2^24, for 2..4096 symbols; else ValueError."""
        self.frequencies = tuple(_validated(index, table) for index, table in enumerate(frequencies))
        self._cumulatives: list[list[int] | None] = [None] * len(self.frequencies)

    def __len__(self) -> int:
        return len(self.frequencies)

    def alphabet(self, table: int) -> int:
        """Number of symbols of a table. ValueError for an unknown table."""
        if not 0 <= table < len(self.frequencies):
            raise ValueError(f"table {table} is not in 0..{len(self.frequencies) - 1}")
        return len(self.frequencies[table])

    def cumulative(self, table: int) -> list[int]:
        """Left sums of a table and the total: A + 1 ascending integers from 0 to 2^24. Computed on first use."""
        cumulative = self._cumulatives[table]
        if cumulative is None:
            cumulative = self._cumulatives[table] = list(accumulate(self.frequencies[table].tolist(), initial=0))
        return cumulative


def _validated(index: int, table: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    values = np.asarray(table)
    if values.ndim != 1 or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"table {index}: frequencies must be a 1-D array of integers")
    if not 2 <= len(values) <= MAX_ALPHABET:
        raise ValueError(f"table {index}: {len(values)} symbols, not 2..{MAX_ALPHABET}")
    # Each value is bounded before they are summed: the sum cannot overflow.
    if values.min() < 1 or values.max() > _TOTAL or values.sum(dtype=np.int64) != _TOTAL:
        raise ValueError(f"table {index}: frequencies must be at least 1 and sum to 2^{PRECISION}")
    frozen = values.astype(np.int64)
    frozen.setflags(write=False)
    return frozen


class Encoder:
    """Encodes arrays of symbols, each with one table, into one stream."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        # The interval starts at the words followed by low: sum(words[i] << 32 * (n - 1 - i)) * 2^64 + low.
        # It ends at 1 or before, so a carry always stops at a word below 2^32 - 1.
        self._words: list[int] = []
        # 0 <= low < 2^65: the top bit is a carry, pending until the next word is output.
        self._low = 0
        # 2^32 <= width < 2^64: scale = width >> 24 is at least 2^8, and no symbol's width becomes 0.
        self._width = _STATE - 1

    def encode(self, table: int, symbols: NDArray[np.integer[Any]]) -> None:
        """Append `symbols`, a 1-D integer array of alphabet positions 0..A-1. ValueError for others, none coded."""
        alphabet = self._tables.alphabet(table)
        values = np.asarray(symbols)
        if values.ndim != 1 or values.dtype.kind not in "iu":
            raise ValueError("symbols must be a 1-D array of integers")
        if values.size and (values.min() < 0 or values.max() >= alphabet):
            raise ValueError(f"a symbol is not in 0..{alphabet - 1}, the alphabet of table {table}")
        self.encode_known(table, values)

    def encode_known(self, table: int, symbols: NDArray[np.integer[Any]]) -> None:
        """`encode` without checks, for symbols that the caller knows to be in this table."""
        cumulative = self._tables.cumulative(table)
        low, width = self._low, self._width
        for symbol in symbols.tolist():
            left = cumulative[symbol]
            scale = width >> PRECISION
            low += scale * left
            width = scale * (cumulative[symbol + 1] - left)
            if width < _WORD:
                self._output(low >> _WORD_BITS)
                low = (low & _WORD_MASK) << _WORD_BITS
                width <<= _WORD_BITS  # width was at least 2^8: one word always suffices
        self._low, self._width = low, width

    def _output(self, word: int) -> None:
        """Append a word; its bit 32, if set, is the pending carry."""
        words = self._words
        if word >= _WORD:
            last = len(words) - 1
            while words[last] == _WORD_MASK:
                words[last] = 0
                last -= 1
            words[last] += 1
        words.append(word & _WORD_MASK)

    def finish(self) -> bytes:
        """The stream of all symbols so far, its tail trimmed."""
        return tail_trimmed(np.array(self._words, dtype=">u4").tobytes(), self._low, self._width)


class Decoder:
    """Decodes what an Encoder wrote; the caller knows tables and counts, and bounds the counts."""

    def __init__(self, tables: Tables, data: bytes) -> None:
        """`data` is one whole stream."""
        self._tables = tables
        self._data = data
        self._words = _words(data, b"\0")
        self._read = _STATE_BYTES
        # The value of the stream less the encoder's low. offset < width in every stream that the encoder can write.
        self._offset = next(self._words) << _WORD_BITS | next(self._words)
        # As in the encoder: 2^32 <= width < 2^64.
        self._width = _STATE - 1

    def decode(self, table: int, count: int) -> NDArray[np.int32]:
        """The next `count` symbols as int32 [count]. CorruptFile if no encoder with these tables wrote the stream.

        Memory is allocated for `count` symbols: take it from geometry, never from a file. ValueError for an unknown
        table or a negative count.
        """
        self._tables.alphabet(table)
        if count < 0:
            raise ValueError(f"count {count} is negative")
        cumulative = self._tables.cumulative(table)
        words, offset, width = self._words, self._offset, self._width
        symbols = []
        for _ in range(count):
            scale = width >> PRECISION
            quantile = offset // scale
            if quantile >= _TOTAL:  # in the remainder of the division, at the interval's end: no symbol lies there
                raise CorruptFile(IMPOSSIBLE)
            symbol = bisect_right(cumulative, quantile) - 1
            left = cumulative[symbol]
            offset -= scale * left
            width = scale * (cumulative[symbol + 1] - left)
            if width < _WORD:
                offset = offset << _WORD_BITS | next(words)
                width <<= _WORD_BITS
                self._read += _WORD_BITS // 8
            symbols.append(symbol)
        self._offset, self._width = offset, width
        return np.array(symbols, dtype=np.int32)

    def finish(self) -> None:
        """CorruptFile unless encoding the decoded symbols gives the same stream, to its last byte."""
        check_end(self._data, self._read, self._offset, self._width)


class PrefixDecoder:
    """Decodes the symbols that a prefix decides: they are the same with zeros and with ones after it."""

    def __init__(self, tables: Tables, data: bytes) -> None:
        self._tables = tables
        self._words = [iter(_words(data, padding)) for padding in (b"\0", b"\xff")]
        # Two decoders in one, each with its offset; width is as in the encoder, and the same for both.
        self._low, self._high = (next(words) << _WORD_BITS | next(words) for words in self._words)
        self._width = _STATE - 1
        self.exhausted = False

    def decode(self, table: int, count: int) -> NDArray[np.int32]:
        """The next `count` symbols as int32; fewer if the prefix decides no more, and then the decoder is exhausted."""
        cumulative = self._tables.cumulative(table)
        symbols: list[int] = []
        while len(symbols) < count and not self.exhausted:
            scale = self._width >> PRECISION
            symbol = bisect_right(cumulative, self._low // scale) - 1
            if self._low // scale >= _TOTAL or self._high // scale >= cumulative[symbol + 1]:
                self.exhausted = True
                break
            left = cumulative[symbol]
            self._low -= scale * left
            self._high -= scale * left
            self._width = scale * (cumulative[symbol + 1] - left)
            if self._width < _WORD:
                self._low, self._high = (
                    offset << _WORD_BITS | next(words)
                    for offset, words in zip((self._low, self._high), self._words, strict=True)
                )
                self._width <<= _WORD_BITS
            symbols.append(symbol)
        return np.array(symbols, dtype=np.int32)


def _words(data: bytes, padding: bytes) -> Iterator[int]:
    """The words of a stream, then an endless padding."""
    padded = data + padding * (-len(data) % 4)
    yield from np.frombuffer(padded, ">u4").tolist()
    yield from repeat(int.from_bytes(4 * padding, "big"))


def tail_trimmed(words: bytes, low: int, width: int) -> bytes:
    """The stream of an encoder that has output `words`, and whose interval is `width` long from `low` on."""
    head = int.from_bytes(words, "big")
    return _shortest((head << 8 * _STATE_BYTES) + low, width, len(words) + _STATE_BYTES)


def check_end(data: bytes, read: int, offset: int, width: int) -> None:
    """CorruptFile unless `data` is the whole stream of what a decoder in this state, `read` bytes into it, has decoded.

    The encoder's interval is known without encoding: `low` is the stream's value less `offset`.
    """
    value = int.from_bytes(data[:read].ljust(read, b"\0"), "big")
    if _shortest(value - offset, width, read) != data:
        raise CorruptFile(f"{MISFIT}: the coded stream does not end where its symbols end")


def _shortest(low: int, width: int, size: int) -> bytes:
    """The shortest, then smallest, byte string whose value, padded to `size` bytes, lies in [low, low + width)."""
    # Rounding low up to a multiple of 256^k drops k bytes if the result stays inside. Since width < 256^8, at most one
    # multiple of 256^8 is inside: more than 8 bytes can be dropped only if that one ends in more zero bytes.
    dropped = _STATE_BYTES
    while (head := -(-low >> 8 * dropped)) << 8 * dropped >= low + width:
        dropped -= 1
    return head.to_bytes(size - dropped, "big").rstrip(b"\0")
