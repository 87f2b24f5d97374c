"""Trains a model: an open-ended run at a constant learning rate, and decay branches that end in weights to export.

The constant-rate state, `latest.pt`, continues from sitting to sitting; a decay branch does not change it. The branch
starts from the moving mean of its weights, lowers the learning rate along a cosine and rounds to integers in its last
part. It ends in its own moving mean, since weights halfway between two integers never settle, and writes `decayed.pt`.
Each of the two has a checkpoint, a log of JSON lines (`log.jsonl`, `decayed.jsonl`) and contact sheets
(`sheets/STEP.png`, `sheets/decayed-STEP.png`) in the output folder.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from contextlib import closing
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors import safe_open
from safetensors.torch import load_file

from aecodec.batch.progress import Bar
from aecodec.batch.workers import INTERRUPTS
from aecodec.errors import AecError
from aecodec.errors import InputError
from aecodec.errors import OutputError
from aecodec.train.checkpoint import Counters
from aecodec.train.checkpoint import State
from aecodec.train.checkpoint import first_line
from aecodec.train.checkpoint import read_checkpoint
from aecodec.train.data import Batches
from aecodec.train.data import Dataset
from aecodec.train.data import hold
from aecodec.train.data import load_folders
from aecodec.train.drawings import drawings
from aecodec.train.model import AutoEncoder
from aecodec.train.model import build
from aecodec.train.model import start_from_components
from aecodec.train.optimizers import OPTIMIZERS
from aecodec.train.optimizers import make_optimizer
from aecodec.train.optimizers import optimizer_of
from aecodec.train.optimizers import soap_class
from aecodec.train.progress import Observer
from aecodec.train.progress import Step
from aecodec.train.progress import Timer
from aecodec.train.progress import open_log
from aecodec.train.schedule import TrainOptions
from aecodec.train.schedule import learning_rate_factor
from aecodec.train.schedule import rate_weight

CHECKPOINT_SECONDS = 180.0
MAX_GRADIENT_NORM = 1.0
MAX_SKIPPED_IN_A_ROW = 50

START_PATCHES = 8000
PATCH_SIDE = 16
CALIBRATION_PICTURES = 256
DRAWINGS = 500


class TrainingDiverged(AecError):
    """The loss was not finite for many steps in a row."""


def train(options: TrainOptions) -> None:
    """Train to the limit and write a checkpoint that resumes exactly.

    SIGINT, SIGTERM and SIGHUP end the run after the current step: it writes the checkpoint, then raises
    KeyboardInterrupt; a second signal ends the process at once. Raises InputError (data, checkpoint or weights are
    missing or do not fit, or the folder has a run already), OutputError and TrainingDiverged.
    """
    terminal = Bar()
    device = choose_device(options.device)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    _prepare_folder(options)
    optimizer = _choose_optimizer(options)
    dataset = load_folders(options.data, options.crop)
    terminal.say(_describe(dataset))
    state = _begin(options, dataset, device, optimizer)
    counters = state.counters
    terminal.say(f"{options.config} on {device.type}, from step {counters.step:,}")
    keep_log_to = counters.step if options.resume else None
    with terminal, closing(open_log(options.log, keep_log_to)) as log, Interruption() as interruption:
        observer = Observer(state, dataset, options, log, terminal, lambda: interruption.requested)
        _run(state, options, observer, interruption)
    if interruption.requested:
        terminal.say(f"interrupted at step {counters.step:,}; --resume continues from {options.checkpoint}")
        raise KeyboardInterrupt(interruption.number)
    terminal.say(f"finished at step {counters.step:,}: {options.checkpoint}")


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` prefers CUDA. Raises InputError if the machine lacks it."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda: torch sees no CUDA device")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _prepare_folder(options: TrainOptions) -> None:
    if not (options.resume or options.decay) and options.checkpoint.exists():
        raise InputError(f"{options.checkpoint}: a run exists already; --resume continues it")
    try:
        (options.out / "sheets").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{options.out}: {error.strerror}") from error


def _describe(dataset: Dataset) -> str:
    size = sum(picture.nbytes for picture in dataset.training) / 1e9
    return (
        f"{len(dataset.training):,} training pictures ({size:.2f} GB), {len(dataset.validation):,} for validation; "
        f"left out: {dataset.unreadable:,} unreadable, {dataset.too_small:,} too small"
    )


def _choose_optimizer(options: TrainOptions) -> str:
    """That of the run to continue, or the one asked for. Raises InputError if they differ, MissingExtra."""
    name = options.optimizer or "adam"
    if options.parent is not None:
        name = optimizer_of(read_checkpoint(options.parent)["optimizer"])
        if options.optimizer not in (None, name):
            raise InputError(f"{options.parent}: trained with {name}, which cannot change to {options.optimizer}")
    if name == "soap":
        soap_class()  # raises before the pictures are read, which takes long
    return name


def _begin(options: TrainOptions, dataset: Dataset, device: torch.device, optimizer: str) -> State:
    """The state at the first step of this sitting: resumed, branched off, from weights or fresh."""
    torch.manual_seed(options.seed)
    drawn = drawings(DRAWINGS, *_drawing_size(dataset.training, options.crop)) if options.drawn else []
    batches = Batches(
        hold([*dataset.training, *drawn], device),
        crop=options.crop,
        batch_size=options.batch_size,
        device=device,
        seed=options.seed,
        small=options.small,
        drawn=options.drawn,
        drawings=len(drawn),
    )
    model = build(options.config)
    if not (options.resume or options.decay or options.init):
        start_from_components(model, batches.patches(START_PATCHES, PATCH_SIDE))
    model.to(device=device, memory_format=torch.channels_last)
    counters = Counters(model.config.learning_rate * OPTIMIZERS[optimizer])
    if options.init is not None:
        counters.pixels = load_init(model, options.init)
        counters.pretrained = True
    # The moving mean starts from these weights.
    state = State(model, make_optimizer(optimizer, model.parameters()), batches, counters, device)
    if options.parent is not None:
        state.restore(options.parent)
        if not options.resume:
            state.take_mean()
            state.counters.begin_branch()
    if options.learning_rate is not None:
        state.counters.learning_rate = options.learning_rate
    model.mode.bfloat16 = options.bfloat16
    return state


def _drawing_size(pictures: Sequence[np.ndarray], crop: int) -> tuple[int, int]:
    """Height and width: those of the pictures if they have one size, which a GPU then holds with them."""
    height, width = pictures[0].shape[:2]
    return (height, width) if len({picture.shape for picture in pictures}) == 1 else (2 * crop, 2 * crop)


def load_init(model: AutoEncoder, path: Path) -> int:
    """Load float weights, with or without activation scales. Returns the number of pixels they were trained on."""
    try:
        absent, unknown = model.load_state_dict(load_file(path), strict=False)
        with safe_open(path, "pt") as file:
            pixels = int((file.metadata() or {}).get("pixels", 0))
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise InputError(f"{path}: not float weights of {model.config.name} ({first_line(error)})") from error
    parameters = {name for name, _ in model.named_parameters()}
    wrong = [name for name in absent if name in parameters] + unknown
    if wrong:
        raise InputError(
            f"{path}: not float weights of {model.config.name} (missing or unknown: {', '.join(wrong[:3])})"
        )
    return pixels


def _switch_rounding(state: State, on: bool) -> None:
    if on == state.model.mode.rounding:
        return
    if on and not state.counters.calibrated:
        state.begin_rounding(*state.batches.draw(CALIBRATION_PICTURES))
    state.model.mode.rounding = on


def _run(state: State, options: TrainOptions, observer: Observer, interruption: Interruption) -> None:
    """Step until the budget is used up or the run is interrupted; write a checkpoint."""
    counters, budget = state.counters, observer.budget
    save_timer = Timer(CHECKPOINT_SECONDS)
    skipped_in_a_row = 0
    now = time.monotonic()
    while True:
        share = budget.share(counters)
        _switch_rounding(state, options.with_rounding(share))
        if share >= 1 or interruption.requested:
            break
        factor = learning_rate_factor(counters.step, share, options.decay)
        step = _step(state, counters.learning_rate * factor)
        skipped_in_a_row = 0 if step.updated else skipped_in_a_row + 1
        if skipped_in_a_row >= MAX_SKIPPED_IN_A_ROW:
            raise TrainingDiverged(
                f"the loss was not finite for {skipped_in_a_row} steps in a row, up to step {counters.step:,}; "
                "resume from the last checkpoint with a lower learning rate"
            )
        observer.look(step)
        if save_timer.due():
            state.save(options.checkpoint)
        before, now = now, time.monotonic()
        counters.seconds += now - before
    if options.decay and share >= 1:
        state.take_mean()
    state.save(options.checkpoint)
    observer.conclude()


def _step(state: State, rate: float) -> Step:
    """Learn from one batch at a learning rate; no update if the loss or its gradient is not finite."""
    started = time.monotonic()
    model, optimizer, counters = state.model, state.optimizer, state.counters
    x, quality = state.batches.draw()
    coded = model(x, quality, noise=True, plain=state.is_plain)
    loss = model.loss(x, quality, coded, rate_weight(counters.step, state.plain_steps))
    optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
    updated = bool(torch.isfinite(loss) & torch.isfinite(norm))
    if updated:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    else:
        counters.skipped += 1
    counters.step += 1
    counters.pixels += x[:, 0].numel()
    state.update_mean()
    return Step(x, coded, loss.detach(), rate, updated, time.monotonic() - started)


class Interruption(ExitStack):
    """While entered, the first SIGINT, SIGTERM or SIGHUP only sets `number`; a second one has its usual effect."""

    number: int | None = None

    @property
    def requested(self) -> bool:
        return self.number is not None

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python refuses handlers
            for number in INTERRUPTS:
                if signal.getsignal(number) not in (None, signal.SIG_IGN):  # nohup ignores one: it stays ignored
                    self.callback(signal.signal, number, signal.signal(number, self._note))
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self.close()  # restores the handlers
