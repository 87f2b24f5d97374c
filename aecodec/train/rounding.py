"""Moves a float network to the integer grid with the least loss, before it trains with rounding.

It chooses activation scales. It rescales channels, so that weights use their eight bits and hyper features, which share
the grid of the much larger latents, their eleven. Then it rounds the weights of every layer in turn: weights not
rounded yet compensate for each error as far as their inputs correlate (Frantar et al., "GPTQ: accurate post-training
quantization", 2022).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from aecodec.codec.architectures import STEPS
from aecodec.codec.latent_coding import FEATURE_BITS
from aecodec.train.layers import WEIGHT_MAXIMUM
from aecodec.train.layers import ConvLayer
from aecodec.train.layers import Product
from aecodec.train.layers import Stack
from aecodec.train.layers import SumLayer
from aecodec.train.model import AutoEncoder
from aecodec.train.model import at_quality
from aecodec.train.rescale import Between
from aecodec.train.rescale import fill_ranges
from aecodec.train.rescale import give_headroom
from aecodec.train.rescale import rescale

DAMPING = 1e-3  # of the mean square of an input
SLICE = 8  # pictures at once


@torch.no_grad()
def settle_on_grid(model: AutoEncoder, x: Tensor, quality: Tensor) -> None:
    """Fits scales and weights to pictures [B, 3, H, W] and their qualities, and turns rounding on."""
    model.calibrate(x, quality)
    give_headroom(model)
    fill_features(model, x, quality)
    for network in model.children():
        if isinstance(network, Stack):
            fill_ranges(network)
    model.calibrate(x, quality)
    give_headroom(model)
    model.mode.rounding = True
    round_in_turn(model, x, quality)


@torch.no_grad()
def fill_features(model: AutoEncoder, x: Tensor, quality: Tensor) -> None:
    """Scale each hyper feature by a power of two so that its peak over the pictures is 1/4 to 1/2 of its range."""
    latent = model.latent(x) * at_quality(model.log_gain, quality).exp()
    features = model.code_latent(latent, quality, noise=False)[1]
    peak = features.abs().amax((0, 2, 3)).clamp_min(2.0**-10) * model.latent_scale.value
    factor = torch.exp2(torch.floor(torch.log2(2.0 ** (FEATURE_BITS - 2) / peak)))
    writer = cast("ConvLayer", model.hyper_synthesis.get_submodule(str(model.hyper_synthesis.size - 1)))
    sides = [layer for layer in model.synthesis.children() if isinstance(layer, SumLayer) and layer.from_side]
    readers = [getattr(model, f"context{step}").get_submodule("0") for step in range(STEPS)]
    rescale(Between([writer], []), factor)
    model.feature_bias.mul_(factor)
    for layer in readers + [side.get_submodule("0") for side in sides]:
        layer.weight[:, : len(factor)].div_(factor[:, None, None])


@torch.no_grad()
def round_in_turn(model: AutoEncoder, x: Tensor, quality: Tensor) -> None:
    """Round the weights of every layer, given its inputs for these pictures."""
    layers = [layer for layer in model.modules() if isinstance(layer, Product)]
    squares: dict[Product, Tensor] = {}

    def look(layer: Product, given: tuple[Tensor, ...]) -> None:
        squares[layer] = squares.get(layer, 0) + mean_square(layer, given[0])

    handles = [layer.register_forward_pre_hook(look) for layer in layers]
    for pictures, qualities in zip(x.split(SLICE), quality.split(SLICE), strict=True):
        model(pictures, qualities, noise=False)
    for handle in handles:
        handle.remove()
    for layer in layers:
        layer.weight.copy_(rounded_in_turn(layer, squares[layer]))


def mean_square(layer: Product, x: Tensor) -> Tensor:
    """The mean outer product of the inputs of one output of `layer`: float64 [1 or channels, taps, taps]."""
    kernel = layer.weight.shape[2]
    if isinstance(layer, ConvLayer):
        shape = layer.layer
        columns = functional.unfold(x, kernel, padding=shape.padding, stride=shape.stride)
        rows = columns.transpose(1, 2).reshape(1, -1, columns.shape[1])
    else:
        columns = functional.unfold(x, kernel, padding=kernel // 2)
        rows = columns.unflatten(1, (-1, kernel**2)).permute(1, 0, 3, 2).flatten(1, 2)
    return (rows.transpose(1, 2) @ rows).double() / rows.shape[1]


def rounded_in_turn(layer: Product, square: Tensor, damping: float = DAMPING) -> Tensor:
    """The weights of `layer` on their grid; those not rounded yet compensate for each error.

    `square`: the mean square of its inputs, [1 or channels, taps, taps]. Inputs that vary most come first.
    """
    groups, taps = square.shape[:2]
    outputs = len(layer.weight) // groups  # that share their inputs
    weight = layer.weight.double().reshape(groups, outputs, taps).transpose(1, 2)
    scale = layer.weight_scale().double().reshape(groups, outputs)
    order = square.diagonal(dim1=1, dim2=2).mean(0).argsort(descending=True)
    weight, square = weight[:, order], square[:, order][:, :, order]
    mean = square.diagonal(dim1=1, dim2=2).mean(1)[:, None, None].clamp_min(2.0**-20)
    damped = square + damping * mean * torch.eye(taps, dtype=square.dtype, device=square.device)
    factor = torch.linalg.cholesky(torch.linalg.inv(damped), upper=True)
    for place in range(taps):
        rounded = torch.round(weight[:, place] * scale).clamp(-WEIGHT_MAXIMUM, WEIGHT_MAXIMUM) / scale
        error = (weight[:, place] - rounded) / factor[:, place, place, None]
        weight[:, place + 1 :] -= factor[:, place, place + 1 :, None] * error[:, None]
        weight[:, place] = rounded
    found = torch.empty_like(weight)
    found[:, order] = weight
    return found.transpose(1, 2).reshape(layer.weight.shape).float()
