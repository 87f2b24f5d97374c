"""The float model: with rounding on it is the exported integer codec; it trains, and export makes its tables."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from aecodec.network.quantized import Runtime
from helpers.paths import PHOTOS

torch = pytest.importorskip("torch")

from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from aecodec.codec.decoder import Loader
from aecodec.codec.decoder import decode_picture
from aecodec.codec.encoder import PictureEncoder
from aecodec.codec.latent_coding import analyse_hyper
from aecodec.codec.latent_coding import encode_latent
from aecodec.codec.latent_coding import scale_of_index
from aecodec.codec.transforms import analyse
from aecodec.codec.transforms import apply_gain
from aecodec.codec.weights import DecoderHalf
from aecodec.codec.weights import EncoderHalf
from aecodec.format.symbols import SCALE_COUNT
from aecodec.format.symbols import TOTAL
from aecodec.format.symbols import SymbolMeter
from aecodec.image.reading import open_picture
from aecodec.network.layers import DepthToSpace
from aecodec.network.numpy_runtime import NumpyRuntime
from aecodec.network.numpy_runtime import shuffle
from aecodec.network.quantized import FLOAT32_LIMIT
from aecodec.network.quantized import Network
from aecodec.train import release
from aecodec.train import rescale
from aecodec.train.checkpoint import write_checkpoint
from aecodec.train.export import Halves
from aecodec.train.export import export
from aecodec.train.export import narrowest
from aecodec.train.export import wide_layers
from aecodec.train.export import with_default_quality
from aecodec.train.last_layer import blocks
from aecodec.train.last_layer import solve_last_layer
from aecodec.train.layers import Scale
from aecodec.train.layers import straight_through
from aecodec.train.model import CONFIGS
from aecodec.train.model import AutoEncoder
from aecodec.train.model import Coded
from aecodec.train.model import at_quality
from aecodec.train.model import gaussian_bits
from aecodec.train.model import start_from_components
from aecodec.train.model import transposed_as_product
from aecodec.train.rescale import fill_ranges
from aecodec.train.rescale import give_headroom
from aecodec.train.rescale import tensors_between
from aecodec.train.rounding import mean_square
from aecodec.train.rounding import rounded_in_turn
from aecodec.train.rounding import settle_on_grid
from helpers.models import small


def decode(data: bytes, runtime: Runtime, load: Loader) -> np.ndarray:
    return decode_picture(data, runtime, load).array


RUNTIME = NumpyRuntime()
STEPS = np.array([0, 77, 255])  # quality steps of the three pictures
QUALITIES = torch.from_numpy(STEPS).float() / 255
NAMES = ("car", "church", "mountain")


@pytest.fixture(autouse=True)
def _small_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rescale, "SIDE", 32)


def pictures() -> np.ndarray:
    """Three pieces of photographs, uint8 [3, 64, 96, 3]."""
    return np.stack([open_picture(PHOTOS / f"{name}.jpg").pixels[60:124, 60:156] for name in NAMES])


def tensor(pixels: np.ndarray) -> Tensor:
    return real(pixels, 255)


def small_model(name: str) -> AutoEncoder:
    """An untrained model whose every part has something to do: no bias is zero, every symbol varies."""
    return deepcopy(_calibrated(name))


@cache
def _calibrated(name: str) -> AutoEncoder:
    torch.manual_seed(3)
    model = AutoEncoder(CONFIGS["paper"]) if name == "full paper" else small(name)
    with torch.no_grad():
        for module in model.modules():
            if hasattr(module, "bias"):
                module.bias += torch.randn_like(module.bias) * 0.05
        for knots, spread in ((model.hyper_mean, 1.0), (model.feature_bias, 1.0), (model.log_inverse_gain, 0.2)):
            knots += torch.randn_like(knots) * spread
        model.get_submodule("hyper_analysis.2").weight.mul_(80)
        model.log_gain.sub_(math.log(2)).mul_(2 / model.log_gain.max()).add_(math.log(2))  # symbols that tables hold
        if name != "standard":
            for part in (model.analysis, model.synthesis):
                for module in part.modules():
                    if hasattr(module, "weight"):
                        module.weight *= 1.6
    model.calibrate(tensor(pictures()), torch.tensor([0.1, 0.5, 0.9]))
    give_headroom(model)
    return model


def unrounded(model: AutoEncoder) -> AutoEncoder:
    """A copy with rounding off."""
    model = deepcopy(model)
    model.mode.rounding = False
    return model


@dataclass(frozen=True)
class Pair:
    """A float model with rounding on and what was exported from it."""

    model: AutoEncoder
    halves: Halves
    encoder: EncoderHalf
    decoder: DecoderHalf


@pytest.fixture(scope="module", params=["standard", "paper", pytest.param("full paper", marks=pytest.mark.slow)])
def pair(request: pytest.FixtureRequest) -> Pair:
    model = small_model(request.param)
    halves = export(model, pictures())
    model.mode.rounding = True
    return Pair(model, halves, *halves.parsed())


class Recorder:
    def __init__(self) -> None:
        self.symbols: list[np.ndarray] = []

    def write(self, index: np.ndarray, symbols: np.ndarray) -> None:
        self.symbols.append(symbols)


def integers(x: Tensor, scale: float | Tensor) -> np.ndarray:
    """Values of a grid [B, C, H, W] as integers [B, H, W, C]; they must lie on it exactly."""
    values = (x * scale).permute(0, 2, 3, 1).detach().numpy()
    assert np.array_equal(values, np.round(values)), "not on the grid"
    return values


def real(values: np.ndarray, scale: float | Tensor) -> Tensor:
    """Integers [B, H, W, C] of a grid as values [B, C, H, W]."""
    return torch.from_numpy(values).permute(0, 3, 1, 2).float() / scale


def assert_same_synthesis(model: AutoEncoder, network: Network, seen: np.ndarray, side: np.ndarray) -> None:
    out = RUNTIME.run(network, seen, side)
    assert out.std() > 20
    got = model.synthesis(real(seen, model.synthesis_scale.value), real(side, model.latent_scale.value))
    assert np.array_equal(integers(got, model.synthesis.output_scale.value), out)


def raw_latent(pair: Pair) -> np.ndarray:
    return analyse(pair.encoder.analysis, RUNTIME, pictures())


def code(pair: Pair) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Latent, decoded latent and features of the pictures, by the integers."""
    latent = apply_gain(pair.encoder, raw_latent(pair), STEPS)
    sinks = [Recorder() for _ in STEPS]
    entropy = pair.decoder.entropy
    hyper = analyse_hyper(pair.encoder.hyper_analysis, RUNTIME, latent)
    decoded, features = encode_latent(entropy, RUNTIME, latent, hyper, STEPS, sinks)
    assert all(np.ptp(symbols) > 0 for sink in sinks for symbols in sink.symbols), "every part codes something"
    return latent, decoded, features


def coded_bits(pair: Pair, pieces: list[np.ndarray]) -> np.ndarray:
    """Bits of each picture's symbols, with tables made from `pieces`."""
    latent, _, _ = code(pair)
    encoder, decoder = export(pair.model, pieces).parsed()
    meters = [SymbolMeter(decoder.entropy.tables) for _ in STEPS]
    hyper = analyse_hyper(encoder.hyper_analysis, RUNTIME, latent)
    encode_latent(decoder.entropy, RUNTIME, latent, hyper, STEPS, meters)
    return np.array([meter.bits for meter in meters])


# The float model with rounding is the integer engine, part by part and as a whole.


@torch.no_grad()
def test_analysis_with_rounding_is_the_exported_one(pair: Pair):
    raw = raw_latent(pair)
    assert raw.std() > 50
    scale = pair.model.analysis.output_scale.value
    assert np.array_equal(integers(pair.model.latent(tensor(pictures())), scale), raw)


@torch.no_grad()
def test_entropy_networks_with_rounding_are_the_exported_ones(pair: Pair):
    """The same latents in, the same decoded latents and features out: so every symbol and mean was the same."""
    latent, decoded, features = code(pair)
    got, seen, _, _ = pair.model.code_latent(real(latent, 64), QUALITIES, noise=False)
    assert features.std() > 5 and decoded.std() > 50
    assert np.array_equal(integers(seen, pair.model.latent_scale.value), features)
    assert np.array_equal(integers(got, 64), decoded)


@torch.no_grad()
def test_synthesis_with_rounding_is_the_exported_one(pair: Pair):
    _, decoded, features = code(pair)
    seen = np.random.default_rng(2).integers(-700, 700, decoded.shape)
    assert_same_synthesis(pair.model, pair.decoder.synthesis, seen, features)


@torch.no_grad()
def test_the_whole_model_with_rounding_gives_the_codecs_pixels(pair: Pair):
    """Through files. Only the gains differ, of which the integers keep twenty bits: rarely a value rounds apart."""
    coded = pair.model(tensor(pictures()), QUALITIES, noise=False)
    expected = (coded.reconstruction * 255 + 0.5).floor().clamp(0, 255).permute(0, 2, 3, 1).numpy()
    for pixels, step, float_pixels in zip(pictures(), STEPS.tolist(), expected, strict=True):
        data = PictureEncoder(pixels, pair.encoder, pair.decoder, RUNTIME).encode(step).data
        out = decode(data, RUNTIME, lambda _: pair.decoder)
        assert out.std() > 2
        assert (out != float_pixels).mean() < 0.05
        assert np.abs(out - float_pixels).max() <= 1


@torch.no_grad()
def test_estimated_bits_are_those_of_gaussian_tables(pair: Pair):
    coded = pair.model(tensor(pictures()), QUALITIES, noise=False)
    estimated = (coded.bits + coded.hyper_bits).numpy()
    assert coded_bits(pair, []) == pytest.approx(estimated, rel=0.03)


@torch.no_grad()
def test_rounding_after_calibration_costs_little(pair: Pair):
    exact = unrounded(pair.model)
    with_rounding, without = (m(tensor(pictures()), QUALITIES, noise=False).reconstruction for m in (pair.model, exact))
    assert 0 < 255 * (with_rounding - without).abs().mean() < 2


def test_calibration_settles_every_scale_on_a_power_of_two(pair: Pair):
    scales = [module for module in pair.model.modules() if isinstance(module, Scale)]
    assert len(scales) > 20
    for scale in scales:
        exponents = scale.value.log2()
        assert torch.equal(exponents, exponents.round()) and (scale.value <= scale.largest).all()
    assert float(pair.model.latent_scale.value) <= 64, "a latent has no finer grid than 1/64"


@torch.no_grad()
def test_channels_that_have_died_keep_their_layer_in_float32():
    """Filling the eight bits of the weights would need a bias, or a rounding constant, of thirty bits."""
    model = small_model("standard")
    layer = model.get_submodule("synthesis.2.1")
    for channel, (weight, bias) in enumerate(product((0.0, 1e-9, 1e-4), (0.0, 1e-6, 3.0))):
        layer.weight[channel], layer.bias[channel] = weight, bias
    halves = export(model, [])
    assert not [line for line in wide_layers(*halves.parsed()) if line.startswith("synthesis")]
    rng = np.random.default_rng(0)
    seen, side = rng.integers(-700, 700, (1, 4, 4, 16)), rng.integers(-700, 700, (1, 4, 4, 32))
    model.mode.rounding = True
    assert_same_synthesis(model, halves.parsed()[1].synthesis, seen, side)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_model_moves_to_a_device_with_every_scale(name: str):
    model = AutoEncoder(CONFIGS[name])
    stored = set(model.state_dict())
    assert model.to("meta").fixed_scales[0].value.device.type == "meta"
    for module in model.modules():
        for scale in getattr(module, "between", ()):
            assert scale.value.device.type == "meta"
    assert not any("fixed" in key for key in stored), "constants are not part of a checkpoint"


@pytest.mark.parametrize("value", [1.0, 64.0, 2.0**14, 0.25])
def test_straight_through_is_exactly_the_rounded_value_and_passes_the_gradient(value: float):
    """x + (rounded - x) must not lose a bit: what follows counts on the grid."""
    x = torch.cat([torch.randn(10_000) * 10.0**power for power in range(-3, 5)]) / value
    x.requires_grad_()
    rounded = torch.floor(x * value + 0.5).clamp(-1024, 1023) / value
    out = straight_through(x, rounded)
    assert torch.equal(out, rounded)
    out.sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))


# Training


def crops(count: int) -> Tensor:
    photo = open_picture(PHOTOS / "church.jpg").pixels
    return tensor(np.stack([photo[16 * n : 16 * n + 64, 20 * n : 20 * n + 64] for n in range(count)]))


@pytest.mark.parametrize(("name", "rounding"), [("standard", False), ("standard", True), ("paper", False)])
def test_the_loss_falls_in_a_few_steps(name: str, rounding: bool):
    model = small_model(name)
    model.mode.rounding = rounding
    torch.manual_seed(0)
    x, quality = crops(2), torch.tensor([0.1, 1.0])
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    losses = []
    for _ in range(8):
        loss = model.loss(x, quality, model(x, quality, noise=True), 1.0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
    assert all(math.isfinite(loss) for loss in losses)


@pytest.mark.parametrize("rounding", [False, True])
@pytest.mark.parametrize("name", ["standard", "paper"])
def test_every_parameter_gets_a_gradient(name: str, rounding: bool):
    """At every knot of quality, too: the qualities lie between all of them."""
    model = small_model(name)
    model.mode.rounding = rounding
    torch.manual_seed(0)
    quality = torch.tensor([0.1, 0.3, 0.4, 0.6, 0.7, 0.9])
    x = crops(6)
    model.loss(x, quality, model(x, quality, noise=True), 1.0).backward()
    for path, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), path
        assert (parameter.grad != 0).any(), path
    for knots in (model.log_gain, model.log_inverse_gain, model.hyper_mean, model.hyper_index, model.feature_bias):
        assert knots.shape[0] == model.config.knots and (knots.grad != 0).any(1).all()


def test_bfloat16_changes_little_and_yields_to_rounding():
    model = small_model("standard")
    x, quality = crops(2), torch.tensor([0.3, 0.7])
    exact = model(x, quality, noise=False).reconstruction
    model.mode.bfloat16 = True
    assert model.latent(x).dtype == torch.float32
    near = model(x, quality, noise=False).reconstruction
    assert 0 < (near - exact).abs().mean() < 0.01
    model.mode.rounding = True
    rounded = model(x, quality, noise=False).reconstruction
    model.mode.bfloat16 = False
    assert torch.equal(model(x, quality, noise=False).reconstruction, rounded), "integers of the engine need float32"


def test_a_plain_auto_encoder_does_not_quantise():
    """As the paper trains it: with `plain` the synthesis sees the latent itself."""
    model = small_model("paper")
    x, quality = crops(2), torch.tensor([0.0, 0.0])
    plain = model(x, quality, noise=False, plain=True).reconstruction
    latent = model.latent(x)
    gain, inverse = (at_quality(knots, quality).exp() for knots in (model.log_gain, model.log_inverse_gain))
    direct = model.picture(latent * inverse, model.code_latent(latent * gain, quality, noise=False)[1])
    assert torch.allclose(plain, direct, atol=1e-5)
    assert not torch.allclose(plain, model(x, quality, noise=False).reconstruction, atol=1e-3)


def test_loss_by_hand():
    """Rate plus lambda times distortion, over a power of lambda, a twentieth; lambda geometric in quality."""
    x = torch.zeros(2, 3, 8, 8)
    quality = torch.tensor([0.0, 1.0])
    coded = Coded(torch.full_like(x, 0.1), bits=torch.tensor([64.0, 128.0]), hyper_bits=torch.tensor([0.0, 64.0]))
    for name, distortion, power in (("standard", 255**2 * 0.01, 0.65), ("paper", 16 * 255 * 0.1, 0.5)):

        def by_hand(bits: float, weight: float, distortion: float, power: float) -> float:
            return (0.5 * bits / 64 + weight * distortion) / weight**power / 20

        low, high = CONFIGS[name].lambda_range
        expected = (by_hand(64, low, distortion, power) + by_hand(192, high, distortion, power)) / 2
        assert float(small_model(name).loss(x, quality, coded, 0.5)) == pytest.approx(expected, rel=1e-5)


def test_quality_functions_are_linear_between_knots():
    knots = torch.tensor([[0.0, 5.0], [1.0, 5.0], [4.0, 5.0], [4.0, 5.0], [-2.0, 5.0]])
    quality = torch.tensor([0.0, 0.125, 0.25, 0.375, 0.75, 0.875, 1.0])
    out = at_quality(knots, quality)
    assert out.shape == (7, 2, 1, 1)
    assert out[:, 0, 0, 0].tolist() == [0.0, 0.5, 1.0, 2.5, 4.0, 1.0, -2.0]
    assert (out[:, 1] == 5).all()


@torch.no_grad()
def test_start_from_components_is_a_transform_already():
    """With principal components in its outer layers, a plain pass reconstructs the picture coarsely."""
    torch.manual_seed(3)
    model = small("standard")
    photos = np.stack([open_picture(path).pixels[80:176, 80:176] for path in sorted(PHOTOS.glob("*.jpg"))])
    corners = np.random.default_rng(0).integers(0, 80, (600, 2))
    patches = [photos[n % len(photos), r : r + 16, c : c + 16] for n, (r, c) in enumerate(corners)]
    x = tensor(photos)

    def error() -> Tensor:
        return (model(x, torch.full((len(x),), 0.9), noise=False, plain=True).reconstruction - x).square().mean()

    before = error()
    start_from_components(model, np.stack(patches))
    assert error() < 0.4 * before


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
def test_gaussian_bits_are_those_of_the_normal_distribution(value: float):
    index = torch.tensor([0.0, 20.0, 40.0, 63.0])
    scale = 0.08 * 800 ** (index.double() / 63)
    edges = torch.tensor([value - 0.5, value + 0.5]).double()[:, None] / scale
    probability = torch.special.ndtr(edges).diff(dim=0)[0].clamp_min(1e-7)
    bits = gaussian_bits(torch.full((4,), value), index)
    assert torch.allclose(bits, -torch.log2(probability).float(), rtol=1e-2, atol=1e-3)


def test_transposed_as_product_is_a_transposed_convolution():
    torch.manual_seed(0)
    weight, x = torch.randn(5, 3, 16, 16), torch.randn(2, 5, 6, 4)
    expected = functional.conv_transpose2d(x, weight, stride=8, padding=4)
    product = functional.conv2d(x, transposed_as_product(weight, 8), padding=1)
    moved = shuffle(product.permute(0, 2, 3, 1).numpy(), 8, 4)
    assert np.allclose(moved, expected.permute(0, 2, 3, 1).numpy(), atol=1e-4)


# Export


def test_export_is_repeatable_and_does_not_depend_on_the_mode(pair: Pair):
    for model in (pair.model, unrounded(pair.model)):
        assert export(model, pictures()) == pair.halves


def test_another_default_quality_leaves_the_decoder_and_its_id(pair: Pair):
    other = with_default_quality(pair.model, pair.halves, 55)
    assert other.decoder == pair.halves.decoder and other.weights_id == pair.halves.weights_id
    assert (other.parsed()[0].default_quality, pair.encoder.default_quality) == (55, 128)


def test_gains_over_quality():
    """Gain rises with quality as trained, the inverse falls, and their product is the model's."""
    model = small_model("standard")
    with torch.no_grad():
        model.log_inverse_gain.zero_()
    encoder, decoder = export(model, []).parsed()
    assert (np.diff(encoder.gain, axis=0) > 0).all() and (np.diff(decoder.inverse_gain, axis=0) < 0).all()
    for table, bits in ((encoder.gain, 20), (decoder.inverse_gain, 15)):
        assert 2 ** (bits - 1) <= table.max() < 2**bits and table.min() > 2**10, "enough bits at every quality"
    both = encoder.gain * 2.0**-encoder.gain_shift * decoder.inverse_gain * 2.0**-decoder.inverse_shift
    scales = float(model.synthesis_scale.value / model.analysis.output_scale.value)
    assert both == pytest.approx(np.full((256, 16), scales), rel=4e-4)


def test_tensors_take_the_smallest_type_that_holds_them():
    for low, high, dtype in ((-128, 127, "i1"), (0, 200, "u1"), (-1, 200, "i2"), (0, 2**31, "u4"), (-1, 2**31, "i8")):
        values = np.array([low, high])
        assert narrowest(values).dtype == np.dtype(dtype) and np.array_equal(narrowest(values), values)


def test_the_default_quality_is_the_highest_within_the_target(pair: Pair, monkeypatch: pytest.MonkeyPatch):
    photos = [open_picture(path).pixels[:64, :64] for path in sorted(PHOTOS.glob("*.jpg"))]

    def mean_bytes(step: int) -> float:
        coded = [PictureEncoder(photo, pair.encoder, pair.decoder, NumpyRuntime()).encode(step) for photo in photos]
        return float(np.mean([len(each.data) for each in coded]))

    monkeypatch.setattr(release, "TARGET_BYTES", mean_bytes(100))
    found = release._default_quality(pair.halves, photos)
    assert mean_bytes(found) <= mean_bytes(100) < mean_bytes(found + 1)


def test_quality_tables_pass_through_the_knots():
    model = small_model("standard")
    _, decoder = export(model, []).parsed()
    entropy = decoder.entropy
    for step, knot in ((0, 0), (255, -1)):
        means = model.hyper_mean[knot].detach().numpy()
        assert entropy.hyper_mean[step] == pytest.approx(means * 64, abs=0.51)
        bias = model.feature_bias[knot].detach().numpy() * float(model.latent_scale.value)
        assert entropy.feature_bias[step] == pytest.approx(bias, abs=0.51)
    assert (entropy.hyper_index == 12).all()


def test_tables_without_pictures_are_gaussians():
    _, decoder = export(small_model("standard"), []).parsed()
    for index, table in enumerate(decoder.entropy.tables.frequencies):
        support = len(table) // 2 - 1
        symbols, scale = np.arange(-support, support + 1), float(scale_of_index(index)) * math.sqrt(2)
        expected = np.array([math.erf((k + 0.5) / scale) - math.erf((k - 0.5) / scale) for k in symbols]) / 2
        assert table[:-1] / TOTAL == pytest.approx(expected, abs=1e-4)
        assert np.array_equal(table[:support], table[support + 1 : -1][::-1]), "even in sign"
        assert (np.diff(table[: support + 1]) >= 0).all() and table.sum() == TOTAL and table.min() >= 1
    assert len(decoder.entropy.tables.frequencies) == SCALE_COUNT


def test_tables_counted_on_pictures_code_them_in_fewer_bits(pair: Pair):
    assert coded_bits(pair, list(pictures())).sum() < 0.9 * coded_bits(pair, []).sum()


def test_every_exported_layer_is_exact_in_float32(pair: Pair):
    """Untrained weights fill their width and are the worst case: their scales are reduced."""
    assert wide_layers(pair.encoder, pair.decoder) == []
    for network in (pair.encoder.analysis, pair.decoder.synthesis, *pair.decoder.entropy.context):
        assert max(network.bounds.values()) < FLOAT32_LIMIT
    assert max(pair.decoder.entropy.context[1].bounds.values()) > FLOAT32_LIMIT / 4, "and no more than they have to"


def test_layers_that_need_float64_are_named(tiny: tuple[EncoderHalf, DecoderHalf]):
    """The permanent test network has three."""
    named = wide_layers(*tiny)
    assert [line.split()[0] for line in named] == ["context1.0", "context2.0", "context3.0"]
    assert all("(2^24." in line for line in named)


@pytest.mark.parametrize("calibrated", [False, True])
def test_float_weights_are_those_from_before_rounding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calibrated: bool
) -> None:
    """Whether training rounded them, and kept them, or the export does."""
    monkeypatch.setattr(release, "build", small)
    monkeypatch.setattr(release, "central_crops", lambda pictures, count: [pixels[:64, :64] for pixels in pictures[:2]])
    torch.manual_seed(0)
    model, before = small("standard"), dict(small("standard").named_parameters())
    expected = before if calibrated else dict(model.named_parameters())
    content = {
        "config": "standard",
        "model": model.state_dict(),
        "unrounded": {name: weight.detach() for name, weight in before.items()} if calibrated else {},
        "optimizer": {},
        "counters": {"calibrated": calibrated, "pixels": 7},
        "random": {},
    }
    write_checkpoint(tmp_path / "end.pt", content)
    said: list[str] = []
    release.release(tmp_path / "end.pt", [PHOTOS], tmp_path / "out", None, None, said.append)
    assert said[0].startswith("never trained with rounding") != calibrated
    floats = load_file(tmp_path / "out" / "standard.float16.safetensors")
    for name, weight in expected.items():
        assert torch.equal(floats[name], weight.detach().half()), name


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("standard", "analysis"),
        pytest.param("paper", "analysis", marks=pytest.mark.slow),
        ("standard", "synthesis"),
    ],
)
@torch.no_grad()
def test_colours_that_photographs_lack_do_not_clip(name: str, network: str):
    """A factor moves from the writers of a channel to its readers, which changes nothing in float."""
    model = small_model(name)
    for tensor in tensors_between(model.get_submodule(network)):
        tensor.scale.value.mul_(16)  # as if photographs had a sixteenth of the range
    colours = torch.eye(3)[:, :, None, None].expand(3, 3, 32, 32)

    def seen() -> torch.Tensor:
        if network == "analysis":
            return model.latent(colours)
        return model(colours, torch.ones(3), noise=False).reconstruction

    exact = seen()
    model.mode.rounding = True
    before = (seen() - exact).abs().max()
    assert give_headroom(model) > 0
    assert model.mode.rounding
    assert (seen() - exact).abs().max() < 0.2 * before
    assert give_headroom(model) == 0
    model.mode.rounding = False
    assert torch.allclose(seen(), exact, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["standard", "paper"])
@torch.no_grad()
def test_filled_ranges_change_nothing_in_float(name: str):
    """The weights of a channel that one layer writes fill 94 % of their range."""
    model = small_model(name)
    x, quality = crops(2), torch.tensor([0.3, 0.7])
    before = model(x, quality, noise=False)
    written = []
    for stack in model.children():
        if hasattr(stack, "output_scale"):
            fill_ranges(stack)
            written += [tensor.writers[0] for tensor in tensors_between(stack) if len(tensor.writers) == 1]
    after = model(x, quality, noise=False)
    assert torch.allclose(before.reconstruction, after.reconstruction, atol=1e-4)
    assert torch.allclose(before.bits, after.bits, rtol=1e-3)
    assert len(written) > 5
    for layer in written:
        room = layer.room().log2()
        assert ((room - room.floor()) < 0.15).float().mean() > 0.9, "what follows it may have moved its input's share"


@torch.no_grad()
def test_rounding_in_turn_loses_less_than_rounding_to_the_nearest():
    """With correlated inputs: of a dense layer, one over positions and one of each channel by itself."""
    model = small_model("standard")
    for path in ("analysis.1.0", "synthesis.0", "synthesis.2.1"):
        layer = model.get_submodule(path)
        channels = layer.input_bound.numel()
        torch.manual_seed(5)
        x = (torch.randn(4, channels, 20, 20) + 3 * torch.randn(4, 1, 20, 20)).cumsum(2)
        square = mean_square(layer, x)
        exact = layer.weight.clone()

        def error(weight: Tensor) -> Tensor:
            off = (weight - exact).double().reshape(len(square), -1, square.shape[1])
            return (off @ square * off).sum()

        turned = rounded_in_turn(layer, square)
        steps = turned * layer.weight_scale()
        assert torch.equal(steps, steps.round()) and steps.abs().max() <= 127
        assert error(turned) < 0.5 * error(layer.rounded_weight())


def test_a_model_settles_on_the_grid_near_what_it_was():
    model, nearest = small_model("standard"), small_model("standard")
    x, quality = crops(4), torch.linspace(0, 1, 4)
    exact = model(x, quality, noise=False).reconstruction
    nearest.mode.rounding = True
    settle_on_grid(model, x, quality)
    assert model.mode.rounding
    losses = [(m(x, quality, noise=False).reconstruction - exact).square().mean() for m in (model, nearest)]
    assert losses[0] < losses[1]
    for name, weight in model.named_parameters():
        if name.endswith(".weight"):
            layer = model.get_submodule(name.removesuffix(".weight"))
            assert (layer.rounded_weight() == weight).float().mean() > 0.95, "a channel's step may have changed with it"


def test_the_last_layer_is_solved_for_photographs_and_for_flat_areas():
    """The error on photographs falls, the pattern inside the blocks of a flat picture, and the loss of white."""
    photos = [open_picture(path).pixels for path in sorted(PHOTOS.glob("*.jpg"))]
    pieces = [photo[y : y + 64, x : x + 64] for photo in photos for y in range(0, 192, 64) for x in range(0, 192, 64)]
    model = small_model("standard")
    model.mode.rounding = True
    last = model.architecture.synthesis[-1]
    assert isinstance(last, DepthToSpace)

    @torch.no_grad()
    def errors() -> tuple[float, float, float]:
        qualities = torch.linspace(0, 1, len(pieces))
        x, flat, white = tensor(np.stack(pieces)), torch.full((1, 3, 96, 96), 230 / 255), torch.ones(1, 3, 96, 96)
        photographs = (model(x, qualities, noise=False).reconstruction - x).square().mean()
        inside = blocks(model(flat, qualities[:1], noise=False).reconstruction, last)[45:55].unflatten(1, (-1, 3))
        darker = 1 - model(white, qualities[:1], noise=False).reconstruction.clamp(0, 1)
        return float(photographs), float(inside.var(1).mean()), float(darker.mean())

    before = errors()
    solve_last_layer(model, pieces)
    after = errors()
    assert after[0] < 0.9 * before[0]
    assert after[1] < 0.5 * before[1]
    assert after[2] < 0.5 * before[2]
    layer = model.synthesis.get_submodule(str(model.synthesis.size - 2))
    assert torch.equal(layer.weight, layer.rounded_weight()), "rounded already, in turn"


def test_a_synthesis_without_an_expansion_is_left_alone():
    model = small_model("paper")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    solve_last_layer(model, list(pictures()))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
