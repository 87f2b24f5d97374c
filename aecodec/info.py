"""What the header and the directory of a file say, without NumPy and without loading weights."""

from __future__ import annotations

from dataclasses import dataclass

from aecodec.codec import manifest
from aecodec.errors import InputError
from aecodec.errors import UnknownWeights
from aecodec.format.container import extra_sizes
from aecodec.format.header import VERSION
from aecodec.format.header import Extra
from aecodec.format.header import read_header
from aecodec.limits import MAX_PIXELS
from aecodec.options import quality_of_step

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Info:
    """The header of a file. `quality` 0..100; `model` is None if its weights are not on the search path.

    `mode` is L, LA, RGB or RGBA. Alpha and metadata are given in bytes of the file, 0 if it has none.
    """

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
    alpha_bytes: int = 0
    icc_bytes: int = 0
    exif_bytes: int = 0
    xmp_bytes: int = 0

    @property
    def has_alpha(self) -> bool:
        return self.alpha_bytes > 0


def read_info(data: Buffer, *, max_pixels: int = MAX_PIXELS) -> Info:
    """The header of an `.aec` file; pixels and metadata are not read.

    Raises CorruptFile, HeaderLimitExceeded or UnsupportedVersion.
    """
    data = as_bytes(data)
    header = read_header(data, max_pixels=max_pixels)
    sizes = extra_sizes(data, max_pixels=max_pixels)
    return Info(
        version=VERSION,
        width=header.width,
        height=header.height,
        mode=header.mode,
        quality=quality_of_step(header.quality),
        quality_index=header.quality,
        model=model_of(header.weights_id),
        weights_id=header.weights_id.hex(),
        tiles=header.tiles,
        size_bytes=len(data),
        bits_per_pixel=round(8 * len(data) / (header.width * header.height), 5),
        alpha_bytes=sizes.get(Extra.ALPHA, 0),
        icc_bytes=sizes.get(Extra.ICC, 0),
        exif_bytes=sizes.get(Extra.EXIF, 0),
        xmp_bytes=sizes.get(Extra.XMP, 0),
    )


def model_of(weights_id: bytes) -> str | None:
    """The name of the model with these weights; None if they are not on the search path."""
    try:
        return manifest.find_by_id(weights_id).name
    except UnknownWeights:
        return None


def as_bytes(data: Buffer) -> bytes:
    """The bytes of a file given in memory. Raises InputError for anything else."""
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise InputError(f"an .aec file must be given as bytes, not {type(data).__name__}")
    return bytes(data)
