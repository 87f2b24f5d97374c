"""The kinds of layer as plain data, which training, export and every runtime walk through.

A network is a tuple of layers over arrays [batch, rows, columns, channels]. Only operations with an exact integer
form are here: products, leaky ReLU of slope 1/8, sums, and moves of samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Conv:
    """A convolution over the zero-padded input, then an optional leaky ReLU of slope 1/8.

    `bits` is the width of the integers it puts out.
    """

    inputs: int
    outputs: int
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    active: bool = False
    bits: int = 11


@dataclass(frozen=True)
class Depthwise:
    """A 3x3 convolution of each channel by itself, zero-padded by one."""

    channels: int
    bits: int = 11


@dataclass(frozen=True)
class Residual:
    """`x + body(x)`; where the channel counts differ, the sum is over the channels that both have."""

    body: tuple[Layer, ...]


@dataclass(frozen=True)
class SideInput:
    """`x + body(side)`: lets the network's second input in."""

    body: tuple[Layer, ...]


@dataclass(frozen=True)
class DepthToSpace:
    """Channels [factor, factor, C] to a `factor` times larger field, then `crop` samples less on every side."""

    factor: int
    crop: int


@dataclass(frozen=True)
class NearestUpsample:
    """Every sample `factor` times in both directions (nearest-neighbour expansion)."""

    factor: int


Layer = Conv | Depthwise | Residual | SideInput | DepthToSpace | NearestUpsample
Layers = tuple[Layer, ...]


def walk(layers: Layers, prefix: str) -> Iterator[tuple[str, Layer]]:
    """Every layer with its path (`synthesis.2.1`), depth first, in order of execution."""
    for position, layer in enumerate(layers):
        path = f"{prefix}.{position}"
        yield path, layer
        if isinstance(layer, (Residual, SideInput)):
            yield from walk(layer.body, path)


def expansion(inputs: int, outputs: int, factor: int, *, active: bool = False, bits: int = 11) -> Layers:
    """A transposed convolution of kernel 2*factor and stride `factor`: a 2x2 product, then its samples moved apart."""
    product = Conv(inputs, factor * factor * outputs, kernel=2, padding=1, active=active, bits=bits)
    return product, DepthToSpace(factor, factor // 2)


def multiply_adds(layers: Layers, positions: float = 1.0) -> tuple[float, float]:
    """(multiply-adds, output positions) of a network on a field of `positions` positions."""
    total = 0.0
    for layer in layers:
        match layer:
            case Conv():
                positions /= layer.stride**2
                total += positions * layer.inputs * layer.outputs * layer.kernel**2
            case Depthwise():
                total += positions * layer.channels * 9
            case Residual() | SideInput():
                total += multiply_adds(layer.body, positions)[0]
            case DepthToSpace() | NearestUpsample():
                positions *= layer.factor**2
    return total, positions


def receptive_field(layers: Layers) -> int:
    """Receptive field beyond a position, in positions of the coarsest field: the halo that a work piece needs.

    Every layer's one-sided reach, in positions of its own output and rounded up, counts in full, so the sum is an
    upper bound.
    """
    total = 0
    for layer in layers:
        match layer:
            case Conv():
                beyond = max(layer.padding, layer.kernel - layer.padding - layer.stride)
                total += -(-beyond // layer.stride)
            case Depthwise():
                total += 1
            case Residual() | SideInput():
                total += receptive_field(layer.body)
    return total


# What weights files call each kind.
_FILE_NAMES = {
    Conv: "Conv",
    Depthwise: "Depthwise",
    Residual: "Residual",
    SideInput: "Side",
    DepthToSpace: "Shuffle",
    NearestUpsample: "Repeat",
}
_KINDS = {name: kind for kind, name in _FILE_NAMES.items()}


def to_json(layers: Layers) -> list[dict[str, Any]]:
    """The layers as JSON values, for the header of a weights file."""
    described = []
    for layer in layers:
        fields = asdict(layer)
        if isinstance(layer, (Residual, SideInput)):
            fields["body"] = to_json(layer.body)
        described.append({"layer": _FILE_NAMES[type(layer)]} | fields)
    return described


def from_json(described: list[dict[str, Any]]) -> Layers:
    """The inverse of `to_json`. Raises KeyError, TypeError or ValueError on anything else."""
    layers = []
    for fields in described:
        values = dict(fields)
        kind = _KINDS[values.pop("layer")]
        if "body" in values:
            values["body"] = from_json(values["body"])
        layers.append(kind(**values))
    return tuple(layers)
