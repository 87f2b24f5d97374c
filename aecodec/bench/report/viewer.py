"""What the viewer shows of a picture: its versions as data URIs, cut to a window if they would not fit."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Window:
    """A rectangle of a picture, in pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Side:
    """A version as the page holds it: an image, and where the window lies in it."""

    label: str
    codec: str
    src: str
    left: int
    top: int
    image_width: int
    image_height: int
    figures: dict[str, object]


@dataclass(frozen=True)
class Shown:
    """A picture in the viewer: `left` and `right` are the indices of the sides shown first."""

    name: str
    reason: str
    width: int
    height: int
    window: Window
    sides: tuple[Side, ...]
    left: int
    right: int


def show(name: str, reason: str, versions: Sequence[Version], budget_bytes: int) -> Shown:
    """All versions of one picture, whole if they fit into the budget, else the largest centre window that does.

    On the left, the first shown is the peer closest to the original, as the weakest would prove little, or the original
    itself without peers; on the right, the first of aecodec's.
    """
    height, width = versions[0].pixels.shape[:2]
    for window in _windows(width, height):
        sides = tuple(_side(version, window) for version in versions)
        if sum(len(side.src) for side in sides) * 3 // 4 <= budget_bytes:
            break
    own = next(index for index, version in enumerate(versions) if version.codec == "aecodec")
    return Shown(name, reason, width, height, window, sides, left=_strongest(versions), right=own)


def _strongest(versions: Sequence[Version]) -> int:
    """The index of the peer with the highest PSNR, those with more bytes than aecodec last; 0 without peers."""

    def strength(index: int) -> tuple[bool, float]:
        figures = versions[index].figures
        return figures.get("note") is None, psnr if isinstance(psnr := figures.get("psnr"), float) else 0.0

    peers = [index for index, version in enumerate(versions) if version.codec not in ("", "aecodec")]
    return max(peers, key=strength, default=0)


def _windows(width: int, height: int) -> list[Window]:
    """The whole picture, then smaller and smaller centre windows."""
    windows = [Window(0, 0, width, height)]
    for side in WINDOW_SIDES:
        if side < max(width, height):
            w, h = min(side, width), min(side, height)
            windows.append(Window((width - w) // 2, (height - h) // 2, w, h))
    return windows


def _side(version: Version, window: Window) -> Side:
    """The codec's own file if a browser can show it, or a lossless one if that is likely to be smaller."""
    height, width = version.pixels.shape[:2]
    rows, columns = slice(window.top, window.top + window.height), slice(window.left, window.left + window.width)
    mime = BROWSER_TYPES.get(version.codec)
    if mime is not None and len(version.data) < window.width * window.height // 8:
        src, place = _uri(mime, version.data), (window.left, window.top, width, height)
    else:
        src, place = _uri("image/webp", _lossless(version.pixels[rows, columns])), (0, 0, window.width, window.height)
    return Side(version.label, version.codec, src, *place, version.figures)


def _lossless(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", lossless=True, quality=60, method=4)  # quality: effort
    return file.getvalue()


def _uri(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"
