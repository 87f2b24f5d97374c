"""The mean of several checkpoints' weights, which is better than each of them where they come of one start.

Runs from the same weights, or states of one run, lie around one minimum; at a constant learning rate most of what
tells them apart is noise, which the mean takes out (Izmailov et al., "Averaging weights leads to wider optima and
better generalization", 2018; Wortsman et al., "Model soups", 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from aecodec.errors import InputError
from aecodec.train.checkpoint import read_checkpoint
from aecodec.train.checkpoint import write_checkpoint
from aecodec.train.model import build


def average(checkpoints: Sequence[Path], out: Path) -> None:
    """Write the mean of the checkpoints' weights to `out`, a checkpoint to train on from, to branch off or to export.

    Their moving means, and those kept when rounding began, likewise. Everything else (activation scales, the optimizer,
    counters, generators) is the first one's; pixels count as the most that one of them has seen. Raises InputError
    where they are not of one network, and OutputError.
    """
    contents = [read_checkpoint(path) for path in checkpoints]
    first = contents[0]
    for path, content in zip(checkpoints, contents, strict=True):
        if _shapes(content) != _shapes(first):
            raise InputError(f"{path}: not of the same network as {checkpoints[0]}")
    names = [name for name, _ in build(first["config"]).named_parameters()]
    for key in ("model", "mean", "unrounded"):
        if all(content[key] for content in contents):
            first[key] |= {name: torch.stack([content[key][name] for content in contents]).mean(0) for name in names}
    first["counters"]["pixels"] = max(content["counters"]["pixels"] for content in contents)
    write_checkpoint(out, first)


def _shapes(content: dict[str, Any]) -> tuple[str, dict[str, torch.Size]]:
    return content["config"], {name: tensor.shape for name, tensor in content["model"].items()}
