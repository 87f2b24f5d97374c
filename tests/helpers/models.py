"""Float models small enough for tests."""

from __future__ import annotations

from dataclasses import replace

from aecodec.codec.architectures import paper
from aecodec.codec.architectures import standard
from aecodec.train.model import CONFIGS
from aecodec.train.model import AutoEncoder


def small(name: str) -> AutoEncoder:
    """A `standard` of few channels, or the layers of `paper` with its entropy networks."""
    shape = standard(16, 1, 1, entropy_width=16)
    if name == "paper":
        shape = replace(shape, name=name, analysis=paper().analysis, synthesis=paper().synthesis)
    return AutoEncoder(CONFIGS[name], shape)
