"""The float model of a codec: networks, hyper-latent, context steps, quality, and the loss.

Trained with additive noise for the rate and straight-through rounding for the distortion. Quality is continuous: gains
and inverse gains per latent channel are functions of it (Cui et al., "Asymmetric gained deep image compression with
continuous rate adaptation", CVPR 2021), and it biases the hyper features. The context follows the checkerboard idea
(He et al., CVPR 2021), in four steps over channel groups and the positions of 2x2 tiles.

Shapes: x [B, 3, H, W] in 0..1, latent [B, 16, H/8, W/8], hyper-latent [B, 16, H/32, W/32], quality [B] in 0..1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch import nn

from aecodec.codec.architectures import ARCHITECTURES
from aecodec.codec.architectures import FEATURES
from aecodec.codec.architectures import LATENT_CHANNELS
from aecodec.codec.architectures import STEPS
from aecodec.codec.architectures import Architecture
from aecodec.codec.latent_coding import CONTEXT_BITS
from aecodec.codec.latent_coding import FEATURE_BITS
from aecodec.codec.latent_coding import STEP_CHANNELS
from aecodec.codec.latent_coding import scale_of_index
from aecodec.codec.weights import INPUT_BOUNDS
from aecodec.codec.weights import SYNTHESIS_BITS
from aecodec.format.symbols import SCALE_COUNT
from aecodec.format.symbols import UNIT
from aecodec.train.layers import Mode
from aecodec.train.layers import Scale
from aecodec.train.layers import Stack
from aecodec.train.layers import limits
from aecodec.train.layers import straight_through


@dataclass(frozen=True)
class Config:
    """How one codec is trained. `distortion` is "mse" or "l1"; lambda is geometric in quality 0..1.

    The first `plain_steps` train a plain auto-encoder (no rate, no rounding); then the rate comes in over as many.
    """

    name: str
    distortion: str
    lambda_range: tuple[float, float] = (0.0005, 0.02)
    knots: int = 5  # quality functions are piecewise linear between these
    lambda_exponent: float = 0.5  # the loss is divided by lambda to this power, so all qualities weigh about the same
    learning_rate: float = 1e-3
    plain_steps: int = 0


CONFIGS = {
    "standard": Config("standard", "mse", lambda_range=(0.0005, 0.1265), knots=7, lambda_exponent=0.65),
    "paper": Config("paper", "l1", learning_rate=1e-3, plain_steps=4000),
    "light": Config("light", "mse", lambda_range=(0.0005, 0.1265), knots=7, lambda_exponent=0.65),
}


@dataclass(frozen=True)
class Coded:
    """The result of one pass: reconstruction [B, 3, H, W] in about 0..1, bits of latent and hyper-latent [B]."""

    reconstruction: Tensor
    bits: Tensor
    hyper_bits: Tensor


def at_quality(knots: Tensor, quality: Tensor) -> Tensor:
    """`knots` [K, C] at `quality` [B], linear between knots. Returns [B, C, 1, 1]."""
    distance = quality[:, None] * (knots.shape[0] - 1) - torch.arange(knots.shape[0], device=knots.device)
    share = (1 - distance.abs()).clamp_min(0)  # [B, K]
    return (share[:, :, None] * knots[None]).sum(1)[:, :, None, None]


def gaussian_bits(value: Tensor, index: Tensor) -> Tensor:
    """Bits of an integer bin around `value` under a zero-mean Gaussian of scale index `index`."""
    scale = scale_of_index(index.clamp(0, SCALE_COUNT - 1), torch.exp) * math.sqrt(2)
    probability = 0.5 * (torch.erf((value + 0.5) / scale) - torch.erf((value - 0.5) / scale))
    return -torch.log2(probability.clamp_min(1e-7))


def _on_latent_grid(x: Tensor) -> Tensor:
    return straight_through(x, torch.floor(x * UNIT + 0.5) / UNIT)


class AutoEncoder(nn.Module):
    """The trainable codec of one config."""

    def __init__(self, config: Config, architecture: Architecture | None = None) -> None:
        """`architecture` replaces the config's, for experiments and tests."""
        super().__init__()
        self.config = config
        self.architecture = architecture or ARCHITECTURES[config.name]()
        self.mode = mode = Mode()
        shape = self.architecture
        self.latent_scale = Scale(mode, largest=UNIT)  # latents and features as the context steps see them
        self.hyper_input_scale = Scale(mode, largest=UNIT)  # latents as the hyper-analysis sees them
        self.hyper_scale = Scale(mode, largest=UNIT)  # hyper-latents as the hyper-synthesis sees them
        self.synthesis_scale = Scale(mode)
        image, unit = Scale(mode, fixed=256.0), Scale(mode, fixed=float(UNIT))
        means_then_indexes = torch.cat([torch.full((16, 1, 1), float(UNIT)), torch.ones(16, 1, 1)])
        parameters = Scale(mode, fixed=means_then_indexes)
        features = self.latent_scale
        self.fixed_scales = nn.ModuleList((image, unit, parameters))  # registered, to move to a device with the rest
        self.analysis = Stack(shape.analysis, mode, image, image)
        self.synthesis = Stack(shape.synthesis, mode, self.synthesis_scale, features)
        self.hyper_analysis = Stack(shape.hyper_analysis, mode, self.hyper_input_scale, unit, last=unit)
        self.hyper_synthesis = Stack(shape.hyper_synthesis, mode, self.hyper_scale, unit, last=features)
        for step, layers in enumerate(shape.context):
            self.add_module(f"context{step}", Stack(layers, mode, features, features, last=parameters))
        for name in shape.networks():
            bounds = (INPUT_BOUNDS[name], INPUT_BOUNDS["context0"])  # the second input is the features, as for context0
            self.get_submodule(name).bound(*(torch.from_numpy(bound).float() for bound in bounds))
        knots = config.knots
        self.log_gain = nn.Parameter(torch.arange(knots)[:, None].repeat(1, LATENT_CHANNELS) / 2 + math.log(2))
        self.log_inverse_gain = nn.Parameter(torch.zeros(knots, LATENT_CHANNELS))
        self.hyper_mean = nn.Parameter(torch.zeros(knots, LATENT_CHANNELS))
        self.hyper_index = nn.Parameter(torch.full((knots, LATENT_CHANNELS), 12.0))
        self.feature_bias = nn.Parameter(torch.zeros(knots, FEATURES))
        self.register_buffer("masks", _step_masks(), persistent=False)
        self._start()

    def _start(self) -> None:
        """Start with a hyper-latent near zero and scale indexes in the middle of their range."""
        with torch.no_grad():
            final = self.hyper_analysis.get_submodule(str(self.hyper_analysis.size - 1))
            final.weight.mul_(0.1)
            for step in range(STEPS):
                context = self.get_submodule(f"context{step}")
                last = context.get_submodule(str(context.size - 1))
                last.bias[LATENT_CHANNELS:] = 30.0
                last.weight[LATENT_CHANNELS:] *= 10.0

    def _products(self, device: torch.device) -> torch.autocast:
        on = self.mode.bfloat16 and not self.mode.rounding
        return torch.autocast(device.type, torch.bfloat16, enabled=on)

    @torch.no_grad()
    def calibrate(self, x: Tensor, quality: Tensor) -> None:
        """Chooses every activation scale from one batch of pictures, with rounding off."""
        rounding, self.mode.rounding, self.mode.observing = self.mode.rounding, False, True
        self(x, quality, noise=False)
        self.mode.rounding, self.mode.observing = rounding, False
        for module in self.modules():
            if isinstance(module, Scale):
                module.settle()

    def forward(self, x: Tensor, quality: Tensor, *, noise: bool, plain: bool = False) -> Coded:
        """Codes `x` at `quality`. `noise`: rate from additive noise (training). `plain`: no rounding of the latent."""
        gain = at_quality(self.log_gain, quality).exp()
        latent = self.latent(x) * gain
        if self.mode.rounding:
            latent = _on_latent_grid(latent)
        decoded, features, bits, hyper_bits = self.code_latent(latent, quality, noise=noise)
        inverse = at_quality(self.log_inverse_gain, quality).exp() / gain
        coded = latent if plain else decoded
        return Coded(self.picture(coded * inverse, features), bits, hyper_bits)

    def latent(self, x: Tensor) -> Tensor:
        """The latent before its gain."""
        with self._products(x.device):
            latent = self.analysis((2 * 255 * x - 255) / 256)
        return latent.float()

    def picture(self, latent: Tensor, features: Tensor) -> Tensor:
        """The picture in about 0..1 from the hyper features and a decoded latent without its gain."""
        latent = self.synthesis_scale(latent, *limits(SYNTHESIS_BITS))
        with self._products(latent.device):
            pixels = self.synthesis(latent, features)
        return (256 * pixels.float() + 255) / 510

    def hyper_latent(self, latent: Tensor, quality: Tensor) -> Tensor:
        """The hyper-latent less its mean, which rounds to symbols."""
        seen = self.hyper_input_scale(latent, *limits(CONTEXT_BITS))
        return self.hyper_analysis(seen) - self.hyper_means(quality)

    def hyper_means(self, quality: Tensor) -> Tensor:
        mean = at_quality(self.hyper_mean, quality)
        return _on_latent_grid(mean) if self.mode.rounding else mean

    def features(self, hyper_symbols: Tensor, quality: Tensor) -> Tensor:
        """Hyper features from (nearly) integer hyper symbols."""
        hyper = self.hyper_scale(hyper_symbols + self.hyper_means(quality), *limits(CONTEXT_BITS))
        bias = at_quality(self.feature_bias, quality)
        scale = self.latent_scale.value
        if self.mode.rounding:
            bias = straight_through(bias, torch.floor(bias * scale + 0.5) / scale)
        return self.latent_scale(self.hyper_synthesis(hyper) + bias, *limits(FEATURE_BITS))

    def context(self, step: int, features: Tensor, decoded: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and scale index of every latent, predicted by `step`."""
        if step:
            features = torch.cat([features, self.latent_scale(decoded, *limits(CONTEXT_BITS))], 1)
        mean, index = self.get_submodule(f"context{step}")(features).chunk(2, 1)
        return mean, index

    def code_latent(self, latent: Tensor, quality: Tensor, *, noise: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Decoded latent, hyper features, bits of the latent [B], bits of the hyper-latent [B]."""

        def rate(value: Tensor, index: Tensor) -> Tensor:
            return gaussian_bits(value + torch.rand_like(value) - 0.5 if noise else _round(value), index)

        hyper = self.hyper_latent(latent, quality)
        hyper_bits = rate(hyper, at_quality(self.hyper_index, quality)).sum((1, 2, 3))
        features = self.features(_round(hyper), quality)
        decoded, bits = torch.zeros_like(latent), torch.zeros_like(hyper_bits)
        for step in range(STEPS):
            mean, index = self.context(step, features, decoded)
            mask = self.masks[step].repeat(1, latent.shape[2] // 2, latent.shape[3] // 2)
            residual = latent - mean
            bits = bits + (rate(residual, index) * mask).sum((1, 2, 3))
            decoded = decoded + (_round(residual) + mean) * mask
        return decoded, features, bits, hyper_bits

    def loss(self, x: Tensor, quality: Tensor, coded: Coded, rate_weight: float) -> Tensor:
        """Rate plus lambda times distortion, over lambda to the power of `lambda_exponent`."""
        low, high = self.config.lambda_range
        weight = low * (high / low) ** quality
        error = coded.reconstruction - x
        if self.config.distortion == "mse":
            distortion = 255.0**2 * error.square().mean((1, 2, 3))
        else:
            distortion = 16 * 255.0 * error.abs().mean((1, 2, 3))  # 16: about the squared error's slope near 0.03
        bits_per_pixel = (coded.bits + coded.hyper_bits) / (x.shape[2] * x.shape[3])
        # 20 brings the loss to about 1: Adam ignores the factor, but gradients are clipped at a norm of 1
        return ((rate_weight * bits_per_pixel + weight * distortion) / weight**self.config.lambda_exponent).mean() / 20


def _round(x: Tensor) -> Tensor:
    return straight_through(x, torch.floor(x + 0.5))


def _step_masks() -> Tensor:
    """[STEPS, 16, 2, 2]: 1 if a step codes a channel at a position of a 2x2 tile."""
    masks = torch.zeros(STEPS, LATENT_CHANNELS, 2, 2)
    for step, row, column in np.ndindex(STEPS, 2, 2):
        masks[step, STEP_CHANNELS[step, row, column], row, column] = 1
    return masks


@torch.no_grad()
def start_from_components(model: AutoEncoder, patches: np.ndarray) -> None:
    """First and last layers of a `standard` or `light` from the principal components of `patches` uint8 [N, 16, 16, 3].

    Windowed by a sine and whitened, so that the first layer starts as a lapped transform; blocks near identity.
    Leaves other models alone.
    """
    if model.config.name not in ("standard", "light"):
        return
    x = patches.astype(np.float32).transpose(0, 3, 1, 2).reshape(len(patches), -1) / 255 - 0.5
    sine = np.sin(np.pi * (np.arange(16) + 0.5) / 16)
    window = np.tile(np.outer(sine, sine)[None], (3, 1, 1)).ravel()
    _, values, vectors = np.linalg.svd(x * window, full_matrices=False)
    first, last = model.analysis.get_submodule("0"), model.synthesis.get_submodule(str(model.synthesis.size - 2))
    channels = first.weight.shape[0]
    basis = vectors[:channels] * window
    whiten = 1 / (values[:channels] / len(x) ** 0.5)
    whiten = np.minimum(whiten, whiten[0] * 20)[:, None]
    forward = torch.from_numpy((basis * whiten * 0.5).reshape(channels, 3, 16, 16)).float()
    backward = torch.from_numpy((basis / whiten).reshape(channels, 3, 16, 16)).float()
    first.weight.copy_(forward * (256 / 510))
    last.weight.copy_(transposed_as_product(backward, 8) * (510 / 256))
    for bias in (first.bias, last.bias):
        bias.zero_()
    to_latent = model.analysis.get_submodule(str(model.analysis.size - 1))
    from_latent = model.synthesis.get_submodule("0")
    to_latent.weight.zero_()
    from_latent.weight.mul_(0.1)
    for channel in range(LATENT_CHANNELS):
        to_latent.weight[channel, channel] = 1
        from_latent.weight[channel, channel, 1, 1] += 1
    for stack in (model.analysis, model.synthesis):
        for name, module in stack.named_modules():
            if isinstance(module, Stack) and name:
                module.get_submodule(str(module.size - 1)).weight.mul_(0.1)
    model.synthesis.get_submodule("1.0").weight.zero_()


def transposed_as_product(weight: Tensor, factor: int) -> Tensor:
    """A transposed convolution's weight [I, O, 2f, 2f] (stride f, padding f/2) as the 2x2 product of `expansion`.

    Returns [f*f*O, I, 2, 2], output channels in the order [f, f, O] that DepthToSpace moves apart.
    """
    inputs, outputs = weight.shape[:2]
    split = weight.reshape(inputs, outputs, 2, factor, 2, factor).flip(2, 4)  # [I, O, tap row, r, tap column, c]
    return split.permute(3, 5, 1, 0, 2, 4).reshape(factor * factor * outputs, inputs, 2, 2)


def build(name: str) -> AutoEncoder:
    """A fresh model by config name. Raises KeyError for an unknown one."""
    return AutoEncoder(CONFIGS[name]).to(memory_format=torch.channels_last)
