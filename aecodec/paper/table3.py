"""`aecodec paper table3`: trains the four systems of Table 3 one after another, and writes the report.

The output folder:

- `README.md`, `curves.png`, `figure1.jpg`: the report.
- `results.json`: all its figures. `remarks.md`: text for it, if you write one.
- `NAME.safetensors`: the weights of each finished system.
- `work/`: what a run resumes from; remove it when the run is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from aecodec.batch.progress import Bar
from aecodec.errors import InputError
from aecodec.files import read_bytes
from aecodec.files import write_atomic
from aecodec.image.reading import open_picture
from aecodec.paper.devset import DataSet
from aecodec.paper.devset import fingerprint
from aecodec.paper.devset import load_data
from aecodec.paper.figures import require_matplotlib
from aecodec.paper.figures import write_curves
from aecodec.paper.figures import write_figure1
from aecodec.paper.folder import make_folder
from aecodec.paper.references import JPEG
from aecodec.paper.references import PRINCIPAL_COMPONENTS
from aecodec.paper.references import TITLES
from aecodec.paper.references import jpeg
from aecodec.paper.references import principal_components
from aecodec.paper.report import CURVES
from aecodec.paper.report import FIGURE1
from aecodec.paper.report import REMARKS
from aecodec.paper.report import report
from aecodec.paper.report import table
from aecodec.paper.table import SYSTEMS
from aecodec.paper.table import Results
from aecodec.paper.table import Setup
from aecodec.paper.table import System
from aecodec.paper.table import read_results
from aecodec.paper.table import write_results
from aecodec.paper.training import Data
from aecodec.paper.training import Training
from aecodec.paper.training import kept_picture
from aecodec.train.data import hold
from aecodec.train.loop import Interruption
from aecodec.train.loop import choose_device
from aecodec.train.progress import REFRESH_SECONDS
from aecodec.train.progress import Timer
from aecodec.train.progress import duration

LEARNING_RATE = 1e-3  # the paper's
FALLING_SHARE = 0.5

FIGURE_SYSTEM = "paper"
WORK = "work"


@dataclass(frozen=True)
class Table3Options:
    """A run. Raises ValueError if options contradict each other.

    Its length is the `epochs` of each system, or a `budget` of minutes, a quarter for each system.
    """

    data: Path
    out: Path
    epochs: float | None = None
    budget: float | None = None
    dev: Path | None = None
    shown: tuple[str, ...] = ()
    crop: int = 128
    batch_size: int = 8
    seed: int = 0
    threads: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.budget is None):
            raise ValueError("give either epochs or a budget in minutes")
        if self.crop < 8 or self.crop % 8:
            raise ValueError(f"the crop is a multiple of 8, not {self.crop}")


def run(options: Table3Options) -> str:
    """Train what is not finished yet; returns the table.

    After SIGINT, SIGTERM or SIGHUP it finishes the current step, writes everything and raises KeyboardInterrupt. Raises
    InputError, OutputError, MissingExtra and TrainingDiverged.
    """
    require_matplotlib()
    terminal = Bar()
    device = choose_device(options.device)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    previous = read_results(options.out)
    read_remarks(options.out)  # report what is wrong with them now, not after hours
    data = _load(options, terminal)
    setup = setup_of(options, data)
    if previous is not None and previous.setup != setup:
        raise InputError(f"{options.out}: begun with other settings or pictures ({_difference(previous.setup, setup)})")
    work = options.out / WORK
    make_folder(work)
    pictures = Data(hold(data.training, device), data.dev, tuple(data.shown.values()), device)
    results = replace(previous or Results(setup), authors=data.authors)
    missing = [system for system in SYSTEMS if not _is_finished(system, results, options.out)]
    trainings = [Training(system, setup, pictures, work) for system in missing]  # refused before anything is written
    if trainings:
        results = replace(results, machine=_with_machine(results.machine, device))
    results = _with_references(results, data, terminal)
    write_results(options.out, results)
    results, signal_number = _train_all(trainings, options.out, results, terminal)
    _write_report(options.out, results, data)
    if signal_number is not None:
        terminal.say(table(results))
        terminal.say("interrupted; the same command continues")
        raise KeyboardInterrupt(signal_number)
    return table(results)


def _load(options: Table3Options, terminal: Bar) -> DataSet:
    data = load_data(options.data, options.dev, options.crop, options.shown, options.out)
    for notice in data.notices:
        terminal.say(notice)
    terminal.say(f"{len(data.training):,} training pictures, {data.left_out:,} files left out; {len(data.dev):,} dev")
    return data


def _train_all(trainings: list[Training], out: Path, results: Results, terminal: Bar) -> tuple[Results, int | None]:
    """Trains one system after another, until interrupted; returns by which signal, if any."""
    with Interruption() as interruption:
        for training in trainings:
            if not interruption.requested:
                results = _train(training, out, results, terminal, interruption)
    return results, interruption.number


def _is_finished(system: System, results: Results, out: Path) -> bool:
    """Whether its training has ended and its weights exist."""
    outcome = results.table3.get(system.name)
    return outcome is not None and outcome.finished and _weights_file(out, system).is_file()


def _weights_file(out: Path, system: System) -> Path:
    return out / f"{system.name}.safetensors"


def _with_machine(machines: str, device: torch.device) -> str:
    """What trained so far, with this process added."""
    own = f"torch {torch.__version__} on {device.type}, threads: {torch.get_num_threads()}"
    return "; ".join(dict.fromkeys([*filter(None, machines.split("; ")), own]))


def setup_of(options: Table3Options, data: DataSet) -> Setup:
    """The setup of a run with these options on these pictures."""
    return Setup(
        epochs=options.epochs,
        minutes=options.budget and options.budget / len(SYSTEMS),
        learning_rate=LEARNING_RATE,
        falling_share=FALLING_SHARE,
        crop=options.crop,
        batch_size=options.batch_size,
        seed=options.seed,
        training_pictures=len(data.training),
        training_sha256=fingerprint(data.training),
        dev=data.dev_name,
        dev_pictures=len(data.dev),
        dev_sha256=fingerprint(data.dev),
        shown=tuple(data.shown),
    )


def _difference(previous: Setup, setup: Setup) -> str:
    before, now = asdict(previous), asdict(setup)
    name = next(name for name in now if before[name] != now[name])
    return f"{name.replace('_', ' ')}: {before[name]}, not {now[name]}"


def _with_references(results: Results, data: DataSet, terminal: Bar) -> Results:
    if results.references.keys() == TITLES.keys():
        return results
    terminal.say("measuring principal components and JPEG")
    references = {PRINCIPAL_COMPONENTS: principal_components(data.training, data.dev), JPEG: jpeg(data.dev)}
    return replace(results, references=references)


def _train(training: Training, out: Path, results: Results, terminal: Bar, interruption: Interruption) -> Results:
    """Train one system to its end, or until interrupted; writes its outcome after every epoch."""
    refresh = Timer(REFRESH_SECONDS)

    def record() -> Results:
        outcome = training.outcome()
        if not outcome.curve:
            return results
        if outcome.finished:  # weights first: a system that results.json calls finished is not trained again
            write_atomic(_weights_file(out, training.system), training.weights())
        found = replace(results, table3=results.table3 | {training.system.name: outcome})
        write_results(out, found)
        return found

    def tell(measured: bool) -> None:
        if measured:
            moment = record().table3[training.system.name].curve[-1]
            terminal.say(f"{_progress(training)}  loss {moment.loss:.5f}  dev L1 {moment.dev_l1:.4f}")
        elif refresh.due():
            terminal.note(f"{_progress(training)}  loss {training.counters.mean_loss:.5f}")

    training.run(lambda: interruption.requested, tell)
    return record()


def _progress(training: Training) -> str:
    """How far a training is, its speed, and the time left."""
    counters, setup = training.counters, training.setup
    line = f"{training.system.name}  epoch {training.epoch:.2f}"
    if counters.step == 0:
        return line
    pixels = counters.step * setup.batch_size * setup.crop**2
    left = counters.seconds * max(1 / training.share - 1, 0.0)
    return f"{line}  {pixels / counters.seconds / 1e6:.2f} Mpx/s  {duration(left)} left for it"


def _write_report(out: Path, results: Results, data: DataSet) -> None:
    """README, curves and Figure 1, as far as results exist."""
    if any(outcome.curve for outcome in results.table3.values()):
        write_curves(out / CURVES, results)
    columns = list(_figure_columns(out / WORK, results, data))
    if columns:
        shown = [data.dev[place] for place in data.shown.values()]
        write_figure1(out / FIGURE1, [("input", shown), *columns])
    page = report(results, read_remarks(out), figure=(out / FIGURE1).is_file())
    write_atomic(out / "README.md", page.encode(errors="backslashreplace"))  # file names may be anything


def read_remarks(out: Path) -> str:
    """The remarks written by hand; empty without any. Raises InputError if they cannot be read."""
    path = out / REMARKS
    try:
        return read_bytes(path).decode("utf-8") if path.exists() else ""
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8") from error


def _figure_columns(work: Path, results: Results, data: DataSet) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Label and pictures of each moment at which reconstructions were kept."""
    for moment in results.table3[FIGURE_SYSTEM].curve if FIGURE_SYSTEM in results.table3 else ():
        paths = [kept_picture(work, FIGURE_SYSTEM, moment.epoch, place) for place in data.shown.values()]
        with suppress(InputError):  # `work` may be removed, as a whole or in part
            yield f"epoch {moment.epoch:g}", [open_picture(path).pixels for path in paths]
