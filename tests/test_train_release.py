"""What makes rounding cost less: rescaled channels, weights rounded in turn, the solved last layer."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.paths import PHOTOS

torch = pytest.importorskip("torch")
from torch import Tensor

from aecodec.image.reading import open_picture
from aecodec.network.layers import DepthToSpace
from aecodec.train import rescale
from aecodec.train.last_layer import blocks
from aecodec.train.last_layer import solve_last_layer
from aecodec.train.rescale import fill_ranges
from aecodec.train.rescale import give_headroom
from aecodec.train.rescale import tensors_between
from aecodec.train.rounding import mean_square
from aecodec.train.rounding import rounded_in_turn
from aecodec.train.rounding import settle_on_grid
from helpers.models import crops
from helpers.models import pictures
from helpers.models import small_model
from helpers.models import tensor


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
