"""Shared by all tests: the permanent tiny network is on the weights search path."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

GOLDEN = Path(__file__).parent / "golden"
PHOTOS = Path(__file__).parents[1] / "examples" / "photos"

settings.register_profile("aecodec", deadline=None)  # the machines are shared: time is no failure
settings.load_profile("aecodec")


@pytest.fixture(autouse=True)
def _tiny_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AECODEC_WEIGHTS", str(GOLDEN / "tiny"))
