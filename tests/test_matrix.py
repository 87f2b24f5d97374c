"""The golden files on every runtime and kernel at hand: `python -m tests.matrix`, its short form by default."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from matrix import __main__ as matrix
from matrix.__main__ import main


@pytest.mark.slow
def test_generic_kernels_blocks_batches_and_the_other_coder_give_the_same(capsys: pytest.CaptureFixture[str]):
    assert main(["--fast"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()[1:]
    assert re.fullmatch(r"[12] configurations, 0 of them different", last)
    assert len({tuple(line.split()[:4]) for line in lines}) == 1
    assert len({tuple(line.split()[4:8]) for line in lines}) == 1


@pytest.mark.slow
def test_every_configuration_of_this_machine_gives_the_same():
    assert main([]) == 0


def test_a_difference_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    pixels, files = matrix.expected(["tiny"])
    answer = {"about": "here", "pixels": pixels | {"tiny/car-0.aec": "0"}, "files": files}
    monkeypatch.setattr(matrix, "run", lambda *arguments: json.loads(json.dumps(answer)))
    assert main(["--fast", "--only", "numpy"]) == 1
    printed = capsys.readouterr().out
    assert f"{len(pixels) - 1} of {len(pixels)}" in printed and "DIFFERENT: tiny/car-0.aec\n" in printed


def test_a_worker_that_fails_is_a_difference(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "")
    monkeypatch.setattr(matrix, "numpy_configurations", lambda: [matrix.Configuration("no", ("--runtime", "none"))])
    monkeypatch.setattr(matrix, "native_configurations", list)
    monkeypatch.setattr(matrix, "torch_configurations", list)
    assert main([]) == 1
    assert "invalid choice" in capsys.readouterr().err
