"""Wrote the permanent golden files of the tiny network, once: `tiny/*.aec` and `tiny/expected.json`.

A change that alters any of them is a change of the format or of the arithmetic: they are never written again, and
this script refuses to.

    python tests/golden/make_files.py
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from aecodec.codec.decoder import decode_picture
from aecodec.codec.encoder import PictureEncoder
from aecodec.codec.manifest import Entry
from aecodec.codec.manifest import entries_of
from aecodec.codec.weights import load_decoder
from aecodec.codec.weights import load_encoder
from aecodec.format.container import cut
from aecodec.format.container import unpack
from aecodec.format.extras import NOTHING
from aecodec.format.extras import Extras
from aecodec.image.reading import open_picture
from aecodec.network.numpy_runtime import NumpyRuntime
from aecodec.network.quantized import Runtime
from aecodec.options import CHECKS

TINY = Path(__file__).parent / "tiny"
PHOTOS = Path(__file__).parents[2] / "examples" / "photos"
QUALITIES = {"car": (0, 128, 255), "church": (40, 200), "dog": (20, 150), "mountain": (60, 255)}


def source(fields: dict[str, Any]) -> np.ndarray:
    """The picture that a golden file was made of."""
    if "photo" in fields:
        pixels = open_picture(PHOTOS / fields["photo"]).pixels
        return pixels[..., 1] if fields.get("grey") else pixels
    height, width = fields["size"]
    row, column = np.mgrid[:height, :width]
    return ((row * 3 + column * 2)[..., None] * np.array([1, 2, 3]) // 5 % 200).astype(np.uint8)


def wanted() -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and descriptions of the golden files; `quality` is a step 0..255."""
    for photo, steps in QUALITIES.items():
        for step in steps:
            yield f"{photo}-{step}.aec", {"photo": f"{photo}.jpg", "quality": step}
    yield "grey-100.aec", {"photo": "dog.jpg", "grey": True, "quality": 100}
    yield "dot-100.aec", {"size": [1, 1], "quality": 100}
    yield "narrow-80.aec", {"size": [70, 20], "quality": 80}
    yield "two-tiles-30.aec", {"size": [9, 1030], "quality": 30}
    yield "extras-60.aec", {"size": [20, 30], "quality": 60, "extras": True}
    yield "compact-40.aec", {"size": [64, 48], "quality": 40, "checksum": "crc-8"}
    yield "unchecked-40.aec", {"size": [40, 40], "quality": 40, "checksum": "none"}
    yield "shrunk-90.aec", {"size": [24, 32], "quality": 90, "display": [400, 300]}
    yield "shrunk-compact-90.aec", {"size": [24, 32], "quality": 90, "display": [400, 300], "checksum": "crc-16"}
    yield "cut-120.aec", {"photo": "car.jpg", "quality": 120, "cut": 300}
    yield "two-tiles-cut-30.aec", {"size": [9, 1030], "quality": 30, "cut": 50}
    yield "compact-cut-50.aec", {"size": [64, 48], "quality": 50, "cut": 30, "checksum": "crc-32"}


def extras(fields: dict[str, Any]) -> Extras:
    """What goes with it: a soft edge that ends in full transparency, and bytes that stand for metadata."""
    if not fields.get("extras"):
        return NOTHING
    height, width = fields["size"]
    alpha = np.clip(20 * np.indices((height, width)).sum(axis=0) - 200, 0, 255).astype(np.uint8)
    return Extras(alpha, b"a profile", b"MM\0*\0\0\0\x08\0\0\0\0\0\0", b"<x:xmpmeta/>")


def file_of(fields: dict[str, Any], original: np.ndarray, entry: Entry, runtime: Runtime) -> bytes:
    """The golden file of a description."""
    encoder, decoder = load_encoder(entry), load_decoder(entry)
    width, height = fields.get("display", (0, 0))
    picture = PictureEncoder(
        original,
        encoder,
        decoder,
        runtime,
        extras=extras(fields),
        display=(width, height) if width else None,
        compact=CHECKS[fields["checksum"]] if "checksum" in fields else None,
    )
    data = picture.encode(fields["quality"]).data
    if "cut" in fields:
        content = unpack(data, lambda _: entry.weights_id)
        data = cut(content, fields["cut"], entry.weights_id)
    return data


def main() -> None:
    if list(TINY.glob("*.aec")) or (TINY / "expected.json").exists():
        sys.exit(f"{TINY} has golden files, which are permanent")
    entry = entries_of(TINY)[0]
    decoder, runtime = load_decoder(entry), NumpyRuntime(np.float64)
    expected = {}
    for name, fields in wanted():
        original = source(fields)
        data = file_of(fields, original, entry, runtime)
        pixels = decode_picture(data, runtime, lambda _: decoder).array
        (TINY / name).write_bytes(data)
        expected[name] = fields | {
            "shape": list(pixels.shape),
            "source_sha256": hashlib.sha256(original.tobytes()).hexdigest(),
            "pixels_sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
        }
    (TINY / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")


if __name__ == "__main__":
    main()
