"""The float model: loss, gradients, quality and first weights; and its export to integer weights and tables."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from aecodec.codec.encoder import PictureEncoder
from aecodec.codec.latent_coding import scale_of_index
from aecodec.codec.weights import DecoderHalf
from aecodec.codec.weights import EncoderHalf
from aecodec.format.symbols import SCALE_COUNT
from aecodec.format.symbols import TOTAL
from aecodec.image.reading import open_picture
from aecodec.network.numpy_runtime import NumpyRuntime
from aecodec.network.numpy_runtime import shuffle
from aecodec.network.quantized import FLOAT32_LIMIT
from aecodec.train import release
from aecodec.train import rescale
from aecodec.train.checkpoint import write_checkpoint
from aecodec.train.export import export
from aecodec.train.export import narrowest
from aecodec.train.export import wide_layers
from aecodec.train.export import with_default_quality
from aecodec.train.model import CONFIGS
from aecodec.train.model import Coded
from aecodec.train.model import at_quality
from aecodec.train.model import gaussian_bits
from aecodec.train.model import start_from_components
from aecodec.train.model import transposed_as_product
from helpers.models import Pair
from helpers.models import coded_bits
from helpers.models import crops
from helpers.models import pictures
from helpers.models import small
from helpers.models import small_model
from helpers.models import tensor
from helpers.models import unrounded
from helpers.paths import PHOTOS

pytest_plugins = ["helpers.models"]


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
    assert torch.equal(model(x, quality, noise=False).reconstruction, rounded), "the integers need float32"


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


@pytest.fixture(autouse=True)
def _small_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rescale, "SIDE", 32)


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
