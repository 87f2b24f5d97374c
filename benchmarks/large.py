"""A large picture through the commands: memory, time per pixel, bytes of directory, and what tile edges cost.

    python benchmarks/large.py [--megapixels 100] [--model standard]

The picture is a mosaic of the bundled photographs whose cells do not meet the edges of the coded tiles. Encoding and
decoding run as processes of one thread. Their seconds are processor time less that of a picture of 16x16, so that
neither start-up nor a busy machine tells. Linux only: the peak of memory is read from /proc.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from aecodec import api
from aecodec.codec import manifest
from aecodec.codec.latent_coding import analyse_hyper
from aecodec.codec.latent_coding import encode_latent
from aecodec.codec.transforms import analyse
from aecodec.codec.transforms import apply_gain
from aecodec.codec.weights import load_decoder
from aecodec.codec.weights import load_encoder
from aecodec.format.container import unpack
from aecodec.format.header import header_size
from aecodec.format.symbol_coding import open_writer
from aecodec.geometry import STRIDE
from aecodec.geometry import TILE
from aecodec.geometry import Box
from aecodec.geometry import tiles

PHOTOS = Path(__file__).parents[1] / "examples" / "photos"
CELL = 333  # pixels: no multiple of it is within 16 of a tile's edge below 13,000
EDGE = 4  # pixels on either side of a tile's edge
REGION = 512

# Runs a command and prints the peak memory of its process in bytes.
RUN = """
import sys
from aecodec.cli import run
code = run(sys.argv[1:])
print(1024 * int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]))
sys.exit(code)
"""


@dataclass(frozen=True)
class Cost:
    """Processor seconds and peak memory of a command."""

    seconds: float
    peak_bytes: int


def command(*arguments: str | Path) -> Cost:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    line = [sys.executable, "-c", RUN, *map(str, arguments), "--quiet"]
    done = subprocess.run(line, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(seconds, int(done.stdout))


def cells() -> list[np.ndarray]:
    """The bundled photographs, uint8 [333, 333, 3] each."""
    found = []
    for path in sorted(PHOTOS.iterdir()):
        if path.suffix in (".jpg", ".png"):
            with Image.open(path) as image:
                found.append(np.asarray(image.convert("RGB").resize((CELL, CELL), Image.Resampling.LANCZOS)))
    return found


def write_mosaic(path: Path, side: int) -> None:
    """A PPM of side x side pixels, a row of cells at a time."""
    own = cells()
    across = -(-side // CELL)
    with path.open("wb") as file:
        file.write(b"P6\n%d %d\n255\n" % (side, side))
        for row in range(across):
            band = np.concatenate([own[(3 * row + column) % len(own)] for column in range(across)], axis=1)
            file.write(band[: side - row * CELL, :side].tobytes())


def read_ppm(path: Path, side: int) -> np.ndarray:
    """The samples of a PPM, uint8 [side, side, 3], left on disk."""
    return np.memmap(path, np.uint8, "r", offset=path.stat().st_size - 3 * side**2, shape=(side, side, 3))


def measure(folder: Path, side: int, model: str) -> tuple[Cost, Cost, Path]:
    """Encoding and decoding of a mosaic, and the file."""
    picture, coded = folder / f"{side}.ppm", folder / f"{side}.aec"
    write_mosaic(picture, side)
    encoding = command("encode", picture, coded, "--model", model)
    return encoding, command("decode", coded, folder / f"{side}.out.ppm"), coded


def seam(folder: Path, side: int) -> tuple[float, float, float]:
    """RMS error within EDGE pixels of a tile's edge, as far from one as can be, and jump of the error at edges.

    The jump is the RMS difference of the errors of two pixels on either side of an edge over that in mid-tile.
    """
    first, second = read_ppm(folder / f"{side}.ppm", side), read_ppm(folder / f"{side}.out.ppm", side)

    def errors(at: int) -> np.ndarray:
        columns = slice(at - EDGE, at + EDGE)
        down = second[:, columns].astype(np.float64) - first[:, columns]
        across = second[columns].astype(np.float64) - first[columns]
        return np.concatenate([down, across.swapaxes(0, 1)])

    def rms(values: list[np.ndarray]) -> float:
        return math.sqrt(np.mean([np.mean(np.square(value)) for value in values]))

    edges = [errors(at) for at in range(TILE, side - EDGE, TILE)]
    middles = [errors(at) for at in range(TILE // 2, side - EDGE, TILE)]
    jumps = [rms([own[:, EDGE] - own[:, EDGE - 1] for own in group]) for group in (edges, middles)]
    return rms(edges), rms(middles), jumps[0] / jumps[1]


def context_lost(model: str) -> float:
    """Share of bytes that four tiles take more than one, over 2048x2048 pixels at the default quality."""
    entry = manifest.find_by_name(model)
    encoder, decoder, runtime = load_encoder(entry), load_decoder(entry), api.runtime("cpu")
    own, across, side = cells(), -(-2 * TILE // CELL), 2 * TILE
    rows = [np.concatenate([own[(3 * r + c) % len(own)] for c in range(across)], axis=1) for r in range(across)]
    pixels = np.concatenate(rows)[None, :side, :side]
    quality = np.array([encoder.default_quality])
    latent = apply_gain(encoder, analyse(encoder.analysis, runtime, pixels), quality)

    def size(boxes: list[Box]) -> int:
        total = 0
        for box in boxes:
            writer = open_writer(decoder.entropy.tables)
            hyper = analyse_hyper(encoder.hyper_analysis, runtime, latent[box.index])
            encode_latent(decoder.entropy, runtime, latent[box.index], hyper, quality, [writer])
            total += len(writer.finish())
        return total

    return size(tiles(side, side)) / size([Box(0, 0, side // STRIDE, side // STRIDE)]) - 1


def report(folder: Path, megapixels: float, model: str) -> None:
    start = measure(folder, 16, model)
    per_pixel = {}
    for side in (1000, round(math.sqrt(megapixels * 1e6))):
        encoding, decoding, coded = measure(folder, side, model)
        area = side**2 / 1e6
        own = tuple(
            (cost.seconds - least.seconds) / area for cost, least in zip((encoding, decoding), start[:2], strict=False)
        )
        per_pixel[side] = own
        peaks = f"peak {encoding.peak_bytes / 1e6:.0f} and {decoding.peak_bytes / 1e6:.0f} MB"
        print(f"{side}x{side}: encode {own[0]:.3f}, decode {own[1]:.3f} s a megapixel, {peaks}", flush=True)
    small, large = per_pixel[1000], per_pixel[side]
    print(f"time a pixel against 1 megapixel: encode {large[0] / small[0]:.2f}, decode {large[1] / small[1]:.2f}")
    data = coded.read_bytes()
    header, parts, _ = unpack(data)
    overhead = len(data) - sum(map(len, parts))
    tile_bytes = (overhead - header_size(header)) / max(header.tiles, 1)
    print(f"{len(data)} bytes; header and directory {overhead / len(data):.3%} ({tile_bytes:.1f} bytes a tile)")
    if side > TILE + EDGE:
        edge, middle, jump = seam(folder, side)
        print(f"RMS error at tile edges {edge:.3f}, in mid-tile {middle:.3f}; jump of the error there {jump:.3f} x")
    crop = f"{max(side // 2 - REGION, 0)},{max(side // 2 - REGION, 0)},{REGION},{REGION}"
    region = command("decode", coded, folder / "region.ppm", "--crop", crop)
    print(f"region {crop}: {region.seconds:.1f} s, start-up included, whole {decoding.seconds:.1f} s")
    print(f"four tiles instead of one over 2048x2048: {context_lost(model):+.2%} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--megapixels", type=float, default=100)
    parser.add_argument("--model", default="standard")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder:
        report(Path(folder), arguments.megapixels, arguments.model)


if __name__ == "__main__":
    main()
