"""`aecodec.h` for ctypes: its structures, and the argument types of its functions.

Pointers to arrays are addresses (`address_of`); those to structures take `ctypes.byref`, or an address as well.
"""

from __future__ import annotations

import ctypes
from ctypes import c_int32
from ctypes import c_int64
from ctypes import c_uint64
from ctypes import c_void_p
from typing import Any
from typing import ClassVar

ABI = 2  # AEC_ABI
TABLES = 65

# Kinds of layer, AEC_CONV and so on.
CONV, DEPTHWISE, RESIDUAL, SIDE, DEPTH_TO_SPACE, NEAREST, SPACE_TO_DEPTH, SLOPES = range(8)


def int32s(names: str) -> list[tuple[str, type[c_int32]]]:
    """Fields of a structure."""
    return [(name, c_int32) for name in names.split()]


class AecLayer(ctypes.Structure):
    """A layer of a network."""

    _fields_: ClassVar = int32s("kind entries inputs outputs kernel stride padding active factor crop")


class AecCall(ctypes.Structure):
    """One call of a network."""

    _fields_: ClassVar = [
        *int32s("rows columns channels side_channels bound side_bound top left bottom right"),
        *int32s("out_rows out_columns out_channels tape"),
    ]


class AecTables(ctypes.Structure):
    """Where the running sums of each table stand."""

    _fields_: ClassVar = [("starts", c_int32 * TABLES), ("lengths", c_int32 * TABLES), ("sum_count", c_int32)]


class AecReader(ctypes.Structure):
    """The state of a range decoder."""

    _fields_: ClassVar = [("offset", c_uint64), ("width", c_uint64), ("read", c_int64)]


class AecWriter(ctypes.Structure):
    """The state of a range encoder."""

    _fields_: ClassVar = [("low", c_uint64), ("width", c_uint64), ("words", c_int64)]


# Function -> its result and its arguments.
FUNCTIONS = {
    "aec_abi": (c_int32, ()),
    "aec_set_name": (ctypes.c_char_p, (c_int32,)),
    "aec_set_runs": (c_int32, (c_int32,)),
    "aec_prepared_size": (c_int64, (c_int32, c_void_p, c_int32)),
    "aec_prepare": (c_int32, (c_int32, c_void_p, c_int32, c_void_p, c_int64, c_void_p, c_int64, c_void_p)),
    "aec_plan": (c_int64, (c_void_p, c_void_p)),
    "aec_run": (c_int32, (*[c_void_p] * 6, c_int64, c_void_p)),
    "aec_check_tables": (c_int32, (c_void_p, c_void_p)),
    "aec_open": (None, (c_void_p, c_void_p, c_int64)),
    "aec_read": (c_int32, (*(c_void_p, c_void_p, c_int64), *[c_void_p] * 3, c_int32, c_void_p, c_void_p)),
    "aec_start": (None, (c_void_p,)),
    "aec_write": (c_int32, (c_void_p, c_void_p, c_int64, *[c_void_p] * 4, c_int32, c_void_p)),
}


def address_of(array: Any) -> int:
    """Where a NumPy array's first element lies; `array.ctypes.data` takes several times as long."""
    return int(array.__array_interface__["data"][0])


def open_library(path: str) -> ctypes.CDLL | None:
    """The library with its functions declared; None if it has another interface. Raises OSError if it does not load."""
    library = ctypes.CDLL(path)
    try:
        if library.aec_abi() != ABI:
            return None
        for name, (result, arguments) in FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except AttributeError:
        return None
    return library
