"""Loads the compiled kernels and chooses one of their sets; without any, NumPy runs, and one line says why.

The variable `AECODEC_RUNTIME` decides instead: `numpy`, or the name of a kernel set.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import TYPE_CHECKING

from aecodec.errors import InvalidOption

if TYPE_CHECKING:
    import ctypes

VARIABLE = "AECODEC_RUNTIME"
SETS = ("avx512-vnni", "avx-vnni", "avx2", "neon")  # those of any build, the best first


@cache
def load() -> ctypes.CDLL | str:
    """The library with its functions declared, or why it is missing. Two threads at once load the same one."""
    path = os.path.join(os.path.dirname(__file__), "_kernels" + (".dll" if sys.platform == "win32" else ".so"))
    if not os.path.isfile(path):
        return "not compiled: install with a C compiler for the native kernels"
    try:
        from aecodec.native import interface  # here, since importing ctypes takes longer than all of this

        library = interface.open_library(path)
    except (ImportError, OSError) as error:  # some builds of Python lack ctypes
        return f"{os.path.basename(path)} does not load: {error}"
    return library or f"{os.path.basename(path)} is of another version of aecodec: install it again"


def kernel_set() -> tuple[int, str] | str:
    """Index and name of the kernel set to use, or why NumPy runs. Raises InvalidOption for an unknown choice."""
    return kernel_set_named(wanted())


def wanted() -> str:
    """What the variable says; empty if it says nothing. Raises InvalidOption if it names no runtime."""
    name = os.environ.get(VARIABLE, "")
    if name not in ("", "numpy", *SETS):
        raise InvalidOption(f"{VARIABLE}={name}: choose numpy, {', '.join(SETS[:-1])} or {SETS[-1]}")
    return name


def describe() -> str:
    """One line: the runtime and its kernels, or that NumPy runs and why."""
    chosen = kernel_set()
    return f"numpy ({chosen})" if isinstance(chosen, str) else f"native ({chosen[1]})"


@cache
def kernel_set_named(name: str) -> tuple[int, str] | str:
    """As `kernel_set`, for a value of the variable."""
    if name == "numpy":
        return f"{VARIABLE}=numpy"
    library = load()
    if isinstance(library, str):
        return library
    built: list[str] = []
    while found := library.aec_set_name(len(built)):
        built.append(found.decode())
    for index, own in enumerate(built):
        if name in ("", own) and library.aec_set_runs(index):
            return index, own
    if not name:
        return f"this processor has none of the kernel sets {', '.join(built)}"
    return f"this processor cannot run {name}" if name in built else f"this build has no {name}"
