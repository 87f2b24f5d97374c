"""Decay branches, rounding, the moving mean and averages of runs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from aecodec.errors import InputError

torch = pytest.importorskip("torch")
from safetensors.torch import save_file

from aecodec import cli
from aecodec.train import checkpoint
from aecodec.train import loop
from aecodec.train.checkpoint import read_checkpoint
from aecodec.train.model import Config
from aecodec.train.schedule import TrainOptions
from helpers.train_runs import Built
from helpers.train_runs import Tiny
from helpers.train_runs import flat
from helpers.train_runs import interrupted
from helpers.train_runs import records
from helpers.train_runs import train

pytest_plugins = ["helpers.train_runs"]


def test_a_decay_branch_rounds_lowers_the_rate_and_leaves_the_constant_state(
    built: Built, options: TrainOptions
) -> None:
    loop.train(options)
    before, log_before = options.checkpoint.read_bytes(), options.log.read_bytes()
    decay = replace(options, decay=True, steps=10)
    content = train(decay)
    assert built.last.calls == ["calibrate 256", "rounding from 6"], "the last four of ten steps"
    assert (options.checkpoint.read_bytes(), options.log.read_bytes()) == (before, log_before)
    assert content["model"]["scale"] > 0
    assert (content["counters"]["first_step"], content["counters"]["step"]) == (6, 16)
    expected = 0.3 * 0.01 * 16 / 300 * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * 0.9)))
    assert content["optimizer"]["param_groups"][0]["lr"] == pytest.approx(expected)
    assert [record["step"] for record in records(decay.log)] == [16, 16]
    assert decay.sheet(16).exists() and decay.sheet(16) != options.sheet(16)


def test_a_decay_branch_starts_from_the_moving_mean_and_ends_in_its_own(built: Built, options: TrainOptions) -> None:
    weights = built.note_weights()
    content = train(options)
    last = content["model"]["up.weight"].double()
    mean = weights[0].double()
    for step, after in enumerate([*weights[1:], last], start=1):
        mean = mean + (after - mean) * 10 / (10 + step)
    assert torch.allclose(content["mean"]["up.weight"].double(), mean, atol=1e-6)
    assert not torch.allclose(last, mean, atol=1e-4)
    weights.clear()
    decay = replace(options, decay=True, steps=8)
    branch = train(decay)
    assert torch.equal(weights[0], content["mean"]["up.weight"])
    assert torch.equal(branch["model"]["up.weight"], branch["mean"]["up.weight"])
    assert not torch.equal(branch["model"]["up.weight"], weights[-1])
    built.signal_at(2)
    branch = interrupted(decay)
    assert not torch.equal(branch["model"]["up.weight"], branch["mean"]["up.weight"])


def test_the_mean_is_kept_when_rounding_begins(built: Built, options: TrainOptions) -> None:
    assert train(options)["unrounded"] == {}
    decay = replace(options, decay=True, steps=10, learning_rate=0.1)
    kept = train(decay)["unrounded"]
    unrounded = train(replace(decay, rounding=False))
    assert unrounded["unrounded"] == {}
    assert kept.keys() == unrounded["mean"].keys()
    assert not torch.equal(kept["up.weight"], unrounded["mean"]["up.weight"]), "of six steps, not of ten"
    assert train(replace(decay, resume=True))["unrounded"].keys() == kept.keys(), "rounding began after all"


def test_a_checkpoint_without_a_mean_starts_a_branch_from_its_weights(built: Built, options: TrainOptions) -> None:
    content = train(options)
    del content["mean"]
    torch.save(content, options.checkpoint)
    branch = train(replace(options, decay=True, steps=1, learning_rate=1e-12))
    assert torch.allclose(branch["model"]["up.weight"], content["model"]["up.weight"], atol=1e-6)


def test_a_decay_branch_resumes_with_what_is_left_of_it(built: Built, options: TrainOptions) -> None:
    train(options)
    decay = replace(options, decay=True, steps=8)
    whole = train(decay)
    built.signal_at(4)
    assert interrupted(decay)["counters"]["step"] == 11
    built.signal_at(-1)
    resume = replace(decay, resume=True)
    assert flat(train(resume)) == flat(whole)
    assert built.last.calls == ["rounding from 0"], "scales come from the checkpoint"
    assert train(resume)["counters"]["step"] == 14, "nothing left to do"


def test_rounding_can_be_left_out_of_a_branch_and_taken_into_a_constant_run(
    built: Built, options: TrainOptions
) -> None:
    loop.train(replace(options, rounding=True))
    assert built.last.calls[1:] == ["calibrate 256", "rounding from 0"]
    loop.train(replace(options, decay=True, rounding=False))
    assert built.last.calls == []


def test_a_decay_branch_may_start_from_weights(built: Built, options: TrainOptions, tmp_path: Path) -> None:
    save_file(Tiny(Config("tiny", "mse")).state_dict(), tmp_path / "init.safetensors")
    decay = replace(options, decay=True, init=tmp_path / "init.safetensors")
    loop.train(decay)
    assert sorted(path.name for path in options.out.iterdir()) == ["decayed.jsonl", "decayed.pt", "sheets"]


@pytest.fixture
def runs(built: Built, options: TrainOptions, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Checkpoints of three runs with rounding, of 1, 3 and 2 steps."""
    monkeypatch.setattr(checkpoint, "build", built)
    runs = [replace(options, out=options.out / str(n), steps=n, seed=n, rounding=True) for n in (1, 3, 2)]
    for run in runs:
        loop.train(run)
    return [run.checkpoint for run in runs]


def test_an_average_has_mean_weights_and_the_rest_of_the_first_run(runs: list[Path], options: TrainOptions) -> None:
    assert cli.run(["model", "average", *map(str, runs), "--out", str(options.checkpoint)]) == 0
    mean, *parts = map(read_checkpoint, (options.checkpoint, *runs))
    for key in ("model", "mean", "unrounded"):
        assert mean[key].keys() == parts[0][key].keys()
        for name, tensor in mean[key].items():
            values = torch.stack([part[key][name] for part in parts])
            assert len(values.unique(dim=0)) == 3
            assert torch.allclose(tensor, values[0] if name == "scale" else values.mean(0), atol=1e-6), name
    assert mean["counters"] == parts[0]["counters"] | {"pixels": parts[1]["counters"]["pixels"]}
    for key in ("optimizer", "random"):
        assert flat(mean[key]) == flat(parts[0][key])
    assert train(replace(options, resume=True))["counters"]["step"] == 1 + 6
    parts[1]["unrounded"] = {}
    checkpoint.write_checkpoint(runs[1], parts[1])
    checkpoint.average(runs, options.checkpoint)
    assert flat(read_checkpoint(options.checkpoint)["unrounded"]) == flat(parts[0]["unrounded"]), "not all have it"


def test_other_networks_and_damaged_files_are_not_averaged(runs: list[Path], options: TrainOptions) -> None:
    content = read_checkpoint(runs[1])
    for change in ({"config": "other"}, {"model": content["model"] | {"up.bias": torch.zeros(7)}}):
        checkpoint.write_checkpoint(runs[1], content | change)
        with pytest.raises(InputError, match=r"3/latest\.pt: not of the same network as .*1/latest\.pt"):
            checkpoint.average(runs, options.checkpoint)
    runs[1].write_bytes(runs[1].read_bytes()[:1000])
    with pytest.raises(InputError, match="not a readable checkpoint"):
        checkpoint.average(runs, options.checkpoint)
    assert not options.checkpoint.exists()
