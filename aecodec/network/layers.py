"""The kinds of layer as plain data, which training, export and every runtime walk through.

A network is a tuple of layers over arrays [batch, rows, columns, channels]. Every operation has an exact integer form:
products, leaky ReLU of slope 1/8, sums, and moves of samples.

A kind's own arithmetic stands in its class. What an interpreter does for each kind stands in one `match` there, which
ends in `unknown_kind`; `tests/test_layer_kinds.py` runs every kind of `KINDS` through every interpreter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from dataclasses import dataclass
from typing import Any
from typing import ClassVar
from typing import NoReturn


class _Kind:
    """What a layer does to the size of its field and what it costs, unless its class says otherwise: nothing."""

    file_name: ClassVar[str]  # what weights files call the kind

    @property
    def reduction(self) -> int:
        """Samples of the input, in either direction, for each sample of the output."""
        return 1

    @property
    def enlargement(self) -> int:
        """Samples of the output, in either direction, for each sample of the input."""
        return 1

    @property
    def children(self) -> Layers:
        """The layers of its body."""
        return ()

    @property
    def weight_shape(self) -> tuple[int, int] | None:
        """Rows and outputs of its weights; None if it has none."""
        return None

    @property
    def receptive_field(self) -> int:
        """One-sided reach beyond a position, in positions of its output, rounded up."""
        return receptive_field(self.children)

    @property
    def multiply_adds(self) -> float:
        """Multiply-adds for each position of its output."""
        return multiply_adds(self.children)[0]


@dataclass(frozen=True)
class Conv(_Kind):
    """A convolution over the zero-padded input, then an optional leaky ReLU of slope 1/8.

    `bits` is the width of its output integers.
    """

    file_name = "Conv"
    inputs: int
    outputs: int
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    active: bool = False
    bits: int = 11

    @property
    def reduction(self) -> int:
        return self.stride

    @property
    def weight_shape(self) -> tuple[int, int]:
        return self.kernel**2 * self.inputs, self.outputs

    @property
    def receptive_field(self) -> int:
        beyond = max(self.padding, self.kernel - self.padding - self.stride)
        return -(-beyond // self.stride)

    @property
    def multiply_adds(self) -> float:
        return self.inputs * self.outputs * self.kernel**2


@dataclass(frozen=True)
class Depthwise(_Kind):
    """A 3x3 convolution of each channel by itself, zero-padded by one."""

    file_name = "Depthwise"
    channels: int
    bits: int = 11

    @property
    def weight_shape(self) -> tuple[int, int]:
        return 9, self.channels

    @property
    def receptive_field(self) -> int:
        return 1

    @property
    def multiply_adds(self) -> float:
        return 9 * self.channels


@dataclass(frozen=True)
class _Sum(_Kind):
    body: Layers

    @property
    def children(self) -> Layers:
        return self.body


@dataclass(frozen=True)
class Residual(_Sum):
    """`x + body(x)`; if the channel counts differ, the sum is over the channels that both have."""

    file_name = "Residual"


@dataclass(frozen=True)
class SideInput(_Sum):
    """`x + body(side)`: adds the network's second input."""

    file_name = "Side"


@dataclass(frozen=True)
class DepthToSpace(_Kind):
    """Moves channels [factor, factor, C] apart into a `factor` times larger field, then crops `crop` on every side."""

    file_name = "Shuffle"
    factor: int
    crop: int

    @property
    def enlargement(self) -> int:
        return self.factor


@dataclass(frozen=True)
class NearestUpsample(_Kind):
    """Repeats every sample `factor` times in both directions (nearest neighbour)."""

    file_name = "Repeat"
    factor: int

    @property
    def enlargement(self) -> int:
        return self.factor


Layer = Conv | Depthwise | Residual | SideInput | DepthToSpace | NearestUpsample
Layers = tuple[Layer, ...]

KINDS: tuple[type[Layer], ...] = (Conv, Depthwise, Residual, SideInput, DepthToSpace, NearestUpsample)
_BY_FILE_NAME = {kind.file_name: kind for kind in KINDS}


def unknown_kind(layer: NoReturn) -> NoReturn:
    """Ends an interpreter's `match`: mypy accepts the call only if every kind has a case."""
    raise TypeError(f"no case for this kind of layer: {layer!r}")


def walk(layers: Layers, prefix: str) -> Iterator[tuple[str, Layer]]:
    """Every layer with its path (`synthesis.2.1`), depth first, in order of execution."""
    for position, layer in enumerate(layers):
        path = f"{prefix}.{position}"
        yield path, layer
        yield from walk(layer.children, path)


def expansion(inputs: int, outputs: int, factor: int, *, active: bool = False, bits: int = 11) -> Layers:
    """A transposed convolution of kernel 2*factor and stride `factor`: a 2x2 product, then its samples moved apart."""
    product = Conv(inputs, factor * factor * outputs, kernel=2, padding=1, active=active, bits=bits)
    return product, DepthToSpace(factor, factor // 2)


def multiply_adds(layers: Layers, positions: float = 1.0) -> tuple[float, float]:
    """(multiply-adds, output positions) of a network on a field of `positions` positions."""
    total = 0.0
    for layer in layers:
        positions *= (layer.enlargement / layer.reduction) ** 2
        total += positions * layer.multiply_adds
    return total, positions


def receptive_field(layers: Layers) -> int:
    """One-sided reach beyond a position, in positions of the coarsest field: the halo that a block needs.

    An upper bound: every layer's reach, in positions of its own output, counts in full.
    """
    return sum(layer.receptive_field for layer in layers)


def to_json(layers: Layers) -> list[dict[str, Any]]:
    """The layers as JSON values, for the header of a weights file."""
    described = []
    for layer in layers:
        fields = asdict(layer)
        if "body" in fields:
            fields["body"] = to_json(layer.children)
        described.append({"layer": layer.file_name} | fields)
    return described


def from_json(described: list[dict[str, Any]]) -> Layers:
    """The inverse of `to_json`. Raises KeyError, TypeError or ValueError on anything else."""
    layers = []
    for fields in described:
        values = dict(fields)
        kind = _BY_FILE_NAME[values.pop("layer")]
        if "body" in values:
            values["body"] = from_json(values["body"])
        layers.append(kind(**values))
    return tuple(layers)
