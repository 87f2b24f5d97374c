"""Headroom for colours that photographs hardly have: channels of the analysis that clip on them are carried smaller.

Scales are chosen on photographs, where a channel that tells green from magenta stays small; pure green is beyond its
11 bits and comes back 40 levels off. Sums and leaky ReLU let a power of two through, so what writes a channel can write
it smaller and what reads it can take it larger: the float network computes what it did, and the integers lose a bit of
that channel (after Nagel et al., "Data-free quantization through weight equalization and bias correction", 2019).
The analysis is the encoder's alone: no file decodes otherwise.
"""

from __future__ import annotations

from itertools import pairwise
from itertools import product
from typing import TYPE_CHECKING
from typing import NamedTuple
from typing import cast

import numpy as np
import torch
from torch import Tensor

from aecodec.train.evaluate import as_input
from aecodec.train.layers import ConvLayer
from aecodec.train.layers import DepthwiseLayer
from aecodec.train.layers import Scale
from aecodec.train.layers import Stack
from aecodec.train.layers import SumLayer

if TYPE_CHECKING:
    from aecodec.train.model import AutoEncoder

Product = ConvLayer | DepthwiseLayer

COLOURS = tuple(product((0, 128, 255), repeat=3))  # of the flat pictures that have to pass
SIDE = 64


class Between(NamedTuple):
    """A tensor inside a network: the layers that write to it, all on one scale, and those that read it."""

    writers: list[Product]
    readers: list[Product]

    @property
    def scale(self) -> Scale:
        return self.writers[0].output_scale


@torch.no_grad()
def give_headroom(model: AutoEncoder) -> int:
    """Rescales the channels that clip on the scales as they are. Returns how many; a second call finds none."""
    tensors = tensors_between(model.analysis)
    count = 0
    for tensor, peak in zip(tensors, _peaks(model, [tensor.scale for tensor in tensors]), strict=True):
        halvings = torch.ceil(torch.log2(peak)).clamp_min(0)
        factor = torch.exp2(-halvings)
        for layer in tensor.writers:
            layer.weight.mul_(factor[:, None, None, None])
            layer.bias.mul_(factor)
        for layer in tensor.readers:
            own = isinstance(layer, DepthwiseLayer)  # an output for each input
            layer.weight.div_(factor[:, None, None, None] if own else factor[:, None, None])
        count += int(halvings.count_nonzero())
    return count


def tensors_between(stack: Stack) -> list[Between]:
    """Those of a network without `Side`, `Shuffle` and `Repeat`, but for what comes in and what goes out."""
    found: list[Between] = []
    trunk: Between | None = None  # what comes in
    for layer in stack.children():
        if isinstance(layer, SumLayer):
            body = cast("list[Product]", list(layer.children()))
            found += [Between([writer], [reader]) for writer, reader in pairwise(body)]
            if trunk is not None:
                trunk.readers.append(body[0])
                trunk.writers.append(body[-1])
        else:
            assert isinstance(layer, Product)
            if trunk is not None:
                trunk.readers.append(layer)
                found.append(trunk)
            trunk = Between([layer], [])
    return found


def _peaks(model: AutoEncoder, scales: list[Scale]) -> list[Tensor]:
    """For each scale the largest value of each channel over the pictures, as a share of what it holds."""
    peaks: dict[Scale, Tensor] = {}

    def look(scale: Scale, given: tuple[Tensor, float, float]) -> None:
        x, low, high = given
        share = torch.maximum(x.amax((0, 2, 3)) / high, x.amin((0, 2, 3)) / low) * scale.value
        peaks[scale] = torch.maximum(peaks[scale], share) if scale in peaks else share

    handles = [scale.register_forward_pre_hook(look) for scale in scales]
    rounding = model.mode.rounding
    model.set_rounding(False)
    pictures = np.stack([np.full((SIDE, SIDE, 3), colour, np.uint8) for colour in COLOURS])
    model.latent(as_input(pictures, scales[0].value.device))
    model.set_rounding(rounding)
    for handle in handles:
        handle.remove()
    return [peaks[scale] for scale in scales]
