"""The float model with rounding is the integer codec, part by part; and what makes rounding cost less."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor

from aecodec.codec.decoder import Loader
from aecodec.codec.decoder import decode_picture
from aecodec.codec.encoder import PictureEncoder
from aecodec.image.reading import open_picture
from aecodec.network.layers import DepthToSpace
from aecodec.network.quantized import Network
from aecodec.network.quantized import Runtime
from aecodec.train import rescale
from aecodec.train.export import export
from aecodec.train.export import wide_layers
from aecodec.train.last_layer import blocks
from aecodec.train.last_layer import solve_last_layer
from aecodec.train.layers import Scale
from aecodec.train.layers import straight_through
from aecodec.train.model import CONFIGS
from aecodec.train.model import AutoEncoder
from aecodec.train.rescale import fill_ranges
from aecodec.train.rescale import give_headroom
from aecodec.train.rescale import tensors_between
from aecodec.train.rounding import mean_square
from aecodec.train.rounding import rounded_in_turn
from aecodec.train.rounding import settle_on_grid
from helpers.models import RUNTIME
from helpers.models import STEPS
from helpers.models import Pair
from helpers.models import code
from helpers.models import coded_bits
from helpers.models import crops
from helpers.models import pictures
from helpers.models import raw_latent
from helpers.models import real
from helpers.models import small_model
from helpers.models import tensor
from helpers.models import unrounded
from helpers.paths import PHOTOS

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


@pytest.fixture(autouse=True)
def _small_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rescale, "SIDE", 32)


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
    for between in tensors_between(model.get_submodule(network)):
        between.scale.value.mul_(16)  # as if photographs had a sixteenth of the range
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
