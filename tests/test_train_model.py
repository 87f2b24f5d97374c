"""The float model: loss, gradients, quality and first weights."""

from __future__ import annotations

import math

import numpy as np
import pytest

from helpers.paths import PHOTOS

torch = pytest.importorskip("torch")
from torch import Tensor
from torch.nn import functional

from aecodec.image.reading import open_picture
from aecodec.network.numpy_runtime import shuffle
from aecodec.train.model import CONFIGS
from aecodec.train.model import Coded
from aecodec.train.model import at_quality
from aecodec.train.model import gaussian_bits
from aecodec.train.model import start_from_components
from aecodec.train.model import transposed_as_product
from helpers.models import crops
from helpers.models import small
from helpers.models import small_model
from helpers.models import tensor


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
