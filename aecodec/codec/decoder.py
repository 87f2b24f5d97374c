"""Bytes to pixels: joins the parts of decoding. No files, no Pillow, and no option that changes a pixel.

A region has exactly the pixels of the whole picture: the synthesis sees a halo of its receptive field around it, which
ends at the field's border. Coded tiles beyond the halo are not decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import replace
from operator import index

import numpy as np

from aecodec.codec.architectures import FEATURES
from aecodec.codec.architectures import LATENT_CHANNELS
from aecodec.codec.latent_coding import decode_latent
from aecodec.codec.transforms import apply_inverse_gain
from aecodec.codec.transforms import synthesise
from aecodec.codec.weights import DecoderHalf
from aecodec.errors import OutsidePicture
from aecodec.format.container import unpack
from aecodec.format.extras import Extras
from aecodec.format.extras import unpack_extras
from aecodec.format.header import Extra
from aecodec.format.header import Header
from aecodec.format.symbols import SymbolReader
from aecodec.geometry import STRIDE
from aecodec.geometry import Box
from aecodec.geometry import latent_shape
from aecodec.geometry import tiles
from aecodec.limits import MAX_PIXELS
from aecodec.network.layers import receptive_field
from aecodec.network.quantized import Runtime

_STRIP_ROWS = 256


def decode(
    data: bytes,
    runtime: Runtime,
    load: Callable[[bytes], DecoderHalf],
    *,
    max_pixels: int = MAX_PIXELS,
    crop: Sequence[int] | None = None,
) -> np.ndarray:
    """Pixels uint8 [H, W, 3], or [H, W] of a grey file; with alpha [H, W, 4] or [H, W, 2].

    `load` gives the decoding half for a weights id; of a `crop` (x, y, width, height) only what it depends on is
    decoded. Raises CorruptFile, HeaderLimitExceeded, UnsupportedVersion, UnknownWeights or OutsidePicture.
    """
    pixels, extras = decode_picture(data, runtime, load, max_pixels=max_pixels, crop=crop)
    return pixels if extras.alpha is None else np.dstack([pixels, extras.alpha])


def decode_picture(
    data: bytes,
    runtime: Runtime,
    load: Callable[[bytes], DecoderHalf],
    *,
    max_pixels: int = MAX_PIXELS,
    crop: Sequence[int] | None = None,
) -> tuple[np.ndarray, Extras]:
    """Pixels uint8 [H, W, 3] or [H, W], and what is stored beside them, alpha too. Raises as `decode`."""
    header, parts = unpack(data, max_pixels=max_pixels)
    area = Box(0, 0, header.height, header.width) if crop is None else area_of(crop, header)
    decoder = load(header.weights_id)
    extras = decode_extras(header, parts)
    if extras.alpha is not None:
        extras = replace(extras, alpha=extras.alpha[area.index[1:]])
    return decode_area(header, parts, decoder, runtime, area), extras


def verify(
    data: bytes, runtime: Runtime, load: Callable[[bytes], DecoderHalf], *, max_pixels: int = MAX_PIXELS
) -> None:
    """Decodes every part to its last byte, without the synthesis. Raises as `decode`."""
    header, parts = unpack(data, max_pixels=max_pixels)
    decoder = load(header.weights_id)
    decode_extras(header, parts)
    decode_parts(header, parts, decoder, runtime)


def decode_extras(header: Header, parts: list[bytes]) -> Extras:
    """What a file holds beside its streams. Raises CorruptFile."""
    return unpack_extras(dict(zip(header.kinds, parts[header.tiles :], strict=True)), header.width, header.height)


def decode_metadata(data: bytes) -> Extras:
    """What a file holds beside its streams, except alpha, without decoding its pixels. Raises CorruptFile."""
    header, parts = unpack(data)
    kinds = zip(header.kinds, parts[header.tiles :], strict=True)
    return unpack_extras({kind: part for kind, part in kinds if kind != Extra.ALPHA}, header.width, header.height)


def comparable_latent(
    data: bytes, runtime: Runtime, load: Callable[[bytes], DecoderHalf], *, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """The synthesis' input over the picture, int16 [16, ceil(H/8), ceil(W/8)], without the synthesis.

    Raises as `decode`.
    """
    header, parts = unpack(data, max_pixels=max_pixels)
    decoder = load(header.weights_id)
    latent, _ = decode_parts(header, parts, decoder, runtime)
    seen = apply_inverse_gain(decoder, latent, np.array([header.quality]))[0]
    rows, columns = -(-header.height // STRIDE), -(-header.width // STRIDE)
    return np.ascontiguousarray(np.moveaxis(seen[:rows, :columns], -1, 0), np.int16)


def area_of(crop: Sequence[int], header: Header) -> Box:
    """The area in pixels of a crop (x, y, width, height). Raises OutsidePicture if it leaves the picture."""
    try:
        x, y, width, height = map(index, crop)
    except (TypeError, ValueError) as error:
        raise OutsidePicture(f"a crop is four whole numbers, x, y, width and height, not {crop!r}") from error
    if min(x, y) < 0 or min(width, height) < 1 or x + width > header.width or y + height > header.height:
        size = f"{header.width}x{header.height}"
        raise OutsidePicture(
            f"the crop {x},{y},{width},{height} (x, y, width, height) is not within the picture of {size} pixels"
        )
    return Box(y, x, y + height, x + width)


def decode_area(header: Header, parts: list[bytes], decoder: DecoderHalf, runtime: Runtime, area: Box) -> np.ndarray:
    """Pixels uint8 [h, w, 3], or [h, w] of a grey file, of an area in pixels. `parts` as `decode_parts` takes them."""
    seen = area.coarser(STRIDE).grown(receptive_field(decoder.synthesis.layers), _field(header))
    latent, features = decode_parts(header, parts, decoder, runtime, seen)
    pixels = synthesise(decoder, runtime, latent, features, np.array([header.quality]))
    pixels = pixels[area.within(seen.times(STRIDE)).index][0]
    return luma(pixels) if header.grey else pixels


def decode_parts(
    header: Header, parts: list[bytes], decoder: DecoderHalf, runtime: Runtime, area: Box | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Decoded latent int32 [1, h, w, 16] in 1/64 and features int16 [1, h, w, 32] of an area of the field.

    The area is the whole field unless given. `parts` are those of the file; extras, and tiles that do not touch the
    area, are not decoded.
    """
    area = area or _field(header)
    latent = np.empty((1, *area.shape, LATENT_CHANNELS), np.int32)
    features = np.empty((1, *area.shape, FEATURES), np.int16)
    quality = np.array([header.quality])
    for tile, part in zip(tiles(header.width, header.height), parts[: header.tiles], strict=True):
        common = tile.shared(area)
        if common is None:
            continue
        reader = SymbolReader(decoder.entropy.tables, part)
        decoded, seen = decode_latent(decoder.entropy, runtime, [reader], tile.shape, quality)
        source, target = common.within(tile).index, common.within(area).index
        latent[target], features[target] = decoded[source], seen[source]
    return latent, features


def _field(header: Header) -> Box:
    return Box(0, 0, *latent_shape(header.width, header.height))


def luma(pixels: np.ndarray) -> np.ndarray:
    """Grey uint8 [H, W] from three channels: (19595 R + 38470 G + 7471 B + 32768) >> 16, as Pillow computes L."""
    grey = np.empty(pixels.shape[:-1], np.uint8)
    for top in range(0, len(pixels), _STRIP_ROWS):  # in strips: the sums take many times the memory of the result
        strip = pixels[top : top + _STRIP_ROWS].astype(np.int32)
        grey[top : top + _STRIP_ROWS] = (strip @ np.array([19595, 38470, 7471], np.int32) + 32768) >> 16
    return grey
