"""What a quality looks like: two photographs at several qualities, for the documentation."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from aecodec import api
from aecodec.bench.metrics import psnr
from aecodec.files import write_atomic
from aecodec.image.reading import open_picture
from tools.figure import PHOTOS

QUALITIES = (0, 25, 50, 75, 100)


def write_samples(docs: Path, photos: Path, weights: Path) -> None:
    """Writes `docs/samples.md`, which pages include, and its pictures, lossless WebP in `docs/pictures`."""
    pictures = docs / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    lines = []
    for name in PHOTOS:
        pixels = open_picture(photos / name).pixels
        lines += _figure(f"../examples/photos/{name}", f"Original, {pixels.nbytes:,} bytes raw")
        for quality in QUALITIES:
            data = api.encode(pixels, quality, weights=weights / "standard.decoder.safetensors")
            decoded = api.decode_pixels(data, weights=weights / "standard.decoder.safetensors")
            file = f"{Path(name).stem}-{quality}.webp"
            write_atomic(pictures / file, _webp(decoded))
            lines += _figure(f"pictures/{file}", f"`-q {quality}`: {len(data):,} bytes, {psnr(pixels, decoded):.1f} dB")
    write_atomic(docs / "samples.md", "\n".join(lines).encode())


def _figure(file: str, caption: str) -> list[str]:
    return [f"```{{figure}} {file}", f":alt: {caption.replace('`', '')}", ":figclass: sample", "", caption, "```", ""]


def _webp(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "WEBP", lossless=True, quality=100, method=4)
    return stream.getvalue()


if __name__ == "__main__":
    ROOT = Path(__file__).parents[1]
    write_samples(ROOT / "docs", ROOT / "examples" / "photos", ROOT / "weights")
