"""What the viewer shows of a picture: its versions as data URIs, cut to a window if they would not fit."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

# For all pictures of a page, before base64 turns three bytes into four: a page stays under 30 MB.
BUDGET_BYTES = 19_000_000

# Sides of the centre window, tried in turn if a whole picture does not fit into its share of the budget.
WINDOW_SIDES = (2048, 1536, 1024, 768, 512, 384, 256, 192, 128)

# Files that every recent browser can show.
BROWSER_TYPES = {"jpeg": "image/jpeg", "webp": "image/webp", "avif": "image/avif", "avif-psnr": "image/avif"}


@dataclass(frozen=True, eq=False)
class Version:
    """A picture as one codec decodes it; the original has no codec and no file.

    `figures`: name -> text or number, in the order shown.
    """

    label: str
    codec: str
    pixels: np.ndarray
    data: bytes
    figures: dict[str, object]


def original(pixels: np.ndarray) -> Version:
    """The picture itself."""
    height, width = pixels.shape[:2]
    return Version("original", "", pixels, b"", {"pixels": f"{width} \u00d7 {height}", "raw bytes": pixels.size})


def show(name: str, reason: str, versions: Sequence[Version], budget_bytes: int) -> dict[str, Any]:
    """All versions of one picture for `viewer.js`, whole if they fit into the budget, else a centre window that does.

    `left` and `right` are the indices of the sides shown first: on the left the strongest peer, or the original if
    there are no peers; on the right the first of aecodec's.
    """
    height, width = versions[0].pixels.shape[:2]
    for window in windows(width, height):
        sides = [_side(version, *window) for version in versions]
        if sum(len(side["src"]) for side in sides) * 3 // 4 <= budget_bytes:
            break
    return {
        "name": name,
        "reason": reason,
        "width": width,
        "height": height,
        "window": dict(zip(("left", "top", "width", "height"), window, strict=True)),
        "sides": sides,
        "left": _strongest(versions),
        "right": next(index for index, version in enumerate(versions) if version.codec == "aecodec"),
    }


def _strongest(versions: Sequence[Version]) -> int:
    """The index of the peer with the highest PSNR, those with more bytes than aecodec last; 0 without peers."""

    def strength(index: int) -> tuple[bool, float]:
        figures = versions[index].figures
        return figures.get("note") is None, psnr if isinstance(psnr := figures.get("psnr"), float) else 0.0

    peers = [index for index, version in enumerate(versions) if version.codec not in ("", "aecodec")]
    return max(peers, key=strength, default=0)


def windows(width: int, height: int) -> Iterator[tuple[int, int, int, int]]:
    """Left, top, width and height of the whole picture, then of smaller and smaller centre windows."""
    yield 0, 0, width, height
    for side in WINDOW_SIDES:
        if side < max(width, height):
            w, h = min(side, width), min(side, height)
            yield (width - w) // 2, (height - h) // 2, w, h


def _side(version: Version, left: int, top: int, width: int, height: int) -> dict[str, Any]:
    """A version as an image, and where the window lies in it.

    The image is the codec's own file if a browser can show it, or a lossless one if that is likely to be smaller.
    """
    image_height, image_width = version.pixels.shape[:2]
    mime = BROWSER_TYPES.get(version.codec)
    if mime is not None and len(version.data) < width * height // 8:
        src = _uri(mime, version.data)
    else:
        src = _uri("image/webp", _lossless(version.pixels[top : top + height, left : left + width]))
        left, top, image_width, image_height = 0, 0, width, height
    return {
        "label": version.label,
        "codec": version.codec,
        "src": src,
        "left": left,
        "top": top,
        "image_width": image_width,
        "image_height": image_height,
        "figures": version.figures,
    }


def _lossless(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", lossless=True, quality=60, method=4)  # quality: effort
    return file.getvalue()


def _uri(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"
