"""What the header of a file says. Light: no NumPy, no weights."""

from __future__ import annotations

from dataclasses import dataclass

from aecodec import manifest
from aecodec.bitstream import QUALITY_STEPS
from aecodec.bitstream import VERSION
from aecodec.bitstream import read_header
from aecodec.errors import InputError
from aecodec.errors import UnknownWeights

QUALITY_MAXIMUM = 100
Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Info:
    """What a file's header says. `quality` 0..100; `model` is None where the weights are not on the search path."""

    version: int
    width: int
    height: int
    mode: str
    quality: float
    quality_index: int
    model: str | None
    weights_id: str
    tiles: int
    size_bytes: int
    bits_per_pixel: float


def read_info(data: Buffer) -> Info:
    """What the header of an `.aec` file says; its pixels stay unread. Raises CorruptFile or UnsupportedVersion."""
    data = as_bytes(data)
    header = read_header(data)
    try:
        model: str | None = manifest.find_by_id(header.weights_id).name
    except UnknownWeights:
        model = None
    return Info(
        version=VERSION,
        width=header.width,
        height=header.height,
        mode="L" if header.grey else "RGB",
        quality=round(header.quality * QUALITY_MAXIMUM / (QUALITY_STEPS - 1), 2),
        quality_index=header.quality,
        model=model,
        weights_id=header.weights_id.hex(),
        tiles=header.tiles,
        size_bytes=len(data),
        bits_per_pixel=round(8 * len(data) / (header.width * header.height), 5),
    )


def as_bytes(data: Buffer) -> bytes:
    """The bytes of a file given in memory. Raises InputError for anything else."""
    if not isinstance(data, (bytes, bytearray, memoryview)):
        message = f"an .aec file must be given as bytes, not {type(data).__name__}"
        raise InputError(message)
    return bytes(data)
