"""An interrupt, at the worst of moments: one line and an exit code, no traceback, nothing half written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aecodec.batch.workers import in_any_order
from aecodec.cli import run
from helpers.commands import command
from helpers.commands import environment
from helpers.folders import names
from helpers.marks import posix_only
from helpers.numbers import ended_in_a_callback
from helpers.numbers import ended_while_writing
from helpers.numbers import lost
from helpers.paths import PACKAGE_PARENT

# A command that is interrupted at the moment its argument names.
PROGRAM = """
import signal, sys, time, weakref
from aecodec import __main__, cli

NUMBER = int(sys.argv[2])

class Interrupting:
    def __set_name__(self, owner, name):  # a RuntimeError is made of what this raises
        interrupt()

def interrupt(*_):
    signal.raise_signal(NUMBER)

def callback():
    target = Interrupting()
    reference = weakref.ref(target, interrupt)
    del target
    time.sleep(60)

def module():
    import interrupted
    time.sleep(60)

def end():
    class Late:
        __del__ = interrupt
    cli.late = Late()

def once():
    interrupt()

def again():
    try:
        interrupt()
    finally:
        interrupt()  # an echo of the first
        __main__._ECHO = 0
        interrupt()
        time.sleep(60)

cli.main = lambda: globals()[sys.argv[1]]()
__main__.main()
"""


SIGNALS = [
    pytest.param(number, marks=pytest.mark.skipif(signal.getsignal(number) is signal.SIG_IGN, reason="under nohup"))
    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))
]


def interrupted(moment: str, folder: Path, number: int = signal.SIGINT) -> tuple[int, str]:
    module = "from __main__ import Interrupting\nclass Owner:\n    part = Interrupting()\n"
    (folder / "interrupted.py").write_text(module)
    line = [sys.executable, "-c", PROGRAM, moment, str(int(number))]
    done = subprocess.run(line, cwd=folder, env=environment(), capture_output=True, text=True, timeout=50)
    assert done.stdout == ""
    return done.returncode, done.stderr


@posix_only
@pytest.mark.parametrize("moment", ["callback", "module"])
@pytest.mark.parametrize("number", SIGNALS)
def test_an_interrupt_is_never_swallowed_or_made_another_error(moment: str, number: int, tmp_path: Path) -> None:
    assert interrupted(moment, tmp_path, number) == (128 + number, "aecodec: interrupted\n")


@posix_only
def test_what_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert interrupted("once", tmp_path, signal.SIGHUP) == (0, "")
    finally:
        signal.signal(signal.SIGHUP, before)


@posix_only
def test_an_interrupt_when_all_is_done_changes_nothing(tmp_path: Path) -> None:
    assert interrupted("end", tmp_path) == (0, "")


@posix_only
def test_a_second_interrupt_ends_the_process_at_once(tmp_path: Path) -> None:
    assert interrupted("again", tmp_path) == (-2, "")


@posix_only
def test_a_worker_ends_silently_in_a_callback(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(in_any_order(ended_in_a_callback, [1], 2, lost)) == [-1]
    assert capfd.readouterr().err == ""


@posix_only
def test_a_worker_that_ends_leaves_no_half_written_file(tmp_path: Path) -> None:
    path = str(tmp_path / "whole")
    assert list(in_any_order(ended_while_writing, [path], 2, str.upper)) == [path.upper()]
    assert list(tmp_path.iterdir()) == []


@posix_only
@pytest.mark.parametrize("number", SIGNALS)
def test_one_picture(number: int, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        command("encode", pipe, tmp_path / "a.aec", "--model", "tiny"), env=environment(), stderr=subprocess.PIPE
    )
    with open(pipe, "wb"):  # returns once the process reads, which then waits for bytes that never come
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert err.split(b"\n") in ([b"", b"aecodec: interrupted", b""], [b"aecodec: interrupted", b""])
    assert names(tmp_path) == ["pipe"]


def test_ctrl_c_while_the_command_is_imported(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt")
    path = {**environment(), "PYTHONPATH": os.pathsep.join([str(tmp_path), str(PACKAGE_PARENT)])}
    done = subprocess.run(command("--help"), env=path, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"aecodec: interrupted\n")


def test_ctrl_c_while_writing(
    tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    assert run(["encode", str(picture), str(tmp_path / "a.aec"), "--model", "tiny"]) == 130
    assert names(tmp_path) == ["in.png"]
    assert capsys.readouterr().err.strip() == "aecodec: interrupted"
