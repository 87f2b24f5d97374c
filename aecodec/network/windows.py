"""Runs a network over a block, and each layer only over the samples that the wanted output depends on.

A block comes with a halo of the network's receptive field, and each layer uses up part of it. In blocks of 64
positions a side, cropping after every layer saves a fifth of the analysis and a seventh of the synthesis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aecodec.geometry import Box
from aecodec.network.layers import Layer
from aecodec.network.layers import Layers
from aecodec.network.layers import receptive_field
from aecodec.network.layers import reduction

Apply = Callable[[Layer, str, Any, Any], Any]  # a runtime's function: layer, path, x, second input -> output


def run_layers(layers: Layers, apply: Apply, x: Any, side: Any, wanted: Box | None) -> Any:
    """A network's output for the area `wanted`, in positions of its coarsest field; all of it if None.

    `x` and `side` are arrays or tensors [B, H, W, C], `side` with one sample for each position, or None.
    """
    scale = reduction(layers)
    whole = Box(0, 0, x.shape[1] // scale, x.shape[2] // scale)
    if wanted == whole:
        wanted = None
    for position, layer in enumerate(layers):
        if wanted is not None:
            seen = wanted.grown(receptive_field(layers[position:]), whole)
            x, side = _cut(x, seen, whole, scale), None if side is None else _cut(side, seen, whole, 1)
            whole, wanted = seen.within(seen), wanted.within(seen)
        x = apply(layer, str(position), x, side)
        scale = scale // layer.reduction * layer.enlargement
    return x if wanted is None else _cut(x, wanted, whole, scale)


def _cut(x: Any, seen: Box, whole: Box, scale: int) -> Any:
    """Crops `x`, which covers `whole`, to `seen`. Counts from both ends: before a DepthToSpace, x has one more row."""
    rows, columns = x.shape[1:3]
    bottom, right = rows - (whole.bottom - seen.bottom) * scale, columns - (whole.right - seen.right) * scale
    return x[:, seen.top * scale : bottom, seen.left * scale : right]
