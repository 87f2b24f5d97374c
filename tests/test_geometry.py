"""Geometry: the coded grid is what the format page says, and blocks cover a field exactly once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from aecodec.geometry import Box
from aecodec.geometry import blocks
from aecodec.geometry import latent_shape
from aecodec.geometry import tile_count
from aecodec.geometry import tiles

SIDES = st.integers(1, 5000)


@pytest.mark.parametrize(
    ("size", "shape"),
    [((1, 1), (4, 4)), ((32, 32), (4, 4)), ((33, 32), (4, 8)), ((256, 256), (32, 32)), ((768, 500), (64, 96))],
)
def test_latent_shape_is_rows_and_columns_padded_to_whole_hyper_positions(
    size: tuple[int, int], shape: tuple[int, int]
):
    assert latent_shape(*size) == shape


@pytest.mark.parametrize(
    ("size", "count"),
    [((1, 1), 1), ((1024, 1024), 1), ((1025, 1), 2), ((1, 1025), 2), ((2048, 1025), 4), ((65535, 2730), 192)],
)
def test_tile_count(size: tuple[int, int], count: int):
    assert tile_count(*size) == count


def test_tiles_are_in_raster_order_and_only_the_edge_is_smaller():
    assert tiles(1100, 1024 + 40) == [
        Box(0, 0, 128, 128),
        Box(0, 128, 128, 140),
        Box(128, 0, 136, 128),
        Box(128, 128, 136, 140),
    ]


@settings(deadline=None)
@given(SIDES, SIDES)
def test_tiles_cover_the_latent_field_once(width: int, height: int):
    boxes = tiles(width, height)
    assert len(boxes) == tile_count(width, height)
    assert (_cover(boxes, latent_shape(width, height)) == 1).all()
    assert all(side % 4 == 0 and side <= 128 for box in boxes for side in box.shape)


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 12), st.integers(0, 10))
def test_blocks_cover_the_field_once_and_their_halo_ends_with_the_field(rows: int, columns: int, side: int, halo: int):
    cut = list(blocks(rows, columns, side, halo))
    assert (_cover([core for core, _ in cut], (rows, columns)) == 1).all()
    field = np.arange(rows * columns).reshape(1, rows, columns)
    for core, box in cut:
        assert max(core.shape) <= side
        near_rows = range(max(core.top - halo, 0), min(core.bottom + halo, rows))
        near_columns = range(max(core.left - halo, 0), min(core.right + halo, columns))
        np.testing.assert_array_equal(field[box.index], field[np.ix_([0], near_rows, near_columns)])
        np.testing.assert_array_equal(field[box.index][core.within(box).index], field[core.index])


def test_a_box_in_pixels():
    assert Box(1, 2, 3, 5).times(8) == Box(8, 16, 24, 40)


def _cover(boxes: list[Box], shape: tuple[int, int]) -> np.ndarray:
    covered = np.zeros((1, *shape), dtype=int)
    for box in boxes:
        covered[box.index] += 1
        assert covered[box.index].shape == (1, *box.shape)
    return covered
