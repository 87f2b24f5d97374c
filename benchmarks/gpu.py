"""Pictures per second on a GPU, where the time goes, and whether the integers are the CPU's.

    python benchmarks/gpu.py FOLDER [--device cuda] [--pictures 256] [--seconds 30]

First, one picture at a time in a warm process, beside the NumPy runtime on one thread in the same run: milliseconds,
and the shares of networks, transfers and the rest (entropy coding, containers). Second, the networks alone on batches.
Third, files and pixels are compared with those of the NumPy runtime: the exit code is 1 if any differs. It takes the
colour pictures, reduced to centre squares of 256x256. `--device cpu` is torch's CPU device. `benchmarks/bulk.py
--device cuda` measures whole commands.
"""

from __future__ import annotations

import argparse
import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before NumPy reads them

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from aecodec.bench.pictures import Pictures
from aecodec.codec.decoder import decode_picture
from aecodec.codec.encoder import PictureEncoder
from aecodec.codec.manifest import find_by_name
from aecodec.codec.transforms import analyse
from aecodec.codec.transforms import synthesise
from aecodec.codec.weights import load_decoder
from aecodec.codec.weights import load_encoder
from aecodec.geometry import Box
from aecodec.network.numpy_runtime import NumpyRuntime
from aecodec.network.quantized import Network
from aecodec.network.quantized import Runtime
from aecodec.network.torch_runtime import TorchRuntime

SIDE = 256
BATCHES = (1, 8, 32, 128)
ROUNDS = 20  # of the calls whose time is told apart
ENCODER = load_encoder(find_by_name("standard"))
DECODER = load_decoder(find_by_name("standard"))


class TimedRuntime(TorchRuntime):
    """Adds up seconds: inside, of transfers (measured by doing them again), and of that measuring."""

    def __init__(self, device: str) -> None:
        super().__init__(device)
        self.inside = self.transfers = self.extra = 0.0

    def run(
        self, network: Network, x: np.ndarray, side: np.ndarray | None = None, wanted: Box | None = None
    ) -> np.ndarray:
        started = time.perf_counter()
        out = super().run(network, x, side, wanted)
        self.inside += time.perf_counter() - started
        started = time.perf_counter()
        for array in (x, side, out):
            if array is not None:
                self._give(self._take(array))
        spent = time.perf_counter() - started
        self.extra += spent
        self.transfers += spent / 2  # each array went both ways
        return out


def encode(pixels: np.ndarray, runtime: Runtime) -> bytes:
    return PictureEncoder(pixels, ENCODER, DECODER, runtime).encode(ENCODER.default_quality).data


def median_seconds(call: Callable[[], object], seconds: float, least: int = 3) -> float:
    """Of as many calls as fit, after one to warm up."""
    call()
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < least or time.perf_counter() < end:
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def report_single(pixels: np.ndarray, device: str, seconds: float) -> None:
    plain, timed, host = TorchRuntime(device), TimedRuntime(device), NumpyRuntime()
    data = encode(pixels, host)
    verbs: dict[str, Callable[[Runtime], object]] = {
        "encode": lambda runtime: encode(pixels, runtime),
        "decode": lambda runtime: decode_picture(data, runtime, lambda _: DECODER),
    }
    for verb, call in verbs.items():
        here, on_host = (median_seconds(partial(call, runtime), seconds / 6) for runtime in (plain, host))
        call(timed)
        timed.inside = timed.transfers = timed.extra = 0.0
        started = time.perf_counter()
        for _ in range(ROUNDS):
            call(timed)
        outside = time.perf_counter() - started - timed.inside - timed.extra
        shares = [timed.inside - timed.transfers, timed.transfers, outside]
        networks, moved, rest = (f"{100 * share / sum(shares):.0f} %" for share in shares)
        print(
            f"{verb}: {1000 * here:.2f} ms, {1 / here:.0f} a second; NumPy on one thread {1000 * on_host:.1f} ms, "
            f"{on_host / here:.1f} times; networks {networks}, transfers {moved}, entropy coding and the rest {rest}",
            flush=True,
        )


def report_batches(pictures: list[np.ndarray], device: str, seconds: float) -> None:
    runtime = TorchRuntime(device)
    each = seconds / 2 / len(BATCHES)
    for size in BATCHES:
        batch = np.stack([pictures[index % len(pictures)] for index in range(size)])
        grid = (size, SIDE // 8, SIDE // 8)
        latent, features = np.zeros((*grid, 16), np.int32), np.zeros((*grid, 32), np.int16)
        quality = np.full(size, ENCODER.default_quality)
        there = median_seconds(partial(analyse, ENCODER.analysis, runtime, batch), each)
        back = median_seconds(partial(synthesise, DECODER, runtime, latent, features, quality), each)
        print(f"batch {size}: analysis {size / there:.0f} pictures a second, synthesis {size / back:.0f}", flush=True)


def differences(pictures: list[np.ndarray], device: str, seconds: float) -> tuple[int, int]:
    """(pictures compared, those whose file or pixels differ), until the time is up."""
    there, here = TorchRuntime(device), NumpyRuntime()
    compared = wrong = 0
    end = time.perf_counter() + seconds
    for pixels in pictures:
        if time.perf_counter() > end:
            break
        data = encode(pixels, there)
        same = data == encode(pixels, here)
        ours, theirs = (decode_picture(data, runtime, lambda _: DECODER).pixels for runtime in (here, there))
        compared += 1
        wrong += not (same and np.array_equal(ours, theirs))
    return compared, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=30.0, help="about how long all of it takes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    card = torch.cuda.get_device_name() if options.device == "cuda" else "torch's CPU device"
    print(f"{card}, torch {torch.__version__}, NumPy {np.__version__}, {os.cpu_count()} cores", flush=True)
    colour = (pixels for pixels in Pictures(options.folder, SIDE) if pixels.ndim == 3)
    pictures = list(islice(colour, options.pictures))
    report_single(pictures[0], options.device, options.seconds / 3)
    report_batches(pictures, options.device, options.seconds / 3)
    compared, wrong = differences(pictures, options.device, options.seconds / 3)
    print(f"{compared} pictures: {wrong} differ from the NumPy runtime in file or pixels")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
