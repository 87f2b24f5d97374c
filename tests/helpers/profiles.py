"""ICC profiles built by hand: Pillow makes only sRGB, LAB and XYZ ones."""

from __future__ import annotations

import struct

import numpy as np
from PIL import ImageCms

ADOBE_RGB = {"r": (0.60974, 0.31111, 0.01947), "g": (0.20528, 0.62567, 0.06087), "b": (0.14919, 0.06322, 0.74457)}
SRGB = {"r": (0.43607, 0.22249, 0.01392), "g": (0.38515, 0.71687, 0.09708), "b": (0.14307, 0.06061, 0.71410)}


def profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC version 2 profile: header, tag table, tags."""
    body, table = b"", b""
    for signature, data in tags.items():
        offset = 128 + 4 + 12 * len(tags) + len(body)
        table += signature + struct.pack(">II", offset, len(data))
        body += data + bytes(-len(data) % 4)
    size = 128 + 4 + len(table) + len(body)
    header = struct.pack(">I4xI4s4s4s12x4s", size, 0x02400000, kind, space, connection, b"acsp") + bytes(28)
    header += struct.pack(">III", *fixed(0.9642, 1.0, 0.8249))
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def fixed(*values: float) -> list[int]:
    return [round(value * 65536) for value in values]


def xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">iii", *fixed(*values))


def gamma_curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IHH", 1, round(gamma * 256), 0)


def rgb_profile(gamma: float) -> bytes:
    """The primaries of Adobe RGB (1998)."""
    return matrix_profile(ADOBE_RGB, gamma_curve(gamma))


def matrix_profile(primaries: dict[str, tuple[float, ...]], curve: bytes) -> bytes:
    tags = {b"wtpt": xyz(0.9505, 1.0, 1.0891)}
    for channel, colour in primaries.items():
        tags |= {channel.encode() + b"XYZ": xyz(*colour), channel.encode() + b"TRC": curve}
    return profile(b"mntr", b"RGB ", b"XYZ ", tags)


def other_srgb_profile() -> bytes:
    """sRGB by a table and rounded primaries: a few colours come out one level off."""
    levels = np.linspace(0, 1, 256)
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    curve = b"curv" + bytes(4) + struct.pack(">I", 256) + (linear * 65535).round().astype(">u2").tobytes()
    return matrix_profile(SRGB, curve)


def grey_profile(gamma: float) -> bytes:
    return profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": xyz(0.9642, 1.0, 0.8249), b"kTRC": gamma_curve(gamma)})


def cmyk_profile() -> bytes:
    """Colourless inks that all darken alike: no other conversion gives these greys.

    The paper is yellowish, which an absolute rendering would show.
    """
    ink = np.indices((2, 2, 2, 2)).reshape(4, -1).T
    lightness = 255 * (1 - ink[:, 3]) * (1 - ink[:, :3].sum(axis=1) / 3)
    colours = np.stack([lightness, np.full(16, 128), np.full(16, 128)], axis=1).round().astype(np.uint8)
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + struct.pack(">9i", *fixed(1, 0, 0, 0, 1, 0, 0, 0, 1))
    inks = table + 4 * ramp + colours.tobytes() + 3 * ramp
    return profile(b"prtr", b"CMYK", b"Lab ", {b"wtpt": xyz(0.8, 0.83, 0.6), b"A2B0": inks})


def built_profile(name: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()
