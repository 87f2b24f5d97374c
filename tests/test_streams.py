"""Standard streams: pipes, terminals, closed ones, and files whose names look like one."""

from __future__ import annotations

import io
import os
import shlex
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
from helpers.marks import posix_only
from helpers.pictures import photograph

needs_shell = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the pictures a.png and b.png, and the file a.aec."""
    pixels = photograph(40, 56)
    for name, part in (("a.png", pixels), ("b.png", pixels[:, ::-1])):
        Image.fromarray(part).save(tmp_path / name)
    (tmp_path / "a.aec").write_bytes(aecodec.encode(pixels, 60, model="tiny"))
    return tmp_path


def shell(folder: Path, line: str) -> tuple[int, str]:
    """Exit code and output of a shell line in which `aecodec` is the command."""
    line = line.replace("aecodec", shlex.join(command()))
    done = subprocess.run(
        ["sh", "-c", line], cwd=folder, env=environment(), capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


@needs_shell
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("aecodec encode a.png - --model tiny >&-", "<stdout>: is closed"),
        ("aecodec decode a.aec - --format png >&-", "<stdout>: is closed"),
        ("aecodec pack a.aec - >&-", "<stdout>: is closed"),
        ("aecodec encode - o.aec --model tiny <&-", "<stdin>: is closed"),
        ("aecodec decode - o.png <&-", "<stdin>: is closed"),
        ("aecodec info - <&-", "<stdin>: is closed"),
        ("aecodec verify - <&-", "<stdin>: is closed"),
        ("aecodec info - 0>o", "<stdin>: Bad file descriptor"),
    ],
)
def test_a_closed_stream_that_is_needed_is_one_line(folder: Path, line: str, reason: str):
    assert shell(folder, line) == (1, f"aecodec: {reason}\n")


@needs_shell
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_that_is_not_needed_does_not_matter(folder: Path, closed: str):
    """Nor does what is printed get into a file that happens to have the stream's number."""
    assert shell(folder, f"aecodec encode a.png one.aec -q 60 --model tiny {closed}")[0] == 0
    assert (folder / "one.aec").read_bytes() == (folder / "a.aec").read_bytes()
    if closed.count("-") == 3:  # workers have the same streams as the command
        assert shell(folder, f"aecodec encode a.png b.png --out-dir many -q 60 --model tiny {closed}")[0] == 0
        assert (folder / "many" / "a.aec").read_bytes() == (folder / "a.aec").read_bytes()
    assert shell(folder, f"aecodec info a.aec {closed}")[0] == 0


SEVERAL_COMMANDS = """
from aecodec.cli import main
for line in {}:
    try:
        main(line)
    except SystemExit as end:
        print("exit code", end.code)
"""


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are bytes on Linux only")
@pytest.mark.parametrize(
    ("name", "shown"), [("\u65e5\u672c", "\\u65e5\\u672c"), ("\udcff", "\ufffd")], ids=["Japanese", "bytes"]
)
def test_names_that_the_terminal_cannot_show_are_escaped(folder: Path, name: str, shown: str):
    path = f"{name}.aec"
    (folder / "a.aec").rename(folder / path)
    # A replacement character is itself one that cp1252 lacks.
    shown = shown.encode("cp1252", "backslashreplace").decode()
    lines = [[*words, path] for words in (["info"], ["verify"], ["info", "--json"], ["view", "--out", "page.html"])]
    done = subprocess.run(
        [sys.executable, "-c", SEVERAL_COMMANDS.format([*lines, ["decode", path, f"{path}.png"]])],
        cwd=folder,
        env=environment() | {"PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        text=True,
    )
    said = done.stdout.splitlines()
    assert said[0] == f"{shown}.aec: 56x40 RGB"
    assert f"{shown}.aec: ok" in said
    assert [line for line in said if line.startswith("exit code ")] == ["exit code 0"] * 5, done.stderr
    assert (folder / "page.html").read_bytes().decode("utf-8")


@pytest.mark.parametrize("spelled", ["./-", ".//-"])
def test_a_file_called_like_a_stream_is_a_file(folder: Path, spelled: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    os.replace("a.png", "-")
    assert run(["encode", spelled, "out.aec", "-q", "60", "--model", "tiny"]) == 0
    assert Path("out.aec").read_bytes() == Path("a.aec").read_bytes()
    os.replace("a.aec", "-")
    assert run(["verify", spelled]) == run(["info", spelled]) == 0
    assert run(["decode", spelled, "back.png"]) == 0
    assert run(["encode", "b.png", spelled, "--model", "tiny"]) == 0
    assert Path("-").read_bytes().startswith(b"\xaeC")


def test_a_file_called_like_a_stream_is_written_below_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    os.replace("a.png", "-")
    assert run(["encode", "./-", "--out-dir", "out", "--model", "tiny"]) == 0
    assert Path("out/-.aec").is_file()


def test_a_dash_alone_still_is_the_stream(folder: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert "<stdin>: is closed" in refused(1, "info", "-")


Piped = Callable[..., tuple[int, bytes, str]]


@posix_only
@pytest.mark.parametrize("target", ["/dev/stdout", "-"])
def test_a_process_in_a_pipe(target: str, picture: Path, encoded: Path) -> None:
    encoding = command("encode", "-", target, "--model", "tiny", "-q", "50")
    done = subprocess.run(encoding, env=environment(), input=picture.read_bytes(), capture_output=True, check=True)
    assert done.stdout == encoded.read_bytes()


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
