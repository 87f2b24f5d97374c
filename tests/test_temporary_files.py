"""Temporary files: the next run in a folder removes those of killed writers and keeps those of running ones."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aecodec import files
from aecodec.errors import OutputError
from aecodec.files import TEMPORARY_SUFFIX
from aecodec.files import claim
from aecodec.files import sweep
from aecodec.files import sweep_once
from aecodec.files import temporary_beside
from aecodec.files import write_atomic
from helpers.commands import environment
from helpers.folders import names

needs_locks = pytest.mark.skipif(files.fcntl is None, reason="needs flock")

# Creates a temporary file like a writer, prints a line, and waits.
WRITER = """
import sys, time
from aecodec.files import claim, temporary_beside
file = open(temporary_beside(sys.argv[1]), "xb")
assert claim(file.fileno())
file.write(b"half of a file"); file.flush()
print("claimed", flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _first_write() -> None:
    """Every test is the first run in its folder."""
    sweep_once.cache_clear()


@pytest.fixture
def writer(tmp_path: Path) -> subprocess.Popen[str]:
    """A process that is writing `a.aec` in the test's folder."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "a.aec")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    assert process.stdout is not None and process.stdout.readline() == "claimed\n"
    yield process
    process.kill()
    process.communicate()


def stale(folder: Path, name: str = "a.aec") -> Path:
    path = Path(temporary_beside(str(folder / name)))
    path.write_bytes(b"half of a file")
    return path


def test_the_next_write_in_the_folder_removes_what_a_killed_writer_left(
    tmp_path: Path, writer: subprocess.Popen[str]
) -> None:
    writer.kill()
    writer.wait()
    (left,) = names(tmp_path)
    assert left.startswith(".a.aec.") and left.endswith(TEMPORARY_SUFFIX)
    write_atomic(tmp_path / "b.aec", b"data")
    assert names(tmp_path) == ["b.aec"]


def test_temporary_files_of_living_processes_stay(tmp_path: Path, writer: subprocess.Popen[str]) -> None:
    (live,) = names(tmp_path)
    write_atomic(tmp_path / "b.aec", b"data")
    sweep(str(tmp_path))
    assert names(tmp_path) == [live, "b.aec"]
    assert writer.poll() is None


@needs_locks
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_file_of_this_process_is_claimed_until_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    seen: list[list[str]] = []
    real = getattr(os, step)

    def swept(*arguments: object) -> None:
        sweep(str(tmp_path))
        seen.append(names(tmp_path))
        real(*arguments)

    monkeypatch.setattr(f"aecodec.files.os.{step}", swept)
    write_atomic(tmp_path / "a.aec", b"data")
    assert len(seen[0]) == 1 and seen[0][0].endswith(TEMPORARY_SUFFIX)
    assert seen[1:] in ([], [["a.aec"]]), "of the folder, which is synchronized afterwards"
    assert names(tmp_path) == ["a.aec"]


def test_only_whole_names_of_regular_files_are_removed(tmp_path: Path) -> None:
    kept = [".a.aec-tmp", "a.0123456789abcdef.aec-tmp", ".a.0123456789ABCDEF.aec-tmp", ".a.0123.aec-tmp", ".aec", "b"]
    for name in kept:
        (tmp_path / name).write_bytes(b"somebody's")
    (tmp_path / ".folder.0123456789abcdef.aec-tmp").mkdir()
    if os.name == "posix":
        (tmp_path / ".link.0123456789abcdef.aec-tmp").symlink_to("b")
        os.mkfifo(tmp_path / ".pipe.0123456789abcdef.aec-tmp")
    before = names(tmp_path)
    stale(tmp_path)
    stale(tmp_path, "line\nend.aec")
    sweep(str(tmp_path))
    assert names(tmp_path) == before


def test_a_folder_is_searched_once_per_process(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a.aec", b"data")
    left = stale(tmp_path)
    write_atomic(tmp_path / "a.aec", b"data")
    assert left.exists()
    other = tmp_path / "other"
    other.mkdir()
    left_there = stale(other)
    write_atomic(other / "a.aec", b"data")
    assert left.exists() and not left_there.exists()


def test_the_folder_behind_a_link_is_searched(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    try:
        (tmp_path / "link.aec").symlink_to(tmp_path / "real" / "a.aec")
    except OSError:
        pytest.skip("needs symbolic links")
    left = stale(tmp_path / "real")
    write_atomic(tmp_path / "link.aec", b"data")
    assert not left.exists() and names(tmp_path / "real") == ["a.aec"]


def test_a_folder_that_cannot_be_read_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("aecodec.files.os.scandir", refuse)
    write_atomic(tmp_path / "a.aec", b"data")
    assert names(tmp_path) == ["a.aec"]


@needs_locks
def test_without_locks_nothing_is_removed_and_writing_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("aecodec.files.fcntl.flock", no_locks)
    left = stale(tmp_path)
    write_atomic(tmp_path / "a.aec", b"data")
    assert names(tmp_path) == [left.name, "a.aec"]


def test_a_writer_whose_file_is_removed_starts_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For example by a sweep from another host, which does not see the locks of this one."""
    moves: list[str] = []
    real = os.replace

    def replace(source: str, target: str) -> None:
        moves.append(source)
        if len(moves) < 3:
            os.unlink(source)
        real(source, target)

    monkeypatch.setattr("aecodec.files.os.replace", replace)
    write_atomic(tmp_path / "a.aec", b"data")
    assert (tmp_path / "a.aec").read_bytes() == b"data"
    assert len(set(moves)) == 3 and names(tmp_path) == ["a.aec"]


def test_a_writer_gives_up_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.aec").write_bytes(b"old")
    monkeypatch.setattr("aecodec.files.claim", lambda descriptor: os.unlink(next(tmp_path.glob(".a*"))) or False)
    with pytest.raises(OutputError, match="keep removing its temporary file"):
        write_atomic(tmp_path / "a.aec", b"new")
    assert (tmp_path / "a.aec").read_bytes() == b"old" and names(tmp_path) == ["a.aec"]


@needs_locks
def test_a_claim_on_a_removed_or_claimed_file_fails(tmp_path: Path) -> None:
    path = stale(tmp_path)
    with path.open("rb+") as first, path.open("rb+") as second:
        assert claim(first.fileno())
        assert not claim(second.fileno())
    with path.open("rb+") as file:
        path.unlink()
        assert not claim(file.fileno())


@pytest.mark.slow
def test_a_hundred_thousand_files_cost_a_glance(tmp_path: Path) -> None:
    for number in range(100_000):
        (tmp_path / f"{number:06}.aec").touch()
    start = time.process_time()
    sweep(str(tmp_path))
    assert time.process_time() - start < 0.5
