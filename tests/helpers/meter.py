"""The ideal size of symbols, without coding them."""

from __future__ import annotations

import math

import numpy as np

from aecodec.format.symbols import TOTAL
from aecodec.format.symbols import SymbolTables
from aecodec.limits import MAX_SYMBOL


class SymbolMeter:
    """A sink that adds up the ideal code length of symbols, in bits, from the integer tables."""

    def __init__(self, tables: SymbolTables) -> None:
        self._tables = tables
        self.bits = 0.0

    def write(self, index: np.ndarray, symbols: np.ndarray) -> None:
        escaped, positions = self._tables.positions(index, symbols)
        for table in np.unique(index):
            own = positions[index == table]
            self.bits += float(np.log2(TOTAL / self._tables.frequencies[table][own]).sum())
        self.bits += math.log2(2 * MAX_SYMBOL + 1) * int(escaped.sum())
