"""Chooses the coder of symbols: the native range coder if its library loads, else the Python twin.

The native coder uses no kernel set, so it runs on every processor that loads the library.
"""

from __future__ import annotations

from aecodec.format.symbols import Reader
from aecodec.format.symbols import SymbolReader
from aecodec.format.symbols import SymbolTables
from aecodec.format.symbols import SymbolWriter
from aecodec.format.symbols import Writer
from aecodec.native import library


def open_reader(tables: SymbolTables, data: bytes) -> Reader:
    """Reads the symbols of one whole stream. It raises CorruptFile for a stream that no writer wrote."""
    native = library.load()
    if isinstance(native, str) or library.wanted() == "numpy":
        return SymbolReader(tables, data)
    from aecodec.format.native_symbols import NativeReader  # needs ctypes, which some builds of Python lack

    return NativeReader(native, tables, data)


def open_writer(tables: SymbolTables) -> Writer:
    """Writes symbols into one stream."""
    native = library.load()
    if isinstance(native, str) or library.wanted() == "numpy":
        return SymbolWriter(tables)
    from aecodec.format.native_symbols import NativeWriter

    return NativeWriter(native, tables)
