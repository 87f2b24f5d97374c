"""The last layer of a synthesis, solved: least error on photographs, and no grid where a picture is flat.

Training leaves a pattern of the stride in flat areas, of a few levels from peak to peak: a hundredth of a photograph's
error, so its gradient is lost among the others', and yet plainly seen in a bright sky. The layer is linear in what
comes into it, so that a linear system has its best weights. A photograph counts by the inverse of its error, as in a
mean of PSNR. Of flat pictures, which are made, only the pattern counts: how bright they come back is up to the latent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional

from aecodec.networks import Shuffle
from aecodec.train.evaluate import as_input
from aecodec.train.layers import WEIGHT_MAXIMUM
from aecodec.train.layers import ConvLayer
from aecodec.train.layers import ShuffleLayer
from aecodec.train.model import AutoEncoder

FLAT_SHARE = 0.25  # flat pictures for each photograph
FLAT_SIDE = 96
FLAT_WEIGHT = 0.1  # of a pattern of one level squared, where a photograph's error weighs 1
DAMPING = 1e-5  # of the mean square of an input


@torch.no_grad()
def solve_last_layer(model: AutoEncoder, pictures: Sequence[np.ndarray], seed: int = 0) -> None:
    """Moves the last product of `model` to the least squares over photographs uint8 [H, W, 3]; turns its rounding on.

    Some hundreds of 256x256 are a start: few are learned by heart. Leaves a model alone whose synthesis does not end in
    a linear product and a `Shuffle`, as that of `standard` does.
    """
    product, shuffle = (model.synthesis.get_submodule(str(model.synthesis.size - back)) for back in (2, 1))
    if not isinstance(product, ConvLayer) or not isinstance(shuffle, ShuffleLayer) or product.layer.active:
        return
    model.set_rounding(True)
    square, mixed = _equations(model, product, shuffle.layer, pictures, np.random.default_rng(seed))
    change = torch.linalg.solve(square, mixed) * (510 / 256)  # the synthesis gives (2v - 255) / 256
    weight, bias = product.rounded_weight(), product.rounded_bias()  # the errors are theirs
    product.weight.copy_(weight + change[:-1].T.float().reshape(weight.shape))
    product.bias.copy_(bias + change[-1].float())
    product.weight.copy_(rounded_in_turn(product, square[:-1, :-1]))


def _equations(
    model: AutoEncoder, product: ConvLayer, shuffle: Shuffle, photographs: Sequence[np.ndarray], random: Generator
) -> tuple[Tensor, Tensor]:
    """The normal equations of a change of the product: [inputs + 1, inputs + 1] and [inputs + 1, outputs], float64."""
    device, inputs = product.weight.device, product.weight[0].numel() + 1
    square = torch.zeros(inputs, inputs, dtype=torch.float64, device=device)
    mixed = torch.zeros(inputs, len(product.weight), dtype=torch.float64, device=device)
    flats = [flat_picture(random) for _ in range(round(FLAT_SHARE * len(photographs)))]
    seen: list[Tensor] = []
    handle = product.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    for place, picture in enumerate([*photographs, *flats]):
        x = as_input(picture[None], device)
        quality = torch.tensor([random.random()], dtype=torch.float32, device=device)
        y = model(x, quality, noise=False).reconstruction
        clipped = (x >= 1) & (y > 1) | (x <= 0) & (y < 0)
        error = 255 * blocks((x - y).masked_fill(clipped, 0), shuffle)
        if place < len(photographs):
            weight = 1 / (float(error.square().mean()) + 1)
        else:
            samples = error.unflatten(1, (-1, 3))
            error, weight = (samples - samples.mean(1, keepdim=True)).flatten(1), FLAT_WEIGHT
        rows = functional.pad(functional.unfold(seen.pop(), product.layer.kernel)[0].T, (0, 1), value=1.0).double()
        square += weight / len(rows) * (rows.T @ rows)
        mixed += weight / len(rows) * (rows.T @ error.double()) / 255
    handle.remove()
    damping = DAMPING * float(square.trace()) / inputs
    return square + damping * torch.eye(inputs, dtype=torch.float64, device=device), mixed


def flat_picture(random: Generator) -> np.ndarray:
    """Of one colour or a slope, greyish or not, with or without a little noise. uint8 [FLAT_SIDE, FLAT_SIDE, 3]."""
    colour = random.integers(0, 256, 3) if random.random() < 0.5 else random.integers(0, 256) + random.normal(0, 8, 3)
    slope = random.choice([0, 15, 40]) * random.normal(size=(2, 1, 1, 3))
    rows, columns = np.mgrid[:FLAT_SIDE, :FLAT_SIDE][..., None] / FLAT_SIDE - 0.5
    noise = random.choice([0, 0.7, 1.5]) * random.normal(size=(FLAT_SIDE, FLAT_SIDE, 1))
    return np.round(np.clip(colour + slope[0] * rows + slope[1] * columns + noise, 0, 255)).astype(np.uint8)


def blocks(x: Tensor, layer: Shuffle) -> Tensor:
    """What the product's outputs become, of a picture [1, 3, H, W] whose border is cut: [positions, samples]."""
    inner = functional.pad(x, (-layer.crop,) * 4)[0]
    rows, columns = (length // layer.factor for length in inner.shape[1:])
    split = inner.reshape(3, rows, layer.factor, columns, layer.factor)
    return split.permute(1, 3, 2, 4, 0).reshape(rows * columns, -1)


def rounded_in_turn(product: ConvLayer, square: Tensor) -> Tensor:
    """Weights on their grid, each error made up for by those that are not rounded yet.

    Frantar et al., "GPTQ: accurate post-training quantization" (2022), section 3, in the order of the inputs.
    """
    scale = product.weight_scale().flatten().double()
    weight = product.weight.flatten(1).double().T.contiguous()
    factor = torch.linalg.cholesky(torch.linalg.inv(square), upper=True)
    for place in range(len(weight)):
        rounded = torch.round(weight[place] * scale).clamp(-WEIGHT_MAXIMUM, WEIGHT_MAXIMUM) / scale
        error = (weight[place] - rounded) / factor[place, place]
        weight[place + 1 :] -= factor[place, place + 1 :, None] * error
        weight[place] = rounded
    return weight.T.float().reshape(product.weight.shape)
