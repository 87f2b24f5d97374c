"""benchmarks/fine_tune.py: pictures are divided by groups, and a run ends with its table on the page."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aecodec.codec.manifest import entries_of
from helpers.paths import PHOTOS
from helpers.paths import ROOT

SCRIPT = ROOT / "benchmarks" / "fine_tune.py"


@pytest.mark.slow
@pytest.mark.skipif(not entries_of(ROOT / "weights"), reason="no weights are landed")
def test_it_trains_without_the_held_back_pictures_and_reports(tmp_path: Path) -> None:
    for number, photo in enumerate(sorted(path for path in PHOTOS.iterdir() if path.suffix == ".jpg")):
        (tmp_path / "own" / f"person-{number}").mkdir(parents=True)
        for copy in "ab":
            shutil.copy(photo, tmp_path / "own" / f"person-{number}" / f"{copy}.jpg")
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- fine-tune: begin -->\nold\n<!-- fine-tune: end -->\nafter\n")
    command = [sys.executable, SCRIPT, tmp_path / "own", "--steps", 8, "--out", tmp_path / "out", "--page", page]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "AECODEC_WEIGHTS": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert text.startswith("before\n<!-- fine-tune: begin -->\n`own`: trained on ")
    assert text.endswith("<!-- fine-tune: end -->\nafter\n")
    assert "| fine-tuned |" in text
    assert "old" not in text
    trained, held_back = (
        {path.resolve().parent for path in (tmp_path / "out" / part).iterdir()} for part in ("train", "held-back")
    )
    assert trained
    assert held_back
    assert not trained & held_back
