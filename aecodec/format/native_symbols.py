"""Readers and writers of symbols on the native range coder: the same streams as their twins in `symbols.py`."""

from __future__ import annotations

import ctypes
from functools import lru_cache

import numpy as np

from aecodec.errors import CorruptFile
from aecodec.format.range_coder import IMPOSSIBLE
from aecodec.format.range_coder import check_end
from aecodec.format.range_coder import tail_trimmed
from aecodec.format.symbols import NEEDLESS
from aecodec.format.symbols import SymbolTables
from aecodec.native.interface import AecReader
from aecodec.native.interface import AecTables
from aecodec.native.interface import AecWriter
from aecodec.native.interface import address_of

_ERRORS = {-1: IMPOSSIBLE, -2: NEEDLESS}


class _Sums:
    """Running sums of all tables, as the library reads them, checked once."""

    def __init__(self, native: ctypes.CDLL, tables: SymbolTables) -> None:
        own = [tables.coder.cumulative(table) for table in range(len(tables.coder))]
        self._sums = np.concatenate(own).astype(np.uint32)  # `arguments` holds its address
        starts = np.cumsum([0, *map(len, own)]).tolist()
        lengths = [len(table) - 1 for table in own]
        record = AecTables((ctypes.c_int32 * len(own))(*starts[:-1]), (ctypes.c_int32 * len(own))(*lengths), starts[-1])
        self.arguments = ctypes.byref(record), address_of(self._sums)
        if native.aec_check_tables(*self.arguments):
            raise ValueError("not the tables of symbols")


@lru_cache(maxsize=8)
def _sums(native: ctypes.CDLL, tables: SymbolTables) -> _Sums:
    return _Sums(native, tables)


class NativeReader:
    """Reads what a writer wrote. Raises CorruptFile on anything else."""

    def __init__(self, native: ctypes.CDLL, tables: SymbolTables, data: bytes) -> None:
        self._native, self._sums, self._data = native, _sums(native, tables), data
        self._state = AecReader()
        self._arguments = ctypes.byref(self._state), data, len(data)
        self.known = 0  # symbols read
        native.aec_open(*self._arguments)

    def read(self, index: np.ndarray) -> np.ndarray:
        """Symbols int32 [n] for scale indexes [n]."""
        index = np.ascontiguousarray(index, np.uint8)
        symbols, order = np.empty(index.size, np.int32), np.empty(index.size, np.int32)
        given = address_of(index), index.size, address_of(symbols), address_of(order)
        failed = self._native.aec_read(*self._arguments, *self._sums.arguments, *given)
        if failed:
            raise CorruptFile(_ERRORS[failed])
        self.known += index.size
        return symbols

    def finish(self) -> None:
        """CorruptFile unless the stream ends here."""
        check_end(self._data, self._state.read, self._state.offset, self._state.width)


class NativeWriter:
    """Range-codes symbols."""

    def __init__(self, native: ctypes.CDLL, tables: SymbolTables) -> None:
        self._native, self._sums = native, _sums(native, tables)
        self._state = AecWriter()
        self._words = np.empty(0, ">u4")  # the first `_state.words` are the stream so far
        native.aec_start(ctypes.byref(self._state))

    def write(self, index: np.ndarray, symbols: np.ndarray) -> None:
        """Appends symbols -1024..1024 [n] with scale indexes [n]."""
        index, symbols = np.ascontiguousarray(index, np.uint8), np.ascontiguousarray(symbols, np.int32)
        needed = self._state.words + 2 * index.size  # a symbol and its escape output at most a word each
        if needed > self._words.size:
            grown = np.empty(2 * needed, ">u4")
            grown[: self._state.words] = self._words[: self._state.words]
            self._words = grown
        order = np.empty(index.size, np.int32)
        output = ctypes.byref(self._state), address_of(self._words), self._words.size
        given = address_of(index), address_of(symbols), index.size, address_of(order)
        if self._native.aec_write(*output, *self._sums.arguments, *given):
            raise ValueError("a scale index or a symbol is out of range")

    def finish(self) -> bytes:
        """The stream of all symbols so far."""
        return tail_trimmed(self._words[: self._state.words].tobytes(), self._state.low, self._state.width)
