"""An interrupt, at the worst of moments: one line and an exit code, no traceback, nothing half written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aecodec.batch.workers import in_any_order
from helpers.commands import environment
from helpers.marks import posix_only
from helpers.numbers import ended_in_a_callback
from helpers.numbers import ended_while_writing
from helpers.numbers import lost

# A command that is interrupted at the moment its argument names.
PROGRAM = """
import signal, sys, time, weakref
from aecodec import __main__, cli

class Interrupting:
    def __set_name__(self, owner, name):  # a RuntimeError is made of what this raises
        interrupt()

def interrupt(*_):
    signal.raise_signal(signal.SIGINT)

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


def interrupted(moment: str, folder: Path) -> tuple[int, str]:
    module = "from __main__ import Interrupting\nclass Owner:\n    part = Interrupting()\n"
    (folder / "interrupted.py").write_text(module)
    line = [sys.executable, "-c", PROGRAM, moment]
    done = subprocess.run(line, cwd=folder, env=environment(), capture_output=True, text=True, timeout=50)
    assert done.stdout == ""
    return done.returncode, done.stderr


@posix_only
@pytest.mark.parametrize("moment", ["callback", "module"])
def test_an_interrupt_is_never_swallowed_or_made_another_error(moment: str, tmp_path: Path) -> None:
    assert interrupted(moment, tmp_path) == (130, "aecodec: interrupted\n")


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
