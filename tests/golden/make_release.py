"""Writes the golden files of a release, once: every kind of file of every registered model.

    python tests/golden/make_release.py tests/golden/1.1

Users have such files from then on, so that folder is never written again: this script refuses to, and a test holds
the hash of everything in it. A later release gets a folder of its own, with the files of what it adds.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL import ImageCms
from PIL.PngImagePlugin import PngInfo

import aecodec
from aecodec.codec.manifest import Entry
from aecodec.codec.manifest import bundled_folders
from aecodec.codec.manifest import entries_of

ROOT = Path(__file__).parents[2]
GOLDEN, SCHEMAS, WEIGHTS = ROOT / "tests" / "golden", ROOT / "docs" / "schemas", ROOT / "weights"
CUT_EXTRAS = 1_000  # bytes: the extras and some of the picture


def photograph(name: str, width: int, height: int) -> Image.Image:
    """The middle of a photograph of the examples."""
    with Image.open(ROOT / "examples" / "photos" / name) as image:
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.convert("RGB").crop((left, top, left + width, top + height))


def transparent(image: Image.Image, mask: np.ndarray) -> Image.Image:
    image.putalpha(Image.fromarray(mask.astype(np.uint8)))
    return image


def with_extras(width: int, height: int) -> Image.Image:
    """A photograph with a soft edge, a profile, EXIF and XMP."""
    image = photograph("bay.png", min(width, 256), height).resize((width, height))
    transparent(image, np.clip(4 * np.indices((height, width)).sum(axis=0) - 100, 0, 255))
    exif = Image.Exif()
    exif[0x010E] = "a bay"
    saved, texts = io.BytesIO(), PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(saved, "PNG", icc_profile=profile, exif=exif, pnginfo=texts)
    return Image.open(saved)


def masks() -> Iterator[tuple[str, np.ndarray]]:
    """One [30, 40] for each filter of alpha, which is the one that its samples are smallest with."""
    y, x = np.indices((30, 40))
    yield "unfiltered", 255 * ((x - 20) ** 2 + (y - 15) ** 2 < 150)
    yield "along-rows", 5 * x + np.random.default_rng(1).integers(0, 256, (30, 1))
    yield "down-columns", 5 * y + np.random.default_rng(2).integers(0, 256, (1, 40))
    yield "both", 3 * x + 4 * y


def files(model: str) -> Iterator[tuple[str, bytes]]:
    """Every kind of file that format 1 has, by the names of the files."""

    def encode(image: Image.Image, **options: Any) -> bytes:
        return aecodec.encode(image, **{"model": model} | options)

    whole, odd = photograph("aqueduct.png", 256, 256), photograph("lighthouse.png", 101, 67)
    yield "photograph", encode(whole)
    yield "lowest-quality", encode(whole, quality=0)
    yield "highest-quality", encode(whole, quality=100)
    yield "odd-sides", encode(odd, quality=40)
    yield "grey", encode(odd.convert("L"), quality=60)
    yield "tiles", encode(photograph("bay.png", 256, 24).resize((1030, 24)), quality=30)
    yield "tiles-in-rows", encode(photograph("bay.png", 16, 240).resize((16, 1030)), quality=30)
    yield "effort", encode(odd, quality=20, effort=1)
    for width, height in ((1, 1), (2, 3), (16, 16), (40, 5)):
        yield f"{width}x{height}", encode(photograph("bay.png", width, height), quality=70)
    yield "shrunk", encode(whole, target_size=300, shrink=True)
    yield "cut", aecodec.cut(encode(whole), 700)
    yield "tiles-cut", aecodec.cut(encode(photograph("bay.png", 256, 40).resize((1030, 40)), quality=30), 200)
    with tempfile.TemporaryDirectory() as folder:  # weights of a folder of one's own have no number, but an id
        shutil.copytree(WEIGHTS, folder, dirs_exist_ok=True)
        own = Path(folder) / f"{model}.decoder.safetensors"
        yield "weights-by-id", encode(odd, quality=30, model=None, weights=own)
        yield "compact-weights-by-id", encode(odd, quality=30, model=None, weights=own, compact=True)
    yield from with_parts(encode)
    yield from compact(encode)


def with_parts(encode: Callable[..., bytes]) -> Iterator[tuple[str, bytes]]:
    """Files of more than a picture."""
    yield "extras", encode(with_extras(96, 80), quality=50, metadata="all")
    yield "extras-tiles", encode(with_extras(1030, 16), quality=20, metadata="all")
    yield "extras-shrunk", encode(with_extras(200, 120), shrink_to=50, quality=40, metadata="all")
    yield "extras-cut", aecodec.cut(encode(with_extras(96, 80), quality=60, metadata="all"), CUT_EXTRAS)
    yield (
        "grey-alpha",
        encode(transparent(photograph("bay.png", 40, 30).convert("L"), dict(masks())["both"]), quality=30),
    )
    for name, mask in masks():
        yield f"alpha-{name}", encode(transparent(photograph("bay.png", 40, 30), mask), quality=30)


def compact(encode: Callable[..., bytes]) -> Iterator[tuple[str, bytes]]:
    """Files in the compact form: every checksum, and every way to write the sides."""
    whole, odd = photograph("aqueduct.png", 256, 256), photograph("lighthouse.png", 101, 67)
    for check in ("none", "crc-8", "crc-16", "crc-32"):
        yield f"compact-{check}", encode(odd, quality=30, compact=True, checksum=check)
    yield "compact-square", encode(photograph("bay.png", 64, 64), quality=30, compact=True)
    yield "compact-wide", encode(photograph("bay.png", 200, 20), quality=30, compact=True)
    yield "compact-grey", encode(odd.convert("L"), quality=30, compact=True)
    yield "compact-shrunk", encode(whole, target_size=60, shrink=True, compact=True)
    yield "compact-shrunk-odd", encode(odd, shrink_to=48, quality=30, compact=True)
    yield "compact-shrunk-wide", encode(whole.resize((300, 200)), shrink_to=48, quality=30, compact=True)
    yield "compact-shrunk-large", encode(whole.resize((1600, 1100)), shrink_to=48, quality=30, compact=True)
    yield "compact-cut", aecodec.cut(encode(odd, quality=30, compact=True), 60)


def registered() -> list[Entry]:
    found = [entry for folder in bundled_folders() for entry in entries_of(folder) if entry.number is not None]
    return sorted(found, key=lambda entry: entry.number or 0)


def metadata_of(data: bytes) -> dict[str, str]:
    """The hashes of the profile, EXIF and XMP of a file, of those that it has."""
    info = aecodec.decode(data).info
    return {name: hashlib.sha256(info[name]).hexdigest() for name in ("icc_profile", "exif", "xmp") if name in info}


def write(folder: Path, entries: list[Entry]) -> None:
    """Files, the hashes of their pixels, the registry, and what `--json` writes."""
    taken = {path.name for path in GOLDEN.glob("*/*.aec")}
    folder.mkdir()
    expected = {}
    for entry in entries:
        for kind, data in files(entry.name):
            name = f"{entry.name}-{kind}.aec"
            assert name not in taken, f"another folder has a {name}"
            pixels = aecodec.decode_pixels(data, coded_size=True)
            (folder / name).write_bytes(data)
            expected[name] = {
                "model": entry.name,
                "shape": list(pixels.shape),
                "pixels_sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
                "metadata_sha256": metadata_of(data),
            }
    models = {entry.number: {"name": entry.name, "id": entry.weights_id.hex()} for entry in entries}
    for name, content in (("expected", expected), ("models", models)):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    shutil.copytree(SCHEMAS, folder / "schemas")


def main(folder: Path) -> None:
    if folder.exists():
        sys.exit(f"{folder} is there, and golden files are permanent")
    write(folder, registered())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) == 2 else sys.exit("give the folder to make"))
