"""Inputs that are pipes with a name: a FIFO, an open descriptor. They are read like files."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aecodec.cli import run
from aecodec.inputs import is_descriptor
from helpers.commands import Refused
from helpers.commands import command
from helpers.commands import environment
from helpers.marks import posix_only

pytestmark = posix_only

Pipe = Callable[[Path], Path]


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Pipe]:
    """Makes a FIFO that gives the content of a file, once."""
    writers: list[threading.Thread] = []

    def make(source: Path) -> Path:
        path = tmp_path / f"pipe{len(writers)}{source.suffix}"
        os.mkfifo(path)
        writers.append(threading.Thread(target=lambda: path.write_bytes(source.read_bytes()), daemon=True))
        writers[-1].start()
        return path

    yield make
    for writer in writers:
        writer.join(10)
        assert not writer.is_alive(), "nothing read the pipe to its end"


@contextmanager
def descriptor(data: bytes) -> Iterator[str]:
    """The name of an open pipe that holds some bytes, as a shell gives it for `<(...)`."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as file:
        file.write(data)
    yield f"/dev/fd/{reading}"
    os.close(reading)


@pytest.mark.parametrize("options", [(), ("--target-size", "150", "--shrink"), ("--metadata", "all")])
def test_encode(options: tuple[str, ...], picture: Path, pipe: Pipe, tmp_path: Path) -> None:
    command, plain, out = ("encode", "--model", "tiny", *options), tmp_path / "plain.aec", tmp_path / "out.aec"
    assert run([*command, str(picture), str(plain)]) == run([*command, str(pipe(picture)), str(out)]) == 0
    assert out.read_bytes() == plain.read_bytes()
    with descriptor(picture.read_bytes()) as name:
        assert run([*command, name, str(out)]) == 0
    assert out.read_bytes() == plain.read_bytes()


def test_encode_of_dev_stdin(picture: Path, encoded: Path, tmp_path: Path) -> None:
    encode = command("encode", "/dev/stdin", tmp_path / "out.aec", "--model", "tiny", "-q", "50")
    done = subprocess.run(encode, input=picture.read_bytes(), env=environment(), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert run(["encode", str(picture), str(encoded), "--model", "tiny", "-q", "50"]) == 0
    assert (tmp_path / "out.aec").read_bytes() == encoded.read_bytes()


def test_the_limit_on_pixels(picture: Path, pipe: Pipe, tmp_path: Path) -> None:
    source, out = pipe(picture), tmp_path / "a.aec"
    assert run(["encode", str(source), str(out), "--model", "tiny", "--max-pixels", "959"]) == 1
    assert not out.exists()


def test_decode(encoded: Path, pipe: Pipe, tmp_path: Path) -> None:
    plain, out = tmp_path / "plain.png", tmp_path / "out.png"
    assert run(["decode", str(encoded), str(plain)]) == run(["decode", str(pipe(encoded)), str(out)]) == 0
    assert out.read_bytes() == plain.read_bytes()


def test_info(encoded: Path, pipe: Pipe, capsys: pytest.CaptureFixture[str]) -> None:
    source = pipe(encoded)
    assert run(["info", str(encoded)]) == 0
    said = capsys.readouterr().out
    assert run(["info", str(source)]) == 0
    assert capsys.readouterr().out == said.replace(str(encoded), str(source))


def test_verify(picture: Path, encoded: Path, pipe: Pipe, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", str(pipe(encoded)), "--against", str(pipe(picture))]) == 0
    assert "ok, PSNR" in capsys.readouterr().out


def test_view(picture: Path, encoded: Path, pipe: Pipe, tmp_path: Path) -> None:
    assert run(["view", str(pipe(encoded)), "--original", str(pipe(picture)), "-o", str(tmp_path / "page.html")]) == 0
    assert "PSNR" in (tmp_path / "page.html").read_text("utf-8")


@pytest.mark.parametrize("conversion", [("pack",), ("unpack",), ("cut", "--bytes", "150")])
def test_other_forms(conversion: tuple[str, ...], encoded: Path, pipe: Pipe, tmp_path: Path) -> None:
    plain, out = tmp_path / "plain", tmp_path / "out"
    assert run([*conversion, str(encoded), str(plain)]) == run([*conversion, str(pipe(encoded)), str(out)]) == 0
    assert out.read_bytes() == plain.read_bytes()


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_many(jobs: str, picture: Path, pipe: Pipe, tmp_path: Path) -> None:
    source, out = pipe(picture), tmp_path / "out"
    other = shutil.copy(picture, tmp_path / "other.png")
    assert run(["encode", str(source), str(other), "--out-dir", str(out), "--model", "tiny", "-j", jobs]) == 0
    assert (out / "other.aec").read_bytes() == (out / source.with_suffix(".aec").name).read_bytes()


def test_a_descriptor_among_many(picture: Path, tmp_path: Path, refused: Refused) -> None:
    with descriptor(b"") as name:
        line = refused(2, "encode", name, picture, "--out-dir", tmp_path / "out")
    assert "open descriptors do not go with --out-dir" in line


def test_names_of_descriptors() -> None:
    assert all(map(is_descriptor, ("/dev/stdin", "/dev/fd/63", "/dev//fd/0", "/proc/self/fd/0", "/proc/1/fd/12")))
    assert not any(map(is_descriptor, ("stdin", "/dev/fd/", "/dev/fd/a.png", "/proc/self/cwd/in.png", "dev/fd/1")))
