"""Pictures on a saturated ground: their border, and that nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

import aecodec
from aecodec.codec import encoder
from aecodec.codec.border import has_saturated_ground
from helpers.marks import needs_bundled
from helpers.pictures import photograph

GREEN, MAGENTA, RED = (0, 255, 0), (255, 0, 255), (255, 0, 0)


def ground(colour: tuple[int, int, int], height: int = 64, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def test_which_grounds_are_saturated() -> None:
    photo = photograph(64, 64)
    for colour in (GREEN, MAGENTA, RED, (5, 250, 120)):
        framed = ground(colour)
        framed[1:-1, 1:-1] = photo[1:-1, 1:-1]
        assert has_saturated_ground(framed)
        framed[40, 0] = 128
        assert not has_saturated_ground(framed)
    for colour in ((255, 255, 255), (0, 0, 0), (200, 30, 60), (120, 170, 220)):
        assert not has_saturated_ground(ground(colour))
    assert not has_saturated_ground(photo)
    assert not has_saturated_ground(ground(GREEN, 1024, 1025)), "large"


@needs_bundled
@pytest.mark.parametrize(("colour", "most"), [(GREEN, 50), (MAGENTA, 20), (RED, 2)])
@pytest.mark.parametrize("side", [128, 121])
def test_the_rim_of_a_saturated_ground(colour: tuple[int, int, int], most: int, side: int) -> None:
    pixels = ground(colour, side, side)
    decoded = aecodec.decode_pixels(aecodec.encode(pixels, quality=100))
    error = np.abs(decoded.astype(int) - pixels).max(axis=2)
    assert (error > 20).sum() <= most
    assert error[16:-16, 16:-16].max() <= 10


@pytest.mark.parametrize("quality", [0, 50, 100])
def test_of_two_files_the_cheaper_one(quality: int, monkeypatch: pytest.MonkeyPatch) -> None:
    logo = ground(GREEN)
    logo[16:48, 16:48] = photograph(32, 32)
    ours = aecodec.encode(logo, quality=quality, model="tiny")
    monkeypatch.setattr(encoder, "has_saturated_ground", lambda _: False)
    usual = aecodec.encode(logo, quality=quality, model="tiny")
    error = [np.square(aecodec.decode_pixels(data).astype(float) - logo).mean() for data in (ours, usual)]
    assert ours == usual or len(ours) < len(usual) or error[0] < error[1]
