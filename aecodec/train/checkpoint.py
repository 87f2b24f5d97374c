"""Checkpoints: all that a later process needs to continue exactly where this one stopped; the mean of several.

A checkpoint is a torch file of tensors and plain values only, which `torch.load(weights_only=True)` reads:

| key | what |
|---|---|
| `config` | name of the model's configuration |
| `model` | the model's state_dict, float weights and activation scales |
| `mean` | the moving mean of the float weights, by name |
| `unrounded` | that mean when rounding began, or empty: the better weights to continue from |
| `optimizer` | the optimizer's state_dict; of SOAP, one each for its part and for Adam's: `soap`, `adam` |
| `counters` | the fields of `Counters` by name |
| `random` | states of the generators: `batches`, `torch` and, from a GPU, `cuda` |
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

import torch

from aecodec.errors import InputError
from aecodec.files import write_atomic
from aecodec.train.data import Batches
from aecodec.train.model import AutoEncoder
from aecodec.train.model import build
from aecodec.train.optimizers import Optimizer
from aecodec.train.rounding import settle_on_grid

MEAN_STEPS = 5000


@dataclass
class Counters:
    """The progress of a run."""

    learning_rate: float  # of the constant schedule, before warm-up and decay
    step: int = 0  # batches seen, skipped ones included
    first_step: int = 0  # of a decay branch; otherwise 0
    skipped: int = 0  # steps without an update, because the loss was not finite
    pixels: int = 0  # that these weights were trained on, over all runs
    mean_step: int = 0  # at which the moving mean of the weights began
    seconds: float = 0.0  # of training in the present branch, over all sittings
    pretrained: bool = False  # started from a weights file, so the loss includes the rate from the first step
    calibrated: bool = False  # the present branch has chosen its activation scales

    def begin_branch(self) -> None:
        """Count the present branch from here."""
        self.first_step = self.mean_step = self.step
        self.seconds = 0.0
        self.calibrated = False


@dataclass
class State:
    """A run: model, optimizer, data and counters.

    `mean` is the moving mean of the weights. At a constant learning rate they never settle; their mean does (Polyak and
    Juditsky, "Acceleration of stochastic approximation by averaging", 1992).
    """

    model: AutoEncoder
    optimizer: Optimizer
    batches: Batches
    counters: Counters
    device: torch.device
    mean_steps: int = MEAN_STEPS
    mean: dict[str, torch.Tensor] = field(init=False)
    unrounded: dict[str, torch.Tensor] = field(init=False, default_factory=dict)  # the mean when rounding began

    def __post_init__(self) -> None:
        self.start_mean()

    def start_mean(self) -> None:
        """Restart the moving mean from the current weights."""
        self.counters.mean_step = self.counters.step
        self.mean = {name: weight.detach().clone() for name, weight in self.model.named_parameters()}

    def update_mean(self) -> None:
        """The mean covers roughly the last `mean_steps` steps; early on, the last tenth of all."""
        steps = self.counters.step - self.counters.mean_step
        share = max(1 / self.mean_steps, 10 / (10 + steps))
        weights = [weight.detach() for weight in self.model.parameters()]
        torch._foreach_lerp_(list(self.mean.values()), weights, share)

    def take_mean(self) -> None:
        """Set the weights to their moving mean."""
        self.model.load_state_dict(self.mean, strict=False)

    def begin_rounding(self, x: torch.Tensor, quality: torch.Tensor) -> None:
        """Continue from the mean, moved to the integer grid by a batch of pictures.

        `unrounded` keeps the mean, since weights trained with rounding are worse without it.
        """
        self.unrounded = {name: weight.clone() for name, weight in self.mean.items()}
        self.take_mean()
        settle_on_grid(self.model, x, quality)
        self.start_mean()
        self.counters.calibrated = True

    @property
    def plain_steps(self) -> int:
        """Steps as a plain auto-encoder; none for pretrained weights."""
        return 0 if self.counters.pretrained else self.model.config.plain_steps

    @property
    def is_plain(self) -> bool:
        return self.counters.step < self.plain_steps

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all; raises OutputError."""
        random = {"batches": self.batches.generator.get_state(), "torch": torch.get_rng_state()}
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
        """Load a checkpoint of the same configuration, made on any device; raises InputError."""
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
        self.batches.generator.set_state(random["batches"])
        torch.set_rng_state(random["torch"])
        if self.device.type == "cuda" and "cuda" in random:
            torch.cuda.set_rng_state(random["cuda"], self.device)


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint's content, whole or not at all; raises OutputError."""
    stream = io.BytesIO()
    torch.save(content, stream)
    write_atomic(path, stream.getvalue())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint with all tensors on the CPU; raises InputError if it is missing or damaged."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such checkpoint") from error
    except Exception as error:  # torch's reader raises many kinds of error on damage
        raise InputError(f"{path}: not a readable checkpoint ({first_line(error)})") from error
    if not isinstance(content, dict) or not {"config", "model", "optimizer", "counters", "random"} <= content.keys():
        raise InputError(f"{path}: not a checkpoint of aecodec")
    content.setdefault("mean", content["model"])  # earlier versions kept none
    content.setdefault("unrounded", {})
    return content


def first_line(error: Exception) -> str:
    """The first line of the error's message: torch appends whole pages."""
    return str(error).partition("\n")[0]


def average(checkpoints: Sequence[Path], out: Path) -> None:
    """Write the mean of the checkpoints' weights to `out`, a checkpoint to resume, branch off or export.

    Runs from the same weights, or states of one run, lie around one minimum; at a constant learning rate most of their
    difference is noise, which the mean removes (Izmailov et al., "Averaging weights leads to wider optima and better
    generalization", 2018; Wortsman et al., "Model soups", 2022).

    The moving means and the weights kept before rounding are averaged too. Everything else (activation scales,
    optimizer, counters, generators) comes from the first checkpoint, except `pixels`, the largest of all. Raises
    InputError if the networks differ, and OutputError.
    """
    contents = [read_checkpoint(path) for path in checkpoints]
    first = contents[0]
    shapes = [{name: tensor.shape for name, tensor in content["model"].items()} for content in contents]
    for path, content, shape in zip(checkpoints, contents, shapes, strict=True):
        if (content["config"], shape) != (first["config"], shapes[0]):
            raise InputError(f"{path}: not of the same network as {checkpoints[0]}")
    names = [name for name, _ in build(first["config"]).named_parameters()]
    for key in ("model", "mean", "unrounded"):
        if all(content[key] for content in contents):
            first[key] |= {name: torch.stack([content[key][name] for content in contents]).mean(0) for name in names}
    first["counters"]["pixels"] = max(content["counters"]["pixels"] for content in contents)
    write_checkpoint(out, first)
