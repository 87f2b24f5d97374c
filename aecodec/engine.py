"""The integer engine: runs a network exactly, on any machine, in any order of summation.

Every value is an integer carried in a float product. A product sums integers below 2^24 in float32 (2^52 in float64),
where each partial sum is exact whatever the library's order, blocking or fused multiply-add; the bound is computed
from the weights when a network is loaded, and a layer that does not fit runs in float64. The carrier is no part of
the definition. Source of the idea: Balle, Johnston, Minnen, "Integer networks for data compression with latent-variable
models", ICLR 2019.

Definition
----------
Arrays are [rows, columns, channels] (in the code a batch of them). A network hands its input x through its layers in
order; a second input is there for the layers "Side" alone. Outside its field, which is that of a coded tile or, in the
synthesis, that of the whole picture, the input of every layer is zero.

*Conv* of kernel k, stride t and padding p has floor((rows + 2p - k) / t) + 1 rows of output, columns likewise. With
weights w (int8), bias b, shift s and bounds [low, high], the latter four per output channel o, output (i, j, o) is

    r = clip(floor((sum + b) 2^-s), low, high)        then, if active,        max(r, floor(r / 8 + 1/2))

where sum = sum over m, n = 0..k-1 and input channels c of x(t i + m - p, t j + n - p, c) w((m k + n) inputs + c, o).
The kernel is not turned round; a negative shift multiplies; the rounding constant 2^(s-1) is part of b.

*Depthwise*: the same for each channel by itself, with k = 3, t = 1, p = 1, weight w(3 m + n, o) and never active.

*Residual*: x + body(x). *Side*: x + body(second input). Either has the channels of its body; where x has fewer or more,
the sum is over the channels that both have, the first ones, and the body's others stay as they are. The sum is clipped
to the bounds of the body's last layer, a Conv or Depthwise.

*Shuffle* by factor f: y(f i + m, f j + n, c) = x(i, j, (m f + n) C + c) for m, n = 0..f-1, where C = channels / f^2;
then `crop` rows and columns are cut away on each of the four sides.

*Repeat* by factor f: y(i, j) = x(floor(i / f), floor(j / f)), f times as many rows and columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import partial
from itertools import product
from typing import Any
from typing import NamedTuple
from typing import Protocol
from typing import cast

import numpy as np

from aecodec.networks import Conv
from aecodec.networks import Depthwise
from aecodec.networks import Layer
from aecodec.networks import Layers
from aecodec.networks import Repeat
from aecodec.networks import Residual
from aecodec.networks import Shuffle
from aecodec.networks import Side
from aecodec.tiling import Box
from aecodec.trim import run_layers

FLOAT32_LIMIT = 2.0**24
FLOAT64_LIMIT = 2.0**52
VALUE_LIMIT = 2.0**23  # of a layer's outputs: float32 holds the sum of any two
SHIFT_LIMIT = 30
BAND = 2**16  # samples that a depthwise layer works on at a time


@dataclass(frozen=True)
class Integers:
    """One layer's numbers. `weight` int8 [kernel*kernel*inputs, outputs] (depthwise [9, channels]), the rest [outputs].

    Rows of `weight` are in the order kernel row, kernel column, input channel.
    """

    weight: np.ndarray
    bias: np.ndarray  # int64, in units of the sum
    shift: np.ndarray  # int64, -30..30
    low: np.ndarray  # int64
    high: np.ndarray  # int64


@dataclass(frozen=True, eq=False)
class Network:
    """Layers with their integers by path, and the bound of the inputs: |x| <= input_bound, per channel or for all.

    `exponent` says what the output integers mean: real = integer * 2^-exponent. `output_bound` is that of the outputs.
    """

    layers: Layers
    integers: Mapping[str, Integers]
    input_bound: np.ndarray
    side_bound: np.ndarray
    exponent: int
    bounds: Mapping[str, float] = dataclass_field(init=False)
    output_bound: np.ndarray = dataclass_field(init=False)

    def __post_init__(self) -> None:
        bounds: dict[str, float] = {}
        output_bound = _propagate(self.layers, "", self.integers, self.input_bound, self.side_bound, bounds)
        object.__setattr__(self, "bounds", bounds)
        object.__setattr__(self, "output_bound", output_bound)


class Runtime(Protocol):
    """Runs networks. Arrays [batch, rows, columns, channels] of integers in any numeric dtype; the result likewise.

    Of the result only the `wanted` part is made, an area in positions of the network's coarsest field; by default all.
    """

    def run(
        self, network: Network, x: np.ndarray, side: np.ndarray | None = None, wanted: Box | None = None
    ) -> np.ndarray: ...


def integer_type(bound: np.ndarray) -> np.dtype[Any]:
    """The smallest signed integers that hold values within -bound..bound."""
    return np.min_scalar_type(-int(bound.max()) - 1)


def path_of(prefix: str, position: int) -> str:
    return f"{prefix}.{position}" if prefix else str(position)


def _magnitude(integers: Integers) -> np.ndarray:
    return np.maximum(np.abs(integers.low), np.abs(integers.high)).astype(np.float64)


def _check_numbers(path: str, own: Integers) -> None:
    if np.abs(own.shift).max() > SHIFT_LIMIT:
        raise ValueError(f"layer {path}: shifts {own.shift.min()}..{own.shift.max()} are not within 30 bits")
    if (own.low > own.high).any():
        raise ValueError(f"layer {path}: a lower bound is above its upper bound")


def _propagate(
    layers: Layers,
    prefix: str,
    numbers: Mapping[str, Integers],
    bound: np.ndarray,
    side: np.ndarray,
    found: dict[str, float],
) -> np.ndarray:
    """Bounds of |x| through the layers; notes in `found` the largest partial sum each product can reach.

    Raises ValueError where a sum could leave float64's exact range, or a value float32's.
    """
    for position, layer in enumerate(layers):
        path = path_of(prefix, position)
        match layer:
            case Conv() | Depthwise():
                own = numbers[path]
                _check_numbers(path, own)
                found[path] = _largest_sum(layer, own, bound)
                if found[path] >= FLOAT64_LIMIT:
                    raise ValueError(f"layer {path}: sums can reach 2^{np.log2(found[path]):.1f}, more than 2^52")
                bound = _magnitude(own)
                if bound.max() > VALUE_LIMIT:
                    raise ValueError(f"layer {path}: values can reach {bound.max():.0f}, more than 2^23")
            case Residual():
                bound = _propagate(layer.body, path, numbers, bound, side, found)
            case Side():
                bound = _propagate(layer.body, path, numbers, side, side, found)
            case Shuffle():
                bound = bound.reshape(layer.factor**2, -1).max(0)
            case Repeat():
                pass
    return bound


def _largest_sum(layer: Conv | Depthwise, own: Integers, bound: np.ndarray) -> float:
    """The largest partial sum that a layer's product can reach for inputs |x| <= `bound`, the bias included.

    Float32 is asked first, for speed. It adds non-negative integers exactly while their sum is under 2^24, and rounding
    takes no larger one back under it.
    """
    largest = _largest_sum_in(np.float32, layer, own, bound)
    return largest if largest < FLOAT32_LIMIT else _largest_sum_in(np.float64, layer, own, bound)


def _largest_sum_in(
    carrier: type[np.floating[Any]], layer: Conv | Depthwise, own: Integers, bound: np.ndarray
) -> float:
    weight = own.weight.astype(carrier)
    np.abs(weight, out=weight)
    if isinstance(layer, Conv):
        per_row = np.tile(np.broadcast_to(bound, (layer.inputs,)), layer.kernel**2)
        sums = per_row.astype(carrier) @ weight
    else:
        sums = weight.sum(0) * bound
    return float((sums + np.abs(own.bias)).max())


# No value here overflows or divides, but some libraries' products raise a processor's flags all the same (those for Arm
# compute more columns than there are), and NumPy would warn of them.
_QUIET = partial(np.errstate, all="ignore")


def known_product() -> tuple[np.ndarray, np.ndarray, float]:
    """Two float32 matrices and what every element of their product is: an integer that needs all 24 bits.

    Large enough that a library takes the routine that networks get, not one for vectors.
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
    """Values [C] of the channels, repeated along a row: whole rows take NumPy half the time that short ones do."""

    def __init__(self, values: np.ndarray) -> None:
        self._last = values[None]  # [columns, C]: most calls are for a field as wide as the last one was

    def of(self, x: np.ndarray) -> np.ndarray:
        """As long as the rows of `x` [B, H, W, C]."""
        last, columns = self._last, x.shape[2]
        if len(last) != columns:
            self._last = last = last[:1].repeat(columns, axis=0)
        return last


_Bounds = tuple[Any, Any]  # two floats where all channels agree: clipping by those is quicker; else two of Row


class _Prepared(NamedTuple):
    """One layer in its carrier, the shift folded in: a power of two leaves every product and sum exact."""

    weight: np.ndarray
    bias: Row
    bounds: tuple[_Bounds, _Bounds]  # low and high as they are, and activated


class NumpyRuntime:
    """The engine on NumPy. `carrier` forces one float type for every layer (float64 for tests)."""

    def __init__(self, carrier: type[np.floating[Any]] | None = None) -> None:
        self._carrier = carrier or (None if float32_is_exact() else np.float64)
        self._prepared: dict[int, tuple[Network, dict[str, _Prepared]]] = {}

    def run(
        self, network: Network, x: np.ndarray, side: np.ndarray | None = None, wanted: Box | None = None
    ) -> np.ndarray:
        """Output integers of `network` for input `x` [B, H, W, C] and second input `side`, in float32 or float64."""
        known = self._prepared.get(id(network))
        if known is None:
            prepared = {path: self._prepare(network, path) for path in network.integers}
            self._prepared[id(network)] = known = (network, prepared)  # holds the network, so its id stays its own
        second = None if side is None else np.asarray(side, np.float32)
        with _QUIET():
            apply = partial(_apply, known[1])
            return cast(np.ndarray, run_layers(network.layers, apply, np.asarray(x, np.float32), second, wanted))

    def _prepare(self, network: Network, path: str) -> _Prepared:
        own = network.integers[path]
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
        case Side():
            assert side is not None, "this network has a second input"
            body = _run(prepared, layer.body, path, side, side)
            return _sum(x, body, prepared[path_of(path, len(layer.body) - 1)])
        case Shuffle():
            return shuffle(x, layer.factor, layer.crop)
        case Repeat():
            return x.repeat(layer.factor, axis=1).repeat(layer.factor, axis=2)


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
    if layer.kernel > 1 or layer.stride > 1:
        x = unfold(pad(x, layer.padding), layer.kernel, layer.stride)
    batch, rows, columns, inputs = x.shape
    flat = x.reshape(-1, inputs).astype(prepared.weight.dtype, copy=False)
    return (flat @ prepared.weight).reshape(batch, rows, columns, -1)


def depthwise(weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    """3x3 sums of each channel by itself, zero-padded by one, in the type of `weight` [9, C]."""
    rows, columns, channels = x.shape[1:]
    padded = pad(x.astype(weight.dtype, copy=False), 1)
    total = np.empty(x.shape, weight.dtype)
    # Whole rows at a time, and no more of them than a processor's cache holds: a fifth to a third less time.
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
    """A layer's output of its sums, which are overwritten.

    Floor and activation are taken in one: max(floor(v), floor(floor(v) / 8 + 1/2)) = floor(max(v, v / 8 + 1/2)). All
    of these rise with v, so the bounds may follow, activated themselves. That v / 8 + 1/2 may be rounded does no harm:
    under v = -2 it is exact, being nearer to zero than v / 8 in whole units of that one's last place; from there to
    v = 1 both sides are 0; and above, the maximum is v.
    """
    total += prepared.bias.of(total)
    if active:
        leak = total * total.dtype.type(0.125)
        leak += total.dtype.type(0.5)
        total = np.maximum(total, leak, out=leak)  # into its own place it takes twice the time
    np.floor(total, out=total)
    return _clip(total, prepared.bounds[active]).astype(np.float32, copy=False)


def _clip(x: np.ndarray, bounds: _Bounds) -> np.ndarray:
    """In place."""
    low, high = bounds
    if isinstance(low, Row):  # an eighth of the time that NumPy's own clip takes there
        np.maximum(x, low.of(x), out=x)
        return np.minimum(x, high.of(x), out=x)
    return x.clip(low, high, out=x)


def _sum(x: np.ndarray, body: np.ndarray, last: _Prepared) -> np.ndarray:
    both = min(x.shape[-1], body.shape[-1])
    body[..., :both] += x[..., :both]
    return _clip(body, last.bounds[False])


def shuffle(x: np.ndarray, factor: int, crop: int) -> np.ndarray:
    """Channels [factor, factor, C] of `x` [B, H, W, factor*factor*C] moved apart, `crop` cut all round."""
    batch, rows, columns, channels = x.shape
    split = x.reshape(batch, rows, columns, factor, factor, channels // factor**2)
    full = split.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows * factor, columns * factor, -1)
    return full[:, crop : rows * factor - crop, crop : columns * factor - crop]
