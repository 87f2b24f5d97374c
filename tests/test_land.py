"""The maintainers' command that lands weights: what it measures again, and the numbers it gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aecodec.bench.peers import PEERS
from aecodec.codec.manifest import Entry
from helpers.paths import PHOTOS
from tools import land
from tools.scores import CURVE
from tools.scores import PEER
from tools.scores import SETS
from tools.scores import measured

FOLDERS = {"kodak": PHOTOS, "dev": PHOTOS}
KNOWN: dict[str, Any] = {name: {"psnr": 20.0} for name in (*SETS, CURVE)}


def entry(name: str, number: int) -> Entry:
    return Entry(Path(), name, number, b"1234", "", "", "", {"number": number})


@pytest.mark.parametrize("with_curve", [False, True])
def test_scores_that_are_known_are_kept(with_curve: bool) -> None:
    said: list[str] = []
    scores = measured(PEER, FOLDERS, KNOWN, with_curve, said.append, PEERS[0])
    assert said == []
    assert scores == {name: row for name, row in KNOWN.items() if with_curve or name != CURVE}


def test_a_set_without_scores_is_measured() -> None:
    said: list[str] = []
    known = {name: row for name, row in KNOWN.items() if name not in ("kodak64", "dev128")}
    scores = measured(PEER, FOLDERS, known, False, said.append, PEERS[0])
    assert said == ["  kodak64 at 250 bytes", "  dev128 at 700 bytes"]
    assert scores["kodak64"] is None, "no JPEG file is that small"
    assert scores["dev128"]["size_bytes"] <= 700 and scores["dev128"]["ms_ssim"] is None
    assert list(scores) == list(SETS)


def test_a_new_model_gets_the_next_number_and_another_keeps_its_own() -> None:
    bundled = [entry("paper", 1), entry("standard", 0)]
    assert land._number("light", bundled) == {"number": 2}
    assert land._number("paper", bundled) == {"number": 1}
    assert land._number("first", []) == {"number": 0}
