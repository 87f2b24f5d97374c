"""What a file says of itself, without NumPy and without loading weights."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from aecodec.codec import manifest
from aecodec.codec.manifest import Entry
from aecodec.errors import CorruptFile
from aecodec.errors import InputError
from aecodec.errors import UnknownWeights
from aecodec.format.compact import MOST_BYTES_A_POSITION
from aecodec.format.container import extra_sizes
from aecodec.format.container import read_header
from aecodec.format.container import unpack
from aecodec.format.header import MAX_HEADER_BYTES
from aecodec.format.header import VERSION
from aecodec.format.header import Check
from aecodec.format.header import Extra
from aecodec.format.header import Header
from aecodec.format.header import Weights
from aecodec.geometry import latent_shape
from aecodec.limits import MAX_METADATA_BYTES
from aecodec.limits import MAX_PIXELS
from aecodec.options import CommonOptions
from aecodec.options import name_of_check
from aecodec.options import quality_of_step

_PART_BYTES = 32  # at most, beside its content: its line in the directory, and how its stream ends


@dataclass(frozen=True)
class Info:
    """The header of a file. `quality` 0..100; `model` and `weights_id` (in hex) are None if not known here.

    `model_number` is what the file has for a model of a release, None if it has the id of its weights instead.
    Width and height are those that the picture is shown at; it is coded at others if it was shrunk. `mode` is L, LA,
    RGB or RGBA. Alpha and metadata are given in bytes of the file, 0 if it has none. `complete` is False if the file
    ends early or its checksum does not match, None if it has none or only unknown weights could tell.
    """

    version: int
    width: int
    height: int
    coded_width: int
    coded_height: int
    mode: str
    quality: float
    quality_index: int
    model: str | None
    model_number: int | None
    weights_id: str | None
    tiles: int
    compact: bool
    checksum: str
    cut: bool
    complete: bool | None
    size_bytes: int
    bits_per_pixel: float
    alpha_bytes: int = 0
    icc_bytes: int = 0
    exif_bytes: int = 0
    xmp_bytes: int = 0

    @property
    def has_alpha(self) -> bool:
        return self.alpha_bytes > 0


def read_info(data: bytes | bytearray | memoryview, *, max_pixels: int = MAX_PIXELS) -> Info:
    """The header of an `.aec` file, of either form; pixels and metadata are not read.

    Raises CorruptFile, HeaderLimitExceeded, UnsupportedVersion or InvalidOption.
    """
    data, max_pixels = as_bytes(data), CommonOptions(max_pixels=max_pixels).max_pixels
    header = read_header(data, max_pixels=max_pixels)
    sizes: dict[Extra, int] = {}
    with suppress(CorruptFile):  # a directory that ends early
        sizes = extra_sizes(data, max_pixels=max_pixels)
    width, height = header.shown
    entry = entry_of(header.weights)
    return Info(
        version=VERSION,
        width=width,
        height=height,
        coded_width=header.width,
        coded_height=header.height,
        mode=header.mode,
        quality=quality_of_step(header.quality),
        quality_index=header.quality,
        model=None if entry is None else entry.name,
        model_number=header.weights if isinstance(header.weights, int) else None,
        weights_id=id_in_hex(header.weights),
        tiles=header.tiles,
        compact=header.compact is not None,
        checksum=name_of_check(Check.CRC32 if header.compact is None else header.compact),
        cut=header.cut,
        complete=_is_complete(header, data, max_pixels),
        size_bytes=len(data),
        bits_per_pixel=round(8 * len(data) / (width * height), 5),
        alpha_bytes=sizes.get(Extra.ALPHA, 0),
        icc_bytes=sizes.get(Extra.ICC, 0),
        exif_bytes=sizes.get(Extra.EXIF, 0),
        xmp_bytes=sizes.get(Extra.XMP, 0),
    )


def most_bytes(header: Header) -> int:
    """A size that no sound file with this header exceeds: it follows from the picture's sides and the extras."""
    width, height = header.size
    rows, columns = latent_shape(width, height)
    contents = [width * height if kind is Extra.ALPHA else MAX_METADATA_BYTES for kind in header.kinds]
    frames = 2 * sum(contents)  # zstd stores what it cannot compress: half of this would do
    streams = MOST_BYTES_A_POSITION * rows * columns
    return MAX_HEADER_BYTES + _PART_BYTES * header.parts + streams + frames


def entry_of(weights: Weights) -> Entry | None:
    """The model that a header names; None if it is not known here."""
    try:
        return manifest.find_by_weights(weights)
    except UnknownWeights:
        return None


def id_of(weights: Weights) -> bytes:
    """The id of the weights that a header names. Raises UnknownWeights for the number of an unknown model."""
    return weights if isinstance(weights, bytes) else manifest.find_by_weights(weights).weights_id


def id_in_hex(weights: Weights) -> str | None:
    """The id of the weights that a header names; None for the number of an unknown model."""
    try:
        return id_of(weights).hex()
    except UnknownWeights:
        return None


def _is_complete(header: Header, data: bytes, max_pixels: int) -> bool | None:
    if header.compact is Check.NONE:
        return None
    try:
        return unpack(data, id_of, max_pixels=max_pixels).complete
    except UnknownWeights:
        return None
    except CorruptFile:
        return False


def as_bytes(data: bytes | bytearray | memoryview) -> bytes:
    """The bytes of a file given in memory. Raises InputError for anything else."""
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise InputError(f"an .aec file must be given as bytes, not {type(data).__name__}")
    return bytes(data)
