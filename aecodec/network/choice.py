"""Chooses the runtime of the CPU: native kernels where they run, else NumPy."""

from __future__ import annotations

from aecodec.native import library
from aecodec.network.numpy_runtime import NumpyRuntime
from aecodec.network.quantized import Runtime


def cpu_runtime() -> Runtime:
    """A new runtime. Raises InvalidOption if the environment names one that does not exist (`library.VARIABLE`)."""
    native, chosen = library.load(), library.kernel_set()
    if isinstance(native, str) or isinstance(chosen, str):
        return NumpyRuntime()
    from aecodec.network.native_runtime import NativeRuntime  # needs ctypes, which some builds of Python lack

    return NativeRuntime(native, chosen[0])
