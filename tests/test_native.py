"""Every kernel set of this processor against NumPy: shapes, windows, threads, and what the kernels cannot hold."""

from __future__ import annotations

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from aecodec.codec.architectures import ARCHITECTURES
from aecodec.geometry import Box
from aecodec.native import library
from aecodec.native.interface import AecCall
from aecodec.native.interface import address_of
from aecodec.network.layers import Conv
from aecodec.network.layers import DepthToSpace
from aecodec.network.layers import Depthwise
from aecodec.network.layers import Layers
from aecodec.network.layers import NearestUpsample
from aecodec.network.layers import Residual
from aecodec.network.layers import SideInput
from aecodec.network.layers import walk
from aecodec.network.native_runtime import NativeRuntime
from aecodec.network.numpy_runtime import NumpyRuntime
from aecodec.network.quantized import Network
from aecodec.network.quantized import QuantizedParameters
from helpers.native import native_runtimes

NATIVE = native_runtimes()
if not NATIVE:
    pytest.skip(f"no kernels: {library.describe()}", allow_module_level=True)
NUMPY = NumpyRuntime()
INPUT, SIDE = 700, 255


def network_of(layers: Layers, channels: int, rng: np.random.Generator, side: int = 3) -> Network:
    """Random numbers, whose sums stay under 2^24 for inputs of at most 700 and 11 bits inside."""
    numbers = {}
    for path, layer in walk(layers, ""):
        if not isinstance(layer, (Conv, Depthwise)):
            continue
        rows, outputs = layer.weight_shape
        edge = rng.integers(1, 1024, outputs)
        numbers[path.removeprefix(".")] = QuantizedParameters(
            weight=rng.integers(-128, 128, (rows, outputs)).astype(np.int8),
            bias=rng.integers(-(1 << 18), 1 << 18, outputs),
            shift=rng.integers(-3, 16, outputs),
            low=-edge if rng.random() < 0.8 else np.zeros(outputs, np.int64),
            high=edge,
        )
    return Network(layers, numbers, np.full(channels, float(INPUT)), np.full(side, float(SIDE)), 0)


def drawn(bound: int, shape: tuple[int, ...], rng: np.random.Generator, extreme: bool) -> np.ndarray:
    return bound * rng.choice([-1, 1], shape) if extreme else rng.integers(-bound, bound + 1, shape)


def assert_native(network: Network, x: np.ndarray, side: np.ndarray | None = None, wanted: Box | None = None) -> None:
    expected = NUMPY.run(network, x, side, wanted)
    for name, runtime in NATIVE.items():
        got = runtime.run(network, x, side, wanted)
        assert got.dtype == np.int16, f"{name} left it to NumPy"
        np.testing.assert_array_equal(got, expected, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    inputs=st.integers(1, 40),
    outputs=st.integers(1, 150),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    extreme=st.booleans(),
)
def test_convolutions_of_every_shape(
    seed: int, inputs: int, outputs: int, kernel: int, stride: int, extreme: bool
) -> None:
    """Odd channel counts, parts of a vector, panels of several vectors, kernels with an odd number of inputs."""
    rng = np.random.default_rng(seed)
    padding, active = int(rng.integers(0, 3)), bool(rng.integers(2))
    layer = Conv(inputs, outputs, kernel=kernel, stride=stride, padding=padding, active=active)
    rows, columns = (stride * int(count) for count in rng.integers(5, 9, 2))
    x = drawn(INPUT, (int(rng.integers(1, 3)), rows, columns, inputs), rng, extreme)
    assert_native(network_of((layer,), inputs, rng), x)


def body_of(channels: int, hidden: int) -> Layers:
    return (
        Residual((Conv(channels, channels, active=True), Depthwise(channels), Conv(channels, channels))),
        Residual((Conv(channels, hidden, active=True), Conv(hidden, channels))),
    )


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.integers(1, 70),
    hidden=st.integers(1, 140),
    size=st.tuples(st.integers(4, 20), st.integers(4, 20)),
    corner=st.tuples(*[st.floats(0, 1)] * 4),
    extreme=st.booleans(),
)
def test_networks_and_windows(
    seed: int, channels: int, hidden: int, size: tuple[int, int], corner: tuple[float, ...], extreme: bool
) -> None:
    """Blocks as the models have them, with a second input, sums over some channels, and moves; whole and in windows."""
    rng = np.random.default_rng(seed)
    layers = (
        Conv(6, channels, kernel=3, padding=1),
        SideInput((Conv(3, channels),)),
        *body_of(channels, hidden),
        Residual((Conv(channels, channels + 3),)),
        Residual((Residual((Depthwise(channels + 3),)), Conv(channels + 3, channels))),
        Conv(channels, 4 * 8, kernel=2, padding=1),
        DepthToSpace(2, 1),
        NearestUpsample(2),
        Conv(8, 5, kernel=3, padding=1, active=True),
    )
    rows, columns = size
    x, side = (drawn(bound, (1, rows, columns, own), rng, extreme) for bound, own in ((INPUT, 6), (SIDE, 3)))
    network = network_of(layers, 6, rng)
    top, left = int(corner[0] * (rows - 1)), int(corner[1] * (columns - 1))
    bottom, right = (
        first + 1 + int(share * (last - first - 1))
        for first, last, share in ((top, rows, corner[2]), (left, columns, corner[3]))
    )
    for wanted in (None, Box(top, left, bottom, right)):
        assert_native(network, x, side, wanted)


def test_windows_of_a_strided_network() -> None:
    rng = np.random.default_rng(1)
    layers = (Conv(3, 24, kernel=16, stride=8, padding=4), *body_of(24, 48), Conv(24, 16, bits=16))
    network, x = network_of(layers, 3, rng), rng.integers(-255, 256, (2, 96, 128, 3))
    for wanted in (None, Box(3, 2, 9, 13), Box(0, 0, 12, 3), Box(5, 0, 12, 16)):
        assert_native(network, x, wanted=wanted)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_network_of_the_models_runs_on_the_kernels(name: str) -> None:
    """Their numbers are within 16 bits and 2^30; and a caller's array may be of any type and any layout."""
    rng = np.random.default_rng(2)
    architecture = ARCHITECTURES[name]()
    for part, layers in architecture.networks().items():
        channels = {"analysis": 3, "hyper_analysis": 16, "hyper_synthesis": 16, "synthesis": 16, "context0": 32}
        inputs = channels.get(part, 48)
        network = network_of(layers, inputs, rng, side=32)
        has_side = any(isinstance(layer, SideInput) for layer in layers)
        x = drawn(INPUT, (1, 32, 32, inputs), rng, False)
        side = drawn(SIDE, (1, 32, 32, 32), rng, False) if has_side else None
        assert_native(network, x.astype(np.float32), side)
        assert_native(network, np.asfortranarray(x), side)


def single(weight: int = 1, **numbers: int) -> Network:
    values = {"bias": 0, "shift": 0, "low": -1000, "high": 1000} | numbers
    own = QuantizedParameters(np.array([[weight]], np.int8), **{k: np.array([v]) for k, v in values.items()})
    return Network((Conv(1, 1),), {"0": own}, np.array([30000.0]), np.zeros(1), 0)


@pytest.mark.parametrize(
    "network",
    [
        single(high=1 << 15),
        single(low=-(1 << 15) - 1),
        single(shift=-8),
        single(bias=1 << 30),
        single(bias=-(1 << 33), shift=20),
        single(weight=127, bias=(1 << 30) - 127 * 30000, shift=15),
        replace(single(), input_bound=np.array([2.0**15])),
    ],
    ids=["high", "low", "shift", "bias", "bias of 64 bits", "sum", "inputs"],
)
def test_what_16_bits_cannot_hold_runs_on_numpy(network: Network) -> None:
    x = np.arange(-9, 9)[None, None, :, None]
    for runtime in NATIVE.values():
        got = runtime.run(network, x)
        assert got.dtype != np.int16
        np.testing.assert_array_equal(got, NUMPY.run(network, x))


@pytest.mark.parametrize("network", [single(high=(1 << 15) - 1), single(low=-(1 << 15)), single(shift=-7, weight=-128)])
def test_what_16_bits_just_hold_runs_on_the_kernels(network: Network) -> None:
    assert_native(network, np.array([-30000, -257, -1, 0, 1, 255, 30000])[None, None, :, None])


@pytest.mark.parametrize("shift", [0, 1, 9, 22, 29, 30])
def test_every_shift_floors(shift: int) -> None:
    """At the edges of a step, and at sums near 2^30."""
    steps = np.unique(np.concatenate([np.array([-3, -1, 0, 1, 3]) * k for k in (1, 127, 128, 9000, 30000)]))
    for bias in (0, 1 << max(shift - 1, 0), (1 << 30) - 30000 * 128 - 1, -((1 << 30) - 30000 * 128 - 1)):
        x = np.clip(steps, -30000, 30000)[None, None, :, None]
        assert_native(single(weight=-128, bias=bias, shift=shift, low=-(1 << 15), high=(1 << 15) - 1), x)


def test_many_threads_share_a_runtime() -> None:
    rng = np.random.default_rng(4)
    network = network_of((Conv(6, 40, kernel=3, padding=1), *body_of(40, 80)), 6, rng)
    fields = [rng.integers(-INPUT, INPUT + 1, (1, 6 + n % 7, 5 + n % 5, 6)) for n in range(40)]
    expected = [NUMPY.run(network, x) for x in fields]
    for runtime in NATIVE.values():
        fresh = NativeRuntime(runtime._library, runtime._set)  # prepared by the threads at once, too
        with ThreadPoolExecutor(8) as pool:
            for got, own in zip(pool.map(lambda x, r=fresh: r.run(network, x), fields), expected, strict=True):
                np.testing.assert_array_equal(got, own)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_forked_child_can_still_decode() -> None:
    rng = np.random.default_rng(5)
    network, x = network_of(body_of(9, 20), 9, rng), rng.integers(-INPUT, INPUT + 1, (1, 6, 6, 9))
    runtime = next(iter(NATIVE.values()))
    expected = runtime.run(network, x)
    child = os.fork()
    if not child:
        os._exit(0 if np.array_equal(runtime.run(network, x), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0


LIBRARY = next(iter(NATIVE.values()))._library


@settings(max_examples=300, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(-1, 6), st.integers(-1, 4), *[st.sampled_from([-1, 0, 1, 2, 3, 5, 16, 17, 4097, 2**31 - 1])] * 8
        ),
        max_size=4,
    ),
    sizes=st.lists(st.sampled_from([-1, 0, 1, 2, 7, 2**20 + 1, 2**31 - 1]), min_size=10, max_size=10),
)
def test_no_table_of_layers_and_no_call_harms(rows: list[tuple[int, ...]], sizes: list[int]) -> None:
    """The library refuses what is no network, and a call that it could not make: it never reads or writes beyond."""
    table = np.array(rows, np.int32).reshape(-1, 10)
    size = LIBRARY.aec_prepared_size(0, address_of(table), len(table))
    if not 0 <= size < 1 << 22:
        return
    memory = np.zeros(size + 64, np.uint8)
    prepared = memory[-memory.ctypes.data % 64 :]
    weights, numbers = np.zeros(1 << 20, np.int8), np.zeros(1 << 14, np.int32)
    convs = [row for row in rows if row[0] in (0, 1)]
    counts = sum((row[2] if row[0] == 0 else 1) * row[4] ** 2 * row[3] for row in convs), 4 * sum(r[3] for r in convs)
    given_arrays = address_of(weights), counts[0], address_of(numbers), counts[1]
    assert not LIBRARY.aec_prepare(0, address_of(table), len(table), *given_arrays, address_of(prepared))
    call = AecCall(*sizes)
    needed = LIBRARY.aec_plan(address_of(prepared), ctypes.byref(call))
    assert needed == -1 or (call.out_rows > 0 and call.out_columns > 0 and call.out_channels > 0)


def test_a_missing_kernel_set_is_refused() -> None:
    table = np.array([[0, 1, 1, 1, 1, 1, 0, 0, 0, 0]], np.int32)
    for number in (-1, 99):
        assert LIBRARY.aec_prepared_size(number, address_of(table), 1) == -1
        assert not LIBRARY.aec_set_runs(number)
        assert LIBRARY.aec_set_name(number) is None
