"""Solves the last layer of a synthesis: least error on photographs, and no grid pattern in flat areas.

In flat areas training leaves a grid pattern of period 8, a few levels from peak to peak. Its error is a hundredth of a
photograph's, so its gradient is lost in the noise, but it shows in a bright sky. The layer is linear in its inputs, so
its best weights solve a linear system. Each photograph is weighted by the inverse of its error, as in a mean of PSNR.
Flat synthetic pictures count by their pattern only, since the latent determines their brightness. Training also moves
extreme colours inwards, white by three levels. Photographs hold few of those, so pictures of pure colours, white and
black count with their whole error.

The samples of a block share their inputs, so block mean and deviation are solved separately. Flat pictures enter only
the system of the deviation; otherwise they would hold the brightness at what training left.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional

from aecodec.network.layers import DepthToSpace
from aecodec.train.evaluate import as_input
from aecodec.train.layers import ConvLayer
from aecodec.train.layers import DepthToSpaceLayer
from aecodec.train.model import AutoEncoder
from aecodec.train.rounding import rounded_in_turn

FLAT_SHARE = 0.25  # flat pictures for each photograph
FLAT_SIDE = 96
FLAT_WEIGHT = 0.1  # of a squared error of 1, if a photograph's whole error weighs 1
PURE_SHARE = 0.125  # pictures of pure colours for each photograph
PURE_WEIGHT = 0.03  # likewise
DAMPING = 1e-5  # relative to the mean square of an input


@torch.no_grad()
def solve_last_layer(model: AutoEncoder, pictures: Sequence[np.ndarray], seed: int = 0) -> None:
    """Fits the last product of `model` by least squares to photographs uint8 [H, W, 3]; turns its rounding on.

    It takes hundreds of 256x256, and overfits a few. It changes nothing unless the synthesis ends in a linear product
    and a `DepthToSpace`, as that of `standard` does.
    """
    product, shuffle = (model.synthesis.get_submodule(str(model.synthesis.size - back)) for back in (2, 1))
    if not isinstance(product, ConvLayer) or not isinstance(shuffle, DepthToSpaceLayer) or product.layer.active:
        return
    model.mode.rounding = True
    random = np.random.default_rng(seed)
    flats = [flat_picture(random) for _ in range(round(FLAT_SHARE * len(pictures)))]
    pures = [pure_picture(random) for _ in range(round(PURE_SHARE * len(pictures)))]
    equations = partial(_equations, model, product, shuffle.layer, random)
    whole = equations(pictures) + equations(pures, PURE_WEIGHT)
    everything = whole + equations(flats, FLAT_WEIGHT)
    patterns, levels = _solved(everything), _solved(whole)
    change = (patterns - _level(patterns) + _level(levels)) * (510 / 256)  # the synthesis gives (2v - 255) / 256
    weight, bias = product.rounded_weight(), product.rounded_bias()  # their errors were measured
    product.weight.copy_(weight + change[:-1].T.float().reshape(weight.shape))
    product.bias.copy_(bias + change[-1].float())
    product.weight.copy_(rounded_in_turn(product, everything[None, :-1, : len(everything) - 1], DAMPING))


def _equations(
    model: AutoEncoder,
    product: ConvLayer,
    shuffle: DepthToSpace,
    random: Generator,
    pictures: Sequence[np.ndarray],
    weight: float | None = None,
) -> Tensor:
    """The normal equations of a change of the product, both sides: [inputs + 1, inputs + 1 + outputs], float64.

    `weight` multiplies a picture's squared error; None stands for the inverse of that error. Overshoot that clipping
    removes is no error.
    """
    device, inputs = product.weight.device, product.weight[0].numel() + 1
    total = torch.zeros(inputs, inputs + len(product.weight), dtype=torch.float64, device=device)
    seen: list[Tensor] = []
    handle = product.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    for picture in pictures:
        x = as_input(picture[None], device)
        quality = torch.tensor([random.random()], dtype=torch.float32, device=device)
        y = model(x, quality, noise=False).reconstruction
        clipped = (x >= 1) & (y > 1) | (x <= 0) & (y < 0)
        error = blocks((x - y).masked_fill(clipped, 0), shuffle)
        rows = functional.pad(functional.unfold(seen.pop(), product.layer.kernel)[0].T, (0, 1), value=1.0).double()
        own = 1 / (float((255 * error).square().mean()) + 1) if weight is None else weight
        total += own / len(rows) * (rows.T @ torch.cat([rows, error], 1))
    handle.remove()
    return total


def _solved(equations: Tensor) -> Tensor:
    """The solution, with a damped left side."""
    square, right = equations.tensor_split([len(equations)], 1)
    damping = DAMPING * float(square.trace()) / len(square)
    return torch.linalg.solve(
        square + damping * torch.eye(len(square), dtype=square.dtype, device=square.device), right
    )


def _level(change: Tensor) -> Tensor:
    """The mean effect of a change [inputs + 1, outputs] on the samples of a block, by colour."""
    samples = change.unflatten(1, (-1, 3))
    return samples.mean(1, keepdim=True).expand_as(samples).flatten(1)


def flat_picture(random: Generator) -> np.ndarray:
    """One colour or a slope, grey or not, with or without a little noise. uint8 [FLAT_SIDE, FLAT_SIDE, 3]."""
    colour = random.integers(0, 256, 3) if random.random() < 0.5 else random.integers(0, 256) + random.normal(0, 8, 3)
    slope = random.choice([0, 15, 40]) * random.normal(size=(2, 1, 1, 3))
    rows, columns = np.mgrid[:FLAT_SIDE, :FLAT_SIDE][..., None] / FLAT_SIDE - 0.5
    noise = random.choice([0, 0.7, 1.5]) * random.normal(size=(FLAT_SIDE, FLAT_SIDE, 1))
    return np.round(np.clip(colour + slope[0] * rows + slope[1] * columns + noise, 0, 255)).astype(np.uint8)


def pure_picture(random: Generator) -> np.ndarray:
    """White, black or a colour of zeros and 255s. uint8 [FLAT_SIDE, FLAT_SIDE, 3]."""
    colour = random.choice(np.array([0, 255], np.uint8), 3 if random.random() < 0.5 else 1)
    return np.full((FLAT_SIDE, FLAT_SIDE, 3), colour)


def blocks(x: Tensor, layer: DepthToSpace) -> Tensor:
    """A picture [1, 3, H, W], less its border, in the order of the product's outputs: [positions, samples]."""
    inner = functional.pad(x, (-layer.crop,) * 4)[0]
    rows, columns = (length // layer.factor for length in inner.shape[1:])
    split = inner.reshape(3, rows, layer.factor, columns, layer.factor)
    return split.permute(1, 3, 2, 4, 0).reshape(rows * columns, -1)
