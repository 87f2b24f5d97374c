"""Rescales channels inside a network, whose outputs stay the same: on an integer grid a better use of the range.

Sums and leaky ReLU commute with positive factors, so the layers that write a channel can scale it up and those that
read it scale it down (Nagel et al., "Data-free quantization through weight equalization and bias correction", 2019).

`fill_ranges` brings weights near the limit of their eight bits. `give_headroom` scales down channels that clip on
saturated colours, which photographs hardly have: activation scales are calibrated on photographs, where the channel
that separates green from magenta stays small; pure green then exceeds its 11 bits and decodes 40 levels off. The
integers lose one bit of that channel.
"""

from __future__ import annotations

from itertools import pairwise
from itertools import product
from typing import NamedTuple
from typing import cast

import numpy as np
import torch
from torch import Tensor

from aecodec.train.evaluate import as_input
from aecodec.train.layers import DepthwiseLayer
from aecodec.train.layers import Product
from aecodec.train.layers import Scale
from aecodec.train.layers import Stack
from aecodec.train.layers import SumLayer
from aecodec.train.model import AutoEncoder

FACTORS = torch.exp2(torch.arange(-8, 8) / 16)  # tried on a channel with several writers: an octave
FILLED = 0.94  # of the room; the rest is for training: a weight that exceeds it halves the others of its channel

COLOURS = tuple(product((0, 128, 255), repeat=3))  # of the flat test pictures
SIDE = 64
MOST_PASSES = 8  # with rounding on, clipping hides later clipping; two or three passes suffice
QUALITIES = (0.0, 0.35, 0.7, 1.0)  # at which they are coded


class Between(NamedTuple):
    """A tensor inside a network, the layers that write it, all on one scale, and those that read it."""

    writers: list[Product]
    readers: list[Product]

    @property
    def scale(self) -> Scale:
        return self.writers[0].output_scale


def tensors_between(stack: Stack) -> list[Between]:
    """All but inputs, outputs and the tensors that a `DepthToSpace` or `NearestUpsample` reads or writes."""
    found: list[Between] = []
    trunk: Between | None = None  # the input of the next layer
    for layer in stack.children():
        if isinstance(layer, SumLayer):
            body = cast("list[Product]", list(layer.children()))
            found += [Between([writer], [reader]) for writer, reader in pairwise(body)]
            if trunk is not None:
                trunk.writers.append(body[-1])
                if not layer.from_side:
                    trunk.readers.append(body[0])
        elif isinstance(layer, Product):
            if trunk is not None:
                trunk.readers.append(layer)
                found.append(trunk)
            trunk = Between([layer], [])
        else:
            trunk = None
    return found


@torch.no_grad()
def rescale(tensor: Between, factor: Tensor) -> None:
    """Multiply its channels by `factor` [C]."""
    for layer in tensor.writers:
        layer.weight.mul_(factor[:, None, None, None])
        layer.bias.mul_(factor)
    for layer in tensor.readers:
        own = isinstance(layer, DepthwiseLayer)  # one output per input
        layer.weight.div_(factor[:, None, None, None] if own else factor[:, None, None])


@torch.no_grad()
def fill_ranges(stack: Stack) -> None:
    """Rescale channels by at most half an octave, so that the weights that write them use their eight bits.

    If one layer writes a channel, its largest weight ends just under the limit. If several do, the sum of their
    squared steps is minimised.
    """
    tensors = tensors_between(stack)
    for tensor in sorted(tensors, key=lambda tensor: -len(tensor.writers)):  # sums first: what they read is filled next
        room = torch.stack([layer.room().log2() for layer in tensor.writers])  # [writers, C]
        if len(tensor.writers) == 1:
            factor = (torch.exp2(room - room.round()) * FILLED)[0]
        else:
            tried = FACTORS.to(room.device)[:, None, None]
            steps = torch.exp2(-torch.floor(room - tried.log2())) / tried  # of the channel as it was
            factor = FACTORS.to(room.device)[steps.square().sum(1).argmin(0)]
        rescale(tensor, factor)


@torch.no_grad()
def give_headroom(model: AutoEncoder) -> int:
    """Rescales the channels of analysis and synthesis that clip on the scales as they are.

    Returns their number, counting a channel once per pass that rescales it. A second call finds none.
    """
    count = 0
    for tensors in (tensors_between(model.analysis), tensors_between(model.synthesis)):
        for _ in range(MOST_PASSES):
            clipping = 0
            for tensor, peak in zip(tensors, _peaks(model, [tensor.scale for tensor in tensors]), strict=True):
                halvings = torch.ceil(torch.log2(peak)).clamp_min(0)
                rescale(tensor, torch.exp2(-halvings))
                clipping += int(halvings.count_nonzero())
            count += clipping
            if not clipping:
                break
    return count


def _peaks(model: AutoEncoder, scales: list[Scale]) -> list[Tensor]:
    """For each scale, the peak of each channel over the test pictures as a fraction of its range."""
    peaks: dict[Scale, Tensor] = {}

    def look(scale: Scale, given: tuple[Tensor, float, float]) -> None:
        x, low, high = given
        share = torch.maximum(x.amax((0, 2, 3)) / high, x.amin((0, 2, 3)) / low) * scale.value
        peaks[scale] = torch.maximum(peaks[scale], share) if scale in peaks else share

    handles = [scale.register_forward_pre_hook(look) for scale in scales]
    x = as_input(np.stack([np.full((SIDE, SIDE, 3), colour, np.uint8) for colour in COLOURS]), scales[0].value.device)
    for quality in QUALITIES:
        model(x, torch.full((len(x),), quality, device=x.device), noise=False)
    for handle in handles:
        handle.remove()
    return [peaks[scale] for scale in scales]
