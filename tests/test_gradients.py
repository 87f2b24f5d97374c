"""Float networks follow the exact runtimes except for their rounding, and their gradients are right."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from aecodec.network.gradients import FloatNetwork
from aecodec.network.layers import Conv
from aecodec.network.layers import DepthToSpace
from aecodec.network.layers import Depthwise
from aecodec.network.layers import Layers
from aecodec.network.layers import NearestUpsample
from aecodec.network.layers import Residual
from aecodec.network.layers import SideInput
from aecodec.network.layers import expansion
from aecodec.network.layers import walk
from aecodec.network.numpy_runtime import NumpyRuntime
from aecodec.network.quantized import Network
from aecodec.network.quantized import QuantizedParameters

# Every kind of layer, and every way in which channel counts can differ in a sum. Inputs of 4 channels, 3 beside.
NETWORKS: dict[str, Layers] = {
    "pointwise": (Conv(4, 6, active=True), Conv(6, 5)),
    "windows": (Conv(4, 6, kernel=3, padding=1, active=True), Conv(6, 5, kernel=4, stride=2, padding=1)),
    "depthwise": (Depthwise(4),),
    "residual": (Residual((Conv(4, 4, active=True), Depthwise(4), Conv(4, 4))),),
    "wider": (Residual((Conv(4, 7),)),),
    "narrower": (Residual((Conv(4, 2),)),),
    "side": (SideInput((Conv(3, 4),)), Residual((Conv(4, 4, active=True),)), SideInput((Conv(3, 4, active=True),))),
    "wider side": (SideInput((Conv(3, 6),)), Conv(6, 2)),
    "narrower side": (SideInput((Conv(3, 2),)),),
    "expansion": expansion(4, 3, 2, active=True),
    "shuffle": (Conv(4, 8), DepthToSpace(2, 1)),
    "repeat": (NearestUpsample(3), Conv(4, 2, kernel=3, padding=1)),
}


def network(layers: Layers, shift: int = 12) -> Network:
    rng = np.random.default_rng(1)
    integers = {}
    for path, layer in walk(layers, "n"):
        if layer.weight_shape is not None:
            rows, outputs = layer.weight_shape
            integers[path.removeprefix("n.")] = QuantizedParameters(
                weight=rng.integers(-127, 128, (rows, outputs)).astype(np.int8),
                bias=rng.integers(-(2**15), 2**15, outputs) + 2 ** (shift - 1),
                shift=np.full(outputs, shift),
                low=np.full(outputs, -(2**22)),
                high=np.full(outputs, 2**22 - 1),
            )
    return Network(layers, integers, np.full(4, 2.0**15), np.full(3, 2.0**15), 0)


def inputs() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    x, side = (rng.integers(-30_000, 30_000, (2, 6, 8, channels)).astype(np.float32) for channels in (4, 3))
    return x, side


@pytest.mark.parametrize("name", NETWORKS)
def test_the_forward_pass_is_the_engine_without_rounding(name: str):
    own = network(NETWORKS[name])
    x, side = inputs()
    exact = NumpyRuntime().run(own, x, side)
    near, _ = FloatNetwork(own).forward(x, side)
    assert near.shape == exact.shape
    assert np.abs(near - exact).max() < 8, "of values up to some thousand"
    assert abs(float((near - exact).mean())) < 0.3, "floor is a half on average"


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_differences(name: str):
    """Along random directions of both inputs; a small step stays within one linear piece of the activations."""
    own = FloatNetwork(network(NETWORKS[name]))
    x, side = inputs()
    rng = np.random.default_rng(3)
    y, record = own.forward(x, side)
    weights = rng.standard_normal(y.shape).astype(np.float32)
    by_x, by_side = record.backward(weights)
    assert by_x.shape == x.shape
    for _ in range(4):
        along_x, along_side = (rng.standard_normal(values.shape).astype(np.float32) for values in (x, side))
        moved = [own.forward(x + sign * along_x, side + sign * along_side)[0] for sign in (1, -1)]
        expected = float(((moved[0] - moved[1]).astype(np.float64) * weights).sum() / 2)
        found = float((by_x * along_x).sum()) + (0 if by_side is None else float((by_side * along_side).sum()))
        assert found == pytest.approx(expected, rel=2e-2, abs=2e-2 * float(np.abs(by_x).sum() ** 0.5))
    assert (by_side is None) == ("side" not in name)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_backward_pass_leaves_no_garbage(name: str):
    """A step of a refinement holds hundreds of megabytes; Python collects cycles only after many steps."""
    own = FloatNetwork(network(NETWORKS[name]))
    gc.freeze()  # objects of other tests are not searched
    gc.disable()
    try:
        y, record = own.forward(*inputs())
        gone = weakref.ref(record), weakref.ref(y)
        record.backward(np.ones_like(y))
        del y, record
        assert [reference() for reference in gone] == [None, None]
        assert gc.collect() == 0
    finally:
        gc.enable()
        gc.unfreeze()
