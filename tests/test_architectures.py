"""The shapes: the paper's tables row by row, what `standard` costs, JSON, and the halo that a block needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aecodec.codec.architectures import ARCHITECTURES
from aecodec.codec.architectures import FEATURES
from aecodec.codec.architectures import Architecture
from aecodec.codec.architectures import light
from aecodec.codec.architectures import paper
from aecodec.codec.architectures import standard
from aecodec.network.layers import Conv
from aecodec.network.layers import DepthToSpace
from aecodec.network.layers import Depthwise
from aecodec.network.layers import Layer
from aecodec.network.layers import Layers
from aecodec.network.layers import NearestUpsample
from aecodec.network.layers import Residual
from aecodec.network.layers import SideInput
from aecodec.network.layers import expansion
from aecodec.network.layers import from_json
from aecodec.network.layers import multiply_adds
from aecodec.network.layers import receptive_field
from aecodec.network.layers import to_json
from aecodec.network.layers import walk
from aecodec.network.numpy_runtime import NumpyRuntime
from aecodec.network.quantized import Network
from aecodec.network.quantized import QuantizedParameters

PIXELS = 256 * 256

# Tables 1 and 2 of "Project 1: Auto-encoders": row, output shape at 256x256, number of convolutions, their channels.
TABLE_1 = (
    ("block_0", (256, 256, 16), 1, 16),
    ("reduce_0", (128, 128, 16), 1, 16),
    ("block_1", (128, 128, 16), 2, 16),
    ("reduce_1", (64, 64, 16), 1, 16),
    ("block_2", (64, 64, 16), 2, 16),
    ("reduce_2", (32, 32, 16), 1, 16),
    ("block_3", (32, 32, 16), 2, 16),
)
TABLE_2 = (
    ("expand_0", (32, 32, 16), 1, 16),
    ("block_0", (32, 32, 16), 2, 16),
    ("expand_1", (64, 64, 16), 1, 16),
    ("block_1", (64, 64, 16), 2, 16),
    ("expand_2", (128, 128, 16), 1, 16),
    ("block_2", (128, 128, 16), 2, 16),
    ("expand_3", (256, 256, 16), 1, 16),
    ("block_3", (256, 256, 3), 1, 3),
)

Shape = tuple[int, int, int]
Table = tuple[tuple[str, Shape, int, int], ...]


def shape_after(layer: Layer, shape: Shape) -> Shape:
    rows, columns, channels = shape
    match layer:
        case Conv():
            assert channels == layer.inputs
            rows, columns = ((n + 2 * layer.padding - layer.kernel) // layer.stride + 1 for n in (rows, columns))
            return rows, columns, layer.outputs
        case Depthwise():
            assert channels == layer.channels
            return shape
        case Residual():
            after = shape_of(layer.body, shape)
            assert after[:2] == shape[:2]
            return after
        case SideInput():
            assert shape_of(layer.body, (rows, columns, FEATURES)) == shape
            return shape
        case DepthToSpace():
            factor = layer.factor
            assert channels % factor**2 == 0
            return rows * factor - 2 * layer.crop, columns * factor - 2 * layer.crop, channels // factor**2
        case NearestUpsample():
            return rows * layer.factor, columns * layer.factor, channels


def shape_of(layers: Layers, shape: Shape) -> Shape:
    for layer in layers:
        shape = shape_after(layer, shape)
    return shape


def convolutions(layers: Layers) -> list[Conv]:
    return [layer for _, layer in walk(layers, "") if isinstance(layer, Conv)]


def rows_of(layers: Layers) -> list[Layers]:
    """The layers as the paper's rows: an expansion is its repetition and the convolution after it."""
    rows: list[Layers] = []
    for layer in layers:
        if rows and isinstance(rows[-1][-1], NearestUpsample):
            rows[-1] = (*rows[-1], layer)
        else:
            rows.append((layer,))
    return rows


def parameters(layers: Layers) -> int:
    """Weights and biases."""
    total = 0
    for _, layer in walk(layers, ""):
        if isinstance(layer, Conv):
            total += layer.kernel**2 * layer.inputs * layer.outputs + layer.outputs
        elif isinstance(layer, Depthwise):
            total += 10 * layer.channels
    return total


@pytest.mark.parametrize(
    ("layers", "table", "start"),
    [(paper().analysis, TABLE_1, (256, 256, 3)), (paper().synthesis, TABLE_2, (32, 32, 16))],
    ids=["table 1", "table 2"],
)
def test_paper_follows_its_tables_row_by_row(layers: Layers, table: Table, start: Shape):
    rows = rows_of(layers)
    assert len(rows) == len(table)
    shape = start
    for row, (name, expected, count, channels) in zip(rows, table, strict=True):
        shape = shape_of(row, shape)
        assert shape == expected, name
        assert [conv.outputs for conv in convolutions(row)] == [channels] * count, name
        assert {conv.kernel for conv in convolutions(row)} == {3}, name
        assert isinstance(row[0], Residual) == name.startswith("block"), f"{name}: a block has a skip, nothing else"
        assert {conv.stride for conv in convolutions(row)} == ({2} if name.startswith("reduce") else {1}), name


def test_paper_has_ten_and_eleven_convolutions_and_their_parameters():
    assert len(convolutions(paper().analysis)) == 10
    assert len(convolutions(paper().synthesis)) == 11
    assert parameters(paper().analysis) == (27 * 16 + 16) + 9 * (144 * 16 + 16) == 21_328
    assert parameters(paper().synthesis) == 10 * (144 * 16 + 16) + (144 * 3 + 3) == 23_635


def test_standard_has_the_parameters_of_its_blocks():
    n = 192
    block = (n * n + n) + 10 * n + (n * n + n) + (2 * n * n + 2 * n) + (2 * n * n + n)
    assert parameters(standard().analysis) == (768 * n + n) + 6 * block + (16 * n + 16)
    assert parameters(standard().synthesis) == (144 * n + n) + (32 * n + n) + 4 * block + (4 * n * 192 + 192)
    assert 2.8e6 < sum(parameters(layers) for layers in standard().networks().values()) < 3.0e6


@pytest.mark.parametrize(
    "shape", [standard(), light(), paper(), standard(16, 1, 1, entropy_width=16)], ids=lambda a: a.name
)
def test_shapes_fit_together(shape: Architecture):
    assert shape_of(shape.analysis, (256, 256, 3)) == (32, 32, 16)
    assert shape_of(shape.synthesis, (32, 32, 16)) == (256, 256, 3)
    assert shape_of(shape.hyper_analysis, (32, 32, 16)) == (8, 8, 16)
    assert shape_of(shape.hyper_synthesis, (8, 8, 16)) == (32, 32, FEATURES)
    for step, layers in enumerate(shape.context):
        assert shape_of(layers, (32, 32, FEATURES + (16 if step else 0))) == (32, 32, 32)
    assert list(shape.networks()) == [
        *("analysis", "synthesis", "hyper_analysis", "hyper_synthesis"),
        *("context0", "context1", "context2", "context3"),
    ]


@pytest.mark.parametrize(
    ("shape", "decoding", "encoding"), [(standard(), (15, 20), (20, 30)), (light(), (4.5, 5.2), (6, 10))]
)
def test_the_multiply_adds_of_a_pixel(
    shape: Architecture, decoding: tuple[float, float], encoding: tuple[float, float]
):
    """In thousands: at least and at most."""
    hyper_synthesis = multiply_adds(shape.hyper_synthesis, PIXELS / 32**2)[0]
    context = sum(multiply_adds(layers, PIXELS / 8**2)[0] for layers in shape.context)
    synthesis = multiply_adds(shape.synthesis, PIXELS / 8**2)[0]
    analysis = multiply_adds(shape.analysis, PIXELS)[0]
    hyper_analysis = multiply_adds(shape.hyper_analysis, PIXELS / 8**2)[0]
    assert decoding[0] < (synthesis + hyper_synthesis + context) / PIXELS / 1000 <= decoding[1]
    assert encoding[0] < (analysis + hyper_analysis + hyper_synthesis + context) / PIXELS / 1000 <= encoding[1]


def test_multiply_adds_of_a_network_counted_by_hand():
    layers = (Conv(3, 8, kernel=4, stride=2, padding=1), Residual((Depthwise(8),)), *expansion(8, 3, 2))
    positions = 64 / 4
    assert multiply_adds(layers, 64) == (positions * (3 * 8 * 16 + 8 * 9 + 8 * 12 * 4), 64)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_json_round_trip(name: str):
    for layers in ARCHITECTURES[name]().networks().values():
        assert from_json(to_json(layers)) == layers


@pytest.mark.parametrize(
    "described",
    [[{"layer": "Dense"}], [{"inputs": 3}], [{"layer": "Conv", "kernel": 3}], [{"layer": "Repeat", "x": 1}]],
)
def test_json_of_anything_else_is_refused(described: list[dict[str, object]]):
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_json(described)


def open_network(layers: Layers, inputs: int) -> Network:
    """Weights of one and hardly any clipping, so that every input of a receptive field reaches the output."""
    numbers = {}
    for path, layer in walk(layers, ""):
        if isinstance(layer, (Conv, Depthwise)):
            rows, outputs = layer.weight_shape
            row = np.zeros(outputs, np.int64)
            numbers[path.removeprefix(".")] = QuantizedParameters(
                np.ones((rows, outputs), np.int8), row, row, row - (1 << 20), row + (1 << 20)
            )
    return Network(layers, numbers, np.ones(inputs), np.ones(1), 0)


def linear(layers: Layers) -> Layers:
    """The same without activations, so that no perturbation fades."""
    changed: list[Layer] = []
    for layer in layers:
        match layer:
            case Conv():
                changed.append(replace(layer, active=False))
            case Residual() | SideInput():
                changed.append(replace(layer, body=linear(layer.body)))
            case _:
                changed.append(layer)
    return tuple(changed)


def narrowed(layers: Layers) -> Layers:
    """The same with one channel unless samples are moved: only positions matter for the reach."""
    changed: list[Layer] = []
    for layer, following in zip(layers, (*layers[1:], None), strict=True):
        match layer:
            case Conv():
                outputs = following.factor**2 if isinstance(following, DepthToSpace) else 1
                changed.append(replace(layer, inputs=1, outputs=outputs))
            case Depthwise():
                changed.append(Depthwise(1))
            case Residual() | SideInput():
                changed.append(replace(layer, body=narrowed(layer.body)))
            case DepthToSpace() | NearestUpsample():
                changed.append(layer)
    return tuple(changed)


REACHES = {
    "standard analysis": (standard(1, 1, 2).analysis, 8, 1),
    "standard synthesis": (standard(1, 2, 1).synthesis, 1, 8),
    "paper analysis": (paper().analysis, 8, 1),
    "paper synthesis": (paper().synthesis, 1, 8),
    "hyper analysis": (paper().hyper_analysis, 4, 1),
    "hyper synthesis": (paper().hyper_synthesis, 1, 4),
    "wide kernels": ((Conv(1, 1, kernel=5, padding=2), Conv(1, 1, kernel=7, padding=3)), 1, 1),
    "lopsided": ((Conv(1, 1, kernel=12, stride=4, padding=4), Conv(1, 1, kernel=2, padding=1)), 4, 1),
}


@pytest.mark.parametrize("name", REACHES)
def test_reach_covers_all_that_an_input_position_can_change(name: str):
    """`coarse` inputs, or outputs, to a position of the coarsest field."""
    layers, coarse_inputs, coarse_outputs = REACHES[name]
    layers = linear(narrowed(layers))
    halo, positions = receptive_field(layers), 30
    network, runtime = open_network(layers, 1), NumpyRuntime(np.float64)
    side = np.zeros((1, positions, positions, 1), np.float32)
    quiet = np.zeros((1, positions * coarse_inputs, positions * coarse_inputs, 1), np.float32)
    before = runtime.run(network, quiet, side)
    middle = positions // 2
    for corner in (0, coarse_inputs - 1):
        place = middle * coarse_inputs + corner
        x = quiet.copy()
        x[0, place, place] = 1
        changed = np.argwhere((runtime.run(network, x, side) != before)[0].any(-1))
        assert len(changed)
        assert np.abs(changed // coarse_outputs - middle).max() <= halo


def test_the_halo_costs_little():
    """Every block of 64 positions pays for it on each side."""
    assert receptive_field(standard().analysis) == 7 and receptive_field(standard().synthesis) == 6
    assert receptive_field(paper().analysis) == 10 and receptive_field(paper().synthesis) == 11
