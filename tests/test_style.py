"""Ruff and mypy accept this tree, and mypy a program that uses the package."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from helpers.paths import ROOT

pytest.importorskip("mypy")

PROGRAM = """
from pathlib import Path

import numpy as np
from PIL import Image
from typing_extensions import assert_type

import aecodec
import aecodec.pillow_plugin

data = aecodec.encode(Image.open("in.png"), quality=60)
assert_type(data, bytes)
assert_type(aecodec.encode(np.zeros((8, 8, 3), np.uint8), target_size=900, weights=Path("my.safetensors")), bytes)
assert_type(aecodec.decode(memoryview(data)), Image.Image)
assert_type(aecodec.read_info(data).model, str | None)
assert_type(aecodec.aec_check(data), bool)
assert_type(aecodec.aec_encode(np.zeros((8, 8), np.uint8), 40, out=bytearray(9)), bytes)
aecodec.decode_latent(data).astype(np.float32)
aecodec.aec_decode(data, out=np.empty((8, 8, 3), np.uint8)).mean()
aecodec.register_aec_opener()
try:
    aecodec.verify(data)
except (aecodec.CorruptFile, aecodec.UnknownWeights) as error:
    assert_type(error.exit_code, int)
"""

MISTAKES = {
    'aecodec.encode("in.png")': "arg-type",
    "aecodec.decode(b'', quality=3)": "call-arg",
    "aecodec.encoed(b'')": "attr-defined",
    "aecodec.read_info(b'').width.upper()": "attr-defined",
}


def mypy(*arguments: str, cwd: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "mypy", *arguments]
    done = subprocess.run(command, env={**os.environ, "MYPYPATH": str(ROOT)}, cwd=cwd, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.skipif(find_spec("ruff") is None or not (ROOT / "pyproject.toml").is_file(), reason="needs ruff")
@pytest.mark.parametrize("check", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_ruff_finds_nothing(check: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "ruff", *check, "."], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / "setup.cfg").is_file(), reason="needs the project's own tree")
def test_the_package(tmp_path: Path) -> None:
    code, told = mypy("--cache-dir", str(tmp_path), cwd=ROOT)
    assert code == 0, told


@pytest.mark.slow
def test_a_typed_program_passes_and_a_wrong_one_fails(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "mistakes.py").write_text("import aecodec\n" + "\n".join(MISTAKES))
    _, told = mypy("--strict", "--follow-imports=silent", "program.py", "mistakes.py", cwd=tmp_path)
    found = [line for line in told.splitlines() if ": error:" in line]
    assert len(found) == len(MISTAKES), told
    for number, (line, kind) in enumerate(zip(found, MISTAKES.values(), strict=True), 2):
        assert line.startswith(f"mistakes.py:{number}:"), told
        assert line.endswith(f"[{kind}]"), told
