"""Rescales channels that clip on saturated colours, which photographs hardly have.

Activation scales are calibrated on photographs, where the channel that separates green from magenta stays small; pure
green then exceeds its 11 bits and decodes 40 levels off. Sums and leaky ReLU commute with powers of two, so the layers
that write a channel can scale it down and those that read it scale it up. The float network is unchanged; the integers
lose one bit of that channel (after Nagel et al., "Data-free quantization through weight equalization and bias
correction", 2019).
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from aecodec.train.evaluate import as_input
from aecodec.train.layers import Scale
from aecodec.train.rescale import rescale
from aecodec.train.rescale import tensors_between

if TYPE_CHECKING:
    from aecodec.train.model import AutoEncoder

COLOURS = tuple(product((0, 128, 255), repeat=3))  # of the flat test pictures
SIDE = 64
MOST_PASSES = 8  # with rounding on, clipping hides later clipping; two or three passes suffice
QUALITIES = (0.0, 0.35, 0.7, 1.0)  # at which they are coded


@torch.no_grad()
def give_headroom(model: AutoEncoder) -> int:
    """Rescales the channels of analysis and synthesis that clip on the scales as they are.

    Returns how many, one that has to be a second time counted again; another call finds none.
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
    """For each scale the largest value of each channel over the pictures, as a share of what it holds."""
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
