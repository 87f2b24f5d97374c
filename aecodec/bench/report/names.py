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
    """For a reader; the bench's own name where there is no better one."""
    return NAMES.get(codec, codec)
