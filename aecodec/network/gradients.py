"""Networks in floats, differentiable in their inputs: an encoder uses them to search for a better latent.

The forward pass is that of the runtimes without rounding or clipping: floor(v) becomes its mean, v - 1/2. The results
are not part of the format and may differ in the last bits between machines; the exact runtimes score and write what
the search finds.

Arrays are float32 [batch, rows, columns, channels], in the integers' units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aecodec.network.layers import Conv
from aecodec.network.layers import DepthToSpace
from aecodec.network.layers import Depthwise
from aecodec.network.layers import Layer
from aecodec.network.layers import Layers
from aecodec.network.layers import NearestUpsample
from aecodec.network.layers import Residual
from aecodec.network.layers import SideInput
from aecodec.network.layers import unknown_kind
from aecodec.network.numpy_runtime import depthwise
from aecodec.network.numpy_runtime import pad
from aecodec.network.numpy_runtime import shuffle
from aecodec.network.numpy_runtime import unfold
from aecodec.network.quantized import Network
from aecodec.network.quantized import QuantizedParameters
from aecodec.network.quantized import path_of

SLOPE = np.float32(0.125)

Backward = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class _Floats:
    weight: np.ndarray  # [rows, outputs]
    bias: np.ndarray  # [outputs]


class FloatNetwork:
    """A quantized network, differentiable in its inputs."""

    def __init__(self, network: Network) -> None:
        self._layers = network.layers
        self._floats = {path: _to_floats(integers) for path, integers in network.parameters.items()}

    def forward(self, x: np.ndarray, side: np.ndarray | None = None) -> tuple[np.ndarray, Pass]:
        """Output for `x` and the second input `side`, and the pass, which propagates gradients back."""
        record = Pass(side)
        y, record.backward_input = _run(self._layers, "", self._floats, x, record)
        return y, record


class Pass:
    """One forward pass, recorded for the backward pass."""

    backward_input: Backward

    def __init__(self, side: np.ndarray | None) -> None:
        self.side = side
        self.side_gradient: np.ndarray | None = None

    def backward(self, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Gradients for both inputs from that of the output; None if no layer reads the second. Call it once only."""
        return self.backward_input(gradient), self.side_gradient

    def add_side_gradient(self, gradient: np.ndarray) -> None:
        self.side_gradient = gradient if self.side_gradient is None else self.side_gradient + gradient


def _to_floats(own: QuantizedParameters) -> _Floats:
    scale = np.ldexp(1.0, -own.shift.astype(np.intc))
    rounding = np.where(own.shift > 0, 0.5, 0.0)  # the mean loss of a floor that drops bits
    return _Floats((own.weight * scale).astype(np.float32), (own.bias * scale - rounding).astype(np.float32))


def _run(
    layers: Layers, prefix: str, floats: dict[str, _Floats], x: np.ndarray, record: Pass
) -> tuple[np.ndarray, Backward]:
    way_back: list[Backward] = []
    for position, layer in enumerate(layers):
        x, back = _apply(layer, path_of(prefix, position), floats, x, record)
        way_back.append(back)

    def backward(gradient: np.ndarray) -> np.ndarray:
        while way_back:  # popping frees the saved activations and breaks the reference cycle
            gradient = way_back.pop()(gradient)
        return gradient

    return x, backward


def _apply(
    layer: Layer, path: str, floats: dict[str, _Floats], x: np.ndarray, record: Pass
) -> tuple[np.ndarray, Backward]:
    match layer:
        case Conv():
            return _conv(layer, floats[path], x)
        case Depthwise():
            weight = floats[path].weight
            return depthwise(weight, x) + floats[path].bias, lambda g: depthwise(weight[::-1], g)
        case Residual():
            body, back = _run(layer.body, path, floats, x, record)
            both = min(x.shape[-1], body.shape[-1])

            def backward(gradient: np.ndarray) -> np.ndarray:
                own = back(gradient)
                own[..., :both] += gradient[..., :both]
                return own

            return _add(x, body, both), backward
        case SideInput():
            assert record.side is not None, "this network has a second input"
            body, back_side = _run(layer.body, path, floats, record.side, record)
            both = min(x.shape[-1], body.shape[-1])
            channels = x.shape[-1]

            def backward_side(gradient: np.ndarray) -> np.ndarray:
                record.add_side_gradient(back_side(gradient))
                return _fit_channels(gradient, channels)

            return _add(x, body, both), backward_side
        case DepthToSpace():
            return shuffle(x, layer.factor, layer.crop), lambda g: _unshuffle(g, layer.factor, layer.crop)
        case NearestUpsample():
            factor = layer.factor
            return x.repeat(factor, axis=1).repeat(factor, axis=2), lambda g: _gather(g, factor)
        case _:
            return unknown_kind(layer)


def _add(x: np.ndarray, body: np.ndarray, both: int) -> np.ndarray:
    body[..., :both] += x[..., :both]
    return body


def _fit_channels(x: np.ndarray, channels: int) -> np.ndarray:
    """The first `channels` of `x`, filled up with zeros if it has fewer."""
    missing = channels - x.shape[-1]
    return x[..., :channels] if missing <= 0 else np.pad(x, ((0, 0), (0, 0), (0, 0), (0, missing)))


def _conv(layer: Conv, floats: _Floats, x: np.ndarray) -> tuple[np.ndarray, Backward]:
    shape = x.shape
    pointwise = layer.kernel == 1 and layer.stride == 1 and not layer.padding
    rows = x if pointwise else unfold(pad(x, layer.padding), layer.kernel, layer.stride)
    y = _product(rows, floats.weight)
    y += floats.bias
    slopes = None
    if layer.active:
        slopes = np.where(y > 0, np.float32(1), SLOPE)
        y *= slopes

    def backward(gradient: np.ndarray) -> np.ndarray:
        if slopes is not None:
            gradient = gradient * slopes
        windows = _product(gradient, floats.weight.T)
        return windows if pointwise else _fold(windows, layer, shape)

    return y, backward


def _product(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return (x.reshape(-1, x.shape[-1]) @ weight).reshape(*x.shape[:3], -1)


def _fold(windows: np.ndarray, layer: Conv, shape: tuple[int, ...]) -> np.ndarray:
    """The adjoint of padding and `unfold`: sums windows [B, H', W', kernel*kernel*C] at their places."""
    batch, rows, columns, channels = shape
    kernel, stride, padding = layer.kernel, layer.stride, layer.padding
    split = windows.reshape(*windows.shape[:3], kernel, kernel, channels)
    total = np.zeros((batch, rows + 2 * padding, columns + 2 * padding, channels), np.float32)
    for row in range(kernel):
        for column in range(kernel):
            down, right = row + stride * split.shape[1], column + stride * split.shape[2]
            total[:, row:down:stride, column:right:stride] += split[:, :, :, row, column]
    return total[:, padding : padding + rows, padding : padding + columns]


def _unshuffle(x: np.ndarray, factor: int, crop: int) -> np.ndarray:
    """The adjoint of `shuffle`."""
    whole = np.pad(x, ((0, 0), (crop, crop), (crop, crop), (0, 0)))
    batch, rows, columns, channels = whole.shape
    split = whole.reshape(batch, rows // factor, factor, columns // factor, factor, channels)
    return split.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows // factor, columns // factor, -1)


def _gather(x: np.ndarray, factor: int) -> np.ndarray:
    """The adjoint of repeating every sample `factor` times in both directions."""
    batch, rows, columns, channels = x.shape
    return x.reshape(batch, rows // factor, factor, columns // factor, factor, channels).sum((2, 4))
