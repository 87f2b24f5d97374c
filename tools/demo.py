"""The demo page: photographs beside AVIF and JPEG at equal bytes, at a quality that the visitor chooses.

python -m tools.demo build/demo
python -m http.server --directory build/demo
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from aecodec import api
from aecodec.bench.measure import quality_within
from aecodec.bench.peers import PillowCodec
from aecodec.bench.peers import peers_named
from aecodec.cli import PATH
from aecodec.cli import run
from aecodec.codec.manifest import find_by_name
from aecodec.files import write_atomic
from aecodec.image.reading import open_picture

ROOT = Path(__file__).parents[1]
QUALITIES = tuple(range(0, 101, 10))
TARGET_BYTES = 2000  # the page begins with the quality whose files are nearest to it
PEERS = {"jpeg": ".jpg", "avif": ".avif"}

Fields = dict[str, Any]


def write_demo(out: Path, photos: Path, model: str, qualities: Sequence[int] = QUALITIES) -> None:
    """Writes the page, its code and weights, and the pictures of the folder `photos`, which has an ATTRIBUTION.csv."""
    pictures = out / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    for path in sorted((ROOT / "browser" / "demo").iterdir()):
        shutil.copyfile(path, out / path.name)
    run(["browser", str(out / "aecodec"), "--model", model, "--quiet"])
    with open(photos / "ATTRIBUTION.csv", encoding="utf-8", newline="") as file:
        shown = [_photo(out, photos, fields, model, qualities) for fields in csv.DictReader(file)]
    sizes = np.array([[entry["aec"]["bytes"] for entry in photo["files"]] for photo in shown])
    gallery = {
        "model": model,
        "id": find_by_name(model).weights_id.hex(),
        "qualities": list(qualities),
        "default": int(np.abs(sizes.mean(0) - TARGET_BYTES).argmin()),
        "photos": shown,
    }
    write_atomic(out / "gallery.json", json.dumps(gallery, separators=(",", ":")).encode())


def _photo(out: Path, photos: Path, fields: dict[str, str], model: str, qualities: Sequence[int]) -> Fields:
    pixels, name = open_picture(photos / fields["file"]).pixels, Path(fields["file"]).stem
    peers = peers_named(list(PEERS))
    files = []
    for quality in qualities:
        data = api.encode(pixels, quality, model=model)
        own = {"aec": _written(out, f"{name}-{quality}.aec", data)}
        for peer in peers:
            found = _at_most(peer, pixels, len(data))
            if found is not None:
                own[peer.name.lower()] = _written(out, f"{name}-{quality}{PEERS[peer.name.lower()]}", found)
        files.append(own)
    credit = {key: fields[key] for key in ("author", "licence", "link")} | {"licenceLink": fields["licence_link"]}
    return {"name": name, **credit, "files": files}


def _at_most(codec: PillowCodec, pixels: np.ndarray, size: int) -> bytes | None:
    """The best file of at most `size` bytes; None if this codec has none."""
    data = codec.encode(pixels, quality_within(codec, pixels, size))
    return data if len(data) <= size else None


def _written(out: Path, name: str, data: bytes) -> Fields:
    write_atomic(out / "pictures" / name, data)
    return {"name": f"pictures/{name}", "bytes": len(data)}


@click.command()
@click.argument("out", type=PATH)
@click.option("--photos", type=PATH, default=ROOT / "examples" / "photos", help="Photographs with an ATTRIBUTION.csv.")
@click.option("--model", default="standard", show_default=True, help="The model of the .aec files.")
def main(out: Path, photos: Path, model: str) -> None:
    """Write the demo page into the folder OUT."""
    write_demo(out, photos, model)


if __name__ == "__main__":
    main()
