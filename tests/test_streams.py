"""Standard streams that are closed or not UTF-8, and files whose names look like one."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import aecodec
from aecodec.cli import run
from helpers.commands import Refused
from helpers.commands import command
from helpers.commands import environment
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


def shell(folder: Path, line: str, **variables: str) -> tuple[int, str]:
    """Exit code and output of a shell line in which `aecodec` is the command."""
    line = line.replace("aecodec", shlex.join(command()))
    done = subprocess.run(
        ["sh", "-c", line], cwd=folder, env=environment() | variables, capture_output=True, text=True, timeout=120
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
