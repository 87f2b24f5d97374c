"""Runs quantized networks with NumPy, exactly, on any machine and in any order of summation.

Every value is an integer carried in a float product. A product sums integers below 2^24 in float32 (2^52 in float64),
where each partial sum is exact regardless of the library's order, blocking or fused multiply-add. The bound is computed
from the weights when a network is loaded; a layer that does not fit runs in float64. The carrier is not part of the
definition, which stands at the head of `quantized.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import product
from typing import Any
from typing import NamedTuple
from typing import cast

import numpy as np

from aecodec.geometry import Box
from aecodec.network.layers import Conv
from aecodec.network.layers import DepthToSpace
from aecodec.network.layers import Depthwise
from aecodec.network.layers import Layer
from aecodec.network.layers import Layers
from aecodec.network.layers import NearestUpsample
from aecodec.network.layers import Residual
from aecodec.network.layers import SideInput
from aecodec.network.layers import unknown_kind
from aecodec.network.quantized import FLOAT32_LIMIT
from aecodec.network.quantized import Network
from aecodec.network.quantized import path_of
from aecodec.network.windows import run_layers

BAND = 2**16  # samples that a depthwise layer works on at a time


# No value here overflows or is divided, but some libraries' products still raise the processor's floating-point flags
# (those for Arm compute padding columns), and NumPy would warn.
_QUIET = partial(np.errstate, all="ignore")


def known_product() -> tuple[np.ndarray, np.ndarray, float]:
    """Two float32 matrices, and the value of every element of their product: an integer that needs all 24 bits.

    They are large enough for a library to choose the routine that it uses for networks, not one for vectors.
    """
    x, w = np.zeros((64, 64), np.float32), np.zeros((64, 64), np.float32)
    x[:, :2], w[:2] = (4097, 1), [[4095], [-2]]
    return x, w, 4097.0 * 4095 - 2


def float32_is_exact() -> bool:
    """Whether this library's float32 product keeps all 24 bits (a reduced-precision mode would not)."""
    x, w, expected = known_product()
    with _QUIET():
        return bool((x @ w == expected).all())


class Row:
    """Channel values [C] repeated along a row: NumPy processes whole rows twice as fast as short ones."""

    def __init__(self, values: np.ndarray) -> None:
        self._last = values[None]  # [columns, C]: most fields are as wide as the one before

    def of(self, x: np.ndarray) -> np.ndarray:
        """As long as the rows of `x` [B, H, W, C]."""
        last, columns = self._last, x.shape[2]
        if len(last) != columns:
            self._last = last = last[:1].repeat(columns, axis=0)
        return last


_Bounds = tuple[Any, Any]  # two floats if all channels agree, which clips faster; else two Rows


class _Prepared(NamedTuple):
    """One layer in its carrier, the shift folded in: a power of two leaves every product and sum exact."""

    weight: np.ndarray
    bias: Row
    bounds: tuple[_Bounds, _Bounds]  # low and high as they are, and activated


class NumpyRuntime:
    """Runs networks with NumPy. `carrier` forces one float type for every layer (float64 for tests)."""

    def __init__(self, carrier: type[np.floating[Any]] | None = None) -> None:
        self._carrier = carrier or (None if float32_is_exact() else np.float64)
        self._prepared: dict[int, tuple[Network, dict[str, _Prepared]]] = {}

    def run(
        self, network: Network, x: np.ndarray, side: np.ndarray | None = None, wanted: Box | None = None
    ) -> np.ndarray:
        """Output integers of `network` for input `x` [B, H, W, C] and second input `side`, in float32 or float64."""
        known = self._prepared.get(id(network))
        if known is None:
            prepared = {path: self._prepare(network, path) for path in network.parameters}
            self._prepared[id(network)] = known = (network, prepared)  # holds the network, so its id stays its own
        second = None if side is None else np.asarray(side, np.float32)
        with _QUIET():
            apply = partial(_apply, known[1])
            return cast(np.ndarray, run_layers(network.layers, apply, np.asarray(x, np.float32), second, wanted))

    def _prepare(self, network: Network, path: str) -> _Prepared:
        own = network.parameters[path]
        fits = network.bounds[path] < FLOAT32_LIMIT
        carrier = self._carrier or (np.float32 if fits else np.float64)
        scale = np.ldexp(1.0, -own.shift.astype(np.intc))  # not int64: no such loop where a C long is 32 bits wide
        weight = own.weight.astype(carrier)
        weight *= scale.astype(carrier)
        return _Prepared(
            weight=weight,
            bias=Row((own.bias * scale).astype(carrier)),
            bounds=(
                _one_or_all(own.low, own.high, carrier),
                _one_or_all(_activated(own.low), _activated(own.high), carrier),
            ),
        )


def _activated(values: np.ndarray) -> np.ndarray:
    return np.maximum(values, (values + 4) // 8)


def _one_or_all(low: np.ndarray, high: np.ndarray, carrier: Any) -> _Bounds:
    if (low == low[0]).all() and (high == high[0]).all():
        return carrier(low[0]), carrier(high[0])
    return Row(low.astype(carrier)), Row(high.astype(carrier))


def _apply(
    prepared: Mapping[str, _Prepared], layer: Layer, path: str, x: np.ndarray, side: np.ndarray | None
) -> np.ndarray:
    match layer:
        case Conv():
            return _requantise(_product(layer, prepared[path], x), prepared[path], layer.active)
        case Depthwise():
            return _requantise(depthwise(prepared[path].weight, x), prepared[path])
        case Residual():
            body = _run(prepared, layer.body, path, x, side)
            return _sum(x, body, prepared[path_of(path, len(layer.body) - 1)])
        case SideInput():
            assert side is not None, "this network has a second input"
            body = _run(prepared, layer.body, path, side, side)
            return _sum(x, body, prepared[path_of(path, len(layer.body) - 1)])
        case DepthToSpace():
            return shuffle(x, layer.factor, layer.crop)
        case NearestUpsample():
            return x.repeat(layer.factor, axis=1).repeat(layer.factor, axis=2)
        case _:
            return unknown_kind(layer)


def _run(
    prepared: Mapping[str, _Prepared], layers: Layers, prefix: str, x: np.ndarray, side: np.ndarray | None
) -> np.ndarray:
    for position, layer in enumerate(layers):
        x = _apply(prepared, layer, path_of(prefix, position), x, side)
    return x


def pad(x: np.ndarray, padding: int) -> np.ndarray:
    """`x` [B, H, W, C] with `padding` zeros on its four sides."""
    if not padding:
        return x
    batch, rows, columns, channels = x.shape
    padded = np.zeros((batch, rows + 2 * padding, columns + 2 * padding, channels), x.dtype)
    padded[:, padding : padding + rows, padding : padding + columns] = x
    return padded


def unfold(x: np.ndarray, kernel: int, stride: int) -> np.ndarray:
    """Windows of `x` [B, H, W, C] as rows [B, H', W', kernel*kernel*C]: kernel row, kernel column, channel."""
    batch, rows, columns, channels = x.shape
    shape = (batch, (rows - kernel) // stride + 1, (columns - kernel) // stride + 1)
    b, r, c, k = x.strides
    windows = np.lib.stride_tricks.as_strided(
        x, (*shape, kernel, kernel, channels), (b, r * stride, c * stride, r, c, k), writeable=False
    )
    return windows.reshape(*shape, kernel * kernel * channels)


def _product(layer: Conv, prepared: _Prepared, x: np.ndarray) -> np.ndarray:
    if layer.kernel > 1 or layer.stride > 1 or layer.padding:
        x = unfold(pad(x, layer.padding), layer.kernel, layer.stride)
    batch, rows, columns, inputs = x.shape
    flat = x.reshape(-1, inputs).astype(prepared.weight.dtype, copy=False)
    return (flat @ prepared.weight).reshape(batch, rows, columns, -1)


def depthwise(weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    """3x3 sums of each channel by itself, zero-padded by one, in the type of `weight` [9, C]."""
    rows, columns, channels = x.shape[1:]
    padded = pad(x.astype(weight.dtype, copy=False), 1)
    total = np.empty(x.shape, weight.dtype)
    # Whole rows, as many as fit the processor's cache, take a fifth to a third less time.
    taps = np.repeat(weight[:, None], columns, axis=1)
    band = max(1, BAND // max(1, columns * channels))
    for picture, first in product(range(len(x)), range(0, rows, band)):
        sums = total[picture, first : first + band]
        seen = padded[picture, first : first + len(sums) + 2]
        np.multiply(seen[1:-1, 1:-1], taps[4], out=sums)
        for tap in (0, 1, 2, 3, 5, 6, 7, 8):
            row, column = divmod(tap, 3)
            sums += seen[row : row + len(sums), column : column + columns] * taps[tap]
    return total


def _requantise(total: np.ndarray, prepared: _Prepared, active: bool = False) -> np.ndarray:
    """A layer's output from its sums, which it overwrites.

    Floor and activation are taken in one: max(floor(v), floor(floor(v) / 8 + 1/2)) = floor(max(v, v / 8 + 1/2)). All
    of these rise with v, so the bounds may follow, activated themselves. That v / 8 + 1/2 may be rounded does no harm:
    under v = -2 it is exact, being nearer to zero than v / 8 in whole units of that one's last place; from there to
    v = 1 both sides are 0; and above, the maximum is v.
    """
    total += prepared.bias.of(total)
    if active:
        leak = total * total.dtype.type(0.125)
        leak += total.dtype.type(0.5)
        total = np.maximum(total, leak, out=leak)  # writing into `total` takes twice the time
    np.floor(total, out=total)
    return _clip(total, prepared.bounds[active]).astype(np.float32, copy=False)


def _clip(x: np.ndarray, bounds: _Bounds) -> np.ndarray:
    """In place."""
    low, high = bounds
    if isinstance(low, Row):  # eight times as fast as NumPy's clip with arrays
        np.maximum(x, low.of(x), out=x)
        return np.minimum(x, high.of(x), out=x)
    return x.clip(low, high, out=x)


def _sum(x: np.ndarray, body: np.ndarray, last: _Prepared) -> np.ndarray:
    both = min(x.shape[-1], body.shape[-1])
    body[..., :both] += x[..., :both]
    return _clip(body, last.bounds[False])


def shuffle(x: np.ndarray, factor: int, crop: int) -> np.ndarray:
    """Moves channels [factor, factor, C] of `x` [B, H, W, factor*factor*C] apart, then crops `crop` on every side."""
    batch, rows, columns, channels = x.shape
    split = x.reshape(batch, rows, columns, factor, factor, channels // factor**2)
    full = split.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows * factor, columns * factor, -1)
    return full[:, crop : rows * factor - crop, crop : columns * factor - crop]
