"""Worker processes: every item once, one thread each; and when they are interrupted or killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import pytest

import aecodec
from aecodec.batch.jobs import EncodeJob
from aecodec.batch.jobs import Product
from aecodec.batch.results import Item
from aecodec.batch.run import do_item
from aecodec.batch.run import run_batch
from aecodec.batch.workers import in_any_order
from helpers.batch import TINY
from helpers.batch import encode
from helpers.batch import options
from helpers.commands import command
from helpers.commands import environment
from helpers.folders import contents
from helpers.folders import tree
from helpers.folders import wait_for
from helpers.marks import linux_only
from helpers.marks import posix_only
from helpers.numbers import dangerous_square
from helpers.numbers import lost
from helpers.numbers import square
from helpers.paths import PHOTOS


def test_a_worker_says_what_became_of_an_item(photos: Path, tmp_path: Path) -> None:
    item = Item(str(photos / "a.jpg"), str(tmp_path / "deep" / "er" / "a.aec"))
    result = do_item(EncodeJob(model="tiny"), "update", item)
    assert (result.error, result.skipped) == (None, False)
    assert result.bytes_in == (photos / "a.jpg").stat().st_size
    assert result.bytes_out == Path(item.target).stat().st_size
    assert result.made is not None
    known = Item(item.source, item.target, (result.made,))
    assert do_item(EncodeJob(model="tiny"), "update", known).skipped
    again = do_item(EncodeJob(model="tiny"), "update", item)
    assert (again.skipped, again.made) == (False, result.made), "made again and compared, without a record"
    unreachable = do_item(EncodeJob(model="tiny", target_size=1), "force", item)
    assert str(unreachable.error).startswith(f"{item.source}: the target of 1 bytes cannot be reached")


def crash(source: Path | IO[bytes], target: str) -> Product:
    raise ZeroDivisionError("a mistake\nof two lines")


def test_any_exception_of_a_job_fails_its_item(photos: Path) -> None:
    result = do_item(crash, "force", Item(str(photos / "a.jpg"), "out.aec"))
    assert result.error == f"{photos / 'a.jpg'}: ZeroDivisionError: a mistake of two lines"


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_item_is_worked_on_once(jobs: int) -> None:
    assert sorted(in_any_order(square, iter(range(50)), jobs, lost)) == [n * n for n in range(50)]


def test_items_are_taken_as_workers_are_free() -> None:
    taken: list[int] = []
    results = in_any_order(square, (taken.append(n) or n for n in range(1000)), 2, lost)
    for _ in range(10):
        next(results)
    assert len(taken) <= 12
    results.close()


@posix_only
def test_an_item_whose_workers_are_killed_is_tried_again_and_then_lost_alone() -> None:
    results = sorted(in_any_order(dangerous_square, range(12), 2, lost))
    assert results == sorted(-7 if n == 7 else n * n for n in range(12))


def die_when_done(source: Path | IO[bytes], target: str) -> Product:
    """Killed, the first time, between writing its output and reporting it."""
    path = Path(target)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"whole")
        os.kill(os.getpid(), signal.SIGKILL)
    return Product(b"whole", "done")


@posix_only
def test_the_output_of_a_killed_worker_counts_as_done(photos: Path, tmp_path: Path) -> None:
    results = list(run_batch(die_when_done, options(photos / "summer" / "sea", out=tmp_path / "out", jobs=2)))
    assert [(result.error, result.skipped, result.bytes_out) for result in results] == [(None, False, 5)]


# What a worker finds in its environment, and whether NumPy was loaded before it could be said.
LIGHT_PROGRAM = """
import os, sys
from aecodec.batch.workers import in_any_order

def found(*_):
    return os.environ.get("OPENBLAS_NUM_THREADS"), "numpy" in sys.modules

if __name__ == "__main__":
    print(set(in_any_order(found, range(6), 2, None)), os.environ.get("OPENBLAS_NUM_THREADS"))
"""


def unthreaded() -> dict[str, str]:
    return {name: value for name, value in environment().items() if not name.endswith("_NUM_THREADS")}


def test_a_worker_is_one_thread_before_numpy_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(LIGHT_PROGRAM)
    done = subprocess.run([sys.executable, tmp_path / "main.py"], env=unthreaded(), capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("{('1', False)} None\n", "")


@linux_only
@pytest.mark.parametrize("verb", ["encode", "decode"])
def test_one_job_is_one_thread(verb: str, photos: Path, tmp_path: Path) -> None:
    """A BLAS starts its threads when NumPy is loaded; on a single core it has none to start."""
    assert encode(photos, "--out-dir", tmp_path / "aec") == 0
    source = photos if verb == "encode" else tmp_path / "aec"
    model = TINY if verb == "encode" else ()
    arguments = [verb, str(source), "--out-dir", str(tmp_path / "out"), "--jobs", "1", *model]
    code = "import os, sys; from aecodec.cli import run; run(sys.argv[1:]); print(len(os.listdir('/proc/self/task')))"
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=unthreaded(), capture_output=True, text=True)
    assert done.stdout == "1\n"
    assert " 5 done" in f" {done.stderr}"


# torch's CPU device stands in for a GPU, which threads share.
THREADS = """
import sys
from aecodec import api
from aecodec.cli import main
from aecodec.network.torch_runtime import TorchRuntime

shared = TorchRuntime("cpu")
api.runtime = lambda device: shared
main([*sys.argv[1:], "--device", "cuda"])
"""


def copies(folder: Path, count: int) -> Path:
    folder.mkdir()
    for n in range(count):
        shutil.copy(PHOTOS / "dog.jpg", folder / f"{n:03}.jpg")
    return folder


def start(folder: Path, out: Path, program: Sequence[str] = ("-m", "aecodec")) -> subprocess.Popen[str]:
    """Encodes a folder with two jobs; returns when three files are written."""
    arguments = ["encode", str(folder), "--out-dir", str(out), "--jobs", "2", *TINY]
    command = [sys.executable, *program, *arguments]
    process = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len(list(out.glob("*.aec"))) >= 3)
    return process


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """Process ids of its workers; the helper that multiprocessing keeps is none."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
            words = (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == process.pid and b"spawn_main" in words:
            found.append(int(status.parent.name))
    return found


def ended(pids: list[int]) -> bool:
    """Whether all are gone, or zombies that only wait for their parent."""
    files = [path for pid in pids if (path := Path("/proc", str(pid), "stat")).exists()]
    return all(path.read_text().rpartition(") ")[2].startswith("Z") for path in files)


@posix_only
@pytest.mark.parametrize(
    ("where", "name"),
    [
        ("command", "SIGINT"),
        ("command", "SIGTERM"),
        pytest.param("group", "SIGINT", marks=linux_only),
        pytest.param("group", "SIGTERM", marks=[linux_only, pytest.mark.slow]),
        pytest.param("group", "SIGHUP", marks=[linux_only, pytest.mark.slow]),
        pytest.param("threads", "SIGINT", marks=pytest.mark.slow),
    ],
)
def test_an_interrupt_leaves_whole_files_only(where: str, name: str, tmp_path: Path) -> None:
    """To the command, or to the whole group as Ctrl-C in a terminal does it; to a command of threads on a GPU."""
    if where == "threads":
        pytest.importorskip("torch")
    number = signal.Signals[name]
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("under nohup")
    out = tmp_path / "out"
    process = start(copies(tmp_path / "many", 300), out, ("-c", THREADS) if where == "threads" else ("-m", "aecodec"))
    workers = workers_of(process) if where == "group" else []
    assert len(workers) == (2 if where == "group" else 0)
    for pid in [*workers, process.pid]:
        os.kill(pid, number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.count("\n")) == (128 + number, 2), err
    summary, last = err.splitlines()
    assert " done in " in summary and last == "aecodec: interrupted", err
    assert 3 <= len(tree(out)) < 300 and all(name.endswith(".aec") for name in tree(out))
    (data,) = set(contents(out).values())  # all inputs are the same picture
    aecodec.verify(data)
    wait_for(lambda: ended(workers))


@linux_only
@pytest.mark.slow
def test_a_killed_worker_of_a_command(tmp_path: Path) -> None:
    process = start(copies(tmp_path / "many", 20), tmp_path / "out")
    os.kill(workers_of(process)[0], signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert (process.returncode, err.startswith("20 done in ")) == (0, True)
    assert len([name for name in tree(tmp_path / "out") if name.endswith(".aec")]) == 20


@linux_only
@pytest.mark.slow
def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    process = start(copies(tmp_path / "many", 300), tmp_path / "out")
    workers = workers_of(process)
    process.kill()
    process.communicate(timeout=60)
    wait_for(lambda: ended(workers))


# A worker that waits, then writes what no one would record.
ORPHANED_PROGRAM = """
import os, pathlib, sys, time
from aecodec.batch.workers import in_any_order

def wait_and_write(path, retried):
    pathlib.Path(path + ".begun").write_text(str(os.getpid()))
    time.sleep(5)
    pathlib.Path(path).write_text("late")

if __name__ == "__main__":
    list(in_any_order(wait_and_write, [sys.argv[1]], 2, None))
"""


@linux_only
def test_a_worker_of_a_killed_parent_writes_nothing_more(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(ORPHANED_PROGRAM)
    late, begun = tmp_path / "late", tmp_path / "late.begun"
    process = subprocess.Popen([sys.executable, tmp_path / "main.py", late], env=environment())
    wait_for(lambda: begun.exists() and begun.read_text() != "")
    process.kill()
    process.wait()
    wait_for(lambda: ended([int(begun.read_text())]))
    assert not late.exists()


@linux_only
@pytest.mark.slow
def test_a_closed_terminal_ends_a_batch_as_ctrl_c_does(tmp_path: Path) -> None:
    """Its line and its bar go nowhere; that is no other error."""
    import pty

    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        pytest.skip("under nohup")
    many, out = copies(tmp_path / "many", 300), tmp_path / "out"
    arguments = command("encode", many, "--out-dir", out, "--jobs", "2", *TINY)
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(arguments[0], arguments, environment())
    wait_for(lambda: len(list(out.glob("*.aec"))) >= 3)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 129
    assert len(list(out.glob("*.aec"))) < 300
