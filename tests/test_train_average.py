"""`aecodec model average`: the mean of weights, all else as the first checkpoint has it; misfits are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from aecodec.cli import run
from aecodec.errors import InputError
from aecodec.train.checkpoint import Counters
from aecodec.train.checkpoint import State
from aecodec.train.checkpoint import average
from aecodec.train.checkpoint import read_checkpoint
from aecodec.train.data import Batches
from aecodec.train.layers import Scale
from aecodec.train.model import build


def checkpoint(path: Path, seed: int, config: str = "paper") -> Path:
    """A fresh model with seeded weights, scales of its own and `seed` steps behind it."""
    torch.manual_seed(seed)
    model = build(config)
    for module in model.modules():
        if isinstance(module, Scale) and not module.fixed:
            module.value.fill_(2.0**seed)
    picture = np.zeros((64, 64, 3), np.uint8)
    batches = Batches([picture], crop=32, batch_size=1, device=torch.device("cpu"), seed=seed)
    counters = Counters(1e-3, step=seed, pixels=1000 - seed, calibrated=True)
    State(model, torch.optim.Adam(model.parameters()), batches, counters, torch.device("cpu")).save(path)
    return path


def test_weights_are_the_mean_and_all_else_the_firsts(tmp_path: Path) -> None:
    paths = [checkpoint(tmp_path / f"{seed}.pt", seed) for seed in (3, 1, 2)]
    average(paths, tmp_path / "mean.pt")
    mean, *parts = (read_checkpoint(path) for path in (tmp_path / "mean.pt", *paths))
    learned = {name for name, _ in build("paper").named_parameters()}
    for key in ("model", "mean"):
        for name, tensor in mean[key].items():
            values = torch.stack([part[key][name].float() for part in parts])
            assert torch.allclose(tensor, values.mean(0) if name in learned else values[0], atol=1e-6), name
    assert mean["counters"] == parts[0]["counters"] | {"pixels": 999}
    build("paper").load_state_dict(mean["model"])


def test_weights_kept_before_rounding_are_averaged_where_all_have_them(tmp_path: Path) -> None:
    paths = [checkpoint(tmp_path / f"{seed}.pt", seed) for seed in (1, 2)]
    contents = [read_checkpoint(path) for path in paths]
    contents[0]["unrounded"] = dict(contents[1]["mean"])
    torch.save(contents[0], paths[0])
    average(paths, tmp_path / "mean.pt")
    kept = read_checkpoint(tmp_path / "mean.pt")["unrounded"]
    assert all(torch.equal(kept[name], contents[1]["mean"][name]) for name in kept), "the first one's"
    contents[1]["unrounded"] = dict(contents[0]["mean"])
    torch.save(contents[1], paths[1])
    average(paths, tmp_path / "mean.pt")
    mean = read_checkpoint(tmp_path / "mean.pt")
    for name, tensor in mean["unrounded"].items():
        assert torch.equal(tensor, mean["mean"][name]), name


def test_the_command_writes_what_training_goes_on_from(tmp_path: Path) -> None:
    paths = [checkpoint(tmp_path / f"{seed}.pt", seed) for seed in (1, 2)]
    assert run(["model", "average", *map(str, paths), "--out", str(tmp_path / "mean.pt")]) == 0
    torch.manual_seed(9)
    model = build("paper")
    batches = Batches([np.zeros((64, 64, 3), np.uint8)], crop=32, batch_size=1, device=torch.device("cpu"), seed=0)
    state = State(model, torch.optim.Adam(model.parameters()), batches, Counters(1e-3), torch.device("cpu"))
    state.restore(tmp_path / "mean.pt")
    assert state.counters.step == 1


def test_other_networks_and_damaged_files_are_refused(tmp_path: Path) -> None:
    paper = checkpoint(tmp_path / "paper.pt", 1)
    standard = checkpoint(tmp_path / "standard.pt", 1, "standard")
    with pytest.raises(InputError, match=r"standard\.pt: not of the same network as .*paper\.pt"):
        average([paper, standard], tmp_path / "mean.pt")
    standard.write_bytes(standard.read_bytes()[:1000])
    with pytest.raises(InputError, match="not a readable checkpoint"):
        average([paper, standard], tmp_path / "mean.pt")
    assert not (tmp_path / "mean.pt").exists()
