"""Adam and SOAP: what each trains, that SOAP learns, and that runs with it resume and branch as with Adam."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aecodec import cli
from aecodec.errors import InputError
from aecodec.errors import MissingExtra

torch = pytest.importorskip("torch")
pytest.importorskip("pytorch_optimizer")

from safetensors.torch import load_file
from safetensors.torch import save_file

from aecodec.train import checkpoint
from aecodec.train import loop
from aecodec.train.optimizers import SoapAndAdam
from aecodec.train.optimizers import make_optimizer
from aecodec.train.optimizers import optimizer_of
from aecodec.train.schedule import TrainOptions
from helpers.models import small
from helpers.train_runs import flat
from helpers.train_runs import train


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainOptions:
    for module in (loop, checkpoint):
        monkeypatch.setattr(module, "build", lambda name: small(name).to(memory_format=torch.channels_last))
    monkeypatch.setattr(loop, "START_PATCHES", 300)
    monkeypatch.setattr(loop, "CALIBRATION_PICTURES", 2)
    generator = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(3):
        coarse = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC)
        image.save(tmp_path / "photos" / f"{number}.png")
    return TrainOptions(
        "light",
        (tmp_path / "photos",),
        tmp_path / "run",
        steps=4,
        device="cpu",
        batch_size=2,
        crop=32,
        threads=1,
        optimizer="soap",
    )


def test_soap_has_the_matrices_and_adam_the_rest() -> None:
    model = small("light")
    state = SoapAndAdam(model.parameters()).state_dict()
    soap, adam = (len(state[part]["param_groups"][0]["params"]) for part in ("soap", "adam"))
    weights = {name: weight for name, weight in model.named_parameters() if weight.dim() == 4}
    narrow = [name for name, weight in weights.items() if weight.shape[1] == 1 or len(weight) < 16]
    assert narrow == ["analysis.1.1.weight", "synthesis.2.1.weight"], "depthwise"
    assert (soap, soap + adam) == (len(weights) - 2, len(list(model.parameters())))


def test_soap_finds_a_least_squares_solution_that_adam_is_far_from() -> None:
    """Inputs of very different sizes, mixed: Adam, which scales single weights, is slow there."""
    losses = {}
    for name in ("adam", "soap"):
        torch.manual_seed(0)
        layer = torch.nn.Conv2d(16, 16, 1)
        mixing = torch.linalg.qr(torch.randn(16, 16))[0] * torch.logspace(-1.5, 0.5, 16)
        wanted = torch.randn(16, 16)
        optimizer = make_optimizer(name, layer.parameters())
        for group in optimizer.param_groups:
            group["lr"] = 0.02
        for _ in range(300):
            x = torch.randn(64, 16) @ mixing.T
            loss = (layer(x[:, :, None, None])[:, :, 0, 0] - x @ wanted.T).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses[name] = float(loss.detach())
    assert losses["soap"] < losses["adam"] / 2, losses


def test_a_step_starts_from_the_weights_as_they_are() -> None:
    """The mean of weights, rescaled channels and `load_state_dict` change them between two steps."""
    layer = torch.nn.Conv2d(16, 16, 3, bias=False)
    optimizer = SoapAndAdam([layer.weight, torch.nn.Parameter(torch.zeros(1))])
    for group in optimizer.param_groups:
        group["lr"] = 1e-3
    for constant in (0.0, 5.0):
        layer.weight.data.fill_(constant)
        for _ in range(2):
            optimizer.zero_grad()
            layer(torch.ones(1, 16, 3, 3)).sum().backward()
            optimizer.step()
        assert torch.allclose(layer.weight, torch.full_like(layer.weight, constant), atol=0.02)
        assert not torch.equal(layer.weight, torch.full_like(layer.weight, constant))


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(options: TrainOptions) -> None:
    """Across an update of the bases, which comes every ten steps."""
    whole = train(replace(options, steps=13))
    parts = replace(options, out=options.out / "parts")
    train(replace(parts, steps=8))
    resumed = train(replace(parts, steps=5, resume=True, optimizer=None, seed=5))
    assert optimizer_of(resumed["optimizer"]) == "soap", "the run's own, without being told"
    assert flat(resumed) == flat(whole)


def test_a_decay_branch_starts_from_the_mean_and_keeps_what_soap_has_learned(options: TrainOptions) -> None:
    constant = train(options)
    assert constant["counters"]["learning_rate"] == pytest.approx(3e-3)
    decay = replace(options, decay=True, optimizer=None, steps=1, rounding=False, learning_rate=1e-9)
    branch = train(decay)
    for name, mean in constant["mean"].items():
        assert torch.allclose(branch["model"][name], mean, atol=1e-6), name
    assert branch["optimizer"]["soap"]["param_groups"][0]["step"] == 4 + 1
    assert branch["counters"]["step"] == 4 + 1


def test_a_decay_branch_rounds_and_resumes(options: TrainOptions) -> None:
    train(options)
    decay = replace(options, decay=True, optimizer=None, steps=5)
    whole = train(decay)
    assert whole["counters"]["calibrated"] and whole["unrounded"].keys() == whole["mean"].keys()
    assert flat(train(replace(decay, resume=True))) == flat(whole)


@pytest.mark.parametrize("decay", [False, True])
def test_weights_are_trained_on_with_soap(options: TrainOptions, tmp_path: Path, decay: bool) -> None:
    weights = tmp_path / "weights.safetensors"
    mean = train(replace(options, steps=1))["mean"]
    save_file({name: weight.contiguous() for name, weight in mean.items()}, weights)
    tuned = train(replace(options, out=tmp_path / "tuned", init=weights, decay=decay, rounding=False))
    assert optimizer_of(tuned["optimizer"]) == "soap" and tuned["counters"]["pretrained"]
    assert any(not torch.equal(tuned["mean"][name], weight) for name, weight in load_file(weights).items())


def test_an_optimizer_cannot_change_within_a_run(options: TrainOptions) -> None:
    train(options)
    for change in (replace(options, resume=True), replace(options, decay=True)):
        with pytest.raises(InputError, match=r"latest\.pt: trained with soap, which cannot change to adam"):
            loop.train(replace(change, optimizer="adam"))


def test_without_the_package_soap_is_refused_in_one_line(
    options: TrainOptions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_optimizer.optimizer.soap", None)
    with pytest.raises(MissingExtra):
        loop.train(options)
    words = ["model", "train", "--data", str(options.data[0]), "--out", str(options.out), "--optimizer", "soap"]
    assert cli.run(words) == 1
    assert "--optimizer soap needs pytorch-optimizer" in capsys.readouterr().err.splitlines()[-1]
