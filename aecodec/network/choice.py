"""Chooses what runs networks on the CPU, and differentiates them: native kernels where they run, else NumPy."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from aecodec.native import library
from aecodec.network.numpy_runtime import NumpyRuntime
from aecodec.network.quantized import Network
from aecodec.network.quantized import Runtime


def cpu_runtime() -> Runtime:
    """A new runtime. Raises InvalidOption if the environment names one that does not exist (`library.VARIABLE`)."""
    native, chosen = library.load(), library.kernel_set()
    if isinstance(native, str) or isinstance(chosen, str):
        return NumpyRuntime()
    from aecodec.network.native_runtime import NativeRuntime  # needs ctypes, which some builds of Python lack

    return NativeRuntime(native, chosen[0])


class Pass(Protocol):
    """One forward pass, recorded for the backward pass."""

    def backward(self, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Gradients for both inputs from that of the output; None if no layer reads the second. Call it once only."""
        ...


class Differentiable(Protocol):
    """A network in float32 [1, rows, columns, channels], in the integers' units."""

    def forward(self, x: np.ndarray, side: np.ndarray | None = None) -> tuple[np.ndarray, Pass]:
        """Output for `x` and the second input `side`, and the pass."""
        ...


def differentiable(network: Network) -> Differentiable:
    """A network that gives gradients by its inputs."""
    from aecodec.network.gradients import FloatNetwork  # only --effort needs it

    native, chosen = library.load(), library.kernel_set()
    if isinstance(native, str) or isinstance(chosen, str):
        return FloatNetwork(network)
    from aecodec.network.native_gradients import NativeGradients
    from aecodec.network.native_gradients import Unsupported

    try:
        return NativeGradients(native, chosen[0], network)
    except Unsupported:
        return FloatNetwork(network)
