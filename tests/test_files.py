"""Atomic writing: the old file or the new one, never a part of one, and nothing left behind."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from aecodec.errors import InputError
from aecodec.errors import OutputError
from aecodec.files import TEMPORARY_SUFFIX
from aecodec.files import read_bytes
from aecodec.files import write_atomic
from aecodec.files import write_new
from helpers.commands import environment
from helpers.folders import names
from helpers.marks import not_as_root
from helpers.marks import posix_only

WRITE = "import sys; from aecodec.files import write_atomic; write_atomic(sys.argv[1], b'new' * 1000)"


def python(code: str, *arguments: str | Path, **options: object) -> subprocess.Popen[bytes]:
    """A fresh interpreter that finds this package even if it is not installed."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=environment(), **options)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_round_trip_and_replacement(tmp_path: Path) -> None:
    target = tmp_path / "a.aec"
    for data in (b"first, and longer", b"second", b""):
        write_atomic(target, data)
        assert read_bytes(target) == data
    assert names(tmp_path) == ["a.aec"]


@posix_only
def test_relative_path_and_names_as_long_as_the_file_system_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.aec", "a" * 251 + ".aec", "\N{LATIN SMALL LETTER U WITH DIAERESIS}" * 125 + ".aec"):
        write_atomic(name, b"data")
        assert read_bytes(tmp_path / name) == b"data"


def test_data_is_on_the_disk_beside_the_target_before_the_old_file_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        steps.append("fsync of the folder" if stat.S_ISDIR(status.st_mode) else f"fsync of {status.st_size} bytes")

    def replace(source: str, target: str) -> None:
        (name,) = names(tmp_path)
        assert name.startswith(".a.aec.") and name.endswith(TEMPORARY_SUFFIX)
        steps.append("replace")
        os.rename(source, target)

    monkeypatch.setattr("aecodec.files.os.fsync", fsync)
    monkeypatch.setattr("aecodec.files.os.replace", replace)
    write_atomic(tmp_path / "a.aec", b"12345")
    assert steps[:2] == ["fsync of 5 bytes", "replace"]
    assert steps[2:] == (["fsync of the folder"] if os.name == "posix" else [])


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("there_before", [True, False])
@pytest.mark.parametrize("cause", [OSError(5, "Input/output error"), KeyboardInterrupt()], ids=["failure", "interrupt"])
def test_failure_in_the_middle_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, there_before: bool, cause: BaseException
) -> None:
    target = tmp_path / "a.aec"
    if there_before:
        target.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise cause

    monkeypatch.setattr(f"aecodec.files.os.{step}", fail)
    with pytest.raises((OutputError, KeyboardInterrupt)) as caught:
        write_atomic(target, b"new")
    assert str(caught.value) == (f"{target}: Input/output error" if isinstance(cause, OSError) else "")
    assert isinstance(caught.value, KeyboardInterrupt) == isinstance(cause, KeyboardInterrupt)
    assert names(tmp_path) == (["a.aec"] if there_before else [])
    assert not there_before or target.read_bytes() == b"old"


@posix_only
def test_full_disk_changes_nothing(tmp_path: Path) -> None:
    """A limit on file sizes stands in for the full disk: the write fails in the middle in the same way."""
    target = tmp_path / "a.aec"
    target.write_bytes(b"old")
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); " + WRITE
    process = python(limited, target, stderr=subprocess.PIPE)
    _, message = process.communicate()
    assert f"OutputError: {target}: File too large" in message.decode()
    assert names(tmp_path) == ["a.aec"]
    assert target.read_bytes() == b"old"


@posix_only
def test_killed_writer_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    target = tmp_path / "a.aec"
    code = (
        "import sys; from aecodec.files import write_atomic\n"
        "for i in range(10**9): write_atomic(sys.argv[1], bytes([i % 256]) * 300_000)"
    )
    for _ in range(3):
        process = python(code, target)
        while not target.exists():
            time.sleep(0.005)
        time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        data = target.read_bytes()
        assert data == data[:1] * 300_000
        target.unlink()
    assert all(name.endswith(TEMPORARY_SUFFIX) for name in names(tmp_path))


def test_writers_at_once(tmp_path: Path) -> None:
    target = tmp_path / "a.aec"
    candidates = [bytes([i]) * (1000 + i) for i in range(4)]

    def write_often(data: bytes) -> None:
        for _ in range(10):
            write_atomic(target, data)

    threads = [threading.Thread(target=write_often, args=(data,)) for data in candidates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() in candidates
    assert names(tmp_path) == ["a.aec"]


@pytest.mark.parametrize("links", [True, False])
def test_a_new_file_replaces_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    """Not even one that appears while it is written; with hard links, and on a file system without them."""
    target = tmp_path / "a.aec"
    appears = False
    real = os.link

    def link(source: str, name: str) -> None:
        if appears:
            target.write_bytes(b"somebody's")
        if not links:
            raise PermissionError(1, "Operation not permitted")
        real(source, name)

    monkeypatch.setattr("aecodec.files.os.link", link)
    assert write_new(target, b"first")
    assert not write_new(target, b"second")
    assert target.read_bytes() == b"first"
    target.unlink()
    appears = True
    assert not write_new(target, b"third")
    assert target.read_bytes() == b"somebody's" and names(tmp_path) == ["a.aec"]


@posix_only
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_new_file_gets_the_permissions_of_a_plain_open(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_atomic(tmp_path / "a.aec", b"data")
    finally:
        os.umask(before)
    assert mode(tmp_path / "a.aec") == 0o666 & ~mask


@posix_only
@pytest.mark.parametrize("permissions", [0o600, 0o666, 0o755])
def test_replaced_file_keeps_its_permissions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, permissions: int) -> None:
    target = tmp_path / "a.aec"
    target.write_bytes(b"old")
    target.chmod(permissions)

    def fsync(descriptor: int) -> None:  # a private file is private while it is written, too
        status = os.fstat(descriptor)
        assert stat.S_ISDIR(status.st_mode) or stat.S_IMODE(status.st_mode) & ~permissions == 0

    monkeypatch.setattr("aecodec.files.os.fsync", fsync)
    write_atomic(target, b"new")
    assert mode(target) == permissions
    assert target.read_bytes() == b"new"


@posix_only
def test_a_link_planted_under_the_temporary_name_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the owner of the folder can do while another user writes there."""
    target, victim = tmp_path / "a.aec", tmp_path / "victim"
    target.write_bytes(b"old")
    target.chmod(0o666)
    victim.write_bytes(b"private")
    victim.chmod(0o600)

    def claim(descriptor: int) -> bool:
        (temporary,) = tmp_path.glob(".a.aec*")
        temporary.unlink()
        temporary.symlink_to(victim)
        return True

    monkeypatch.setattr("aecodec.files.claim", claim)
    write_atomic(target, b"new")
    assert mode(victim) == 0o600 and victim.read_bytes() == b"private"


@posix_only
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_replaced_file_keeps_its_owner(tmp_path: Path) -> None:
    target = tmp_path / "a.aec"
    target.write_bytes(b"old")
    os.chown(target, 12, 34)
    write_atomic(target, b"new")
    assert (target.stat().st_uid, target.stat().st_gid, target.read_bytes()) == (12, 34, b"new")


@posix_only
def test_an_owner_that_cannot_be_kept_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    def refuse(descriptor: int, owner: int, group: int) -> None:
        asked.append((owner, group))
        raise PermissionError(1, "Operation not permitted")

    target = tmp_path / "a.aec"
    target.write_bytes(b"old")
    status = target.stat()
    monkeypatch.setattr("aecodec.files.os.fchown", refuse)
    monkeypatch.setattr("aecodec.files._status", lambda name: os.stat_result([*status[:4], 12, 34, *status[6:]]))
    write_atomic(target, b"new")
    assert target.read_bytes() == b"new"
    assert asked == [(12, 34), (-1, 34)]


@posix_only
def test_other_hard_links_of_a_replaced_file_keep_the_old_content(tmp_path: Path) -> None:
    target, snapshot = tmp_path / "a.aec", tmp_path / "snapshot.aec"
    target.write_bytes(b"old")
    os.link(target, snapshot)
    write_atomic(target, b"new")
    assert (target.read_bytes(), snapshot.read_bytes()) == (b"new", b"old")


@posix_only
def test_symbolic_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "a.aec"
    link.symlink_to(Path("..") / "real" / "b.aec")
    for data in (b"made through the link", b"replaced"):
        write_atomic(link, data)
        assert link.is_symlink()
        assert (tmp_path / "real" / "b.aec").read_bytes() == data
    assert names(tmp_path / "links") == ["a.aec"]
    assert names(tmp_path / "real") == ["b.aec"]


@posix_only
def test_circular_link(tmp_path: Path) -> None:
    link = tmp_path / "a.aec"
    link.symlink_to(link)
    with pytest.raises(OutputError, match="symbolic link"):
        write_atomic(link, b"data")
    assert link.is_symlink() and names(tmp_path) == ["a.aec"]


@pytest.fixture
def replace_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """For targets that are devices: broken code, run as root, would remove them from the machine."""

    def fail(*_: object) -> None:
        raise AssertionError("a device was to be replaced by a file")

    monkeypatch.setattr("aecodec.files.os.replace", fail)


@posix_only
@pytest.mark.usefixtures("replace_nothing")
def test_devices_are_written_directly(tmp_path: Path) -> None:
    write_atomic("/dev/null", b"data")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    write_atomic(link, b"data")
    assert link.is_symlink() and stat.S_ISCHR(link.stat().st_mode)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.usefixtures("replace_nothing")
def test_full_device() -> None:
    with pytest.raises(OutputError, match="/dev/full: No space left on device"):
        write_atomic("/dev/full", b"data")


@posix_only
def test_named_pipe_is_written_directly(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    write_atomic(pipe, b"data")
    reader.join()
    assert received == [b"data"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@posix_only
def test_standard_output_by_name(tmp_path: Path) -> None:
    process = python(WRITE, "/dev/stdout", stdout=subprocess.PIPE)
    assert process.communicate()[0] == b"new" * 1000
    redirected = tmp_path / "out"
    with redirected.open("wb") as file:
        assert python(WRITE, "/dev/stdout", stdout=file).wait() == 0
        assert os.fstat(file.fileno()).st_ino == redirected.stat().st_ino  # the shell's file, not another
    assert redirected.read_bytes() == b"new" * 1000


@posix_only
def test_unwritable_places_name_path_and_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    cases = {
        tmp_path / "absent" / "a.aec": "No such file or directory",
        tmp_path / "file" / "a.aec": "Not a directory",
        tmp_path: "Is a directory",
        f"{tmp_path}/absent/": "not the name of a file",
        "": "not the name of a file",
    }
    if os.path.isdir("/proc"):
        cases["/proc/a.aec"] = "No such file or directory"
    for path, reason in cases.items():
        with pytest.raises(OutputError) as caught:
            write_atomic(path, b"data")
        assert str(caught.value) == f"{path}: {reason}"
    assert names(tmp_path) == ["file"]


@posix_only
@not_as_root
def test_read_only_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o555)
    with pytest.raises(OutputError, match="Permission denied"):
        write_atomic(folder / "a.aec", b"data")
    assert names(folder) == []


@posix_only
@not_as_root
def test_read_only_file_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "a.aec"
    target.write_bytes(b"old")
    target.chmod(0o444)
    with pytest.raises(OutputError, match="Permission denied"):
        write_atomic(target, b"new")
    assert target.read_bytes() == b"old"


@posix_only
def test_unreadable_files_name_path_and_reason(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "absent", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(InputError) as caught:
            read_bytes(path)
        assert str(caught.value) == f"{path}: {reason}"
