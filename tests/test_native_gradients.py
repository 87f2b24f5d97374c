"""Gradients on the kernels point where those in floats point, and the forward pass is the exact network."""

from __future__ import annotations

import numpy as np
import pytest

from aecodec.codec.architectures import ARCHITECTURES
from aecodec.native import library
from aecodec.network.choice import differentiable
from aecodec.network.gradients import FloatNetwork
from aecodec.network.layers import Conv
from aecodec.network.layers import Depthwise
from aecodec.network.layers import Layers
from aecodec.network.layers import Residual
from aecodec.network.layers import SideInput
from aecodec.network.layers import expansion
from aecodec.network.layers import walk
from aecodec.network.native_gradients import NativeGradients
from aecodec.network.native_gradients import Unsupported
from aecodec.network.numpy_runtime import NumpyRuntime
from aecodec.network.quantized import Network
from aecodec.network.quantized import QuantizedParameters

LIBRARY, CHOSEN = library.load(), library.kernel_set()
if isinstance(LIBRARY, str) or isinstance(CHOSEN, str):
    pytest.skip(f"no kernels: {library.describe()}", allow_module_level=True)


def network_of(layers: Layers, rng: np.random.Generator, channels: int, side: int = 3) -> Network:
    """Random weights that keep the scale of what goes through, as trained ones do; wide bounds."""
    numbers = {}
    for path, layer in walk(layers, ""):
        if layer.weight_shape is None:
            continue
        rows, outputs = layer.weight_shape
        shift = np.full(outputs, int(np.log2(40 * np.sqrt(rows)))) + rng.integers(0, 2, outputs)
        wide = np.full(outputs, 1 << 13)
        weight = np.clip(rng.normal(0, 40, (rows, outputs)), -127, 127).astype(np.int8)
        numbers[path.removeprefix(".")] = QuantizedParameters(weight, np.zeros(outputs, np.int64), shift, -wide, wide)
    return Network(layers, numbers, np.full(channels, 500.0), np.full(side, 500.0), 0)


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    return float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum()))


BLOCK = (
    Residual((Conv(12, 12, active=True), Depthwise(12), Conv(12, 12))),
    Residual((Conv(12, 24, active=True), Conv(24, 12))),
)
KINDS: dict[str, Layers] = {
    "1x1": (Conv(6, 12),),
    "3x3 active": (Conv(6, 12, kernel=3, padding=1, active=True), Conv(12, 5)),
    "depthwise": (Conv(6, 12), Depthwise(12)),
    "expansion": (*expansion(6, 12, 2, active=True), Conv(12, 4, kernel=3, padding=1)),
    "blocks": (Conv(6, 12, kernel=3, padding=1), *BLOCK, *BLOCK, *expansion(12, 3, 4)),
    "side": (Conv(6, 12), SideInput((Conv(3, 12, active=True), Conv(12, 12))), *BLOCK),
    "two sides": (SideInput((Conv(3, 6),)), Conv(6, 12, active=True), SideInput((Conv(3, 12),)), *BLOCK),
}


@pytest.mark.parametrize("scale", [1e-9, 1.0, 3e7])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_point_where_floats_do(kind: str, scale: float) -> None:
    rng = np.random.default_rng(len(kind))
    network = network_of(KINDS[kind], rng, 6)
    native = NativeGradients(LIBRARY, CHOSEN[0], network)
    x, side = (rng.integers(-400, 401, (1, 9, 7, channels)).astype(np.float32) for channels in (6, 3))
    y, way_back = native.forward(x, side)
    np.testing.assert_array_equal(y, NumpyRuntime().run(network, x, side))
    _, float_back = FloatNetwork(network).forward(x, side)
    gradient = (scale * rng.normal(0, 1, y.shape)).astype(np.float32)
    for own, other in zip(way_back.backward(gradient), float_back.backward(gradient), strict=True):
        assert (own is None) == (other is None)
        if own is not None and other is not None:
            assert own.shape == other.shape and own.dtype == np.float32
            assert cosine(own, other) > 0.99
            assert np.linalg.norm(own) == pytest.approx(np.linalg.norm(other), rel=0.1)


def test_no_gradient_is_none() -> None:
    network = network_of(KINDS["blocks"], np.random.default_rng(0), 6)
    _, way_back = NativeGradients(LIBRARY, CHOSEN[0], network).forward(np.ones((1, 4, 4, 6), np.float32))
    by_x, _ = way_back.backward(np.zeros((1, 16, 16, 3), np.float32))
    assert not by_x.any()


@pytest.mark.parametrize("name", ["standard", "light"])
def test_every_network_of_a_decoder_runs_on_the_kernels(name: str) -> None:
    architecture, rng = ARCHITECTURES[name](), np.random.default_rng(0)
    for part in ("synthesis", "hyper_synthesis", "context0", "context1"):
        layers = architecture.networks()[part]
        channels = {"context0": 32, "context1": 48}.get(part, 16)
        assert isinstance(differentiable(network_of(layers, rng, channels, 32)), NativeGradients)


def test_what_the_kernels_cannot_differentiate_runs_in_floats() -> None:
    rng = np.random.default_rng(1)
    for layers in (
        (Conv(6, 4, kernel=4, stride=2),),
        (Residual((Conv(6, 8),)),),
        (Residual((Conv(6, 6, active=True),)),),
    ):
        network = network_of(layers, rng, 6)
        assert isinstance(differentiable(network), FloatNetwork)
        with pytest.raises(Unsupported):
            NativeGradients(LIBRARY, CHOSEN[0], network)
