"""Quantized networks: their definition, their parameters, and the bounds of every sum.

Source of the idea: Balle, Johnston, Minnen, "Integer networks for data compression with latent-variable models",
ICLR 2019.

Definition
----------
Arrays are [rows, columns, channels] (in the code, a batch of them). A network passes its input x through its layers in
order; only SideInput layers see its second input. The input of every layer is zero outside its field, which is that of
a coded tile or, in the synthesis, of the whole picture.

*Conv* of kernel k, stride t and padding p has floor((rows + 2p - k) / t) + 1 rows of output, columns likewise. With
weights w (int8), bias b, shift s and bounds [low, high], the latter four per output channel o, output (i, j, o) is

    r = clip(floor((sum + b) 2^-s), low, high)        then, if active,        max(r, floor(r / 8 + 1/2))

where sum = sum over m, n = 0..k-1 and input channels c of x(t i + m - p, t j + n - p, c) w((m k + n) inputs + c, o).
The kernel is not turned round; a negative shift multiplies; the rounding constant 2^(s-1) is part of b.

*Depthwise*: the same for each channel by itself, with k = 3, t = 1, p = 1, weight w(3 m + n, o) and never active.

*Residual*: x + body(x). *SideInput* ("Side" in weights files): x + body(second input). Both have the channels of their
body. If x has fewer or more, only the channels that both have are summed, and the body's others stay unchanged.
The sum is clipped to the bounds of the body's last layer, a Conv or Depthwise.

*DepthToSpace* ("Shuffle") by factor f: y(f i + m, f j + n, c) = x(i, j, (m f + n) C + c) for m, n = 0..f-1, where
C = channels / f^2; then `crop` rows and columns are cut away on each of the four sides.

*NearestUpsample* ("Repeat") by factor f: y(i, j) = x(floor(i / f), floor(j / f)), f times as many rows and columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import cached_property
from typing import Any
from typing import Protocol

import numpy as np

from aecodec.geometry import Box
from aecodec.network.layers import Conv
from aecodec.network.layers import DepthToSpace
from aecodec.network.layers import Depthwise
from aecodec.network.layers import Layers
from aecodec.network.layers import NearestUpsample
from aecodec.network.layers import Residual
from aecodec.network.layers import SideInput
from aecodec.network.layers import receptive_field
from aecodec.network.layers import reduction
from aecodec.network.layers import unknown_kind

FLOAT32_LIMIT = 2.0**24
FLOAT64_LIMIT = 2.0**52
VALUE_LIMIT = 2.0**23  # of a layer's outputs: float32 holds the sum of any two
SHIFT_LIMIT = 30


@dataclass(frozen=True)
class QuantizedParameters:
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

    `exponent` gives the unit of the output integers: real = integer * 2^-exponent. `output_bound` bounds the outputs.
    """

    layers: Layers
    parameters: Mapping[str, QuantizedParameters]
    input_bound: np.ndarray
    side_bound: np.ndarray
    exponent: int
    bounds: Mapping[str, float] = dataclass_field(init=False)
    output_bound: np.ndarray = dataclass_field(init=False)

    def __post_init__(self) -> None:
        bounds: dict[str, float] = {}
        output_bound = _propagate(self.layers, "", self.parameters, self.input_bound, self.side_bound, bounds)
        object.__setattr__(self, "bounds", bounds)
        object.__setattr__(self, "output_bound", output_bound)

    @cached_property
    def reduction(self) -> int:
        """Samples of the input, in either direction, for each position of its coarsest field."""
        return reduction(self.layers)

    @cached_property
    def receptive_field(self) -> int:
        """One-sided reach beyond a position, in positions of its coarsest field."""
        return receptive_field(self.layers)


class Runtime(Protocol):
    """Runs networks. Arrays [batch, rows, columns, channels] of integers in any numeric dtype; the result likewise.

    Only the `wanted` area of the result is computed, in positions of the network's coarsest field; by default all.
    """

    def run(
        self, network: Network, x: np.ndarray, side: np.ndarray | None = None, wanted: Box | None = None
    ) -> np.ndarray: ...


def integer_type(bound: np.ndarray) -> np.dtype[Any]:
    """The smallest signed integers that hold values within -bound..bound."""
    return np.min_scalar_type(-int(bound.max()) - 1)


def path_of(prefix: str, position: int) -> str:
    return f"{prefix}.{position}" if prefix else str(position)


def _magnitude(integers: QuantizedParameters) -> np.ndarray:
    return np.maximum(np.abs(integers.low), np.abs(integers.high)).astype(np.float64)


def _check_numbers(path: str, own: QuantizedParameters) -> None:
    if np.abs(own.shift).max() > SHIFT_LIMIT:
        raise ValueError(f"layer {path}: shifts {own.shift.min()}..{own.shift.max()} are not within 30 bits")
    if (own.low > own.high).any():
        raise ValueError(f"layer {path}: a lower bound is above its upper bound")


def _propagate(
    layers: Layers,
    prefix: str,
    numbers: Mapping[str, QuantizedParameters],
    bound: np.ndarray,
    side: np.ndarray,
    found: dict[str, float],
) -> np.ndarray:
    """Bounds of |x| through the layers; notes in `found` the largest partial sum each product can reach.

    Raises ValueError if a sum could leave float64's exact range, or a value float32's.
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
            case SideInput():
                bound = _propagate(layer.body, path, numbers, side, side, found)
            case DepthToSpace():
                bound = bound.reshape(layer.factor**2, -1).max(0)
            case NearestUpsample():
                pass
            case _:
                unknown_kind(layer)
    return bound


def _largest_sum(layer: Conv | Depthwise, own: QuantizedParameters, bound: np.ndarray) -> float:
    """The largest partial sum that a layer's product can reach for inputs |x| <= `bound`, the bias included.

    Float32 is tried first, for speed. It adds non-negative integers exactly while their sum is under 2^24, and rounding
    cannot bring a larger sum back under it.
    """
    largest = _largest_sum_in(np.float32, layer, own, bound)
    return largest if largest < FLOAT32_LIMIT else _largest_sum_in(np.float64, layer, own, bound)


def _largest_sum_in(
    carrier: type[np.floating[Any]], layer: Conv | Depthwise, own: QuantizedParameters, bound: np.ndarray
) -> float:
    weight = own.weight.astype(carrier)
    np.abs(weight, out=weight)
    if isinstance(layer, Conv):
        per_row = np.tile(np.broadcast_to(bound, (layer.inputs,)), layer.kernel**2)
        sums = per_row.astype(carrier) @ weight
    else:
        sums = weight.sum(0) * bound
    return float((sums + np.abs(own.bias)).max())
