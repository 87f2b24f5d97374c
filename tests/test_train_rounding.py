"""The float model with rounding is the integer codec, part by part and as a whole."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from aecodec.network.quantized import Runtime

torch = pytest.importorskip("torch")
from torch import Tensor

from aecodec.codec.decoder import Loader
from aecodec.codec.decoder import decode_picture
from aecodec.codec.encoder import PictureEncoder
from aecodec.network.quantized import Network
from aecodec.train.export import export
from aecodec.train.export import wide_layers
from aecodec.train.layers import Scale
from aecodec.train.layers import straight_through
from aecodec.train.model import CONFIGS
from aecodec.train.model import AutoEncoder
from helpers.models import RUNTIME
from helpers.models import STEPS
from helpers.models import Pair
from helpers.models import code
from helpers.models import coded_bits
from helpers.models import pictures
from helpers.models import raw_latent
from helpers.models import real
from helpers.models import small_model
from helpers.models import tensor
from helpers.models import unrounded

pytest_plugins = ["helpers.models"]


def decode(data: bytes, runtime: Runtime, load: Loader) -> np.ndarray:
    return decode_picture(data, runtime, load).array


QUALITIES = torch.from_numpy(STEPS).float() / 255


def integers(x: Tensor, scale: float | Tensor) -> np.ndarray:
    """Values of a grid [B, C, H, W] as integers [B, H, W, C]; they must lie on it exactly."""
    values = (x * scale).permute(0, 2, 3, 1).detach().numpy()
    assert np.array_equal(values, np.round(values)), "not on the grid"
    return values


def assert_same_synthesis(model: AutoEncoder, network: Network, seen: np.ndarray, side: np.ndarray) -> None:
    out = RUNTIME.run(network, seen, side)
    assert out.std() > 20
    got = model.synthesis(real(seen, model.synthesis_scale.value), real(side, model.latent_scale.value))
    assert np.array_equal(integers(got, model.synthesis.output_scale.value), out)


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
