"""How codecs are called in a page."""

from __future__ import annotations

NAMES = {
    "jpeg": "JPEG",
    "webp": "WebP",
    "avif": "AVIF",
    "avif-psnr": "AVIF (PSNR)",
    "jxl": "JPEG XL",
}


def name_of(codec: str) -> str:
    """The name that a reader knows, or else the bench's own."""
    return NAMES.get(codec, codec)
