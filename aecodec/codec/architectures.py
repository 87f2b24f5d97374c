"""The networks of every codec, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace
from typing import Any

from aecodec.network.layers import Conv
from aecodec.network.layers import Depthwise
from aecodec.network.layers import Layers
from aecodec.network.layers import NearestUpsample
from aecodec.network.layers import Residual
from aecodec.network.layers import SideInput
from aecodec.network.layers import expansion

LATENT_CHANNELS = 16
FEATURES = 32  # channels of the hyper features, which the context steps and the synthesis see
STEPS = 4  # context steps


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


def _mixing_block(channels: int) -> Layers:
    """Two residual parts: across positions (1x1, depthwise 3x3, 1x1), then across channels (1x1 to double and back)."""
    across_positions = (Conv(channels, channels, active=True), Depthwise(channels), Conv(channels, channels))
    across_channels = (Conv(channels, 2 * channels, active=True), Conv(2 * channels, channels))
    return Residual(across_positions), Residual(across_channels)


def _entropy_networks(width: int = 64) -> dict[str, Any]:
    """Hyper-latent at stride 32 and the four context steps; the same shapes for every architecture.

    Activations are twenty times as large at the highest quality as at the lowest. Their width keeps the sums of the
    next product under 2^24: fourteen bits, or ten if that product has many inputs.
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
            SideInput((Conv(FEATURES, channels),)),
            *blocks * synthesis_blocks,
            *expansion(channels, 3, 8, bits=16),
        ),
        **_entropy_networks(entropy_width),
    )


def paper() -> Architecture:
    """Tables 1 and 2 of "Project 1: Auto-encoders" (Singh, Chaudhry, Garg), layer by layer.

    What the paper leaves open is chosen here: leaky ReLU of slope 1/8 after every convolution but the last of a block
    of two and the last of all; no normalisation; reduction by stride 2, expansion by nearest neighbour; if the channel
    counts of a block differ, its skip adds the channels that both ends have. The paper's text counts 11 encoder layers,
    its Table 1 lists 10; this follows the table.
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
            *(NearestUpsample(2), conv()),  # expand_1
            block(),  # block_1
            *(NearestUpsample(2), conv()),  # expand_2
            block(),  # block_2
            *(NearestUpsample(2), conv()),  # expand_3
            Residual((conv(16, 3, active=False),)),  # block_3
        ),
        **_entropy_networks(),
    )


def light() -> Architecture:
    """`standard` at about a quarter of the work: half the channels, three blocks in the synthesis, less entropy coding.

    At most 5.2 thousand multiply-adds a pixel to decode, the budget of PULSE (Microsoft, 2026), and 10 to encode.
    """
    return replace(standard(96, synthesis_blocks=3, analysis_blocks=6, entropy_width=32), name="light")


ARCHITECTURES = {"standard": standard, "paper": paper, "light": light}
