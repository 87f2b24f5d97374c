"""Bytes to pixels: joins the parts of decoding. No files, no Pillow, no options."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from aecodec.bitstream import Extra
from aecodec.bitstream import Header
from aecodec.bitstream import unpack
from aecodec.engine import Runtime
from aecodec.entropy import SymbolReader
from aecodec.entropy import decode_latent
from aecodec.limits import MAX_PIXELS
from aecodec.metadata import Extras
from aecodec.metadata import unpack_extras
from aecodec.networks import FEATURES
from aecodec.networks import LATENT_CHANNELS
from aecodec.tiling import STRIDE
from aecodec.tiling import latent_shape
from aecodec.tiling import tiles
from aecodec.transforms import synthesise
from aecodec.transforms import take_back_gain
from aecodec.weights import DecoderHalf


def decode(
    data: bytes, runtime: Runtime, load: Callable[[bytes], DecoderHalf], *, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Pixels uint8 [H, W, 3], or [H, W] of a grey file; with alpha [H, W, 4] or [H, W, 2].

    `load` gives the decoding half for a weights id. Raises CorruptFile, HeaderLimitExceeded, UnsupportedVersion or
    UnknownWeights.
    """
    pixels, extras = decode_picture(data, runtime, load, max_pixels=max_pixels)
    return pixels if extras.alpha is None else np.dstack([pixels, extras.alpha])


def decode_picture(
    data: bytes, runtime: Runtime, load: Callable[[bytes], DecoderHalf], *, max_pixels: int = MAX_PIXELS
) -> tuple[np.ndarray, Extras]:
    """Pixels uint8 [H, W, 3] or [H, W], and what is stored beside them, alpha too. Raises as `decode`."""
    header, parts = unpack(data, max_pixels=max_pixels)
    decoder = load(header.weights_id)
    extras = decode_extras(header, parts)
    latent, features = decode_parts(header, parts, decoder, runtime)
    quality = np.array([header.quality])
    pixels = synthesise(decoder, runtime, latent, features, quality)[0, : header.height, : header.width]
    return luma(pixels) if header.grey else pixels, extras


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
    """What a file holds beside its streams, but for alpha; its pixels stay as they are. Raises CorruptFile."""
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
    seen = take_back_gain(decoder, latent, np.array([header.quality]))[0]
    rows, columns = -(-header.height // STRIDE), -(-header.width // STRIDE)
    return np.ascontiguousarray(np.moveaxis(seen[:rows, :columns], -1, 0), np.int16)


def decode_parts(
    header: Header, parts: list[bytes], decoder: DecoderHalf, runtime: Runtime
) -> tuple[np.ndarray, np.ndarray]:
    """Decoded latent int32 [1, h, w, 16] in 1/64 and features int16 [1, h, w, 32] of the whole picture.

    `parts` are those of the file; the extras among them are left alone.
    """
    rows, columns = latent_shape(header.width, header.height)
    latent = np.empty((1, rows, columns, LATENT_CHANNELS), np.int32)
    features = np.empty((1, rows, columns, FEATURES), np.int16)
    quality = np.array([header.quality])
    for tile, part in zip(tiles(header.width, header.height), parts[: header.tiles], strict=True):
        reader = SymbolReader(decoder.entropy.tables, part)
        decoded, seen = decode_latent(decoder.entropy, runtime, [reader], tile.shape, quality)
        latent[tile.index], features[tile.index] = decoded, seen
    return latent, features


def luma(pixels: np.ndarray) -> np.ndarray:
    """Grey uint8 [H, W] from three channels: (19595 R + 38470 G + 7471 B + 32768) >> 16, as Pillow computes L."""
    red, green, blue = (pixels[..., channel].astype(np.int32) for channel in range(3))
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(np.uint8)
