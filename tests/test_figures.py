"""Pages quote the bundled weights: their ids, default quality and the ends of the scale, as the manifest has them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from aecodec.codec.manifest import entries_of
from aecodec.format.header import QUALITY_STEPS
from helpers.paths import ROOT
from helpers.paths import WEIGHTS

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), ROOT / "examples" / "README.md"]
BUNDLED = {entry.name: entry for entry in entries_of(WEIGHTS)}
STANDARD: dict[str, Any] = dict(BUNDLED["standard"].details) if "standard" in BUNDLED else {}
PAST = "earlier weights "  # in front of the id: a measurement of weights that are no longer bundled

pytestmark = pytest.mark.skipif(not BUNDLED, reason="no weights are landed")


def default_quality() -> str:
    return f"{STANDARD['default_quality'] * 100 / (QUALITY_STEPS - 1):.1f}"


def wrong(text: str) -> list[str]:
    """The ids of weights that are neither bundled nor marked as past, and wrong default qualities."""
    text = " ".join(text.split())
    ids = {entry.weights_id.hex() for entry in BUNDLED.values()}
    found = re.findall(rf"(?<!{PAST})\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{{8}}\b", text)
    quoted = re.findall(r"[Dd]efault(?: quality)?(?:,| is|,? near|,? about)? (\d+(?:\.\d+)?)(?![\d,]*[\w%])", text)
    return [name for name in found if name not in ids] + [value for value in quoted if value != default_quality()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_quote_the_bundled_weights(page: Path) -> None:
    assert wrong(page.read_text("utf-8")) == []


def test_wrong_quotes_are_found() -> None:
    assert wrong("at 28.1 dB (weights 223776c4)") == ["223776c4"]
    assert wrong("the default, near 50, is") == ["50"]
    assert wrong("the earlier\nweights 223776c4; by default 16 files") == ["16"]
    assert wrong(f"the default, {default_quality()}, takes") == []


def test_the_pages_quote_the_default_and_the_ends_of_the_scale() -> None:
    best = STANDARD["rounding"][-1]["psnr"]
    last, before = STANDARD["scores"]["kodak_curve"][-1], STANDARD["scores"]["kodak_curve"][-3]
    assert 0.73 < before["size_bytes"] / last["size_bytes"] < 0.77, "compare.md speaks of the last quarter"
    compare = " ".join((ROOT / "docs" / "compare.md").read_text("utf-8").split())
    sentence = r"reaches ([\d.]+) dB at ([\d.]+) bits a pixel; the last quarter of the bytes gains ([\d.]+) dB"
    ends = re.search(sentence, compare)
    assert ends is not None
    assert float(ends[1]) == pytest.approx(last["psnr"], abs=0.05)
    assert float(ends[2]) == pytest.approx(last["bits_per_pixel"], abs=0.006)
    assert float(ends[3]) == pytest.approx(last["psnr"] - before["psnr"], abs=0.02)
    assert f"its best is about {best:.1f} dB" in (ROOT / "README.md").read_text("utf-8")
    assert f"the default, {default_quality()}," in (ROOT / "docs" / "quality.md").read_text("utf-8")
