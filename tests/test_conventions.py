"""The table of docs/conventions.md: its commands run, its tests exist, and the options listed as absent are."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aecodec.cli import cli
from aecodec.cli import run
from aecodec.codec.manifest import entries_of
from helpers.commands import command
from helpers.commands import environment
from helpers.paths import PHOTOS
from helpers.paths import ROOT

THERE, NOT_THERE = (ROOT / "docs" / "conventions.md").read_text("utf-8").split("## Not available")
ROWS = [[cell.strip() for cell in row[1:-1].split("|")] for row in re.findall(r"^\| (?!What).*\|$", THERE, re.M)]
COMMANDS = [match[1] for row in ROWS if (match := re.fullmatch(r"`aecodec (.*)`", row[2]))]


def test_every_row_has_a_command_or_page_and_a_test() -> None:
    assert len(ROWS) >= 25 and len(COMMANDS) >= 20
    for what, _, how, shown in ROWS:
        page = re.fullmatch(r"\[\w+\]\((\w+\.md)\)", how)
        assert how == "the same" or how.startswith("`aecodec ") or page, what
        tests = re.findall(r"`(tests/\w+\.py)`", shown)
        assert tests, what
        for name in (*tests, *(() if page is None else (f"docs/{page[1]}",))):
            assert (ROOT / name).is_file(), what


def test_absent_options() -> None:
    options = re.findall(r"^\| `(--[a-z-]+)", NOT_THERE, re.M)
    assert "--device" in options
    for name in ("encode", "decode"):
        known = cli.get_command(None, name)  # type: ignore[arg-type]
        assert known is not None
        assert not set(options) - {"--device"} & {option for parameter in known.params for option in parameter.opts}


@pytest.mark.slow
@pytest.mark.skipif(not entries_of(ROOT / "weights"), reason="no weights are landed")
def test_the_commands_run_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("in.jpg", "-"):  # a file may have the name that means standard input
        shutil.copy(PHOTOS / "car.jpg", name)
    Path("photos").mkdir()
    for name in ("dog.jpg", "bay.png"):
        shutil.copy(PHOTOS / name, "photos")
    with Image.open("in.jpg") as image:
        image.putalpha(Image.linear_gradient("L"))
        image.save("in.png")
    for name in ("deep.png", "deep.tif"):
        Image.fromarray(np.arange(1024, dtype=np.uint16).reshape(32, 32)).save(name)
    for line in COMMANDS:
        if "<" in line:
            piped = f"{shlex.join(command())} {line}"
            assert subprocess.run(piped, shell=True, env=environment()).returncode == 0, line
        else:
            assert run(shlex.split(line)) == 0, line
