"""What the bench measures: the interface `BenchCodec`, and aecodec behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from aecodec.geometry import TILE


class BenchCodec(Protocol):
    """A codec as the bench sees it. Pictures are uint8 [H, W, 3] or [H, W]; a file is its bytes."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str:
        """Library, version and settings, in one line."""

    @property
    def qualities(self) -> Sequence[float]:
        """The settings measured by default, ascending; together they cover 0.1 to 1 bit per pixel."""

    @property
    def steps(self) -> Sequence[float]:
        """Every distinct setting, ascending; the size of a file grows along them."""

    def encode(self, pixels: np.ndarray, quality: float) -> bytes: ...

    def decode(self, data: bytes) -> np.ndarray: ...


@dataclass(frozen=True)
class Aecodec:
    """aecodec through its public interface, as a user would call it."""

    model: str | None = None
    weights: Path | None = None
    qualities: tuple[float, ...] = tuple(range(0, 101, 10))
    effort: int = 0

    name = "aecodec"
    steps = tuple(i / 255 * 100 for i in range(256))  # one for each value of the file's quality byte

    @property
    def description(self) -> str:
        from aecodec.codec import manifest

        entry = manifest.find(self.model, self.weights)
        effort = f", effort {self.effort}" if self.effort else ""
        return f"model {entry.name}, weights {entry.weights_id.hex()}{effort}"

    def encode(self, pixels: np.ndarray, quality: float) -> bytes:
        from aecodec import api

        return api.encode(pixels, quality, model=self.model, weights=self.weights, effort=self.effort)

    def decode(self, data: bytes) -> np.ndarray:
        from aecodec import api

        return np.asarray(api.decode(data, weights=self.weights))


@dataclass(frozen=True)
class ShrunkAecodec(Aecodec):
    """aecodec at a target in bytes, each picture reduced as far as suits it, in the compact form if it has one."""

    target_bytes: int = 1000

    @property
    def steps(self) -> tuple[float, ...]:  # type: ignore[override]
        return (self.target_bytes,)

    @property
    def description(self) -> str:
        return f"{super().description}, shrunk to {self.target_bytes} bytes"

    def encode(self, pixels: np.ndarray, quality: float) -> bytes:
        from aecodec import api

        return api.encode(
            pixels,
            model=self.model,
            weights=self.weights,
            effort=self.effort,
            target_size=int(quality),
            shrink=True,
            compact=max(pixels.shape[:2]) <= TILE,
        )
