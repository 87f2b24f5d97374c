"""Channels carried larger or smaller inside a network, which computes what it did.

Sums and leaky ReLU let a positive factor through: what writes a channel can write it larger and what reads it can take
it smaller (Nagel et al., "Data-free quantization through weight equalization and bias correction", 2019). On the
integers' grids, whose steps are powers of two, that decides how much of their range is used.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple
from typing import cast

import torch
from torch import Tensor

from aecodec.train.layers import ConvLayer
from aecodec.train.layers import DepthwiseLayer
from aecodec.train.layers import Scale
from aecodec.train.layers import Stack
from aecodec.train.layers import SumLayer

Product = ConvLayer | DepthwiseLayer

FACTORS = torch.exp2(torch.arange(-8, 8) / 16)  # tried on a channel with several writers: an octave
FILLED = 0.94  # of the room, which leaves some for training: a weight that leaves it halves the others of its channel


class Between(NamedTuple):
    """A tensor inside a network: the layers that write to it, all on one scale, and those that read it."""

    writers: list[Product]
    readers: list[Product]

    @property
    def scale(self) -> Scale:
        return self.writers[0].output_scale


def tensors_between(stack: Stack) -> list[Between]:
    """Those of a network, except inputs, outputs and what a `DepthToSpace` or `NearestUpsample` moves."""
    found: list[Between] = []
    trunk: Between | None = None  # what comes in
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
    """Carry its channels `factor` [C] times as large."""
    for layer in tensor.writers:
        layer.weight.mul_(factor[:, None, None, None])
        layer.bias.mul_(factor)
    for layer in tensor.readers:
        own = isinstance(layer, DepthwiseLayer)  # an output for each input
        layer.weight.div_(factor[:, None, None, None] if own else factor[:, None, None])


@torch.no_grad()
def fill_ranges(stack: Stack) -> None:
    """Rescale channels, by half an octave at most, so that the weights that write them use their eight bits.

    Where one layer writes a channel, its largest weight comes to lie just under the end of the range. Where several do,
    the sum of their squared steps becomes least.
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
