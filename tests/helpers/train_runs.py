"""Training runs on a tiny stand-in for the model."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from aecodec.train import checkpoint
from aecodec.train import loop
from aecodec.train.checkpoint import read_checkpoint
from aecodec.train.data import is_validation
from aecodec.train.layers import Mode
from aecodec.train.model import Coded
from aecodec.train.model import Config
from aecodec.train.schedule import TrainOptions


class Tiny(torch.nn.Module):
    """One layer down, one layer up. Notes how it is called; `on_step` may interfere before a training step."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.mode = Mode()
        self.down = torch.nn.Conv2d(3, 8, 8, 8)
        self.up = torch.nn.ConvTranspose2d(8, 3, 8, 8)
        self.register_buffer("scale", torch.zeros(()))
        self.calls: list[str] = []
        self.plain: list[bool] = []
        self.rounded = False
        self.rate_weights: list[float] = []
        self.on_step: Callable[[int], object]
        self.not_finite_at: Callable[[int], bool]

    def forward(self, x: Any, quality: Any, *, noise: bool, plain: bool = False) -> Coded:
        if noise:
            if self.mode.rounding and not self.rounded:
                self.calls.append(f"rounding from {len(self.plain)}")
            self.rounded = self.mode.rounding
            self.on_step(len(self.plain))
            self.plain.append(plain)
        latent = self.down(x) * (1 + 10 * quality)[:, None, None, None]
        rounded = latent + torch.rand_like(latent) - 0.5 if noise else latent.round()
        return Coded(self.up(latent if plain else rounded), rounded.abs().sum((1, 2, 3)), quality)

    def loss(self, x: Any, quality: Any, coded: Coded, rate_weight: float) -> Any:
        if torch.is_grad_enabled():
            self.rate_weights.append(rate_weight)
        rate = rate_weight * (coded.bits + coded.hyper_bits).mean() / 1e4
        loss = rate + (coded.reconstruction - x).square().mean()
        return loss * math.nan if torch.is_grad_enabled() and self.not_finite_at(len(self.plain) - 1) else loss

    def calibrate(self, x: Any, quality: Any) -> None:
        self.calls.append(f"calibrate {len(x)}")
        self.scale.fill_(x.mean())

    def start_from(self, patches: np.ndarray) -> None:
        self.calls.append(f"start from {patches.dtype} {patches.shape}")


class Built:
    """Stands for `build`: keeps the model it made last, and prepares those to come."""

    def __init__(self) -> None:
        self.plain_steps = 0
        self.on_step: Callable[[int], object] = lambda step: None
        self.not_finite_at: Callable[[int], bool] = lambda step: False

    def __call__(self, name: str) -> Tiny:
        self.last = Tiny(Config(name, "mse", learning_rate=0.01, plain_steps=self.plain_steps))
        self.last.on_step, self.last.not_finite_at = self.on_step, self.not_finite_at
        return self.last

    def signal_at(self, step: int, number: signal.Signals = signal.SIGTERM) -> None:
        self.on_step = lambda at: at == step and os.kill(os.getpid(), number)

    def note_weights(self) -> list[Any]:
        """A list that gains the weights before each step."""
        noted: list[Any] = []
        self.on_step = lambda step: noted.append(self.last.up.weight.detach().clone())
        return noted


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Built:
    built = Built()
    monkeypatch.setattr(loop, "build", built)
    monkeypatch.setattr(checkpoint, "settle_on_grid", Tiny.calibrate)
    monkeypatch.setattr(loop, "start_from_components", Tiny.start_from)
    return built


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures to train on and two for validation."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    names = [f"{number}.png" for number in range(400)]
    training = [name for name in names if not is_validation(name)]
    validation = [name for name in names if is_validation(name)]
    for name in training[:8] + validation[:2]:
        coarse = generator.integers(0, 256, (8, 9, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((72, 64), Image.Resampling.BICUBIC).save(folder / name)
    return folder


@pytest.fixture
def options(folder: Path, tmp_path: Path) -> TrainOptions:
    return TrainOptions("tiny", (folder,), tmp_path / "run", steps=6, device="cpu", batch_size=4, crop=32, threads=1)


def train(options: TrainOptions) -> dict[str, Any]:
    """The content of the checkpoint that a run leaves."""
    loop.train(options)
    return read_checkpoint(options.checkpoint)


def interrupted(options: TrainOptions) -> dict[str, Any]:
    """The same of a run that is interrupted."""
    with pytest.raises(KeyboardInterrupt):
        loop.train(options)
    return read_checkpoint(options.checkpoint)


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def flat(content: Any) -> Any:
    """A checkpoint's content in a form that compares exactly, without the clock."""
    if isinstance(content, torch.Tensor):
        return content.dtype, content.numpy().tobytes()
    if isinstance(content, dict):
        return {name: flat(value) for name, value in content.items() if name != "seconds"}
    return [flat(value) for value in content] if isinstance(content, (list, tuple)) else content
