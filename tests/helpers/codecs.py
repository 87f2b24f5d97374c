"""Codecs for the bench: a stand-in of its own and one of the real peers."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from aecodec.bench.peers import peers_named


@dataclass(frozen=True)
class Stepper:
    """A working codec of ten lines: quantised samples, deflated. Finer steps, larger files; 100 is lossless."""

    qualities: tuple[float, ...] = (0.0, 25.0, 50.0, 75.0, 100.0)

    name = "stepper"
    description = "a stand-in"
    steps = tuple(float(i) for i in range(101))

    def encode(self, pixels: np.ndarray, quality: float) -> bytes:
        step = 101 - round(quality)
        shape = np.array([pixels.ndim, step, *pixels.shape], "<u4").tobytes()
        return shape + zlib.compress((pixels // step).tobytes())

    def decode(self, data: bytes) -> np.ndarray:
        dimensions, step = np.frombuffer(data[:8], "<u4")
        shape = np.frombuffer(data[8 : 8 + 4 * dimensions], "<u4")
        indices = np.frombuffer(zlib.decompress(data[8 + 4 * dimensions :]), np.uint8)
        return (indices * step + step // 2).clip(0, 255).astype(np.uint8).reshape(shape)


def peer(name: str):
    return peers_named([name])[0]
