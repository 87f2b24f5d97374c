"""One picture at a time in a warm process, on one thread: every runtime of this processor, its floor, and AVIF.

    python benchmarks/warm.py [--compressai PYTHON] [--size 256] [PICTURE...]     # by default a bundled photograph
    python benchmarks/warm.py --folder kodak/ --size 256                          # means over a folder

The runtimes are NumPy and the native kernel sets that this processor has (`aecodec --version` names the one in use).
The floor is the multiply-adds of the networks over this machine's float32 rate, the best of a matrix product of the
networks' own shape, measured in the same run. AVIF is at speed 6, once at no more bytes than aecodec takes, which the
ratios go by, and once at no less PSNR. Each figure is a median; runtimes and codecs take turns, so that a machine that
is busy with something else slows all of them. What a runtime spends outside the networks is processor time.

`--compressai` names the Python of an environment that has CompressAI: its factorized model runs right after (see
compressai_peer.py). An OPENBLAS_CORETYPE in the environment chooses NumPy's matrix product of another processor: floor
and figures are then of that one, and the first line says so.
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
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aecodec.bench.codecs import BenchCodec
from aecodec.bench.environment import describe
from aecodec.bench.measure import quality_within
from aecodec.bench.metrics import psnr
from aecodec.bench.peers import peers_named
from aecodec.bench.pictures import Pictures
from aecodec.bench.pictures import centre_square
from aecodec.codec import manifest
from aecodec.codec.architectures import standard
from aecodec.codec.decoder import decode_picture
from aecodec.codec.encoder import PictureEncoder
from aecodec.codec.weights import load_decoder
from aecodec.codec.weights import load_encoder
from aecodec.geometry import Box
from aecodec.image.reading import open_picture
from aecodec.image.writing import png_of
from aecodec.native import library
from aecodec.network.choice import cpu_runtime
from aecodec.network.layers import multiply_adds as count_multiply_adds
from aecodec.network.quantized import Network
from aecodec.network.quantized import Runtime

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "examples" / "photos" / "church.jpg"
ROUNDS, FOLDER_ROUNDS = 15, 5
PEERS = ("avif", "avif-psnr")  # at speed 6, on one thread
ENTRY = manifest.find_by_name("standard")
_SHARED = ["hyper_synthesis", "context"]
NETWORKS = {"decode": [*_SHARED, "synthesis"], "encode": [*_SHARED, "hyper_analysis", "analysis"]}


class Own:
    """aecodec on one runtime; `name` as AECODEC_RUNTIME has it. It adds up the processor time of its networks."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._use()
        self._runtime = cpu_runtime()
        self._networks = 0.0  # seconds

    def _use(self) -> None:
        os.environ[library.VARIABLE] = self.name  # the range coder, too, is chosen by it

    def encode(self, pixels: np.ndarray, runtime: Runtime | None = None) -> bytes:
        self._use()
        encoder = load_encoder(ENTRY)
        picture = PictureEncoder(pixels, encoder, load_decoder(ENTRY), runtime or self._runtime)
        return picture.encode(encoder.default_quality).data

    def decode(self, data: bytes, runtime: Runtime | None = None) -> np.ndarray:
        self._use()
        return decode_picture(data, runtime or self._runtime, lambda weights: load_decoder(ENTRY)).array

    def run(
        self, network: Network, x: np.ndarray, side: np.ndarray | None = None, wanted: Box | None = None
    ) -> np.ndarray:
        """The runtime with its processor time noted."""
        started = time.process_time()
        y = self._runtime.run(network, x, side, wanted)
        self._networks += time.process_time() - started
        return y

    def outside(self, call: Callable[[Runtime], object]) -> tuple[float, float]:
        """Processor milliseconds of a call outside its networks, and all of them."""
        self._networks, started = 0.0, time.process_time()
        call(self)
        whole = time.process_time() - started
        return 1000 * (whole - self._networks), 1000 * whole


def available() -> list[Own]:
    """NumPy, then the kernel sets that this processor has, the best last."""
    sets = [name for name in library.SETS if not isinstance(library.kernel_set_named(name), str)]
    return [Own(name) for name in ["numpy", *reversed(sets)]]


def milliseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - started)


def medians(calls: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The medians of what the calls return, taken in turns after one round that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            taken[name].append(call())
    return {name: statistics.median(values[1:]) for name, values in taken.items()}


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


class Rival(NamedTuple):
    """Another codec at one of its qualities."""

    label: str
    codec: BenchCodec
    quality: float


def rivals(pixels: np.ndarray, size: int, decibels: float) -> list[Rival]:
    """Each peer at no more bytes, and at no less PSNR."""
    found = []
    for peer in peers_named(PEERS):
        found.append(Rival(peer.name, peer, quality_within(peer, pixels, size)))
        found.append(Rival(f"{peer.name} at PSNR", peer, quality_reaching(peer, pixels, decibels)))
    return found


def report(pixels: np.ndarray, runtimes: list[Own]) -> dict[str, float]:
    """Prints a picture's times; returns the milliseconds of "decode NAME" and "encode NAME" for every runtime."""
    data = runtimes[-1].encode(pixels)
    decibels = psnr(pixels, runtimes[-1].decode(data))
    others = rivals(pixels, len(data), decibels)
    calls: dict[str, Callable[[], float]] = {"rate": rate}
    for own in runtimes:
        calls[f"decode {own.name}"] = partial(milliseconds, partial(own.decode, data))
        calls[f"encode {own.name}"] = partial(milliseconds, partial(own.encode, pixels))
    for other in others:
        encoded = other.codec.encode(pixels, other.quality)
        calls[f"decode {other.label}"] = partial(milliseconds, partial(other.codec.decode, encoded))
        calls[f"encode {other.label}"] = partial(milliseconds, partial(other.codec.encode, pixels, other.quality))
    taken = medians(calls, ROUNDS)
    height, width = pixels.shape[:2]
    gigaflops = 2 * taken["rate"] / 1e9
    print(f"{width}x{height}, {len(data)} bytes, {decibels:.2f} dB; float32 products at {gigaflops:.0f} GFLOP/s:")
    for verb, networks in NETWORKS.items():
        adds, on_numpy = multiply_adds(networks, height * width), taken[f"{verb} numpy"]
        floor, at_bytes = 1000 * adds / taken["rate"], taken[f"{verb} {others[0].label}"]
        rows = {own.name: taken[f"{verb} {own.name}"] for own in runtimes} | {"the floor": floor}
        for name, time_ms in (rows | {other.label: taken[f"{verb} {other.label}"] for other in others}).items():
            ratios = f"{time_ms / on_numpy:.2f} x NumPy, {time_ms / floor:.2f} x floor"
            more = f"; {adds / height / width:,.0f} multiply-adds a pixel" if name == "the floor" else ""
            print(
                f"  {verb} {name:<20} {time_ms:7.1f} ms   {ratios}, {time_ms / at_bytes:.2f} x {others[0].label}{more}"
            )
    for own in runtimes:
        print(f"  outside the networks, {own.name}: {outside_of(own, data, pixels)}")
    return taken


def outside_of(own: Own, data: bytes, pixels: np.ndarray) -> str:
    """What decoding and encoding take outside the networks: medians."""
    said = []
    calls = {"decode": lambda runtime: own.decode(data, runtime), "encode": lambda runtime: own.encode(pixels, runtime)}
    for verb, call in calls.items():
        pairs = [own.outside(call) for _ in range(ROUNDS)]
        outside = statistics.median(pair[0] for pair in pairs)
        share = statistics.median(pair[0] / pair[1] for pair in pairs)
        said.append(f"{verb} {outside:.1f} ms, {100 * share:.0f} %")
    return "; ".join(said) + " of its processor time"


def report_folder(pictures: Iterable[np.ndarray], runtimes: list[Own]) -> None:
    """Means over pictures of the time to encode, and its ratio to AVIF's at no more bytes."""
    avif = peers_named(PEERS[:1])[0]
    rows = []
    for pixels in pictures:
        quality = quality_within(avif, pixels, len(runtimes[-1].encode(pixels)))
        calls: dict[str, Callable[[], float]] = {
            own.name: partial(milliseconds, partial(own.encode, pixels)) for own in runtimes
        }
        calls[avif.name] = partial(milliseconds, partial(avif.encode, pixels, quality))
        rows.append(medians(calls, FOLDER_ROUNDS))
    mean = {name: statistics.fmean(row[name] for row in rows) for name in rows[0]}
    print(f"encode, means over {len(rows)} pictures, {avif.name} at no more bytes:")
    for own in runtimes:
        ratios = sorted(row[own.name] / row[avif.name] for row in rows)
        ratio = f"{mean[own.name] / mean[avif.name]:.2f} x {avif.name}, {mean[own.name] / mean['numpy']:.2f} x NumPy"
        spread = f"single pictures {ratios[0]:.2f} to {ratios[-1]:.2f} x {avif.name}"
        print(f"  {own.name:<14} {mean[own.name]:7.1f} ms   {ratio}; {spread}")
    print(f"  {avif.name:<14} {mean[avif.name]:7.1f} ms")


def report_compressai(python: str, pixels: np.ndarray, taken: dict[str, float], runtimes: list[Own]) -> None:
    """What CompressAI's factorized model takes for the same picture, in ms and over what the runtimes have taken."""
    peer = Path(__file__).with_name("compressai_peer.py")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        path.write_bytes(png_of(pixels))
        said = subprocess.run([python, str(peer), "warm", str(path)], check=True, capture_output=True, text=True).stdout
    for verb, time_ms in zip(("encode", "decode"), map(float, said.split()), strict=True):
        ratios = ", ".join(f"{time_ms / taken[f'{verb} {own.name}']:.2f} x {own.name}" for own in runtimes)
        print(f"  {verb} {'CompressAI':<20} {time_ms:7.1f} ms   {ratios}".replace("x numpy", "x NumPy"))


def kernels() -> str:
    """What the kernels cost: lines of C, and the library's size."""
    folder = ROOT / "aecodec" / "native"
    lines = sum(len(path.read_text("utf-8").splitlines()) for path in folder.glob("*.[ch]"))
    built = sum(path.stat().st_size for path in (*folder.glob("_kernels.so"), *folder.glob("_kernels.dll")))
    return f"kernels: {lines} lines of C, " + (f"a library of {built / 1000:.0f} kB" if built else "not compiled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("pictures", nargs="*", type=Path, metavar="PICTURE")
    parser.add_argument("--folder", type=Path, help="means over its pictures of the time to encode")
    parser.add_argument("--size", type=int, help="reduce to so many pixels, cut the centre square")
    parser.add_argument("--compressai", metavar="PYTHON", help="of an environment that has CompressAI")
    options = parser.parse_args()
    kernel = os.environ.get("OPENBLAS_CORETYPE")
    forced = f", OPENBLAS_CORETYPE={kernel}" if kernel else ""
    runtimes = available()
    print(f"{describe().processor}, NumPy {np.__version__}, one thread{forced}")
    if options.folder:
        report_folder(Pictures(options.folder, options.size), runtimes)
    for path in options.pictures or ([] if options.folder else [PHOTO]):
        pixels = open_picture(path).pixels
        if options.size is not None:
            pixels = centre_square(pixels, options.size)
        taken = report(pixels, runtimes)
        if options.compressai:
            report_compressai(options.compressai, pixels, taken, runtimes)
    print(kernels())


if __name__ == "__main__":
    main()
