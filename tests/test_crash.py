"""Nothing lost: however a command ends or fails, its output is the old file, the new one, or none; never a torn one.

`python -m tests.crash` is the long form of the kills; full disks and read-only folders of their own need root on Linux.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import aecodec
from aecodec.cli import run
from crash.__main__ import main
from crash.series import PATIENCE
from crash.series import PHOTO
from crash.series import TINY
from crash.series import left_in
from crash.series import start
from helpers.marks import posix_only

ENCODE = ("encode", str(PHOTO))
OPTIONS = ("--model", "tiny")
FILES = {quality: (TINY / f"car-{step}.aec").read_bytes() for quality, step in (("0", 0), ("100", 255))}


@posix_only
def test_two_kills_and_two_interrupts(capsys: pytest.CaptureFixture[str]):
    assert main(["--kills", "2", "--interrupts", "2", "--seed", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" of ")[0] for line in lines] == ["2 kills", "2 interrupts"]
    assert all(line.endswith("; 0 torn or lost") for line in lines)
    assert "temporary file left" not in lines[1]


@posix_only
@pytest.mark.slow
def test_200_kills_and_50_interrupts(capsys: pytest.CaptureFixture[str]):
    assert main(["--kills", "200", "--interrupts", "50"]) == 0
    kills, interrupts = capsys.readouterr().out.splitlines()
    assert "temporary file left" in kills, "no kill came while a file was being written"
    assert "temporary file left" not in interrupts
    codes = {int(code) for code in re.findall(r"(-?\d+) \(\d+\)", interrupts)}
    sent = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    assert codes <= {0, *(128 + number for number in sent), *(-number for number in sent)}  # killed as Python starts


@pytest.mark.slow
@posix_only
def test_a_writer_in_place_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The series against a command that writes its output in two halves."""
    broken = (
        "import time\n"
        "def write(path, data):\n"
        "    with open(path, 'wb') as file:\n"
        "        file.write(data[:10]); file.flush(); time.sleep(1); file.write(data[10:])\n"
        "import aecodec.cli.common as common; common.write_atomic = write\n"
        "from aecodec.__main__ import main; main()"
    )

    def wait_for_half(process: subprocess.Popen[bytes], folder: Path, before: set[Path]) -> None:
        while process.poll() is None and [path.stat().st_size for path in folder.iterdir()] != [10]:
            pass

    script = tmp_path / "broken.py"
    script.write_text(broken)
    real = subprocess.Popen

    def popen(command: list[str], **options: object) -> subprocess.Popen[bytes]:
        return real([command[0], str(script), *command[3:]], **options)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr("crash.series.subprocess.Popen", popen)
    monkeypatch.setattr("crash.series._wait_for_temporary", wait_for_half)
    assert main(["--kills", "2", "--interrupts", "0"]) == 1


@posix_only
def test_eight_processes_write_one_output(tmp_path: Path):
    """A reader meanwhile sees one candidate or another, whole. They pack, which starts sooner than an encoder."""
    target = tmp_path / "out.aec"
    candidates = {aecodec.pack(data) for data in FILES.values()}
    sources = [TINY / f"car-{step}.aec" for step in (0, 255)] * 4
    processes = [start(["pack", str(source), str(target)]) for source in sources]
    while any(process.poll() is None for process in processes):
        if target.exists():
            assert target.read_bytes() in candidates
    assert [process.wait(PATIENCE) for process in processes] == [0] * 8
    for process in processes:
        process.communicate()
    assert target.read_bytes() in candidates
    assert list(tmp_path.iterdir()) == [target]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 kB in memory, to fill or to make read-only."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    if not sys.platform.startswith("linux"):
        pytest.skip("needs Linux to mount a file system")
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("needs the command mount")
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def check_refused(arguments: tuple[str, ...], target: Path, code: int, capfd: pytest.CaptureFixture[str]) -> None:
    """The command fails with the system's error, and leaves the folder as it was."""
    assert run([*arguments[:2], str(target), *arguments[2:]]) == 1
    assert capfd.readouterr().err == f"aecodec: {target}: {os.strerror(code)}\n"
    assert target.read_bytes() == b"old" and list(target.parent.iterdir()) == [target]


def test_full_disk(mounted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    source, target = tmp_path / "in.aec", mounted / "out.png"
    source.write_bytes(FILES["100"])
    target.write_bytes(b"old")
    check_refused(("decode", str(source)), target, errno.ENOSPC, capfd)


def test_leftovers_of_a_kill_make_room_on_a_full_disk(mounted: Path):
    from aecodec.files import sweep_once
    from aecodec.files import temporary_beside

    sweep_once.cache_clear()
    Path(temporary_beside(str(mounted / "out.aec"))).write_bytes(bytes(28_000))
    assert run([*ENCODE, str(mounted / "out.aec"), *OPTIONS, "-q", "100"]) == 0
    assert (mounted / "out.aec").read_bytes() == FILES["100"] and not left_in(mounted)


def test_read_only_file_system(mounted: Path, capfd: pytest.CaptureFixture[str]):
    target = mounted / "out.aec"
    target.write_bytes(b"old")
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    check_refused((*ENCODE, *OPTIONS), target, errno.EROFS, capfd)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EDQUOT, errno.EIO])
def test_a_folder_that_takes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], code: int
):
    """Root may write into folders of mode 555, so the test raises the system's error itself."""
    target = tmp_path / "out.aec"
    target.write_bytes(b"old")

    real = os.open

    def refuse(path: str, flags: int, *others: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(code, os.strerror(code), path)
        return real(path, flags, *others)

    with monkeypatch.context() as patch:
        patch.setattr("aecodec.files.os.open", refuse)
        check_refused((*ENCODE, *OPTIONS), target, code, capfd)


@posix_only
@pytest.mark.parametrize(
    "arguments",
    [
        (*ENCODE, "-", *OPTIONS),
        ("decode", str(TINY / "car-255.aec"), "-", "--format", "bmp"),
        ("info", str(TINY / "car-255.aec")),
        ("verify", str(TINY / "car-255.aec")),
    ],
    ids=lambda arguments: arguments[0],
)
def test_broken_pipe(arguments: tuple[str, ...]):
    """No traceback, no success."""
    process = start(list(arguments))
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    complaint = process.stderr.read().decode()
    assert process.wait(PATIENCE) in (1, 141)
    assert complaint.count("\n") <= 1 and "Traceback" not in complaint
    process.stderr.close()
