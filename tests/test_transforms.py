"""Pixels to latent and back: blocks of any size give one pass's integers, and both ends round as stated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aecodec.codec.architectures import FEATURES
from aecodec.codec.architectures import LATENT_CHANNELS
from aecodec.codec.architectures import paper
from aecodec.codec.architectures import standard
from aecodec.codec.transforms import analyse
from aecodec.codec.transforms import apply_gain
from aecodec.codec.transforms import synthesise
from aecodec.codec.weights import INPUT_BOUNDS
from aecodec.geometry import Box
from aecodec.geometry import blocks
from aecodec.image.reading import open_picture
from aecodec.network.layers import Conv
from aecodec.network.layers import DepthToSpace
from aecodec.network.layers import Depthwise
from aecodec.network.layers import Layer
from aecodec.network.layers import Layers
from aecodec.network.layers import receptive_field
from aecodec.network.layers import walk
from aecodec.network.quantized import Network
from aecodec.network.quantized import QuantizedParameters
from aecodec.network.torch_runtime import TorchRuntime
from aecodec.network.windows import run_layers
from helpers.paths import PHOTOS
from helpers.tiny import RUNTIME
from helpers.tiny import Tiny

RUNTIMES = {"numpy": RUNTIME, "torch": TorchRuntime("cpu")}
ARCHITECTURES = {"standard": standard(16, 2, 2), "paper": paper()}
ROWS, COLUMNS = 12, 20  # of the latent field that is cut


def lively_network(layers: Layers, name: str) -> Network:
    """Random weights, with shifts that keep values spread over their width all the way through."""
    rng = np.random.default_rng(8)
    numbers = {}
    for path, layer in walk(layers, ""):
        if not isinstance(layer, (Conv, Depthwise)):
            continue
        rows, outputs = layer.weight_shape
        weight = rng.integers(-127, 128, (rows, outputs)).astype(np.int8)
        shift = np.full(outputs, round(np.log2(73 * rows**0.5)))
        edge = np.full(outputs, 1 << (layer.bits - 1))
        numbers[path.removeprefix(".")] = QuantizedParameters(weight, 1 << (shift - 1), shift, -edge, edge - 1)
    return Network(layers, numbers, INPUT_BOUNDS[name], np.full(FEATURES, 1024.0), 9)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("block", [5, 8, 13])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_analysis_in_blocks_is_one_pass(name: str, block: int, runtime: str):
    network = lively_network(ARCHITECTURES[name].analysis, "analysis")
    pixels = np.random.default_rng(0).integers(0, 256, (1, 8 * ROWS, 8 * COLUMNS, 3), dtype=np.uint8)
    whole = RUNTIME.run(network, pixels.astype(np.float32) * 2 - 255)
    assert whole.shape == (1, ROWS, COLUMNS, LATENT_CHANNELS) and whole.std() > 20
    assert np.array_equal(analyse(network, RUNTIMES[runtime], pixels, block), whole)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("block", [5, 8, 13])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_synthesis_in_blocks_is_one_pass(tiny: Tiny, name: str, block: int, runtime: str):
    decoder = replace(tiny[1], synthesis=lively_network(ARCHITECTURES[name].synthesis, "synthesis"))
    rng = np.random.default_rng(1)
    latent = rng.integers(-3000, 3000, (1, ROWS, COLUMNS, LATENT_CHANNELS), dtype=np.int32)
    features = rng.integers(-1024, 1024, (1, ROWS, COLUMNS, FEATURES), dtype=np.int16)
    whole = synthesise(decoder, RUNTIME, latent, features, np.array([100]), block=1000)
    assert whole.shape == (1, 8 * ROWS, 8 * COLUMNS, 3) and whole.std() > 10
    assert np.array_equal(synthesise(decoder, RUNTIMES[runtime], latent, features, np.array([100]), block), whole)


def test_blocks_of_one_position_and_of_odd_sides(tiny: Tiny):
    encoder, decoder = tiny
    pixels = open_picture(PHOTOS / "car.jpg").pixels[None, :96, :128]
    raw = analyse(encoder.analysis, RUNTIME, pixels)
    quality = np.array([200])
    features = np.random.default_rng(4).integers(-1024, 1024, (*raw.shape[:3], FEATURES))
    whole = synthesise(decoder, RUNTIME, raw, features, quality)
    for block in (1, 2, 3, 7, 15, 16, 17):
        assert np.array_equal(analyse(encoder.analysis, RUNTIME, pixels, block), raw)
        assert np.array_equal(synthesise(decoder, RUNTIME, raw, features, quality, block), whole)


def test_a_halo_one_short_would_show():
    """The premise of the two tests above: a smaller halo changes integers."""
    network = lively_network(ARCHITECTURES["standard"].analysis, "analysis")
    pixels = np.random.default_rng(0).integers(0, 256, (1, 8 * ROWS, 8 * COLUMNS, 3), dtype=np.uint8)
    whole = analyse(network, RUNTIME, pixels)
    cut = np.empty_like(whole)
    for core, box in blocks(ROWS, COLUMNS, 6, receptive_field(network.layers) - 1):
        x = pixels[box.times(8).index].astype(np.float32) * 2 - 255
        cut[core.index] = RUNTIME.run(network, x)[core.within(box).index]
    assert (cut != whole).any()


def test_a_block_shrinks_on_its_way_through_the_layers():
    rows = []

    def apply(layer: Layer, path: str, x: np.ndarray, side: None) -> np.ndarray:
        rows.append(x.shape[1])
        return x[:, ::8, ::8] if path == "0" else x

    layers = ARCHITECTURES["standard"].analysis
    out = run_layers(layers, apply, np.zeros((1, 80, 80, 1)), None, Box(3, 3, 7, 7))
    assert receptive_field(layers) == 3 and rows == [80, 8, 6, 6, 4, 4] and out.shape == (1, 4, 4, 1)


def test_a_batch_is_its_pictures(tiny: Tiny):
    encoder, decoder = tiny
    pixels = np.stack([open_picture(PHOTOS / f"{name}.jpg").pixels[:64, :96] for name in ("car", "dog", "church")])
    quality = np.array([0, 100, 255])
    raw = analyse(encoder.analysis, RUNTIME, pixels)
    latent = apply_gain(encoder, raw, quality)
    features = np.zeros((*latent.shape[:3], FEATURES), np.int16)
    out = synthesise(decoder, RUNTIME, latent, features, quality)
    for n in range(3):
        one = slice(n, n + 1)
        assert np.array_equal(analyse(encoder.analysis, RUNTIME, pixels[one]), raw[one])
        assert np.array_equal(apply_gain(encoder, raw[one], quality[one]), latent[one])
        assert np.array_equal(synthesise(decoder, RUNTIME, latent[one], features[one], quality[one]), out[one])


@pytest.mark.parametrize("block", [1, 3, 5, 64])
@pytest.mark.parametrize(
    ("size", "padded"), [((1, 1), (32, 32)), ((32, 64), (32, 64)), ((33, 65), (64, 96)), ((7, 300), (32, 320))]
)
def test_padding_repeats_the_last_row_and_column(
    tiny: Tiny, size: tuple[int, int], padded: tuple[int, int], block: int
):
    pixels = np.random.default_rng(9).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    rows, columns = np.minimum(np.arange(padded[0]), size[0] - 1), np.minimum(np.arange(padded[1]), size[1] - 1)
    expected = RUNTIME.run(tiny[0].analysis, pixels[:, rows][:, :, columns].astype(np.float32) * 2 - 255)
    assert np.array_equal(analyse(tiny[0].analysis, RUNTIME, pixels, block), expected)


def test_gain_rounds_halves_up_and_clips_to_16_bits(tiny: Tiny):
    gain = np.full((256, LATENT_CHANNELS), 3, np.int64)
    gain[9] = 1 << 20
    encoder = replace(tiny[0], gain=gain, gain_shift=1)
    values = np.array([-3, -2, -1, 0, 1, 2, 3, 30000], np.int32)
    raw = np.broadcast_to(values[:, None], (1, 1, 8, LATENT_CHANNELS))
    assert apply_gain(encoder, raw, np.array([0]))[0, 0, :, 5].tolist() == [-4, -3, -1, 0, 2, 3, 5, 32767]
    assert apply_gain(encoder, raw, np.array([9]))[0, 0, :, 0].tolist() == [-32768] * 3 + [0] + [32767] * 4


def through(tiny: Tiny, values: list[int], exponent: int, gain: int = 64, shift: int = 6) -> list[int]:
    """Pixels of latents `values` by a synthesis that passes on its first channel, scaled by 2^-exponent."""
    weight = np.zeros((LATENT_CHANNELS, 192), np.int8)
    weight[0] = 1
    zero, edge = np.zeros(192, np.int64), np.full(192, 1 << 15)
    layers = (Conv(LATENT_CHANNELS, 192, bits=16), DepthToSpace(8, 0))
    bound = INPUT_BOUNDS["synthesis"]
    network = Network(
        layers, {"0": QuantizedParameters(weight, zero, zero, -edge, edge - 1)}, bound, np.zeros(1), exponent
    )
    inverse = np.full((256, LATENT_CHANNELS), gain, np.int64)
    decoder = replace(tiny[1], synthesis=network, inverse_gain=inverse, inverse_shift=shift)
    latent = np.zeros((1, 1, len(values), LATENT_CHANNELS), np.int32)
    latent[0, 0, :, 0] = values
    features = np.zeros((1, 1, len(values), FEATURES), np.int16)
    pixels = synthesise(decoder, RUNTIME, latent, features, np.array([0]))
    assert (pixels == pixels[:, :1, :, :1]).all()
    return pixels[0, 0, ::8, 0].tolist()


def test_a_pixel_is_the_nearest_with_halves_up_and_within_8_bits(tiny: Tiny):
    """A real r is the pixel 128 r + 127.5: at exponent 7 the integers are pixels less 127.5, floored from 128."""
    assert through(tiny, [-129, -128, -127, 0, 126, 127, 128, 2047], 7) == [0, 0, 1, 128, 254, 255, 255, 255]
    assert through(tiny, [-512, -5, -4, -1, 0, 3, 4, 508], 9) == [0, 126, 127, 127, 128, 128, 129, 255]
    assert through(tiny, [-64, -1, 0, 63], 6) == [0, 126, 128, 254]


def test_the_synthesis_sees_latents_of_12_bits(tiny: Tiny):
    assert through(tiny, [2047, 2048, 30000], 12) == [191] * 3
    assert through(tiny, [-2048, -2049, -30000], 12) == [64] * 3


def test_the_inverse_gain_rounds_halves_up(tiny: Tiny):
    assert through(tiny, [-3, -2, -1, 1, 2, 3], 7, gain=1, shift=1) == [127, 127, 128, 129, 129, 130]
