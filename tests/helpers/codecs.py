"""For the bench: a stand-in for aecodec, one of the real peers, and a whole report."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aecodec.bench import BenchOptions
from aecodec.bench import BenchResult
from aecodec.bench import run_bench
from aecodec.bench.codecs import Aecodec
from aecodec.bench.peers import PEERS
from aecodec.bench.peers import peers_named
from aecodec.bench.report import bench_page
from helpers.paths import PHOTOS
from helpers.paths import TINY

HOSTILE = "<img src=x onerror=alert(1)><script>alert(1)<!--&\"'.png"  # the name of a picture
OWN = Aecodec("tiny", qualities=(0, 25, 50, 75, 100))


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


def make_report(folder: Path) -> tuple[BenchResult, str]:
    """Writes three pictures; the result of a bench with two peers, at a quarter of their qualities, and its page."""
    for name, source, left in (("lighthouse.png", "lighthouse", 0), ("bay.png", "bay", 0), (HOSTILE, "bay", 60)):
        with Image.open(PHOTOS / f"{source}.png") as image:
            image.crop((left, 0, left + 176, 176)).save(folder / name)
    options = BenchOptions(folder, ("jpeg", "webp"), equal_bytes=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aecodec.bench.peers.PEERS", [replace(peer, qualities=peer.qualities[::4]) for peer in PEERS])
        patch.setenv("AECODEC_WEIGHTS", str(TINY))
        result = run_bench(options, own=OWN)
        return result, bench_page(result, options, own=OWN)
