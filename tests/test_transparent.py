"""Invisible pixels get cheap colours, visible ones stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aecodec.codec.encoder import PictureEncoder
from aecodec.codec.transparent import fill_transparent
from aecodec.format.extras import Extras
from aecodec.network.numpy_runtime import NumpyRuntime
from helpers.tiny import Tiny


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([0.0, 0.02, 0.5, 0.98, 1.0]), st.booleans())
def test_visible_pixels_stay_and_others_lie_between_them(height: int, width: int, share: float, grey: bool):
    rng = np.random.default_rng(height * 41 + width)
    pixels = rng.integers(0, 256, (height, width) if grey else (height, width, 3), dtype=np.uint8)
    visible = rng.random((height, width)) < share
    original = pixels.copy()
    filled = fill_transparent(pixels, visible)
    assert filled.shape == pixels.shape and filled.dtype == np.uint8
    assert np.array_equal(pixels, original)
    assert np.array_equal(filled[visible], pixels[visible])
    if visible.any():
        assert (filled >= pixels[visible].min(axis=0)).all() and (filled <= pixels[visible].max(axis=0)).all()
    else:
        assert (filled == 128).all()


def test_one_visible_pixel_colours_all():
    pixels = np.zeros((9, 13, 3), np.uint8)
    pixels[4, 7] = 10, 20, 30
    visible = np.zeros((9, 13), bool)
    visible[4, 7] = True
    assert (fill_transparent(pixels, visible) == (10, 20, 30)).all()


@pytest.mark.parametrize(("share", "most"), [(0.0, 0.6), (0.5, 0.85)])
def test_invisible_pixels_cost_little(share: float, most: float, tiny: Tiny):
    """Noise under transparency takes fewer bytes than noise that is seen, and is no part of the file.

    An untrained network takes 0.55 for a picture of one colour.
    """
    pixels = np.random.default_rng(2).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    alpha = np.zeros((128, 128), np.uint8)
    alpha[: int(128 * share)] = 255
    shown = len(PictureEncoder(pixels, *tiny, NumpyRuntime()).encode(100).data)
    hidden = PictureEncoder(pixels, *tiny, NumpyRuntime(), extras=Extras(alpha)).encode(100).data
    assert len(hidden) < most * shown
    other = np.where(alpha[..., None] == 0, 255 - pixels, pixels)
    assert PictureEncoder(other, *tiny, NumpyRuntime(), extras=Extras(alpha)).encode(100).data == hidden
