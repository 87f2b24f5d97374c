"""Geometry: coded tiles (part of the format) and blocks (how this program cuts its work).

Coded tiles form a fixed grid of 1024x1024 pixels; the entropy coding of a tile depends on that tile alone. Blocks cut
the latent field of the whole picture, across tile edges, with a halo of the network's receptive field, so that any
size of block gives the same integers as one pass. A latent position covers 8x8 pixels, a hyper-latent position 32x32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

STRIDE = 8
HYPER_STRIDE = 32
TILE = 1024


@dataclass(frozen=True)
class Box:
    """Half-open rows `top..bottom` and columns `left..right`, in latent positions."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left

    @property
    def index(self) -> tuple[slice, slice, slice]:
        """Picks this box out of an array [batch, rows, columns, ...]."""
        return slice(None), slice(self.top, self.bottom), slice(self.left, self.right)

    def within(self, whole: Box) -> Box:
        """This box as seen from the corner of `whole`."""
        top, left = whole.top, whole.left
        return Box(self.top - top, self.left - left, self.bottom - top, self.right - left)

    def times(self, factor: int) -> Box:
        """The same area when a position is `factor` samples wide: latent positions to pixels."""
        return Box(self.top * factor, self.left * factor, self.bottom * factor, self.right * factor)

    def coarser(self, factor: int) -> Box:
        """The smallest area that covers this one when a position is `factor` times as wide: pixels to positions."""
        return Box(self.top // factor, self.left // factor, -(-self.bottom // factor), -(-self.right // factor))

    def grown(self, halo: int, whole: Box) -> Box:
        """This box with `halo` more positions on every side, clipped to `whole`."""
        return Box(
            max(self.top - halo, whole.top),
            max(self.left - halo, whole.left),
            min(self.bottom + halo, whole.bottom),
            min(self.right + halo, whole.right),
        )

    def shared(self, other: Box) -> Box | None:
        """The intersection of both boxes; None if it is empty."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom, right = min(self.bottom, other.bottom), min(self.right, other.right)
        return Box(top, left, bottom, right) if top < bottom and left < right else None


def latent_shape(width: int, height: int) -> tuple[int, int]:
    """Rows and columns of the latent field: sides padded to a multiple of 32 pixels, a multiple of 4 positions."""
    rows, columns = -(-height // HYPER_STRIDE), -(-width // HYPER_STRIDE)
    return 4 * rows, 4 * columns


def tile_count(width: int, height: int) -> int:
    """Number of coded tiles: it follows from the sides, no file stores it."""
    return -(-width // TILE) * -(-height // TILE)


def _cut(rows: int, columns: int, side: int) -> Iterator[Box]:
    for top in range(0, rows, side):
        for left in range(0, columns, side):
            yield Box(top, left, min(top + side, rows), min(left + side, columns))


def tiles(width: int, height: int) -> list[Box]:
    """The coded tiles of a picture in raster order, in latent positions."""
    return list(_cut(*latent_shape(width, height), TILE // STRIDE))


def blocks(rows: int, columns: int, side: int, halo: int) -> Iterator[tuple[Box, Box]]:
    """Blocks as (core, core with halo), both clipped to the field; the cores partition it.

    The halo ends at the field's border, so the zero padding there is the field's.
    """
    field = Box(0, 0, rows, columns)
    for core in _cut(rows, columns, side):
        yield core, core.grown(halo, field)
