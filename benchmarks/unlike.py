"""Twenty pictures unlike the photographs that the models were trained on, to see where the codec loses.

    python benchmarks/unlike.py unlike/              # draws them
    python benchmarks/unlike.py unlike/ --measure    # and prints PSNR beside WebP's and AVIF's at no more bytes

Text, windows of a desktop, line art, plots, saturated colours, flat areas, textures and noise, each 256x256, drawn by
Pillow and NumPy and the same wherever the versions of those two are the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont

SIDE = 256
QUALITY = 50
PEERS = ("webp", "avif-psnr")
WORDS = """the quick brown fox jumps over a lazy dog while seven wizards make toxic brew for the evil queen
and jack""".split()

Drawing = Callable[[np.random.Generator], Image.Image]


def blank(colour: str = "white") -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (SIDE, SIDE), colour)
    return image, ImageDraw.Draw(image)


def prose(random: np.random.Generator, count: int) -> str:
    return " ".join(random.choice(WORDS, count))


def from_field(red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> Image.Image:
    """Channels [256, 256] in 0..1."""
    return Image.fromarray((np.stack([red, green, blue], -1).clip(0, 1) * 255).round().astype(np.uint8))


def ramps() -> tuple[np.ndarray, np.ndarray]:
    """Down and across, 0..1."""
    across = np.linspace(0, 1, SIDE)
    return np.repeat(across[:, None], SIDE, 1), np.repeat(across[None], SIDE, 0)


def text(size: int, ink: str, paper: str) -> Drawing:
    def draw(random: np.random.Generator) -> Image.Image:
        image, pen = blank(paper)
        font = ImageFont.load_default(size)
        for top in range(6, SIDE, size + size // 3):
            pen.text((6, top), prose(random, 12), ink, font)
        return image

    return draw


def window(random: np.random.Generator) -> Image.Image:
    image, pen = blank("#e8e8ec")
    pen.rectangle((12, 12, 243, 243), "white", "#888888")
    pen.rectangle((12, 12, 243, 32), "#3465a4")
    pen.text((20, 15), "Untitled - Editor", "white", ImageFont.load_default(12))
    for number, top in enumerate(range(44, 220, 16)):
        pen.rectangle((20, top, 28, top + 8), ("#cc0000", "#4e9a06", "#edd400")[number % 3])
        pen.text((36, top - 2), prose(random, 5), "black", ImageFont.load_default(11))
    return image


def terminal(random: np.random.Generator) -> Image.Image:
    image, pen = blank("#101418")
    for number, top in enumerate(range(4, SIDE, 13)):
        ink = ("#33ff66", "#dddddd", "#ffcc33")[number % 3]
        pen.text((4, top), f"$ {prose(random, 8)}", ink, ImageFont.load_default(10))
    return image


def spreadsheet(random: np.random.Generator) -> Image.Image:
    image, pen = blank()
    for row, top in enumerate(range(0, SIDE, 16)):
        pen.line((0, top, SIDE, top), "#c0c0c0")
        for left in range(0, SIDE, 48):
            pen.line((left, 0, left, SIDE), "#c0c0c0")
            pen.text((left + 4, top + 2), f"{random.uniform(0, 999):.2f}" if row else "Total", "black")
    return image


def plot(random: np.random.Generator) -> Image.Image:
    image, pen = blank()
    pen.line((24, 8, 24, 232, 248, 232), "black")
    for colour in ("#1f77b4", "#ff7f0e", "#2ca02c"):
        heights = 120 + np.cumsum(random.normal(0, 6, 224))
        pen.line([(24 + x, float(y)) for x, y in enumerate(heights.clip(8, 231))], colour)
    return image


def map_of_streets(random: np.random.Generator) -> Image.Image:
    image, pen = blank("#f2efe9")
    for _ in range(10):
        left, top = random.integers(0, SIDE - 40, 2).tolist()
        pen.rectangle((left, top, left + 36, top + 24), "#add19e" if left % 2 else "#aad3df")
    for _ in range(22):
        ends = random.integers(0, SIDE, 4).tolist()
        pen.line(ends, "#b0a090", 5)
        pen.line(ends, "white", 3)
    return image


def line_art(random: np.random.Generator) -> Image.Image:
    image, pen = blank()
    for radius in range(8, 180, 9):
        centre = 128 + random.normal(0, 3, 2)
        pen.ellipse((*(centre - radius).tolist(), *(centre + radius).tolist()), outline="black")
    return image


def hatching(random: np.random.Generator) -> Image.Image:
    image, pen = blank()
    for start in range(-SIDE, SIDE, 5):
        pen.line((start, 0, start + SIDE, SIDE), "black")
        if start % 2:
            pen.line((start + SIDE, 0, start, SIDE), "black")
    return image


def cartoon(random: np.random.Generator) -> Image.Image:
    image, pen = blank("#87ceeb")
    pen.rectangle((0, 170, 255, 255), "#7cfc00", "black", 3)
    pen.ellipse((180, 20, 230, 70), "#ffee00", "black", 3)
    pen.rectangle((50, 110, 130, 190), "#ff4040", "black", 3)
    pen.polygon((40, 110, 90, 60, 140, 110), "#8b4513", "black", 3)
    return image


def bars(random: np.random.Generator) -> Image.Image:
    image, pen = blank()
    for number, colour in enumerate(("white", "yellow", "cyan", "lime", "magenta", "red", "blue", "black")):
        pen.rectangle((32 * number, 0, 32 * number + 31, 255), colour)
    return image


def saturated_patches(random: np.random.Generator) -> Image.Image:
    colours = random.integers(0, 2, (8, 8, 3)).astype(np.uint8) * 255
    return Image.fromarray(colours.repeat(32, 0).repeat(32, 1))


def neon(random: np.random.Generator) -> Image.Image:
    down, across = ramps()
    rings = np.sin(40 * np.hypot(down - 0.5, across - 0.5))
    return from_field(rings > 0, np.zeros_like(down), (rings < 0.3) * across)


def hues(random: np.random.Generator) -> Image.Image:
    down, across = ramps()
    bytes_of = [(255 * values).astype(np.uint8) for values in (across, np.ones_like(down), down)]
    return Image.merge("HSV", [Image.fromarray(values) for values in bytes_of]).convert("RGB")


def grey_ramp(random: np.random.Generator) -> Image.Image:
    down, across = ramps()
    return from_field(*[(down + across) / 2] * 3)


def dark_gradient(random: np.random.Generator) -> Image.Image:
    down, across = ramps()
    return from_field(0.06 * across, 0.04 * down, 0.1 * (1 - down))


def noise(random: np.random.Generator) -> Image.Image:
    return from_field(*random.random((3, SIDE, SIDE)))


def checkerboard(random: np.random.Generator) -> Image.Image:
    rows, columns = np.indices((SIDE, SIDE)) // 3
    return from_field(*[(rows + columns) % 2] * 3)


def zone_plate(random: np.random.Generator) -> Image.Image:
    down, across = ramps()
    return from_field(*[0.5 + 0.5 * np.cos(400 * ((down - 0.5) ** 2 + (across - 0.5) ** 2))] * 3)


DRAWINGS: dict[str, Drawing] = {
    "text-small": text(10, "black", "white"),
    "text-large": text(24, "black", "white"),
    "text-colour": text(14, "#ffffff", "#b00020"),
    "window": window,
    "terminal": terminal,
    "spreadsheet": spreadsheet,
    "plot": plot,
    "map": map_of_streets,
    "line-art": line_art,
    "hatching": hatching,
    "cartoon": cartoon,
    "bars": bars,
    "saturated-patches": saturated_patches,
    "neon": neon,
    "hues": hues,
    "grey-ramp": grey_ramp,
    "dark-gradient": dark_gradient,
    "noise": noise,
    "checkerboard": checkerboard,
    "zone-plate": zone_plate,
}


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for seed, (name, draw) in enumerate(DRAWINGS.items()):
        draw(np.random.default_rng(seed)).save(out / f"{seed:02}-{name}.png")
    print(f"{len(DRAWINGS)} pictures in {out}")


def measure(folder: Path) -> None:
    """Each picture at quality 50, and each peer at its largest quality whose file has at most as many bytes."""
    import aecodec
    from aecodec.bench.measure import within
    from aecodec.bench.metrics import psnr
    from aecodec.bench.peers import peers_named

    peers = peers_named(PEERS)
    print(f"| picture | bytes | aecodec | {' | '.join(PEERS)} |")
    print("|---" * (3 + len(PEERS)) + "|")
    for path in sorted(folder.glob("*.png")):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        data = aecodec.encode(pixels, QUALITY)
        decoded = [np.asarray(aecodec.decode(data))]
        decoded += [within(peer, pixels, len(data)) for peer in peers]
        cells = " | ".join(f"{psnr(pixels, own):.1f}" for own in decoded)
        print(f"| {path.stem[3:]} | {len(data):,} | {cells} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--measure", action="store_true")
    options = parser.parse_args()
    main(options.out)
    if options.measure:
        measure(options.out)
