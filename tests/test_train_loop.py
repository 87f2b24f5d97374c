"""Training runs: learning, signals, limits, resuming."""

from __future__ import annotations

import math
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aecodec.errors import InputError
from aecodec.errors import OutputError

torch = pytest.importorskip("torch")
from safetensors.torch import save_file

from aecodec.train import evaluate
from aecodec.train import loop
from aecodec.train import progress
from aecodec.train import schedule
from aecodec.train.checkpoint import Counters
from aecodec.train.checkpoint import read_checkpoint
from aecodec.train.model import Coded
from aecodec.train.model import Config
from aecodec.train.schedule import TrainOptions
from helpers.train_runs import Built
from helpers.train_runs import Tiny
from helpers.train_runs import flat
from helpers.train_runs import interrupted
from helpers.train_runs import records
from helpers.train_runs import train

pytest_plugins = ["helpers.train_runs"]


def test_a_fresh_run_learns_and_leaves_a_checkpoint_a_log_and_a_sheet(built: Built, options: TrainOptions) -> None:
    content = train(replace(options, steps=60))
    assert built.last.calls == ["start from uint8 (8000, 16, 16, 3)"]
    counters = content["counters"]
    assert (counters["step"], counters["pixels"], counters["skipped"]) == (60, 60 * 4 * 32 * 32, 0)
    report, validation = records(options.log)
    assert {"step", "minutes", "pixels", "bpp", "psnr", "l1", "loss", "learning_rate", "mpx_per_s"} <= report.keys()
    assert report["step"] == 60 and report["learning_rate"] == pytest.approx(0.01 * 60 / 300)
    assert [point["quality"] for point in validation["validation"]] == pytest.approx([step / 6 for step in range(7)])
    assert validation["gap"] == pytest.approx(validation["validation_loss"] - validation["training_loss"])
    assert sorted(path.name for path in (options.out / "sheets").iterdir()) == ["50.png", "60.png"]
    assert sorted(path.name for path in options.out.iterdir()) == ["latest.pt", "log.jsonl", "sheets"]
    with Image.open(options.sheet(60)) as sheet:
        assert sheet.size == (2 * 64, 2 * 64), "two validation pictures, inputs above reconstructions"
    untrained = Tiny(Config("tiny", "mse"))
    trained = Tiny(Config("tiny", "mse"))
    trained.load_state_dict(content["model"])
    crops = [np.full((32, 32, 3), 200, np.uint8)]
    losses = [evaluate.measure(model, crops, torch.device("cpu")).loss for model in (trained, untrained)]
    assert losses[0] < losses[1] / 2


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(built: Built, options: TrainOptions) -> None:
    parts = replace(options, out=options.out / "parts")
    whole = train(replace(options, steps=9))
    train(replace(parts, steps=4))
    torch.manual_seed(123)
    assert flat(train(replace(parts, steps=5, resume=True, seed=77))) == flat(whole)
    assert [record["step"] for record in records(parts.log)] == [4, 4, 9, 9]


def test_drawings_join_the_photographs_and_a_resumed_run_has_the_same_ones(
    built: Built, options: TrainOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "DRAWINGS", 5)
    drawn = replace(options, drawn=0.5)
    parts = replace(drawn, out=options.out / "parts")
    whole = train(drawn)
    train(replace(parts, steps=2))
    assert flat(train(replace(parts, steps=4, resume=True, seed=9))) == flat(whole)
    photographs = train(replace(options, out=options.out / "photographs"))
    assert not torch.equal(photographs["model"]["up.weight"], whole["model"]["up.weight"])


def test_seeds_differ(built: Built, options: TrainOptions) -> None:
    first, second = (train(replace(options, steps=1, seed=seed, out=options.out / str(seed))) for seed in (0, 1))
    assert not torch.equal(first["random"]["batches"], second["random"]["batches"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_a_checkpoint_that_resumes(
    built: Built, options: TrainOptions, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    broken = replace(options, out=options.out / "broken")
    whole = train(options)
    built.signal_at(2, number)
    interrupted(broken)
    assert "interrupted at step 3; --resume continues" in capsys.readouterr().err
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert [record["step"] for record in records(broken.log)] == [3], "no validation once the user wants to stop"
    built.signal_at(-1)
    assert flat(train(replace(broken, steps=3, resume=True))) == flat(whole)


def test_a_second_signal_is_obeyed_at_once(built: Built, options: TrainOptions) -> None:
    built.on_step = lambda step: [os.kill(os.getpid(), signal.SIGINT) for _ in range(2)]
    with pytest.raises(KeyboardInterrupt):
        loop.train(options)
    assert not options.checkpoint.exists()


def test_an_ignored_signal_stays_ignored(built: Built, options: TrainOptions) -> None:
    built.on_step = lambda step: os.kill(os.getpid(), signal.SIGINT)
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        loop.train(options)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert read_checkpoint(options.checkpoint)["counters"]["step"] == 6


def test_trains_in_a_thread_where_no_handler_can_be_set(built: Built, options: TrainOptions) -> None:
    thread = threading.Thread(target=loop.train, args=(options,))
    thread.start()
    thread.join()
    assert options.checkpoint.exists()


def test_weights_to_start_from_bring_their_pixels_and_skip_the_plain_phase(
    built: Built, options: TrainOptions, tmp_path: Path
) -> None:
    built.plain_steps = 3
    source = Tiny(Config("tiny", "mse"))
    weights = {name: tensor for name, tensor in source.state_dict().items() if name != "scale"}
    save_file(weights, tmp_path / "init.safetensors", {"pixels": "1000000"})
    init = replace(options, init=tmp_path / "init.safetensors", steps=1, learning_rate=1e-9)
    content = train(init)
    assert content["counters"]["pixels"] == 1_000_000 + 4 * 32 * 32
    assert built.last.plain == [False] and built.last.rate_weights == [1]
    assert built.last.calls == []
    assert torch.allclose(content["model"]["down.weight"], weights["down.weight"], atol=1e-6)
    assert torch.allclose(content["mean"]["down.weight"], weights["down.weight"], atol=1e-6)
    resumed = train(replace(options, steps=1, resume=True))
    assert built.last.plain == [False], "also after resuming"
    assert resumed["counters"]["learning_rate"] == 1e-9


@pytest.mark.parametrize("change", ["missing", "unknown", "shape", "no file", "text"])
def test_unfit_weights_are_an_input_error(built: Built, options: TrainOptions, tmp_path: Path, change: str) -> None:
    path = tmp_path / "init.safetensors"
    weights = Tiny(Config("tiny", "mse")).state_dict()
    if change == "missing":
        del weights["up.bias"]
    weights.update({"unknown": {"other": torch.zeros(1)}, "shape": {"up.bias": torch.zeros(7)}}.get(change, {}))
    save_file(weights, path)
    if change == "text":
        path.write_text("no weights")
    if change == "no file":
        path.unlink()
    with pytest.raises(InputError, match="not float weights of tiny") as caught:
        loop.train(replace(options, init=path))
    assert "\n" not in str(caught.value)


def test_the_plain_phase_comes_first_and_the_rate_rises_after_it(built: Built, options: TrainOptions) -> None:
    built.plain_steps = 2
    loop.train(options)
    assert built.last.plain == [True, True, False, False, False, False]
    assert built.last.rate_weights == [0, 0, 0, 0.5, 1, 1]


def test_a_step_that_is_not_finite_is_skipped_and_counted(built: Built, options: TrainOptions) -> None:
    built.not_finite_at = lambda step: step in (1, 3)
    content = train(options)
    assert (content["counters"]["step"], content["counters"]["skipped"]) == (6, 2)
    assert content["optimizer"]["state"][0]["step"] == 4
    assert all(tensor.isfinite().all() for tensor in content["model"].values())
    assert records(options.log)[0]["skipped"] == 2


def test_many_steps_that_are_not_finite_end_the_run_and_keep_the_checkpoint(
    built: Built, options: TrainOptions
) -> None:
    loop.train(options)
    before = options.checkpoint.read_bytes()
    built.not_finite_at = lambda step: step >= 1
    with pytest.raises(loop.TrainingDiverged, match="not finite for 50 steps in a row, up to step 57"):
        loop.train(replace(options, resume=True, steps=1000))
    assert options.checkpoint.read_bytes() == before


def test_a_time_limit_ends_the_run(built: Built, options: TrainOptions) -> None:
    counters = train(replace(options, steps=None, minutes=0.3 / 60))["counters"]
    assert counters["step"] > 1 and 0.3 <= counters["seconds"] < 1


def test_checkpoints_are_written_at_intervals(
    built: Built, options: TrainOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    built.on_step = lambda step: step and seen.append(read_checkpoint(options.checkpoint)["counters"]["step"])
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
    loop.train(replace(options, steps=3))
    assert seen == [1, 2]


def test_missing_existing_damaged_and_foreign_checkpoints_are_input_errors(built: Built, options: TrainOptions) -> None:
    resume = replace(options, resume=True)
    for missing in (resume, replace(options, decay=True)):
        with pytest.raises(InputError, match=r"latest\.pt: no such checkpoint"):
            loop.train(missing)
    loop.train(options)
    with pytest.raises(InputError, match="a run exists already; --resume continues it"):
        loop.train(options)
    with pytest.raises(InputError, match="holds the configuration tiny, not other"):
        loop.train(replace(resume, config="other"))
    whole = options.checkpoint.read_bytes()
    for damaged in (b"", b"text", whole[:-100], whole[: len(whole) // 2]):
        options.checkpoint.write_bytes(damaged)
        with pytest.raises(InputError, match="not a readable checkpoint") as caught:
            loop.train(resume)
        assert "\n" not in str(caught.value)


def test_an_output_folder_that_cannot_be_made_is_an_output_error(built: Built, options: TrainOptions) -> None:
    options.out.write_text("a file")
    with pytest.raises(OutputError):
        loop.train(options)


@pytest.mark.parametrize(
    "change",
    [
        {"minutes": 1.0},
        {"steps": 0},
        {"steps": None, "decay": True},
        {"resume": True, "init": Path("weights")},
        {"crop": 100},
        {"batch_size": 0},
    ],
)
def test_options_that_contradict_each_other_are_refused(options: TrainOptions, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        replace(options, **change)


def test_learning_rate_warms_up_stays_and_falls_in_a_branch() -> None:
    factor = schedule.learning_rate_factor
    assert [factor(step, 0.5, decay=False) for step in (0, 149, 299, 10**6)] == [1 / 300, 0.5, 1, 1]
    assert [factor(1000, share, decay=True) for share in (0, 0.5, 1)] == pytest.approx([0.3, 0.153, 0.006])


def test_budget_counts_from_where_the_branch_began() -> None:
    counters = Counters(0.1, step=130, seconds=150.0)
    by_steps = schedule.Budget(None, 60, from_seconds=0, from_step=100)
    by_time = schedule.Budget(2.0, None, from_seconds=120, from_step=100)
    endless = schedule.Budget(None, None, from_seconds=0, from_step=0)
    assert [budget.share(counters) for budget in (by_steps, by_time, endless)] == [0.5, 0.25, 0]
    assert [budget.seconds_left(counters, 2.0) for budget in (by_steps, by_time, endless)] == [60, 90, None]


def test_a_resumed_log_drops_what_lies_after_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    whole = '{"step": 1}\n{"step": 2}\n{"step": 3}\n'
    for step, end, kept in (
        (9, '{"st', [1, 2, 3]),
        (9, '{"step":4}', [1, 2, 3]),
        (2, "", [1, 2]),
        (None, "", []),
    ):
        path.write_text(whole + end)
        progress.open_log(path, step).close()
        assert [record["step"] for record in records(path)] == kept
    with pytest.raises(OutputError):
        progress.open_log(tmp_path / "missing" / "log.jsonl", 2)


def test_status_line_names_rate_psnr_speed_and_time_left() -> None:
    means = {"bpp": 0.4, "psnr": 27.125, "l1": 0.03, "loss": 1.0, "mpx_per_s": 1.5}
    line = progress.status_line(Counters(0.1, step=1234), means, 600.0)
    assert line == "step 1,234  0.400 bpp  PSNR 27.12 dB  L1 0.0300  1.50 Mpx/s  10 min left"
    assert progress.status_line(Counters(0.1), {}, None) == "step 0"


def test_validation_pictures_are_central_and_fit_the_networks() -> None:
    rows, columns = np.mgrid[:300, :500]
    picture = np.stack([rows // 2, columns // 2, rows * 0], axis=2).astype(np.uint8)
    crop, small = evaluate.central_crops([picture, picture[:70, :100]], 64)
    assert crop.shape == (256, 256, 3) and small.shape == (64, 96, 3)
    assert (crop[0, 0, 0], crop[0, 0, 1]) == (22 // 2, 122 // 2)
    spread = evaluate.central_crops([np.full((32, 32, 3), number, np.uint8) for number in range(10)], 5)
    assert [crop[0, 0, 0] for crop in spread] == [0, 2, 4, 6, 8]


class Darker(torch.nn.Module):
    """Takes one 8-bit step off every sample, and one bit for each pixel."""

    def forward(self, x: Any, quality: Any, *, noise: bool, plain: bool = False) -> Coded:
        assert not noise
        bits = torch.full((len(x),), float(x[0, 0].numel()))
        return Coded(x - 1 / 255 + 0.3 / 255, bits, bits * quality)

    def loss(self, x: Any, quality: Any, coded: Coded, rate_weight: float) -> Any:
        return x.mean() + rate_weight


def test_measure_gives_rates_eight_bit_psnr_and_the_mean_loss_over_pictures() -> None:
    crops = [np.full((32, 64, 3), 51, np.uint8)] * 3 + [np.full((32, 32, 3), 255, np.uint8)]
    measured = evaluate.measure(Darker(), crops, torch.device("cpu"))
    assert [point.bpp for point in measured.points] == pytest.approx([1 + step / 6 for step in range(7)])
    assert [point.psnr for point in measured.points] == pytest.approx([20 * math.log10(255)] * 7)
    assert measured.loss == pytest.approx((3 * 0.2 + 1) / 4 + 1)
    assert evaluate.measure(Darker(), crops, torch.device("cpu"), interrupted=lambda: True) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["standard", "light", "paper"])
def test_the_real_networks_train_and_decay(options: TrainOptions, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "START_PATCHES", 500)
    monkeypatch.setattr(loop, "CALIBRATION_PICTURES", 2)
    real = replace(options, config=name, steps=1, batch_size=1)
    loop.train(real)
    decayed = train(replace(real, decay=True))
    scales = [value for key, value in decayed["model"].items() if "scale" in key]
    assert any((value != 1).any() for value in scales), "calibrated"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_run_on_a_gpu_resumes_there_and_on_the_cpu(built: Built, options: TrainOptions) -> None:
    cuda = replace(options, device="cuda")
    loop.train(cuda)
    on_gpu = train(replace(cuda, resume=True))
    on_cpu = train(replace(options, resume=True))
    assert (on_gpu["counters"]["step"], on_cpu["counters"]["step"]) == (12, 18)
    assert "cuda" in on_gpu["random"] and "cuda" not in on_cpu["random"]
