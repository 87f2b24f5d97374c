"""Commands, in this process and in others."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from aecodec.cli import run
from helpers.paths import PACKAGE_PARENT


def environment() -> dict[str, str]:
    """For a subprocess that finds this package, also where it is not installed."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE_PARENT), os.environ.get("PYTHONPATH", "")])}


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "aecodec", *map(str, arguments)]


class Refused:
    """Runs a command that must fail: its exit code, one line on stderr, nothing on stdout, no file made or changed."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder, self._capsys = folder, capsys

    def _contents(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() if path.is_file() else b"" for path in self._folder.rglob("*")}

    def __call__(self, exit_code: int, *arguments: str | Path) -> str:
        before = self._contents()
        self._capsys.readouterr()
        assert run([str(argument) for argument in arguments]) == exit_code
        out, err = self._capsys.readouterr()
        assert out == ""
        assert err.startswith("aecodec: ")
        assert err.count("\n") == 1 and err.endswith("\n"), err
        assert self._contents() == before
        return err
