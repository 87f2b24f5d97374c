"""The kinds of layer as plain data, which training, export and every runtime walk through.

A network is a tuple of layers over arrays [batch, rows, columns, channels]. Every operation has an exact integer form:
products, leaky ReLU of slope 1/8, sums, and moves of samples.

A kind's own arithmetic stands in its class. What an interpreter does for each kind stands in one `match` there, which
ends in `unknown_kind`; `tests/test_layer_kinds.py` runs every kind of `KINDS` through every interpreter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from dataclasses import dataclass
from typing import Any
from typing import ClassVar
from typing import NamedTuple
from typing import NoReturn
from typing import TypeVar

T = TypeVar("T")

# The values that a weights file may give a field. Generous beside every model so far; they keep sizes and memory small.
_FIELD_RANGES = {
    **dict.fromkeys(("inputs", "outputs", "channels"), range(1, 4097)),
    **dict.fromkeys(("kernel", "stride", "factor"), range(1, 17)),
    **dict.fromkeys(("padding", "crop"), range(16)),
    "bits": range(1, 33),
}
MAX_SCALE = 8  # no layer's field is finer than the pixels: that of the latent, 8 times as many rows and columns
MAX_NESTING = 4
MAX_LAYERS = 256  # of a list


class Extent(NamedTuple):
    """The size of a field: `scale` m + `more` rows and columns, for m positions of the network's coarsest field."""

    channels: int
    scale: int = 1
    more: int = 0

    def check(self) -> Extent:
        """Raises ValueError if such a field can be empty or finer than the pixels."""
        if not 1 <= self.scale <= MAX_SCALE or self.scale + self.more < 1:
            raise ValueError(f"a field of {self.scale} m + {self.more} rows")
        return self


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

    def extent(self, x: Extent, side: Extent | None) -> Extent:
        """The size of its output. Raises ValueError if it cannot work on `x`, or on the network's second input."""
        raise NotImplementedError


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

    def extent(self, x: Extent, side: Extent | None) -> Extent:
        beyond = x.more + 2 * self.padding - self.kernel
        if x.channels != self.inputs or x.scale % self.stride or x.scale + beyond < 0:
            raise ValueError(f"{self} on {x}")
        return Extent(self.outputs, x.scale // self.stride, beyond // self.stride + 1)


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

    def extent(self, x: Extent, side: Extent | None) -> Extent:
        if x.channels != self.channels:
            raise ValueError(f"{self} on {x}")
        return x


@dataclass(frozen=True)
class _Sum(_Kind):
    body: Layers

    @property
    def children(self) -> Layers:
        return self.body

    def _sum(self, x: Extent, body: Extent) -> Extent:
        """Raises ValueError if the two cannot be added, or no weights end the body, whose bounds the sum takes."""
        if x[1:] != body[1:] or self.body[-1].weight_shape is None:
            raise ValueError(f"the sum of {x} and {body}")
        return body


@dataclass(frozen=True)
class Residual(_Sum):
    """`x + body(x)`; if the channel counts differ, the sum is over the channels that both have."""

    file_name = "Residual"

    def extent(self, x: Extent, side: Extent | None) -> Extent:
        return self._sum(x, extent(self.body, x, side))


@dataclass(frozen=True)
class SideInput(_Sum):
    """`x + body(side)`: adds the network's second input."""

    file_name = "Side"

    def extent(self, x: Extent, side: Extent | None) -> Extent:
        if side is None:
            raise ValueError("this network has no second input")
        return self._sum(x, extent(self.body, side, side))


@dataclass(frozen=True)
class DepthToSpace(_Kind):
    """Moves channels [factor, factor, C] apart into a `factor` times larger field, then crops `crop` on every side."""

    file_name = "Shuffle"
    factor: int
    crop: int

    @property
    def enlargement(self) -> int:
        return self.factor

    def extent(self, x: Extent, side: Extent | None) -> Extent:
        if x.channels % self.factor**2:
            raise ValueError(f"{self} on {x}")
        return Extent(x.channels // self.factor**2, self.factor * x.scale, self.factor * x.more - 2 * self.crop)


@dataclass(frozen=True)
class NearestUpsample(_Kind):
    """Repeats every sample `factor` times in both directions (nearest neighbour)."""

    file_name = "Repeat"
    factor: int

    @property
    def enlargement(self) -> int:
        return self.factor

    def extent(self, x: Extent, side: Extent | None) -> Extent:
        return Extent(x.channels, self.factor * x.scale, self.factor * x.more)


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


def reduction(layers: Layers) -> int:
    """Samples of a network's input, in either direction, for each position of its coarsest field."""
    return math.prod(layer.reduction for layer in layers)


def receptive_field(layers: Layers) -> int:
    """One-sided reach beyond a position, in positions of the coarsest field: the halo that a block needs.

    An upper bound: every layer's reach, in positions of its own output, counts in full.
    """
    return sum(layer.receptive_field for layer in layers)


def extent(layers: Layers, x: Extent, side: Extent | None = None) -> Extent:
    """The size of a network's output. Raises ValueError if its layers do not fit together or some field is empty."""
    if not layers:
        raise ValueError("no layers")
    for layer in layers:
        x = layer.extent(x, side).check()
    return x


def to_json(layers: Layers) -> list[dict[str, Any]]:
    """The layers as JSON values, for the header of a weights file."""
    described = []
    for layer in layers:
        fields = asdict(layer)
        if "body" in fields:
            fields["body"] = to_json(layer.children)
        described.append({"layer": layer.file_name} | fields)
    return described


def from_json(described: list[dict[str, Any]], nesting: int = 0) -> Layers:
    """The inverse of `to_json`. Raises KeyError, TypeError or ValueError on anything else."""
    if nesting > MAX_NESTING:
        raise ValueError(f"bodies within bodies, more than {MAX_NESTING} deep")
    if len(described) > MAX_LAYERS:
        raise ValueError(f"{len(described)} layers, more than {MAX_LAYERS}")
    layers = []
    for fields in described:
        values = dict(fields)
        kind = _BY_FILE_NAME[values.pop("layer")]
        for name, value in values.items():
            if name == "body":
                values[name] = from_json(value, nesting + 1)
            elif name == "active":
                check_kind(name, value, bool)
            elif check_kind(name, value, int) not in _FIELD_RANGES[name]:
                raise ValueError(f"{name} {value} of a layer is not in {_FIELD_RANGES[name]}")
        layers.append(kind(**values))
    return tuple(layers)


def check_kind(name: str, value: Any, kind: type[T]) -> T:
    """`value`, which JSON gave. Raises TypeError if it is of another type; True is no number here."""
    if type(value) is not kind:
        raise TypeError(f"{name} is {value!r}, not {kind.__name__}")
    return value
