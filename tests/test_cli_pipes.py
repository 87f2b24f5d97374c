"""Commands in pipes and on a terminal, and Ctrl-C."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec.cli import run
from helpers.commands import Refused
from helpers.commands import command
from helpers.commands import environment
from helpers.folders import names
from helpers.marks import posix_only
from helpers.paths import PACKAGE_PARENT

Piped = Callable[..., tuple[int, bytes, str]]


@posix_only
@pytest.mark.parametrize("target", ["/dev/stdout", "-"])
def test_a_process_in_a_pipe(target: str, picture: Path, encoded: Path) -> None:
    encoding = command("encode", "-", target, "--model", "tiny", "-q", "50")
    done = subprocess.run(encoding, env=environment(), input=picture.read_bytes(), capture_output=True, check=True)
    assert done.stdout == encoded.read_bytes()


@posix_only
def test_ctrl_c(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        command("encode", pipe, tmp_path / "a.aec", "--model", "tiny"), env=environment(), stderr=subprocess.PIPE
    )
    with open(pipe, "wb"):  # returns once the process reads, which then waits for bytes that never come
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
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


@posix_only
def test_closed_pipe_is_quiet(picture: Path, encoded: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    writing = (("encode", picture, "-", "--model", "tiny"), ("decode", encoded, "-", "--format", "png"))
    for arguments in (("--help",), ("info", encoded), ("model", "list"), *writing):
        done = subprocess.run(command(*arguments), env=environment(), stdout=writer, stderr=subprocess.PIPE)
        assert (done.returncode, done.stderr) == (1, b"")
    os.close(writer)


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Piped:
    def call(*arguments: str | Path, given: bytes = b"") -> tuple[int, bytes, str]:
        """Exit code, stdout and stderr of a command whose input and output are pipes."""
        stdin = io.BytesIO(given)
        stdin.name = "<stdin>"  # type: ignore[attr-defined]
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stdin))
        code = run([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        return code, out, err.decode()

    return call


def test_dash_is_standard_input_and_output(tmp_path: Path, picture: Path, encoded: Path, piped: Piped) -> None:
    code, data, told = piped("encode", "-", "-", "--model", "tiny", "-q", "50", given=picture.read_bytes())
    assert (code, data) == (0, encoded.read_bytes())
    assert told.startswith(f"<stdout>: {len(data)} bytes") and told.count("\n") == 1
    code, png, told = piped("decode", "-", "-", "--format", "png", given=data)
    assert (code, told) == (0, "<stdout>: 40x24 RGB\n")
    (tmp_path / "back.png").write_bytes(png)
    with Image.open(tmp_path / "back.png") as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), aecodec.decode_pixels(data))
    assert piped("info", "-", "--json", given=data)[1].startswith(b'{"file": "<stdin>", ')
    assert piped("verify", "-", given=data) == (0, b"<stdin>: ok\n", "")


def test_a_pipe_on_one_side_only(tmp_path: Path, picture: Path, encoded: Path, piped: Piped) -> None:
    options = ("--model", "tiny", "-q", "50")
    assert piped("encode", "-", tmp_path / "a.aec", *options, given=picture.read_bytes())[:2] == (0, b"")
    assert (tmp_path / "a.aec").read_bytes() == encoded.read_bytes()
    assert piped("encode", picture, "-", *options)[1] == encoded.read_bytes()
    assert piped("decode", "-", tmp_path / "a.png", given=encoded.read_bytes())[:2] == (0, b"")
    assert (tmp_path / "a.png").is_file()
    assert not Path("-").exists()


def test_errors_name_standard_input(encoded: Path, piped: Piped) -> None:
    code, out, told = piped("decode", "-", "-", "--format", "png", given=encoded.read_bytes()[:-1])
    assert (code, out) == (3, b"") and told.startswith("aecodec: <stdin>: ")
    code, out, told = piped("encode", "-", "-", "--model", "tiny", given=b"no picture")
    assert (code, out) == (1, b"") and told.startswith("aecodec: <stdin>: not a picture")
    assert piped("info", "-")[0] == 3


@posix_only
def test_no_binary_data_from_or_to_a_terminal(
    picture: Path, encoded: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pty

    ours, terminal = pty.openpty()
    with open(terminal, encoding="ascii") as keyboard, open(terminal, "w", encoding="ascii", closefd=False) as screen:
        monkeypatch.setattr(sys, "stdin", keyboard)
        for arguments in (("encode", "-", "new.aec"), ("decode", "-", "new.png"), ("info", "-"), ("verify", "-")):
            assert "is a terminal" in refused(2, *arguments)
        monkeypatch.setattr(sys, "stdout", screen)
        for arguments in (("encode", picture, "-", "--model", "tiny"), ("decode", encoded, "-", "--format", "png")):
            assert "is a terminal" in refused(2, *arguments)
    os.close(ours)
