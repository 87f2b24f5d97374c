"""Checkpoints: all that a later process needs to continue exactly where this one stopped.

A checkpoint is a torch file of tensors and plain values only, which `torch.load(weights_only=True)` reads:

| key | what |
|---|---|
| `config` | name of the model's configuration |
| `model` | the model's state_dict, float weights and activation scales |
| `mean` | the moving mean of the float weights, by name |
| `unrounded` | that mean when rounding began, where it has: the better weights to train on from |
| `optimizer` | the optimizer's state_dict |
| `counters` | the fields of `Counters` by name |
| `random` | states of the generators: `batches`, `torch` and, from a GPU, `cuda` |
"""

from __future__ import annotations

import io
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import torch

from aecodec.errors import InputError
from aecodec.files import write_atomic
from aecodec.train.data import Batches

if TYPE_CHECKING:
    from aecodec.train.model import AutoEncoder

MEAN_STEPS = 5000


@dataclass
class Counters:
    """Where a run stands."""

    learning_rate: float  # of the constant schedule, before warm-up and decay
    step: int = 0  # batches seen, skipped ones included
    first_step: int = 0  # where the present branch began; 0 unless it is a decay branch
    skipped: int = 0  # steps without an update, because the loss was not finite
    pixels: int = 0  # seen by these weights, over all runs
    mean_step: int = 0  # where the moving mean of the weights began
    seconds: float = 0.0  # of training in the present branch, over all sittings
    pretrained: bool = False  # started from a weights file, so the rate counts from the first step
    calibrated: bool = False  # activation scales have been measured in the present branch

    def begin_branch(self) -> None:
        """Count the present branch from here."""
        self.first_step = self.mean_step = self.step
        self.seconds = 0.0
        self.calibrated = False


@dataclass
class State:
    """A run: what learns, what it learns from, and where it stands.

    `mean` is the moving mean of the weights. At a constant learning rate they never settle; their mean does (Polyak and
    Juditsky, "Acceleration of stochastic approximation by averaging", 1992).
    """

    model: AutoEncoder
    optimizer: torch.optim.Optimizer
    batches: Batches
    counters: Counters
    device: torch.device
    mean_steps: int = MEAN_STEPS
    mean: dict[str, torch.Tensor] = field(init=False)
    unrounded: dict[str, torch.Tensor] = field(init=False, default_factory=dict)  # the mean when rounding began

    def __post_init__(self) -> None:
        self.start_mean()

    def start_mean(self) -> None:
        """From the weights as they are."""
        self.counters.mean_step = self.counters.step
        self.mean = {name: weight.detach().clone() for name, weight in self.model.named_parameters()}

    def update_mean(self) -> None:
        """Of the last `mean_steps` steps, roughly; early on, of the last tenth of them."""
        steps = self.counters.step - self.counters.mean_step
        share = max(1 / self.mean_steps, 10 / (10 + steps))
        weights = [weight.detach() for weight in self.model.parameters()]
        torch._foreach_lerp_(list(self.mean.values()), weights, share)

    def take_mean(self) -> None:
        """Set the weights to their moving mean."""
        self.model.load_state_dict(self.mean, strict=False)

    def keep_unrounded(self) -> None:
        """Rounding begins: remember the moving mean, since weights that have learned with it compute less without."""
        self.unrounded = {name: weight.clone() for name, weight in self.mean.items()}

    @property
    def plain_steps(self) -> int:
        """Steps that the run trains as a plain auto-encoder; none where the weights have been past that."""
        return 0 if self.counters.pretrained else self.model.config.plain_steps

    @property
    def is_plain(self) -> bool:
        return self.counters.step < self.plain_steps

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all; raises OutputError."""
        random = {"batches": self.batches.random_state(), "torch": torch.get_rng_state()}
        if self.device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(self.device)
        content = {
            "config": self.model.config.name,
            "model": self.model.state_dict(),
            "mean": self.mean,
            "unrounded": self.unrounded,
            "optimizer": self.optimizer.state_dict(),
            "counters": asdict(self.counters),
            "random": random,
        }
        write_checkpoint(path, content)

    def restore(self, path: Path) -> None:
        """Take over a checkpoint of the same configuration, made on any device; raises InputError."""
        content = read_checkpoint(path)
        if content["config"] != self.model.config.name:
            raise InputError(f"{path}: holds the configuration {content['config']}, not {self.model.config.name}")
        try:
            self.model.load_state_dict(content["model"])
            self.mean = {name: content["mean"][name].to(self.device) for name in self.mean}
            self.unrounded = {name: weight.to(self.device) for name, weight in content["unrounded"].items()}
            self.optimizer.load_state_dict(content["optimizer"])
            self.counters = Counters(**content["counters"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(f"{path}: made by another version of the network ({first_line(error)})") from error
        random = content["random"]
        self.batches.set_random_state(random["batches"])
        torch.set_rng_state(random["torch"])
        if self.device.type == "cuda" and "cuda" in random:
            torch.cuda.set_rng_state(random["cuda"], self.device)


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint's content, whole or not at all; raises OutputError."""
    stream = io.BytesIO()
    torch.save(content, stream)
    write_atomic(path, stream.getvalue())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint with all tensors on the CPU; raises InputError where it is missing or damaged."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such checkpoint") from error
    except Exception as error:  # torch's reader raises many kinds of error on damage
        raise InputError(f"{path}: not a readable checkpoint ({first_line(error)})") from error
    if not isinstance(content, dict) or not {"config", "model", "optimizer", "counters", "random"} <= content.keys():
        raise InputError(f"{path}: not a checkpoint of aecodec")
    content.setdefault("mean", content["model"])  # there was none in earlier versions
    content.setdefault("unrounded", {})
    return content


def first_line(error: Exception) -> str:
    """Of the error's message: torch appends whole pages."""
    return str(error).partition("\n")[0]
