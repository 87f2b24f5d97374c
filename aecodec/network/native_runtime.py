"""Runs quantized networks on the kernels in C (`aecodec/native`), where these can hold their numbers.

They carry activations in 16 bits and sums in 32. A network whose values or sums may be larger runs on NumPy, which
gives the same integers.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from aecodec.geometry import Box
from aecodec.native import interface
from aecodec.native.interface import AecCall
from aecodec.native.interface import address_of
from aecodec.network.layers import Conv
from aecodec.network.layers import DepthToSpace
from aecodec.network.layers import Depthwise
from aecodec.network.layers import Layer
from aecodec.network.layers import Layers
from aecodec.network.layers import NearestUpsample
from aecodec.network.layers import Residual
from aecodec.network.layers import SideInput
from aecodec.network.layers import unknown_kind
from aecodec.network.layers import walk
from aecodec.network.numpy_runtime import NumpyRuntime
from aecodec.network.quantized import Network
from aecodec.network.quantized import QuantizedParameters

ALIGNMENT = 64  # bytes, of all memory that the kernels take
Row = tuple[int, ...]


class _Known(NamedTuple):
    """A network that has run before. It is held here, so that its id stays its own."""

    network: Network
    prepared: np.ndarray | None  # as the kernels read it; None if they cannot hold it
    address: int  # of `prepared`
    bound: int  # of |input|
    side_bound: int

    def call(self, x: np.ndarray, side: np.ndarray | None, wanted: Box | None) -> AecCall:
        """One picture's call, to be planned."""
        scale = self.network.reduction
        box = wanted or Box(0, 0, x.shape[1] // scale, x.shape[2] // scale)
        channels = 0 if side is None else side.shape[3]
        return AecCall(*x.shape[1:], channels, self.bound, self.side_bound, box.top, box.left, box.bottom, box.right)


class NativeRuntime:
    """Runs networks on one kernel set. Safe from several threads at once: the kernels work without the GIL."""

    def __init__(self, library: ctypes.CDLL, kernel_set: int) -> None:
        self._library, self._set = library, kernel_set
        self._known: dict[int, _Known] = {}

    def run(
        self, network: Network, x: np.ndarray, side: np.ndarray | None = None, wanted: Box | None = None
    ) -> np.ndarray:
        """Output integers of `network` for input `x` [B, H, W, C] and second input `side`, in int16 or a float type."""
        known = self._known.get(id(network))
        if known is None:
            self._known[id(network)] = known = self._prepare(network)
        call = known.call(x, side, wanted)
        size = -1 if known.prepared is None else self._library.aec_plan(known.address, ctypes.byref(call))
        if size < 0:
            return self._numpy.run(network, x, side, wanted)
        x = np.ascontiguousarray(x, np.int16)
        side = None if side is None else np.ascontiguousarray(side, np.int16)
        y = np.empty((len(x), call.out_rows, call.out_columns, call.out_channels), np.int16)
        memory = memory_of(size)
        end = address_of(memory), memory.nbytes, None
        for own in range(len(x)):
            seen = None if side is None else address_of(side[own])
            given = address_of(x[own]), seen, address_of(y[own])
            if self._library.aec_run(known.address, ctypes.byref(call), *given, *end):
                raise AssertionError("a planned call runs")
        return y

    @cached_property
    def _numpy(self) -> NumpyRuntime:
        """For what the kernels cannot hold."""
        return NumpyRuntime()

    def _prepare(self, network: Network) -> _Known:
        prepared = prepare_network(self._library, self._set, network)
        address = 0 if prepared is None else address_of(prepared)
        too_large = 2**15
        bounds = (min(int(bound.max()), too_large) for bound in (network.input_bound, network.side_bound))
        return _Known(network, prepared, address, *bounds)


def prepare_network(library: ctypes.CDLL, kernel_set: int, network: Network) -> np.ndarray | None:
    """`prepare` for all layers of a network."""
    paths = [path.removeprefix("n.") for path, layer in walk(network.layers, "n") if layer.weight_shape]
    return prepare(library, kernel_set, table(network.layers), [network.parameters[path] for path in paths])


def prepare(
    library: ctypes.CDLL, kernel_set: int, rows: Sequence[Row], parameters: Sequence[QuantizedParameters]
) -> np.ndarray | None:
    """A network as the kernels read it, from its layers and their numbers; None if those do not fit 16 bits."""
    layers = np.array(rows, np.int32)
    size = library.aec_prepared_size(kernel_set, address_of(layers), len(layers))
    weights = np.concatenate([np.empty(0, np.int8), *(own.weight.ravel() for own in parameters)])
    numbers = np.concatenate([np.empty(0, np.int64), *(_numbers(own) for own in parameters)])
    if size < 0 or (np.abs(numbers) >= 2**31).any():
        return None
    numbers = numbers.astype(np.int32)
    prepared = _aligned(size)
    arguments = address_of(weights), weights.size, address_of(numbers), numbers.size, address_of(prepared)
    return None if library.aec_prepare(kernel_set, address_of(layers), len(layers), *arguments) else prepared


_own = threading.local()


def memory_of(size: int) -> np.ndarray:
    """This thread's memory, kept for the next call: fresh pages cost more than the products of most networks."""
    memory: np.ndarray | None = getattr(_own, "memory", None)
    if memory is None or memory.nbytes < size:
        _own.memory = memory = _aligned(size)
    return memory


def _aligned(size: int) -> np.ndarray:
    """Memory of `size` bytes at a multiple of `ALIGNMENT`."""
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size]


def table(layers: Layers) -> list[Row]:
    """The fields of `AecLayer` for `layers` and their bodies, depth first."""
    rows: list[Row] = []
    for layer in layers:
        (kind, *fields), body = _fields(layer), table(layer.children)
        rows += [(kind, 1 + len(body), *fields), *body]
    return rows


def _fields(layer: Layer) -> Row:
    """The kind, and the fields of `AecLayer` after `entries`."""
    match layer:
        case Conv():
            shape = layer.inputs, layer.outputs, layer.kernel, layer.stride, layer.padding
            return interface.CONV, *shape, int(layer.active), 0, 0
        case Depthwise():
            return interface.DEPTHWISE, layer.channels, layer.channels, 3, 1, 1, 0, 0, 0
        case Residual():
            return interface.RESIDUAL, *(0,) * 8
        case SideInput():
            return interface.SIDE, *(0,) * 8
        case DepthToSpace():
            return interface.DEPTH_TO_SPACE, *(0,) * 6, layer.factor, layer.crop
        case NearestUpsample():
            return interface.NEAREST, *(0,) * 6, layer.factor, 0
        case _:
            return unknown_kind(layer)


def _numbers(own: QuantizedParameters) -> np.ndarray:
    return np.stack([own.bias, own.shift, own.low, own.high]).ravel()
