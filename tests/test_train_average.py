"""`aecodec model average`: the mean of weights, all else as the first checkpoint has it; other networks are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from aecodec.cli import run
from aecodec.errors import InputError
from aecodec.train import checkpoint
from aecodec.train.checkpoint import Counters
from aecodec.train.checkpoint import State
from aecodec.train.checkpoint import average
from aecodec.train.checkpoint import read_checkpoint
from aecodec.train.checkpoint import write_checkpoint
from aecodec.train.data import Batches
from aecodec.train.layers import Scale
from helpers.models import small


@pytest.fixture(autouse=True)
def _small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "build", small)


def state(seed: int, config: str = "paper") -> State:
    """A fresh run with seeded weights, scales of 2^seed and `seed` steps behind it."""
    torch.manual_seed(seed)
    model = small(config)
    for module in model.modules():
        if isinstance(module, Scale) and not module.fixed:
            module.value.fill_(2.0**seed)
    cpu = torch.device("cpu")
    batches = Batches([np.zeros((64, 64, 3), np.uint8)], crop=32, batch_size=1, device=cpu, seed=seed)
    counters = Counters(1e-3, step=seed, pixels=1000 - seed, calibrated=True)
    return State(model, torch.optim.Adam(model.parameters()), batches, counters, cpu)


def saved(folder: Path, *seeds: int) -> list[Path]:
    paths = [folder / f"{seed}.pt" for seed in seeds]
    for seed, path in zip(seeds, paths, strict=True):
        state(seed).save(path)
    return paths


def test_weights_are_the_mean_and_all_else_the_firsts(tmp_path: Path) -> None:
    paths = saved(tmp_path, 3, 1, 2)
    average(paths, tmp_path / "mean.pt")
    mean, *parts = (read_checkpoint(path) for path in (tmp_path / "mean.pt", *paths))
    learned = {name for name, _ in small("paper").named_parameters()}
    for key in ("model", "mean"):
        for name, tensor in mean[key].items():
            values = torch.stack([part[key][name].float() for part in parts])
            assert torch.allclose(tensor, values.mean(0) if name in learned else values[0], atol=1e-6), name
    assert mean["counters"] == parts[0]["counters"] | {"pixels": 999}


def test_weights_kept_before_rounding_are_averaged_if_all_have_them(tmp_path: Path) -> None:
    paths = saved(tmp_path, 1, 2)
    contents = [read_checkpoint(path) for path in paths]
    for own, other in ((0, 1), (1, 0)):
        contents[own]["unrounded"] = dict(contents[other]["mean"])
        write_checkpoint(paths[own], contents[own])
        average(paths, tmp_path / "mean.pt")
        mean = read_checkpoint(tmp_path / "mean.pt")
        expected = contents[1]["mean"] if own == 0 else mean["mean"]
        assert mean["unrounded"].keys() == expected.keys()
        assert all(torch.equal(mean["unrounded"][name], expected[name]) for name in expected)


def test_the_command_writes_a_checkpoint_to_resume(tmp_path: Path) -> None:
    paths = saved(tmp_path, 1, 2)
    assert run(["model", "average", *map(str, paths), "--out", str(tmp_path / "mean.pt")]) == 0
    resumed = state(9)
    resumed.restore(tmp_path / "mean.pt")
    assert resumed.counters.step == 1


def test_other_networks_and_damaged_files_are_refused(tmp_path: Path) -> None:
    (paper,) = saved(tmp_path, 1)
    standard = tmp_path / "standard.pt"
    state(1, "standard").save(standard)
    with pytest.raises(InputError, match=r"standard\.pt: not of the same network as .*1\.pt"):
        average([paper, standard], tmp_path / "mean.pt")
    standard.write_bytes(standard.read_bytes()[:1000])
    with pytest.raises(InputError, match="not a readable checkpoint"):
        average([paper, standard], tmp_path / "mean.pt")
    assert not (tmp_path / "mean.pt").exists()
