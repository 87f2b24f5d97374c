"""The demo page: photographs beside AVIF and JPEG of at most as many bytes, at a quality that the visitor chooses.

python -m tools.demo build/demo
python -m http.server --directory build/demo
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import shutil
from collections.abc import Iterator
from collections.abc import Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import click
import numpy as np

from aecodec import api
from aecodec.bench.measure import TARGET_BYTES
from aecodec.bench.measure import quality_within
from aecodec.bench.peers import PillowCodec
from aecodec.bench.peers import peers_named
from aecodec.cli import PATH
from aecodec.cli import run
from aecodec.codec.manifest import find_by_name
from aecodec.files import write_atomic
from aecodec.image.reading import open_picture

ROOT = Path(__file__).parents[1]
PHOTOS = (ROOT / "examples" / "photos", ROOT / "examples" / "gallery")
QUALITIES = (0, 10, 20, 30, 40, 60, 80, 100)
PEERS = {"jpeg": ".jpg", "avif": ".avif"}
CODE = ("index.html", "demo.css", "demo.js", "gallery.json", "aecodec/*.js", "aecodec/decoder/*.js", "aecodec/aec.wasm")
NOT_LOADED = ("example.js", "zstd.js", "zstd_entropy.js", "xxh64.js")  # all but the first for alpha and metadata only

Fields = dict[str, Any]


def write_demo(out: Path, folders: Sequence[Path], model: str, qualities: Sequence[int] = QUALITIES) -> Fields:
    """Writes the page, its code and weights, and the pictures of folders that have an ATTRIBUTION.csv.

    Returns what the page knows of its gallery.
    """
    pictures = out / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    for path in sorted((ROOT / "browser" / "demo").iterdir()):
        shutil.copyfile(path, out / path.name)
    run(["browser", str(out / "aecodec"), "--model", model, "--quiet"])
    shown = [_photo(pictures, path, fields, model, qualities) for path, fields in _credited(folders)]
    sizes = np.array([photo["bytes"]["aec"] for photo in shown])
    gallery = {
        "model": model,
        "id": find_by_name(model).weights_id.hex(),
        "qualities": list(qualities),
        "default": int(np.abs(sizes.mean(0) - TARGET_BYTES).argmin()),
        "photos": sorted(shown, key=lambda photo: str(photo["name"])),
    }
    write_atomic(out / "gallery.json", json.dumps(gallery, separators=(",", ":")).encode())
    return gallery


def _credited(folders: Sequence[Path]) -> Iterator[tuple[Path, dict[str, str]]]:
    for folder in folders:
        with open(folder / "ATTRIBUTION.csv", encoding="utf-8", newline="") as file:
            yield from ((folder / fields["file"], fields) for fields in csv.DictReader(file))


def first_visit(out: Path, gallery: Fields) -> dict[str, int]:
    """What a visitor loads who scrolls through the whole page, in bytes: code and weights by gzip, and the pictures."""
    code = [path for pattern in CODE for path in sorted(out.glob(pattern)) if path.name not in NOT_LOADED]
    weights = out / "aecodec" / "weights" / f"{gallery['id']}.safetensors"
    sizes = [{name: own[gallery["default"]] for name, own in photo["bytes"].items()} for photo in gallery["photos"]]
    return {
        "code": sum(_gzipped(path) for path in code),
        "weights": _gzipped(weights),
        **{f"{len(sizes)} {name.upper()}": sum(own[name] for own in sizes) for name in ("aec", *PEERS)},
    }


def _gzipped(path: Path) -> int:
    return len(gzip.compress(path.read_bytes(), 9))


def _photo(pictures: Path, path: Path, fields: dict[str, str], model: str, qualities: Sequence[int]) -> Fields:
    """Writes the photograph's files as `pictures`/NAME-QUALITY.aec and so on; returns its credit and their sizes.

    A size of 0 is that of a file that there is not.
    """
    pixels, peers = open_picture(path).pixels, peers_named(list(PEERS))
    sizes: dict[str, list[int]] = {name: [] for name in ("aec", *PEERS)}
    for quality in qualities:
        data = api.encode(pixels, quality, model=model)
        files = {"aec": data} | {
            peer.name.lower(): found for peer in peers if (found := _at_most(peer, pixels, len(data))) is not None
        }
        for name, found in files.items():
            write_atomic(pictures / f"{path.stem}-{quality}{PEERS.get(name, '.aec')}", found)
        for name, own in sizes.items():
            own.append(len(files.get(name, b"")))
    credit = {key: fields[key] for key in ("author", "licence", "link")} | {"licenceLink": fields["licence_link"]}
    seen = re.search("; (in the [a-z ]+)", fields.get("changes", ""))  # by training, or where weights were chosen
    return {"name": path.stem, **credit, "seen": seen[1] if seen else "", "bytes": sizes}


def _at_most(codec: PillowCodec, pixels: np.ndarray, size: int) -> bytes | None:
    """The best file of at most `size` bytes; None if this codec has none."""
    data = codec.encode(pixels, quality_within(codec, pixels, size))
    return data if len(data) <= size else None


SHOWN = """async () => {
  const rows = [...document.querySelectorAll(".row")].filter((row) => row.getBoundingClientRect().top < innerHeight);
  await Promise.all(rows.flatMap((row) => [...row.querySelectorAll("img, aec-img")]).map((each) => each.decode()));
}"""


def take_screenshot(out: Path, file: Path) -> None:
    """The top of the page in Chromium, once its pictures are shown. Needs playwright."""
    from playwright.sync_api import sync_playwright

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(out))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 832, "height": 832})
            page.goto(f"http://127.0.0.1:{server.server_port}/index.html", wait_until="networkidle")
            page.evaluate(SHOWN)
            page.screenshot(path=file)
            browser.close()
        server.shutdown()


@click.command()
@click.argument("out", type=PATH)
@click.option(
    "--photos",
    "folders",
    type=PATH,
    multiple=True,
    default=PHOTOS,
    help="A folder of photographs with an ATTRIBUTION.csv. Default: both of examples.",
)
@click.option("--model", default="light", show_default=True, help="The model of the .aec files.")
@click.option("--screenshot", type=PATH, help="Only take a picture of the page in OUT into this file, in Chromium.")
def main(out: Path, folders: tuple[Path, ...], model: str, screenshot: Path | None) -> None:
    """Write the demo page into the folder OUT, and say what a first visit loads."""
    if screenshot is not None:
        take_screenshot(out, screenshot)
        return
    gallery = write_demo(out, folders, model)
    parts = first_visit(out, gallery)
    told = ", ".join(f"{name} {count / 1000:.1f}" for name, count in parts.items())
    click.echo(f"-q {gallery['qualities'][gallery['default']]}: {told}: {sum(parts.values()) / 1000:.1f} kB in all")


if __name__ == "__main__":
    main()
