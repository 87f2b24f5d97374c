"""Headroom for colours that photographs hardly have: channels of the analysis that clip on them are carried smaller.

Scales are chosen on photographs, where a channel that tells green from magenta stays small; pure green is beyond its
11 bits and comes back 40 levels off. Sums and leaky ReLU let a power of two through, so what writes a channel can write
it smaller and what reads it can take it larger: the float network computes what it did, and the integers lose a bit of
that channel (after Nagel et al., "Data-free quantization through weight equalization and bias correction", 2019).
The analysis is the encoder's alone: no file decodes otherwise.
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

COLOURS = tuple(product((0, 128, 255), repeat=3))  # of the flat pictures that have to pass
SIDE = 64


@torch.no_grad()
def give_headroom(model: AutoEncoder) -> int:
    """Rescales the channels that clip on the scales as they are. Returns how many; a second call finds none."""
    tensors = tensors_between(model.analysis)
    count = 0
    for tensor, peak in zip(tensors, _peaks(model, [tensor.scale for tensor in tensors]), strict=True):
        halvings = torch.ceil(torch.log2(peak)).clamp_min(0)
        rescale(tensor, torch.exp2(-halvings))
        count += int(halvings.count_nonzero())
    return count


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
