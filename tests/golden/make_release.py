"""Writes the golden files of a release, once: every kind of file of every registered model.

    python tests/golden/make_release.py tests/golden/1.0

Users have such files from then on, so that folder is never written again: this script refuses to, and a test holds
the hash of everything in it. A later release gets a folder of its own, with the files of what it adds.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL import ImageCms

import aecodec
from aecodec.codec.manifest import Entry
from aecodec.codec.manifest import bundled_folders
from aecodec.codec.manifest import entries_of

ROOT = Path(__file__).parents[2]
GOLDEN, SCHEMAS = ROOT / "tests" / "golden", ROOT / "docs" / "schemas"


def photograph(name: str, width: int, height: int) -> Image.Image:
    """The middle of a photograph of the examples."""
    with Image.open(ROOT / "examples" / "photos" / name) as image:
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.convert("RGB").crop((left, top, left + width, top + height))


def with_extras() -> Image.Image:
    """A photograph with a soft edge, a profile, EXIF and XMP."""
    image = photograph("bay.png", 96, 80)
    image.putalpha(Image.fromarray(np.clip(4 * np.indices((80, 96)).sum(axis=0) - 100, 0, 255).astype(np.uint8)))
    exif = Image.Exif()
    exif[0x010E] = "a bay"
    saved = io.BytesIO()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(saved, "PNG", icc_profile=profile, exif=exif, xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    return Image.open(saved)


def files(model: str) -> Iterator[tuple[str, bytes]]:
    """Every kind of file that format 1 has, by the names of the files."""

    def encode(image: Image.Image, **options: Any) -> bytes:
        return aecodec.encode(image, model=model, **options)

    whole, odd = photograph("aqueduct.png", 256, 256), photograph("lighthouse.png", 101, 67)
    yield "photograph", encode(whole)
    yield "lowest-quality", encode(whole, quality=0)
    yield "highest-quality", encode(whole, quality=100)
    yield "odd-sides", encode(odd, quality=40)
    yield "grey", encode(odd.convert("L"), quality=60)
    yield "extras", encode(with_extras(), quality=50, metadata="all")
    yield "tiles", encode(photograph("bay.png", 256, 24).resize((1030, 24)), quality=30)
    yield "effort", encode(odd, quality=20, effort=1)
    for width, height in ((1, 1), (2, 3), (16, 16), (40, 5)):
        yield f"{width}x{height}", encode(photograph("bay.png", width, height), quality=70)
    yield "shrunk", encode(whole, target_size=300, shrink=True)
    yield "cut", aecodec.cut(encode(whole), 700)
    yield "tiles-cut", aecodec.cut(encode(photograph("bay.png", 256, 40).resize((1030, 40)), quality=30), 200)
    for check in ("none", "crc-8", "crc-16", "crc-32"):
        yield f"compact-{check}", encode(odd, quality=30, compact=True, checksum=check)
    yield "compact-square", encode(photograph("bay.png", 64, 64), quality=30, compact=True)
    yield "compact-grey", encode(odd.convert("L"), quality=30, compact=True)
    yield "compact-shrunk", encode(whole, target_size=60, shrink=True, compact=True)
    yield "compact-cut", aecodec.cut(encode(odd, quality=30, compact=True), 60)


def registered() -> list[Entry]:
    found = [entry for folder in bundled_folders() for entry in entries_of(folder) if entry.number is not None]
    return sorted(found, key=lambda entry: entry.number or 0)


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
