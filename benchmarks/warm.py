"""One picture at a time in a warm process, on one thread: milliseconds beside their floor, and beside AVIF.

    python benchmarks/warm.py [--compressai PYTHON] [--size 256] [PICTURE...]     # by default a bundled photograph

The floor is the multiply-adds of the networks over this machine's float32 rate, the best of a matrix product of the
networks' own shape, measured in the same run. AVIF is at speed 6, once at no more bytes than aecodec takes and once at
no less PSNR. Each figure is a median; codecs take turns, so that a machine that is busy with something else slows all
of them. `--compressai` names the Python of an environment that has CompressAI: its factorized model runs right after
(see compressai_peer.py).

An OPENBLAS_CORETYPE in the environment chooses the matrix product of another processor: floor and figures are then of
that one, and the first line says so.
"""

from __future__ import annotations

import argparse
import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before NumPy reads them

import statistics
import subprocess
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from aecodec import api
from aecodec.bench.codecs import BenchCodec
from aecodec.bench.environment import describe
from aecodec.bench.measure import quality_within
from aecodec.bench.metrics import psnr
from aecodec.bench.peers import peers_named
from aecodec.bench.pictures import centre_square
from aecodec.codec.architectures import standard
from aecodec.image.reading import open_picture
from aecodec.image.writing import png_of
from aecodec.network.layers import multiply_adds as count_multiply_adds

PHOTOS = Path(__file__).parents[1] / "examples" / "photos"
ROUNDS = 15
PEERS = ("avif", "avif-psnr")  # at speed 6, on one thread


def milliseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - started)


def rate(positions: int = 1024, inputs: int = 192, outputs: int = 384) -> float:
    """Multiply-adds a second of a float32 product as the residual blocks have them, the best of many."""
    x, w = np.ones((positions, inputs), np.float32), np.ones((inputs, outputs), np.float32)
    best = min(milliseconds(lambda: x @ w) for _ in range(300))
    return 1000 * positions * inputs * outputs / best


def multiply_adds(names: list[str], pixels: int) -> float:
    """Of the standard model's networks with these names on a picture of so many pixels."""
    architecture = standard()
    total = 0.0
    for name, layers in architecture.networks().items():
        if any(name.startswith(wanted) for wanted in names):
            start = 1.0 if name == "analysis" else 1 / 64 if name != "hyper_synthesis" else 1 / 1024
            total += count_multiply_adds(layers, start * pixels)[0]
    return total


def quality_reaching(peer: BenchCodec, pixels: np.ndarray, decibels: float) -> float:
    """The peer's lowest quality with so much PSNR; its highest where none has."""
    first = bisect_left(peer.steps, decibels, key=lambda step: psnr(pixels, peer.decode(peer.encode(pixels, step))))
    return peer.steps[min(first, len(peer.steps) - 1)]


def report(pixels: np.ndarray) -> None:
    data = api.encode(pixels)
    decibels = psnr(pixels, api.decode_pixels(data))
    calls: dict[str, Callable[[], object]] = {
        "decode": partial(api.decode, data),
        "encode": partial(api.encode, pixels),
    }
    sizes: dict[str, int] = {}
    for peer in peers_named(PEERS):
        at_bytes, at_psnr = quality_within(peer, pixels, len(data)), quality_reaching(peer, pixels, decibels)
        for label, quality in ((peer.name, at_bytes), (f"{peer.name} at PSNR", at_psnr)):
            encoded = peer.encode(pixels, quality)
            sizes[label] = len(encoded)
            calls[f"decode {label}"] = partial(peer.decode, encoded)
            calls[f"encode {label}"] = partial(peer.encode, pixels, quality)
    taken: dict[str, list[float]] = {name: [] for name in calls}
    rates = []
    for _ in range(ROUNDS):
        rates.append(rate())
        for name, call in calls.items():
            taken[name].append(milliseconds(call))
    per_second = max(rates)
    shared = ["hyper_synthesis", "context"]
    networks_of = {"decode": [*shared, "synthesis"], "encode": [*shared, "hyper_analysis", "analysis"]}
    height, width = pixels.shape[:2]
    gigaflops = 2 * per_second / 1e9
    print(f"{width}x{height}, {len(data)} bytes, {decibels:.2f} dB; float32 products at {gigaflops:.0f} GFLOP/s:")
    for name, times in taken.items():
        median = statistics.median(times)
        line = f"  {name:<24} {median:7.1f} ms"
        if name in networks_of:
            floor = 1000 * multiply_adds(networks_of[name], height * width) / per_second
            line += f"   {median / floor:.2f} times the floor of {floor:.1f} ms"
            for label in sizes:
                line += f", {median / statistics.median(taken[f'{name} {label}']):.2f} times {label}"
        else:
            line += f"   {sizes[name.partition(' ')[2]]} bytes"
        print(line)


def report_compressai(python: str, pixels: np.ndarray) -> None:
    """What CompressAI's factorized model takes for the same picture."""
    peer = Path(__file__).with_name("compressai_peer.py")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        path.write_bytes(png_of(pixels))
        said = subprocess.run([python, str(peer), "warm", str(path)], check=True, capture_output=True, text=True).stdout
    encode, decode = map(float, said.split())
    print(f"  CompressAI, factorized: decode {decode:.1f} ms, encode {encode:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("pictures", nargs="*", type=Path, default=[PHOTOS / "church.jpg"], metavar="PICTURE")
    parser.add_argument("--size", type=int, help="reduce to so many pixels, cut the centre square")
    parser.add_argument("--compressai", metavar="PYTHON", help="of an environment that has CompressAI")
    options = parser.parse_args()
    kernel = os.environ.get("OPENBLAS_CORETYPE")
    forced = f", OPENBLAS_CORETYPE={kernel}" if kernel else ""
    print(f"{describe().processor}, NumPy {np.__version__}, one thread{forced}")
    for path in options.pictures:
        pixels = open_picture(path).pixels
        if options.size is not None:
            pixels = centre_square(pixels, options.size)
        report(pixels)
        if options.compressai:
            report_compressai(options.compressai, pixels)


if __name__ == "__main__":
    main()
