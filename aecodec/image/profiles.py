"""ICC profiles made from primaries and a curve: Pillow makes only sRGB, LAB and XYZ ones."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from collections.abc import Sequence

import numpy as np

# x and y of white, red, green and blue.
SRGB_PRIMARIES = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)

_D50 = (0.9642, 1.0, 0.8249)  # the white of profiles
# Bradford's cone responses, by which a white is adapted to another.
_CONES = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def matrix_profile(primaries: Sequence[float], curve: bytes) -> bytes:
    """A profile of three primaries that share a curve. Raises ValueError if they span no colours."""
    white, *colours = (_xyz(x, y) for x, y in zip(primaries[::2], primaries[1::2], strict=True))
    unscaled = np.stack(colours, axis=1)
    if abs(np.linalg.det(unscaled)) < 1e-6:
        raise ValueError("the primaries of the file span no colours")
    scaled = unscaled * np.linalg.solve(unscaled, white)
    adapted = np.linalg.inv(_CONES) @ np.diag(_CONES @ _D50 / (_CONES @ white)) @ _CONES @ scaled
    tags = {b"wtpt": b"XYZ " + bytes(4) + _fixed(_D50)}
    for letter, column in zip((b"r", b"g", b"b"), adapted.T, strict=True):
        tags |= {letter + b"XYZ": b"XYZ " + bytes(4) + _fixed(column.tolist()), letter + b"TRC": curve}
    return _profile(tags)


def gamma_curve(gamma: float) -> bytes:
    if not 0.1 <= gamma <= 10:
        raise ValueError("the gamma of the file makes no sense")
    return b"para" + bytes(8) + _fixed([gamma])


def srgb_curve() -> bytes:
    return b"para" + bytes(4) + b"\0\3\0\0" + _fixed([2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045])


def _profile(tags: dict[bytes, bytes]) -> bytes:
    """Header, tag table, tags."""
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for signature, data in tags.items():
        table += signature + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4xI4s4s4s12x4s28x", start + len(body), 0x04200000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return (header + _fixed(_D50)).ljust(128, b"\0") + table + body


def _fixed(values: Iterable[float]) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _xyz(x: float, y: float) -> np.ndarray:
    if y <= 0:
        raise ValueError("the primaries of the file span no colours")
    return np.array([x / y, 1.0, (1 - x - y) / y])
