"""Every interpreter of networks has a case for every kind of layer, and refuses a kind that it does not know."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast
from typing import get_args

import numpy as np
import pytest

from aecodec.network.gradients import FloatNetwork
from aecodec.network.layers import KINDS
from aecodec.network.layers import Conv
from aecodec.network.layers import DepthToSpace
from aecodec.network.layers import Depthwise
from aecodec.network.layers import Layer
from aecodec.network.layers import NearestUpsample
from aecodec.network.layers import Residual
from aecodec.network.layers import SideInput
from aecodec.network.layers import from_json
from aecodec.network.layers import to_json
from aecodec.network.layers import walk
from aecodec.network.numpy_runtime import NumpyRuntime
from aecodec.network.quantized import Network
from aecodec.network.quantized import QuantizedParameters
from helpers.native import native_runtimes
from helpers.spec import run_by_spec

torch = pytest.importorskip("torch")
from aecodec.network.torch_runtime import TorchRuntime
from aecodec.train.layers import Mode
from aecodec.train.layers import Scale
from aecodec.train.layers import Stack

# One layer of each kind for an input of 6x6 samples in 4 channels and a second input in 3, and the shape of its output.
EXAMPLES: dict[type[Layer], tuple[Layer, tuple[int, int, int]]] = {
    Conv: (Conv(4, 5, kernel=4, stride=2, padding=1), (3, 3, 5)),
    Depthwise: (Depthwise(4), (6, 6, 4)),
    Residual: (Residual((Conv(4, 5),)), (6, 6, 5)),
    SideInput: (SideInput((Conv(3, 4),)), (6, 6, 4)),
    DepthToSpace: (DepthToSpace(2, 1), (10, 10, 1)),
    NearestUpsample: (NearestUpsample(2), (12, 12, 4)),
}
INPUT_BOUND = np.array([500.0, 400.0, 300.0, 200.0])


class Unheard:
    """A seventh kind, which no interpreter knows."""

    file_name = "Unheard"
    children, weight_shape, receptive_field, reduction, enlargement = (), None, 0, 1, 1


def parameters(layer: Layer, prefix: str = "") -> dict[str, QuantizedParameters]:
    numbers = {}
    for path, inner in walk((layer,), prefix):
        if inner.weight_shape is not None:
            outputs = inner.weight_shape[1]
            columns = [np.full(outputs, value) for value in (0, 2, -50, 49)]
            numbers[path.removeprefix(".")] = QuantizedParameters(np.ones(inner.weight_shape, np.int8), *columns)
    return numbers


def network(layer: Layer) -> Network:
    return Network((layer,), parameters(layer), INPUT_BOUND, np.full(3, 100.0), 0)


def inputs() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.integers(-200, 201, (1, 6, 6, 4)), rng.integers(-100, 101, (1, 6, 6, 3))


def in_numpy(layer: Layer) -> np.ndarray:
    return NumpyRuntime().run(network(layer), *inputs())[0]


def in_torch(layer: Layer) -> np.ndarray:
    return TorchRuntime("cpu").run(network(layer), *inputs())[0]


def on_kernels(layer: Layer) -> np.ndarray:
    """Where there are none, an interpreter that is known to be right stands in."""
    return next(iter(native_runtimes().values()), NumpyRuntime()).run(network(layer), *inputs())[0]


def in_floats(layer: Layer) -> np.ndarray:
    x, side = (values.astype(np.float32) for values in inputs())
    y, way_back = FloatNetwork(network(layer)).forward(x, side)
    by_x, by_side = way_back.backward(np.ones_like(y))
    assert by_x.shape == x.shape and (by_side is None or by_side.shape == side.shape)
    return y[0]


def in_training(layer: Layer) -> np.ndarray:
    mode = Mode()
    stack = Stack((layer,), mode, Scale(mode, 1.0), Scale(mode, 1.0))
    x, side = (torch.from_numpy(np.moveaxis(values, -1, 1).copy()).float() for values in inputs())
    assert len(stack.bound(torch.from_numpy(INPUT_BOUND), torch.full((3,), 100.0))) == EXAMPLES[type(layer)][1][2]
    return np.moveaxis(stack(x, side).detach().numpy()[0], 0, -1)


def in_the_one_file_decoder(layer: Layer) -> np.ndarray:
    described = [{"layer": layer.file_name}] if isinstance(layer, Unheard) else to_json((layer,))
    x, side = inputs()
    return run_by_spec(network(layer), described, x[0], side[0])


INTERPRETERS: dict[str, Callable[[Layer], np.ndarray]] = {
    "numpy": in_numpy,
    "native": on_kernels,
    "torch": in_torch,
    "gradients": in_floats,
    "training": in_training,
    "the one-file decoder": in_the_one_file_decoder,
}
by_name = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def test_the_list_of_kinds_is_whole():
    assert set(KINDS) == set(get_args(Layer)) == set(EXAMPLES)
    assert len({kind.file_name for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("interpreter", INTERPRETERS)
@by_name
def test_every_interpreter_has_every_kind(interpreter: str, kind: type[Layer]):
    layer, shape = EXAMPLES[kind]
    assert INTERPRETERS[interpreter](layer).shape == shape


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_every_interpreter_refuses_a_kind_it_does_not_know(interpreter: str, monkeypatch: pytest.MonkeyPatch):
    if interpreter != "training":  # so that the network gets past its bounds
        monkeypatch.setattr("aecodec.network.quantized.unknown_kind", lambda layer: None)
    with pytest.raises(Exception, match="Unheard"):
        INTERPRETERS[interpreter](cast(Layer, Unheard()))


def test_bounds_refuse_a_kind_they_do_not_know():
    with pytest.raises(TypeError, match="no case for this kind of layer: .*Unheard"):
        network(cast(Layer, Unheard()))


@by_name
def test_bounds_hold_for_every_kind(kind: type[Layer]):
    layer, shape = EXAMPLES[kind]
    bound = np.broadcast_to(network(layer).output_bound, shape[2:])
    assert (np.abs(in_numpy(layer)).max((0, 1)) <= bound).all()


@by_name
def test_every_kind_states_its_own_arithmetic(kind: type[Layer]):
    layer, (rows, columns, _) = EXAMPLES[kind]
    crop = layer.crop if isinstance(layer, DepthToSpace) else 0
    assert (rows, columns) == (6 * layer.enlargement // layer.reduction - 2 * crop,) * 2
    assert from_json(to_json((layer,))) == (layer,)
    products = [inner for _, inner in walk((layer,), "") if inner.weight_shape is not None]
    weights = sum(int(np.prod(inner.weight_shape or ())) for inner in products)
    assert layer.multiply_adds == weights, "each weight is used once for each position"
    wide = any(inner.weight_shape != (inner.inputs, inner.outputs) for inner in products if isinstance(inner, Conv))
    assert (layer.receptive_field > 0) == (wide or isinstance(layer, Depthwise))
