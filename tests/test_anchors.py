"""The table of other codecs: every published point has its source, and the page gets the table between its marks."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.paths import ROOT

FOLDER = ROOT / "benchmarks"
pytestmark = pytest.mark.skipif(not (FOLDER / "anchors.py").is_file(), reason="needs the project's own tree")


def test_every_point_has_its_source() -> None:
    with (FOLDER / "published.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["codec"] for row in rows}) >= 3
    assert all(re.match(r"(published|measured): \S", row["source"]) for row in rows)
    assert all(0 < float(row["bpp"]) < 10 and 20 < float(row["psnr"]) < 60 for row in rows)


def test_the_table_is_sorted_and_written_into_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- anchors: begin -->\nold\n<!-- anchors: end -->\nafter\n")
    subprocess.run([sys.executable, FOLDER / "anchors.py", "--page", page], cwd=ROOT, check=True, capture_output=True)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    rates = [float(row) for row in re.findall(r"^\| [^|\n]+ \| ([+-][\d.]+) %", text, re.MULTILINE)]
    assert rates == sorted(rates) and len(rates) >= 8
    for name in ("factorized", "hyperprior", "mbt2018-mean", "JPEG XL", "WebP", "AVIF", "JPEG", "standard"):
        assert name in text, name
