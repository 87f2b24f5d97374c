"""Every runtime and carrier gives the integers of the decoder made of the format's pages alone."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from aecodec.network.layers import Conv
from aecodec.network.layers import DepthToSpace
from aecodec.network.layers import Depthwise
from aecodec.network.layers import Layers
from aecodec.network.layers import NearestUpsample
from aecodec.network.layers import Residual
from aecodec.network.layers import SideInput
from aecodec.network.layers import expansion
from aecodec.network.layers import to_json
from aecodec.network.layers import walk
from aecodec.network.numpy_runtime import NumpyRuntime
from aecodec.network.numpy_runtime import float32_is_exact
from aecodec.network.numpy_runtime import known_product
from aecodec.network.quantized import FLOAT32_LIMIT
from aecodec.network.quantized import Network
from aecodec.network.quantized import QuantizedParameters
from aecodec.network.quantized import Runtime
from helpers.native import native_runtimes
from helpers.spec import run_by_spec

torch = pytest.importorskip("torch")
from aecodec.network.torch_runtime import TorchRuntime

RUNTIMES: dict[str, Runtime] = {
    "numpy": NumpyRuntime(),
    "numpy in float64": NumpyRuntime(np.float64),
    "torch": TorchRuntime("cpu"),
    **native_runtimes(),
}
INPUT, SIDE, CHANNELS, SIDE_CHANNELS = 1023, 500, 5, 3


def random_integers(layer: Conv | Depthwise, rng: np.random.Generator) -> QuantizedParameters:
    rows, outputs = layer.weight_shape
    shift = rng.integers(-2, 14, outputs)
    edge = rng.integers(1, 1 << (layer.bits - 1), outputs)
    return QuantizedParameters(
        weight=rng.integers(-127, 128, (rows, outputs)).astype(np.int8),
        bias=rng.integers(-(1 << 16), 1 << 16, outputs),
        shift=shift,
        low=-edge - rng.integers(0, 2, outputs) if rng.random() < 0.7 else np.zeros(outputs, np.int64),
        high=edge if rng.random() < 0.5 else np.full(outputs, edge[0]),
    )


def random_network(layers: Layers, rng: np.random.Generator) -> Network:
    numbers = {
        path.removeprefix("."): random_integers(layer, rng)
        for path, layer in walk(layers, "")
        if isinstance(layer, (Conv, Depthwise))
    }
    return Network(layers, numbers, np.full(CHANNELS, float(INPUT)), np.full(SIDE_CHANNELS, float(SIDE)), 0)


def assert_all_agree(network: Network, x: np.ndarray, side: np.ndarray | None = None) -> np.ndarray:
    second = side if side is not None else np.zeros((*x.shape[:3], SIDE_CHANNELS), np.int64)
    described = to_json(network.layers)
    expected = np.stack([run_by_spec(network, described, *pair) for pair in zip(x, second, strict=True)])
    for name, runtime in RUNTIMES.items():
        before = x.copy()
        got = runtime.run(network, x, side)
        assert got.shape == expected.shape, name
        assert np.array_equal(got, expected), name
        assert np.array_equal(x, before), f"{name} changed its input"
    return expected


KINDS: dict[str, Layers] = {
    "1x1": (Conv(5, 4),),
    "1x1 active": (Conv(5, 4, active=True),),
    "3x3": (Conv(5, 4, kernel=3, padding=1),),
    "strided": (Conv(5, 4, kernel=4, stride=2, padding=1, active=True),),
    "lapped": (Conv(5, 2, kernel=8, stride=4, padding=2),),
    "strided 1x1": (Conv(5, 4, stride=2),),
    "padded 1x1": (Conv(5, 4, padding=2, active=True),),
    "depthwise": (Depthwise(5),),
    "expansion": expansion(5, 2, 2, active=True),
    "repeat": (NearestUpsample(2), Conv(5, 4, kernel=3, padding=1)),
    "residual": (Residual((Conv(5, 7, active=True), Depthwise(7), Conv(7, 5))),),
    "residual to more channels": (Residual((Conv(5, 8, kernel=3, padding=1),)), Conv(8, 2)),
    "residual to fewer channels": (Residual((Conv(5, 3, kernel=3, padding=1, active=True),)), Conv(3, 2)),
    "nested": (Residual((Residual((Conv(5, 5, active=True),)), Conv(5, 5))),),
    "side": (Conv(5, 6), SideInput((Conv(3, 6),)), Residual((Conv(6, 6),))),
    "side in two layers": (Conv(5, 6), SideInput((Conv(3, 4, active=True), Conv(4, 6)))),
    "wider side": (SideInput((Conv(3, 7, active=True), Depthwise(7))), Conv(7, 2)),
    "strides that leave samples over": (Conv(5, 3, kernel=2, stride=3), Conv(3, 4)),
    "moves": (Conv(5, 18), DepthToSpace(3, 1), Depthwise(2), NearestUpsample(2), Conv(2, 4), DepthToSpace(2, 0)),
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8)
@given(seed=st.integers(0, 2**32 - 1), batch=st.integers(1, 2), rows=st.sampled_from([4, 6]), extreme=st.booleans())
def test_every_kind_of_layer(kind: str, seed: int, batch: int, rows: int, extreme: bool):
    rng = np.random.default_rng(seed)
    network = random_network(KINDS[kind], rng)
    x = rng.integers(-INPUT, INPUT + 1, (batch, rows, 4, CHANNELS), dtype=np.int32)
    side = rng.integers(-SIDE, SIDE + 1, (batch, rows, 4, SIDE_CHANNELS), dtype=np.int32)
    if extreme:
        x, side = np.sign(x) * INPUT, np.sign(side) * SIDE
    assert_all_agree(network, x, side)


def single(layer: Conv, weight: list[list[int]], **numbers: int) -> Network:
    values = {"bias": 0, "shift": 0, "low": -1024, "high": 1023} | numbers
    columns = {name: np.full(layer.outputs, value, np.int64) for name, value in values.items()}
    own = QuantizedParameters(weight=np.array(weight, np.int8), **columns)
    return Network((layer,), {"0": own}, np.array([float(INPUT)] * layer.inputs), np.zeros(1), 0)


def row_of(values: range) -> np.ndarray:
    return np.array(values, np.int32)[None, None, :, None]


def test_requantisation_rounds_halves_up_and_floors_negatives():
    """Shift 3 with its constant 4 in the bias: -12 / 8 is -1.5 and goes to -1, -13 / 8 to -2."""
    out = assert_all_agree(single(Conv(1, 1), [[1]], shift=3, bias=4), row_of(range(-40, 41)))
    assert dict(zip(range(-40, 41), out.ravel().tolist(), strict=True)) == {v: (v + 4) // 8 for v in range(-40, 41)}
    assert out[0, 0, [27, 28, 43, 44], 0].tolist() == [-2, -1, 0, 1]  # of -13, -12, 3, 4


def test_clipping_reaches_its_bounds_and_no_further():
    out = assert_all_agree(single(Conv(1, 1), [[1]], low=-7, high=5), row_of(range(-9, 9)))
    assert out.ravel().tolist() == [-7, -7, *range(-7, 5), 5, 5, 5, 5]


def test_leaky_relu_rounds_an_eighth():
    out = assert_all_agree(single(Conv(1, 1, active=True), [[1]]), row_of(range(-20, 4)))
    assert out.ravel().tolist() == [max(v, (v + 4) // 8) for v in range(-20, 4)]
    assert out[0, 0, [0, 7, 8, 15, 16], 0].tolist() == [-2, -2, -1, -1, 0]  # of -20, -13, -12, -5, -4: halves go up


@pytest.mark.parametrize("shift", [0, 1, 3, 9, 16, 20, 23, 30])
def test_leaky_relu_is_exact_around_every_step_at_every_shift(shift: int):
    """Sums of up to 24 bits one unit about each value whose eighth ends in a half, at both ends and about 0."""
    steps = np.array([-20, -12, -4, -2, 0, 1, 4, 12, -(1 << 20), 1 << 20]) << shift
    sums = np.unique(np.concatenate([steps + unit for unit in range(-3, 4)] + [np.arange(-9, 10)]))
    limit = (1 << 24) - 1
    sums = np.concatenate([sums[np.abs(sums) < limit], [-limit, limit]]) if shift else sums[np.abs(sums) < 1 << 22]
    network = single(Conv(1, 1, active=True), [[1]], shift=shift, low=-(1 << 22), high=1 << 22)
    assert_all_agree(network, sums[None, None, :, None])


def test_bounds_of_an_activated_layer_are_those_before_its_activation():
    for low, high in ((-100, -20), (-4, 9), (3, 7), (-130, -1)):
        out = assert_all_agree(single(Conv(1, 1, active=True), [[1]], low=low, high=high), row_of(range(-150, 30)))
        assert out.min() == max(low, (low + 4) // 8)
        assert out.max() == max(high, (high + 4) // 8)
    columns = {"bias": [0, 0], "shift": [0, 0], "low": [-9, -40], "high": [5, -3]}
    own = QuantizedParameters(
        np.array([[1, 1]], np.int8), **{name: np.array(values) for name, values in columns.items()}
    )
    network = Network((Conv(1, 2, active=True),), {"0": own}, np.array([float(INPUT)]), np.zeros(1), 0)
    out = assert_all_agree(network, row_of(range(-50, 50)))
    assert out.min((0, 1, 2)).tolist() == [-1, -5]
    assert out.max((0, 1, 2)).tolist() == [5, 0]


def test_a_residual_sum_is_clipped_to_the_bounds_of_its_body():
    layers = (Residual((Conv(1, 1),)),)
    numbers = {"0.0": QuantizedParameters(np.array([[1]], np.int8), *(np.array([v]) for v in (0, 0, -100, 99)))}
    network = Network(layers, numbers, np.array([float(INPUT)]), np.zeros(1), 0)
    out = assert_all_agree(network, row_of(range(-120, 121, 10)))
    assert out.min() == -100 and out.max() == 99 and 80 in out


@pytest.mark.parametrize("inputs", [128, 130, 256])
def test_a_layer_whose_sums_pass_2_24_runs_in_float64_and_is_right(inputs: int):
    """Sums of odd numbers beyond 2^24 are not representable in float32; their last bit shows in the result."""
    layer = Conv(inputs, 2, bits=20)
    weight = np.full((inputs, 2), 127, np.int8)
    weight[:, 1] = np.where(np.arange(inputs) % 2, 127, 125)
    bounds = [np.array([v, v]) for v in (1, 6, -(1 << 19), (1 << 19) - 1)]
    network = Network((layer,), {"0": QuantizedParameters(weight, *bounds)}, np.full(inputs, 1023.0), np.zeros(1), 0)
    assert (network.bounds["0"] >= FLOAT32_LIMIT) == (inputs > 129)
    rng = np.random.default_rng(inputs)
    for x in (rng.integers(1000, 1024, (1, 8, 8, inputs)), np.full((1, 1, 1, inputs), 1023)):
        assert_all_agree(network, x.astype(np.int32))


def test_float32_gets_that_layer_wrong():
    """Why the bound matters: the same network with its bound understated."""
    inputs = 300
    bounds = [np.array([v]) for v in (3, 3, -(1 << 23), 1 << 23)]
    layers, numbers = (Conv(inputs, 1),), {"0": QuantizedParameters(np.full((inputs, 1), 127, np.int8), *bounds)}
    network = Network(layers, numbers, np.full(inputs, 1.0), np.zeros(1), 0)
    x = np.full((1, 1, 1, inputs), 1023)
    assert network.bounds["0"] < FLOAT32_LIMIT
    assert RUNTIMES["numpy"].run(network, x).item() != (127 * 1023 * inputs + 3) >> 3


def test_bounds_are_the_largest_possible_sums():
    layers = (Conv(2, 2), Residual((Conv(2, 2),)))
    first = QuantizedParameters(
        np.array([[3, -100], [-4, 100]], np.int8), *(np.array([v, -v]) for v in (9, 0)), *clip(-50, 40)
    )
    second = QuantizedParameters(
        np.array([[1, 2], [3, 4]], np.int8), *(np.array([0, 0]) for _ in range(2)), *clip(-8, 7)
    )
    network = Network(layers, {"0": first, "1.0": second}, np.array([10.0, 20.0]), np.zeros(1), 0)
    assert network.bounds == {"0": 100 * 10 + 100 * 20 + 9, "1.0": 50 * (2 + 4)}


def clip(low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    return np.array([low, low]), np.array([high, high])


def test_the_second_input_bounds_its_own_branch():
    layers = (Conv(1, 1), SideInput((Conv(1, 1),)))
    own = QuantizedParameters(np.array([[2]], np.int8), *(np.array([v]) for v in (0, 0, -8, 7)))
    network = Network(layers, {"0": own, "1.0": own}, np.array([10.0]), np.array([1000.0]), 0)
    assert network.bounds == {"0": 20, "1.0": 2000}


def test_sums_beyond_2_52_are_refused():
    with pytest.raises(ValueError, match=r"layer 0: sums can reach 2\^52\.\d, more than 2\^52"):
        single(Conv(1, 1), [[1]], bias=(1 << 52) + (1 << 50))


@pytest.mark.parametrize("bounds", [{"high": (1 << 23) + 1}, {"low": -(1 << 23) - 1}])
def test_values_that_float32_might_not_add_are_refused(bounds: dict[str, int]):
    assert single(Conv(1, 1), [[1]], low=-(1 << 23), high=1 << 23)
    with pytest.raises(ValueError, match=r"layer 0: values can reach 8388609, more than 2\^23"):
        single(Conv(1, 1), [[1]], **bounds)


def test_this_machine_multiplies_exactly_in_float32():
    assert float32_is_exact()


@pytest.mark.parametrize("bits", [8, 11, 16, 22])
def test_the_known_product_tells_reduced_precision(bits: int):
    """As TF32 keeps 11 bits of each factor, bfloat16 8; and where only the sum is rounded, to 22."""
    x, w, expected = known_product()
    assert (x.astype(np.float64) @ w == expected).all()

    def reduced(values: np.ndarray) -> np.ndarray:
        mantissa, exponent = np.frexp(values)
        return np.ldexp(np.round(mantissa * 2.0**bits), exponent - bits)

    assert (reduced(reduced(x) @ reduced(w)) != expected).all()


def test_torch_is_exact_at_any_precision_the_caller_set():
    """The caller's reduced precision and autocast apply to its own products and stay as set."""
    early = TorchRuntime("cpu")
    rng = np.random.default_rng(3)
    network = random_network(KINDS["residual"], rng)
    x = rng.integers(-INPUT, INPUT + 1, (1, 8, 8, CHANNELS))
    expected = RUNTIMES["numpy"].run(network, x)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for runtime in (early, TorchRuntime("cpu")):
                assert np.array_equal(runtime.run(network, x), expected)
            assert torch.is_autocast_enabled("cpu")
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="this torch has the older setting only")
def test_torch_is_exact_where_the_caller_took_the_newer_setting():
    """In a separate process, since the setting cannot be undone: after it, the older one cannot even be read."""
    code = """
import numpy as np, torch
from aecodec.network.torch_runtime import TorchRuntime
from aecodec.network.numpy_runtime import known_product
torch.backends.fp32_precision = "tf32"
torch.backends.mkldnn.matmul.fp32_precision = "bf16"
runtime, seen = TorchRuntime("cpu"), []
import aecodec.network.torch_runtime
aecodec.network.torch_runtime.run_layers = lambda layers, apply, x, side, wanted: seen.append([
    torch.backends.cuda.matmul.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision]) or x
class Empty: layers, parameters, output_bound = (), {}, np.ones(1)
runtime.run(Empty(), np.zeros((1, 1, 1, 1)))
assert runtime._float32_is_exact
print(seen, torch.backends.cuda.matmul.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[['ieee', 'ieee']] tf32 bf16\n"), done.stderr


def test_flags_of_the_processor_are_no_warnings(monkeypatch: pytest.MonkeyPatch):
    """Some libraries' products raise them for columns of padding."""
    seen: list[dict[str, str]] = []
    monkeypatch.setattr(
        "aecodec.network.numpy_runtime.run_layers", lambda *arguments: seen.append(np.geterr()) or arguments[2]
    )
    with np.errstate(all="raise"):
        NumpyRuntime().run(single(Conv(1, 1), [[1]]), np.ones((1, 1, 1, 1)))
        assert np.geterr()["divide"] == "raise"
    assert set(seen[0].values()) == {"ignore"}


def test_a_runtime_keeps_networks_apart():
    """Prepared weights are kept by identity: a network at the address of an earlier one must not get its weights."""
    runtime = NumpyRuntime()
    x = np.ones((1, 1, 1, 1))
    for weight in range(1, 40):
        assert runtime.run(single(Conv(1, 1), [[weight]]), x).item() == weight


def test_a_network_with_a_second_input_wants_it():
    network = random_network(KINDS["side"], np.random.default_rng(0))
    with pytest.raises(AssertionError, match="second input"):
        NumpyRuntime().run(network, np.zeros((1, 2, 2, CHANNELS)))
