"""Limits, each with its reason. They are checked before anything is allocated."""

from __future__ import annotations

# Twice Pillow's warning threshold, at which Pillow refuses: a picture that Pillow opens can be coded.
MAX_PIXELS = 178_956_970

# A side fits 16 bits, as in JPEG and PNG practice; keeps every geometry product far from overflow.
MAX_SIDE = 65_535

# The encoder clips symbols to this magnitude, the decoder refuses more (latent_coding.py, "Units").
MAX_SYMBOL = 1_024

# Of each of ICC profile, EXIF and XMP, uncompressed. Press profiles take 2 to 3 MB; JPEG holds EXIF of 64 kB at most.
MAX_METADATA_BYTES = 1 << 22

# Of a zstd frame, in bytes: what RFC 8878 asks of every decoder, and the most that levels up to 19 use.
MAX_WINDOW_BYTES = 1 << 23


def exceeded_limit(width: int, height: int, max_pixels: int = MAX_PIXELS) -> str | None:
    """The limit that a picture of that size exceeds, in words; None if none. Sides of at least 1."""
    if max(width, height) > MAX_SIDE:
        return f"{MAX_SIDE} a side"
    if height > max_pixels // width:
        return f"{max_pixels} in all"
    return None
