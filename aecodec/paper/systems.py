"""The four systems of the paper's Table 3 in torch: continuous auto-encoders, without quantiser and rate.

`report.CHOICES` lists what the paper states and what is chosen here. Layers have the names of Tables 1 and 2; those of
the plain systems are numbered from the first (`conv_0`, `deconv_0`).

Tensors are [B, C, H, W], channels last in memory. Pictures are float32 in 0..1, their sides multiples of 8.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch import nn
from torch.nn import functional

from aecodec.codec.architectures import LATENT_CHANNELS
from aecodec.errors import InputError
from aecodec.paper.table import System
from aecodec.train.checkpoint import first_line

CHANNELS = LATENT_CHANNELS  # between all layers
SLOPE = 0.75

# Within the networks a pixel p of 0..1 is (p - MEAN) * SCALE, so that photographs have about unit variance.
MEAN, SCALE = 0.5, 4.0


class AutoEncoder(nn.Module):
    """`encoder` takes [B, 3, H, W] to [B, 16, H/8, W/8], `decoder` takes it back; nothing is clipped."""

    def __init__(self, system: System) -> None:
        """Draws the weights from torch's generator."""
        super().__init__()
        if system.strides:
            self.encoder, self.decoder = plain_encoder(system.strides), plain_decoder(system.strides[::-1])
        else:
            self.encoder, self.decoder = paper_encoder(), paper_decoder()
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder((x - MEAN) * SCALE)) / SCALE + MEAN


class Block(nn.Sequential):
    """Layers with a skip across them, over the channels that input and output both have."""

    def forward(self, x: Tensor) -> Tensor:
        body = super().forward(x)
        missing = body.shape[1] - x.shape[1]
        if missing > 0:
            x = functional.pad(x, (0, 0, 0, 0, 0, missing))
        return body + x[:, : body.shape[1]]


def paper_encoder() -> nn.Module:
    """Table 1. The paper's text counts 11 layers, its table lists 10; this follows the table."""
    return _named(
        block_0=Block(*_conv(inputs=3)),
        reduce_0=_conv(stride=2),
        block_1=_block(),
        reduce_1=_conv(stride=2),
        block_2=_block(),
        reduce_2=_conv(stride=2),
        block_3=_block(),
    )


def paper_decoder() -> nn.Module:
    """Table 2."""
    return _named(
        expand_0=_conv(),
        block_0=_block(),
        expand_1=nearest_neighbour(),
        block_1=_block(),
        expand_2=nearest_neighbour(),
        block_2=_block(),
        expand_3=nearest_neighbour(),
        block_3=Block(*_conv(outputs=3, active=False)),
    )


def nearest_neighbour() -> nn.Module:
    """An expansion, as understood from Table 2: repeats samples to double both sides, then the table's convolution."""
    return nn.Sequential(nn.Upsample(scale_factor=2), *_conv())


def deconvolution(outputs: int = CHANNELS, stride: int = 2, *, active: bool = True) -> nn.Module:
    """A transposed convolution: it has separate weights for each of the stride x stride samples it makes of one."""
    return _activated(nn.ConvTranspose2d(CHANNELS, outputs, 3, stride, padding=1, output_padding=stride - 1), active)


def plain_encoder(strides: tuple[int, ...]) -> nn.Module:
    """A convolution for each stride, the last one without activation."""
    first, *inner, last = strides
    layers = [_conv(3, stride=first), *(_conv(stride=stride) for stride in inner), _conv(stride=last, active=False)]
    return _named(**{f"conv_{place}": layer for place, layer in enumerate(layers)})


def plain_decoder(strides: tuple[int, ...]) -> nn.Module:
    """A deconvolution (transposed convolution) for each stride, the last one without activation."""
    *inner, last = strides
    layers = [*(deconvolution(stride=stride) for stride in inner), deconvolution(3, last, active=False)]
    return _named(**{f"deconv_{place}": layer for place, layer in enumerate(layers)})


def load_system(system: System, path: str) -> AutoEncoder:
    """The trained system of a weights file. Raises InputError if it is missing or of another network."""
    model = AutoEncoder(system)
    try:
        model.load_state_dict(load_file(path))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{path}: not weights of {system.name} ({first_line(error)})") from error
    return model


def _conv(inputs: int = CHANNELS, outputs: int = CHANNELS, stride: int = 1, *, active: bool = True) -> nn.Sequential:
    return _activated(nn.Conv2d(inputs, outputs, 3, stride, padding=1), active)


def _block() -> Block:
    """Two layers. The second starts at zero, so that the block starts as its skip; sums do not grow with depth."""
    first, second = _conv(), _conv(active=False)
    nn.init.zeros_(second[0].get_parameter("weight"))
    return Block(*first, *second)


def _activated(layer: nn.Conv2d | nn.ConvTranspose2d, active: bool) -> nn.Sequential:
    """A layer with its initial weights, and its activation if it has one."""
    _initialise(layer)
    # In place: a convolution's gradient does not need its output, and memory traffic is what these networks cost.
    return nn.Sequential(layer, nn.LeakyReLU(SLOPE, inplace=True)) if active else nn.Sequential(layer)


def _named(**layers: nn.Module) -> nn.Module:
    return nn.Sequential(OrderedDict(layers))


def _initialise(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """An orthogonal map of the samples that a stride stands for (1x1 or 2x2), all other taps and the biases zero.

    Delta-orthogonal as in Xiao et al., "Dynamical isometry and a mean field theory of CNNs" (2018), algorithm 2: with
    sixteen channels, random taps would lose most directions on the way through so many layers. The gain is that of
    He et al., "Delving deep into rectifiers" (2015), which keeps the mean square through the activation.
    """
    stride = layer.stride[0]
    rows, columns = layer.weight.shape[:2]
    start = torch.empty(rows, columns * stride**2)
    spread = stride if isinstance(layer, nn.ConvTranspose2d) else 1  # one sample becomes stride x stride of its size
    nn.init.orthogonal_(start, spread * math.sqrt(2 / (1 + SLOPE**2)))
    nn.init.zeros_(layer.weight)
    taps = slice(1, 1 + stride)
    with torch.no_grad():
        layer.weight[:, :, taps, taps] = start.view(rows, columns, stride, stride)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
