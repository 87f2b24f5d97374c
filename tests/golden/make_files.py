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

from aecodec.codec.decoder import decode
from aecodec.codec.encoder import PictureEncoder
from aecodec.codec.manifest import entries_of
from aecodec.codec.weights import load_decoder
from aecodec.codec.weights import load_encoder
from aecodec.format.extras import NOTHING
from aecodec.format.extras import Extras
from aecodec.image.reading import open_picture
from aecodec.network.numpy_runtime import NumpyRuntime

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
    yield "two-tiles-30.aec", {"size": [9, 1030], "quality": 30}
    yield "extras-60.aec", {"size": [20, 30], "quality": 60, "extras": True}


def extras(fields: dict[str, Any]) -> Extras:
    """What goes with it: a soft edge that ends in full transparency, and bytes that stand for metadata."""
    if not fields.get("extras"):
        return NOTHING
    height, width = fields["size"]
    alpha = np.clip(20 * np.indices((height, width)).sum(axis=0) - 200, 0, 255).astype(np.uint8)
    return Extras(alpha, b"a profile", b"MM\0*\0\0\0\x08\0\0\0\0\0\0", b"<x:xmpmeta/>")


def main() -> None:
    if list(TINY.glob("*.aec")) or (TINY / "expected.json").exists():
        sys.exit(f"{TINY} has golden files, which are permanent")
    entry = entries_of(TINY)[0]
    encoder, decoder, runtime = load_encoder(entry), load_decoder(entry), NumpyRuntime(np.float64)
    expected = {}
    for name, fields in wanted():
        original = source(fields)
        data = PictureEncoder(original, encoder, decoder, runtime, extras=extras(fields)).encode(fields["quality"]).data
        pixels = decode(data, runtime, lambda _: decoder)
        (TINY / name).write_bytes(data)
        expected[name] = fields | {
            "shape": list(pixels.shape),
            "source_sha256": hashlib.sha256(original.tobytes()).hexdigest(),
            "pixels_sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
        }
    (TINY / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")


if __name__ == "__main__":
    main()
