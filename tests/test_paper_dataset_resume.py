"""Runs of `aecodec paper dataset` that were cut, and its processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aecodec.errors import AecError
from aecodec.errors import InputError
from aecodec.paper.dataset import in_order
from helpers.commands import command
from helpers.folders import contents
from helpers.folders import wait_for
from helpers.marks import posix_only
from helpers.paper_sets import Built
from helpers.paper_sets import arguments
from helpers.paper_sets import build
from helpers.paper_sets import write
from helpers.paths import PACKAGE_PARENT

pytest_plugins = ["helpers.paper_sets"]


def test_a_second_run_makes_only_what_is_missing_or_damaged(
    everything: Built, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    before = contents(everything.out)
    out = write(tmp_path / "out", before)
    times = {name: (out / name).stat().st_mtime_ns for name in before}
    pictures = sorted(name for name in before if name.endswith(".png"))
    (out / pictures[0]).unlink()
    (out / pictures[7]).write_bytes(before[pictures[7]][:-100])
    (out / pictures[-1]).write_bytes(before[pictures[-2]])
    write(out, {"train/.imagenet-00000.png.0123456789abcdef.aec-tmp": b"left by a kill"})
    assert build(everything.options, out) == 0
    assert "; 3 made by this run" in capsys.readouterr().err
    assert contents(out) == before
    untouched = set(pictures) - {pictures[0], pictures[7], pictures[-1]}
    assert all((out / name).stat().st_mtime_ns == times[name] for name in untouched)

    gone = {option: value.replace(str(everything.out.parent), "gone") for option, value in everything.options.items()}
    assert build(gone, out) == 0, "a whole data set is checked without its sources"
    assert "; 0 made by this run" in capsys.readouterr().err
    assert contents(out) == before


@pytest.mark.parametrize("kept_bytes", [0.0, 0.3, 0.7, 0.95])
def test_resumes_from_a_journal_cut_anywhere(kept_bytes: float, of_broken: Built, tmp_path: Path):
    """In the middle of a line too, with files that are not in it yet."""
    before = contents(of_broken.out)
    head, rest = before["journal.jsonl"].split(b"\n", 1)
    cut = {"journal.jsonl": head + b"\n" + rest[: int(kept_bytes * len(rest))]}
    out = write(tmp_path / "out", before | cut)
    (out / "manifest.csv").unlink()
    assert build(of_broken.options, out) == 0
    assert contents(out) == before


@pytest.mark.parametrize("cut_at", ["dataset.write_atomic", "folder.DataFolder.add"])
def test_resumes_a_run_cut_before_its_first_decision(
    cut_at: str, of_broken: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"aecodec.paper.{cut_at}", interrupt)
        assert build(of_broken.options, tmp_path / "out") == 130
    assert build(of_broken.options, tmp_path / "out") == 0
    assert contents(tmp_path / "out") == contents(of_broken.out)


def test_resumes_a_killed_run(of_broken: Built, tmp_path: Path):
    out = tmp_path / "out"
    process = subprocess.Popen(command(*arguments(of_broken.options, out)), cwd=PACKAGE_PARENT)
    wait_for(lambda: len(list(out.glob("*/*.png"))) >= 3)
    process.kill()
    process.wait()
    assert build(of_broken.options, out) == 0
    assert contents(out) == contents(of_broken.out)


def double(number: int) -> int:
    if number == 13:
        raise InputError("thirteen")
    if number == 14:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02 if number == 3 else 0)
    return 2 * number


@pytest.mark.parametrize("jobs", [1, 2])
def test_processes_keep_the_order_and_raise_errors(jobs: int):
    results = in_order(double, range(14), jobs)
    assert [next(results) for _ in range(13)] == [2 * i for i in range(13)]
    with pytest.raises(InputError, match="thirteen"):
        next(results)


def test_the_number_of_processes_does_not_matter(of_broken: Built, tmp_path: Path):
    assert build(of_broken.options, tmp_path / "out", "--jobs", "2") == 0
    assert contents(tmp_path / "out") == contents(of_broken.out)


@posix_only
def test_a_picture_that_kills_its_process_is_one_line():
    with pytest.raises(AecError, match="a worker process was killed, twice"):
        list(in_order(double, [14], 2))


@posix_only
@pytest.mark.parametrize("delay", [0.0, *(pytest.param(delay, marks=pytest.mark.slow) for delay in (0.05, 0.15)), 0.4])
def test_an_interrupt_while_processes_start_is_the_parents_alone(delay: float):
    """As Ctrl-C does it, twice: they get the signal, too, long before they can handle it.

    Python itself prints an interrupt that comes in a callback, or just as SIG_IGN is set, and forgets it. The hook
    hides that in the parent; what the processes print still shows.
    """
    program = """
import signal, sys, time
from aecodec.paper.dataset import in_order

sys.unraisablehook = lambda args: None

try:
    try:
        print(flush=True)
        list(in_order(time.sleep, [0.02] * 1000, 3))
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("interrupted")
except KeyboardInterrupt:  # the second one may come before that line
    print("interrupted")
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=PACKAGE_PARENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    for seconds in (delay, delay / 2):  # the second one while it waits for them to end
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60) == (b"interrupted\n", b"")
