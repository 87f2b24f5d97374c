"""The layers of `aecodec.network.layers` as trainable torch modules, which can round like the integer runtimes.

With rounding off these are plain float layers. With rounding on, every value lies on the integers' grid (power-of-two
scales, so float32 holds it exactly) and gradients pass straight through: training sees what a runtime computes.
Parameters are named by the paths of `layers.walk`.

Tensors are [B, C, H, W] in channels_last memory format.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch import nn
from torch.nn import functional

from aecodec.network.layers import Conv
from aecodec.network.layers import DepthToSpace
from aecodec.network.layers import Depthwise
from aecodec.network.layers import Layer
from aecodec.network.layers import Layers
from aecodec.network.layers import NearestUpsample
from aecodec.network.layers import Residual
from aecodec.network.layers import SideInput
from aecodec.network.layers import unknown_kind
from aecodec.network.quantized import FLOAT32_LIMIT

SLOPE = 0.125
WEIGHT_MAXIMUM = 127
WEIGHT_LIMIT = 1.04 * (WEIGHT_MAXIMUM + 0.5)  # clipping the largest weight by up to 4 % costs less than halving all
SUM_MAXIMUM = 0.9 * FLOAT32_LIMIT  # leaves room for what rounding the weights adds to a sum


class Mode:
    """How a model's layers compute; all of them share one object."""

    def __init__(self) -> None:
        self.rounding = False  # of weights and activations to integers, straight-through
        self.observing = False  # of activations, to choose their scales
        self.bfloat16 = False  # in analysis and synthesis, while rounding is off, since that needs float32


def straight_through(x: Tensor, rounded: Tensor) -> Tensor:
    """`rounded` in the forward pass, with the gradient of `x`."""
    return x + (rounded - x).detach()


class Scale(nn.Module):
    """The grid of one activation tensor: integers of a given width times 2^-exponent.

    `value` is 2^exponent, at most `largest`: a scalar, or if fixed possibly one per channel. Calibration minimises the
    squared error over the observed tensors, relative to each picture's power: latents at the lowest quality are a
    twentieth of those at the highest.
    """

    value: Tensor

    def __init__(self, mode: Mode, fixed: float | Tensor | None = None, largest: float = 2.0**14) -> None:
        super().__init__()
        self.mode, self.fixed, self.largest = mode, fixed is not None, largest
        value = torch.as_tensor(1.0 if fixed is None else fixed, dtype=torch.float32)
        self.register_buffer("value", value, persistent=fixed is None)
        self.errors: dict[int, float] = {}

    def forward(self, x: Tensor, low: float, high: float) -> Tensor:
        """`x` on the grid, clipped to integers low..high; `x` itself if rounding is off."""
        if self.mode.observing and not self.fixed:
            self._observe(x.detach(), low, high)
        if not self.mode.rounding:
            return x
        return straight_through(x, torch.floor(x * self.value + 0.5).clamp(low, high) / self.value)

    def _observe(self, x: Tensor, low: float, high: float) -> None:
        sample = x.flatten(1)[:, :: max(1, x.numel() // 200_000)].double()
        power = sample.square().mean(1, keepdim=True).clamp_min(2.0**-20)
        for exponent in range(-4, 15):
            if 2.0**exponent <= self.largest:
                rounded = torch.floor(sample * 2.0**exponent + 0.5).clamp(low, high) * 2.0**-exponent
                error = float(((rounded - sample).square() / power).mean())
                self.errors[exponent] = self.errors.get(exponent, 0.0) + error

    def settle(self) -> None:
        """Takes the exponent with the least error observed."""
        if self.errors:
            self.value.fill_(2.0 ** min(self.errors, key=lambda exponent: (self.errors[exponent], exponent)))
            self.errors = {}


def limits(bits: int) -> tuple[float, float]:
    """Smallest and largest integer of a width, two's complement."""
    return -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1


class Product(nn.Module):
    """A layer with weights. `outside`: the scale of its input. `given`: of its output, if another layer owns that."""

    input_bound: Tensor  # of the input's integers, in the shape of the weight's input channels

    def __init__(
        self, shape: tuple[int, int, int, int], bits: int, mode: Mode, outside: Scale, given: Scale | None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-1, 1) / (shape[1] * shape[2] * shape[3]) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(shape[0]))
        self.low, self.high = limits(bits)
        self.mode = mode
        self.register_buffer("input_bound", torch.zeros(1), persistent=False)
        if given is None:
            self.scale = Scale(mode)
        self.between = (outside, given or self.scale)  # in a tuple, so that torch does not save a shared scale twice

    @property
    def input_scale(self) -> Scale:
        return self.between[0]

    @property
    def output_scale(self) -> Scale:
        return self.between[1]

    def room(self) -> Tensor:
        """The factor per output channel that scales its largest weight to the int8 limit. Shape [outputs].

        It is smaller if a sum, including the rounding constant, could come near 2^24, so that every layer is
        exact in float32.
        """
        weight, bias = self.weight.detach().abs(), self.bias.detach().abs()
        constant = 0.5 / self.output_scale.value.flatten()
        sums = (weight * self.input_bound).sum((1, 2, 3)) + (bias + constant) * self.input_scale.value
        return torch.minimum(WEIGHT_LIMIT / weight.amax((1, 2, 3)).clamp_min(2.0**-20), SUM_MAXIMUM / sums)

    def weight_scale(self) -> Tensor:
        """The largest power of two per output channel within `room`. Shape [outputs, 1, 1, 1]."""
        return torch.exp2(torch.floor(torch.log2(self.room())))[:, None, None, None]

    def rounded_weight(self) -> Tensor:
        """The weights on their int8 grid, in real units."""
        scale = self.weight_scale()
        return torch.round(self.weight * scale).clamp(-WEIGHT_MAXIMUM, WEIGHT_MAXIMUM) / scale

    def rounded_bias(self) -> Tensor:
        """The biases on the grid of the sum, in real units."""
        unit = self.weight_scale().flatten() * self.input_scale.value
        return torch.round(self.bias * unit) / unit

    def used(self) -> tuple[Tensor, Tensor]:
        """Weight and bias as the forward pass uses them."""
        if not self.mode.rounding:
            return self.weight, self.bias
        return straight_through(self.weight, self.rounded_weight()), straight_through(self.bias, self.rounded_bias())

    def finish(self, x: Tensor, active: bool) -> Tensor:
        x = self.output_scale(x, self.low, self.high)
        if not active:
            return x
        x = functional.leaky_relu(x, SLOPE)
        if not self.mode.rounding:
            return x
        value = self.output_scale.value
        return straight_through(x, torch.floor(x * value + 0.5) / value)


class ConvLayer(Product):
    """`layers.Conv`; a 1x1 convolution runs as a matrix product on the channels-last view."""

    def __init__(self, layer: Conv, mode: Mode, outside: Scale, given: Scale | None) -> None:
        super().__init__((layer.outputs, layer.inputs, layer.kernel, layer.kernel), layer.bits, mode, outside, given)
        self.layer = layer

    def bound(self, x: Tensor, side: Tensor) -> Tensor:
        self.input_bound = x[None, :, None, None]
        return torch.full((self.layer.outputs,), -self.low)

    def forward(self, x: Tensor, side: Tensor | None) -> Tensor:
        weight, bias = self.used()
        layer = self.layer
        if layer.kernel == 1 and layer.stride == 1 and not layer.padding:
            x = functional.linear(x.permute(0, 2, 3, 1), weight[:, :, 0, 0], bias).permute(0, 3, 1, 2)
        else:
            x = functional.conv2d(x, weight, bias, layer.stride, layer.padding)
        return self.finish(x, layer.active)


class DepthwiseLayer(Product):
    """`layers.Depthwise`."""

    def __init__(self, layer: Depthwise, mode: Mode, outside: Scale, given: Scale | None) -> None:
        super().__init__((layer.channels, 1, 3, 3), layer.bits, mode, outside, given)

    def bound(self, x: Tensor, side: Tensor) -> Tensor:
        self.input_bound = x[:, None, None, None]
        return torch.full_like(x, -self.low)

    def forward(self, x: Tensor, side: Tensor | None) -> Tensor:
        weight, bias = self.used()
        x = functional.conv2d(x, weight, bias, padding=1, groups=x.shape[1])
        return self.finish(x, False)


class DepthToSpaceLayer(nn.Module):
    """`layers.DepthToSpace`."""

    def __init__(self, layer: DepthToSpace) -> None:
        super().__init__()
        self.layer = layer

    def bound(self, x: Tensor, side: Tensor) -> Tensor:
        return x.reshape(self.layer.factor**2, -1).amax(0)

    def forward(self, x: Tensor, side: Tensor | None) -> Tensor:
        factor, crop = self.layer.factor, self.layer.crop
        batch, channels, rows, columns = x.shape
        split = x.permute(0, 2, 3, 1).reshape(batch, rows, columns, factor, factor, channels // factor**2)
        full = split.transpose(2, 3).reshape(batch, rows * factor, columns * factor, -1)
        return full[:, crop : rows * factor - crop, crop : columns * factor - crop].permute(0, 3, 1, 2)


class NearestUpsampleLayer(nn.Module):
    """`layers.NearestUpsample`."""

    def __init__(self, layer: NearestUpsample) -> None:
        super().__init__()
        self.layer = layer

    def bound(self, x: Tensor, side: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor, side: Tensor | None) -> Tensor:
        return functional.interpolate(x, scale_factor=self.layer.factor, mode="nearest")


class Stack(nn.Module):
    """Layers one after another. `output_scale` is the grid of the last output."""

    def __init__(self, layers: Layers, mode: Mode, outside: Scale, beside: Scale, last: Scale | None = None) -> None:
        """`outside`, `beside`: scales of the two inputs. `last`: the scale of the last output, if given."""
        super().__init__()
        for position, layer in enumerate(layers):
            given = last if position == len(layers) - 1 else None
            module = _make(layer, mode, outside, beside, given)
            self.add_module(str(position), module)
            if isinstance(module, (Product, Stack)):
                outside = module.output_scale
        self.size = len(layers)
        self.held = (outside,)

    @property
    def output_scale(self) -> Scale:
        return self.held[0]

    def bound(self, x: Tensor, side: Tensor) -> Tensor:
        """Sets the bounds of every layer's input integers, per channel, from those of both inputs."""
        for position in range(self.size):
            x = self._modules[str(position)].bound(x, side)
        return x

    def forward(self, x: Tensor, side: Tensor | None = None) -> Tensor:
        for position in range(self.size):
            x = self._modules[str(position)](x, side)
        return x


class SumLayer(Stack):
    """`layers.Residual` and `layers.SideInput`: the body ends on the scale of the sum, so both inputs share it."""

    def __init__(self, layer: Residual | SideInput, mode: Mode, outside: Scale, beside: Scale) -> None:
        start = beside if isinstance(layer, SideInput) else outside
        super().__init__(layer.body, mode, start, beside, last=outside)
        self.from_side = isinstance(layer, SideInput)
        final = layer.body[-1]
        assert isinstance(final, Conv), "a body ends in a convolution"
        self.low, self.high = limits(final.bits)

    def bound(self, x: Tensor, side: Tensor) -> Tensor:
        return super().bound(side if self.from_side else x, side)

    def forward(self, x: Tensor, side: Tensor | None = None) -> Tensor:
        start = side if self.from_side else x
        assert start is not None, "this network has a second input"
        body = super().forward(start, side)
        channels = body.shape[1]
        x = x.float()  # sums stay in float32 if products are in bfloat16
        if channels > x.shape[1]:
            x = functional.pad(x, (0, 0, 0, 0, 0, channels - x.shape[1]))
        return self.output_scale(body + x[:, :channels], self.low, self.high)


def _make(layer: Layer, mode: Mode, outside: Scale, beside: Scale, given: Scale | None) -> nn.Module:
    match layer:
        case Conv():
            return ConvLayer(layer, mode, outside, given)
        case Depthwise():
            return DepthwiseLayer(layer, mode, outside, given)
        case Residual() | SideInput():
            return SumLayer(layer, mode, outside, beside)
        case DepthToSpace():
            return DepthToSpaceLayer(layer)
        case NearestUpsample():
            return NearestUpsampleLayer(layer)
        case _:
            return unknown_kind(layer)
