"""The shapes of the networks as plain data: what training, export and both runtimes walk through.

A network is a tuple of layers over arrays [batch, rows, columns, channels]. Only operations with an exact integer
form are here: products, leaky ReLU of slope 1/8, sums, and moves of samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from dataclasses import dataclass
from typing import Any

LATENT_CHANNELS = 16
FEATURES = 32  # channels of the hyper features, which the context steps and the synthesis see
STEPS = 4  # context steps


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
class Side:
    """`x + body(side)`: lets the network's second input in."""

    body: tuple[Layer, ...]


@dataclass(frozen=True)
class Shuffle:
    """Channels [factor, factor, C] to a `factor` times larger field, then `crop` samples less on every side."""

    factor: int
    crop: int


@dataclass(frozen=True)
class Repeat:
    """Every sample `factor` times in both directions (nearest-neighbour expansion)."""

    factor: int


Layer = Conv | Depthwise | Residual | Side | Shuffle | Repeat
Layers = tuple[Layer, ...]


@dataclass(frozen=True)
class Architecture:
    """All networks of one codec. `context` holds one network per step."""

    name: str
    analysis: Layers
    synthesis: Layers
    hyper_analysis: Layers
    hyper_synthesis: Layers
    context: tuple[Layers, ...]

    def networks(self) -> dict[str, Layers]:
        """Every network by the name it carries in weights files."""
        named = {
            "analysis": self.analysis,
            "synthesis": self.synthesis,
            "hyper_analysis": self.hyper_analysis,
            "hyper_synthesis": self.hyper_synthesis,
        }
        return named | {f"context{step}": layers for step, layers in enumerate(self.context)}


def walk(layers: Layers, prefix: str) -> Iterator[tuple[str, Layer]]:
    """Every layer with its path (`synthesis.2.1`), depth first, in order of execution."""
    for position, layer in enumerate(layers):
        path = f"{prefix}.{position}"
        yield path, layer
        if isinstance(layer, (Residual, Side)):
            yield from walk(layer.body, path)


def expansion(inputs: int, outputs: int, factor: int, *, active: bool = False, bits: int = 11) -> Layers:
    """A transposed convolution of kernel 2*factor and stride `factor`: a 2x2 product, then its samples moved apart."""
    product = Conv(inputs, factor * factor * outputs, kernel=2, padding=1, active=active, bits=bits)
    return product, Shuffle(factor, factor // 2)


def _mixing_block(channels: int) -> Layers:
    """Two residual parts: across positions (1x1, depthwise 3x3, 1x1), then across channels (1x1 to twice, back)."""
    across_positions = (Conv(channels, channels, active=True), Depthwise(channels), Conv(channels, channels))
    across_channels = (Conv(channels, 2 * channels, active=True), Conv(2 * channels, channels))
    return Residual(across_positions), Residual(across_channels)


def _entropy_networks(width: int = 64) -> dict[str, Any]:
    """Hyper-latent at stride 32 and the four context steps; the same shapes for every architecture.

    What is inside is twenty times as large at the highest quality as at the lowest: as many bits as keep the sums of
    the product that reads them under 2^24. Those are ten where it has many inputs.
    """
    latent, features = LATENT_CHANNELS, FEATURES
    first = Conv(features, width, active=True, bits=14)
    later = Conv(features + latent, width, kernel=3, padding=1, active=True, bits=14)
    tail = (Conv(width, width, active=True, bits=14), Conv(width, 2 * latent, bits=16))
    return {
        "hyper_analysis": (
            Conv(latent, width, kernel=3, padding=1, active=True, bits=10),
            Conv(width, width, kernel=4, stride=2, padding=1, active=True, bits=10),
            Conv(width, latent, kernel=4, stride=2, padding=1, bits=16),
        ),
        "hyper_synthesis": (
            *expansion(latent, width, 2, active=True, bits=10),
            *expansion(width, width, 2, active=True, bits=10),
            Conv(width, features, kernel=3, padding=1),
        ),
        "context": tuple((later if step else first, *tail) for step in range(STEPS)),
    }


def standard(
    channels: int = 192, synthesis_blocks: int = 4, analysis_blocks: int = 6, entropy_width: int = 64
) -> Architecture:
    """The default codec: one lapped transform of stride 8, residual blocks at stride 8, and its mirror."""
    blocks = _mixing_block(channels)
    return Architecture(
        name="standard",
        analysis=(
            Conv(3, channels, kernel=16, stride=8, padding=4),
            *blocks * analysis_blocks,
            Conv(channels, LATENT_CHANNELS, bits=16),
        ),
        synthesis=(
            Conv(LATENT_CHANNELS, channels, kernel=3, padding=1),
            Side((Conv(FEATURES, channels),)),
            *blocks * synthesis_blocks,
            *expansion(channels, 3, 8, bits=16),
        ),
        **_entropy_networks(entropy_width),
    )


def paper() -> Architecture:
    """Tables 1 and 2 of "Project 1: Auto-encoders" (Singh, Chaudhry, Garg), layer by layer.

    Left open there and chosen here: leaky ReLU of slope 1/8 after every convolution but the last of a block of two and
    the last of all; no normalisation; reduction by stride 2, expansion by nearest neighbour; where the channel counts
    of a block differ, its skip adds the channels that both ends have. The text counts 11 encoder layers, Table 1
    lists 10: the table is followed.
    """

    def conv(inputs: int = 16, outputs: int = 16, stride: int = 1, active: bool = True, bits: int = 11) -> Conv:
        return Conv(inputs, outputs, kernel=3, stride=stride, padding=1, active=active, bits=bits)

    def block(bits: int = 11) -> Residual:
        return Residual((conv(), conv(active=False, bits=bits)))

    return Architecture(
        name="paper",
        analysis=(
            Residual((conv(3),)),  # block_0
            conv(stride=2),  # reduce_0
            block(),  # block_1
            conv(stride=2),  # reduce_1
            block(),  # block_2
            conv(stride=2),  # reduce_2
            block(bits=16),  # block_3
        ),
        synthesis=(
            conv(),  # expand_0
            block(),  # block_0
            *(Repeat(2), conv()),  # expand_1
            block(),  # block_1
            *(Repeat(2), conv()),  # expand_2
            block(),  # block_2
            *(Repeat(2), conv()),  # expand_3
            Residual((conv(16, 3, active=False),)),  # block_3
        ),
        **_entropy_networks(),
    )


ARCHITECTURES = {"standard": standard, "paper": paper}


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
            case Residual() | Side():
                total += multiply_adds(layer.body, positions)[0]
            case Shuffle() | Repeat():
                positions *= layer.factor**2
    return total, positions


def reach(layers: Layers) -> int:
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
            case Residual() | Side():
                total += reach(layer.body)
    return total


def to_json(layers: Layers) -> list[dict[str, Any]]:
    """The layers as JSON values, for the header of a weights file."""
    described = []
    for layer in layers:
        fields = asdict(layer)
        if isinstance(layer, (Residual, Side)):
            fields["body"] = to_json(layer.body)
        described.append({"layer": type(layer).__name__} | fields)
    return described


def from_json(described: list[dict[str, Any]]) -> Layers:
    """The inverse of `to_json`. Raises KeyError, TypeError or ValueError on anything else."""
    kinds = {kind.__name__: kind for kind in (Conv, Depthwise, Residual, Side, Shuffle, Repeat)}
    layers = []
    for fields in described:
        values = dict(fields)
        kind = kinds[values.pop("layer")]
        if "body" in values:
            values["body"] = from_json(values["body"])
        layers.append(kind(**values))
    return tuple(layers)
