"""Bytes to pixels: joins the parts of decoding. No files, no Pillow, and no option that changes a pixel.

A region has exactly the pixels of the whole picture: the synthesis sees a halo of its receptive field around it, which
ends at the field's border. Coded tiles beyond the halo are not decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import replace
from operator import index
from typing import NamedTuple

import numpy as np

from aecodec.codec.architectures import FEATURES
from aecodec.codec.architectures import LATENT_CHANNELS
from aecodec.codec.architectures import STEPS
from aecodec.codec.latent_coding import decode_latent
from aecodec.codec.small import CODED_SIDE
from aecodec.codec.small import coded_sides
from aecodec.codec.small import reduce
from aecodec.codec.transforms import apply_inverse_gain
from aecodec.codec.transforms import synthesise
from aecodec.codec.weights import DecoderHalf
from aecodec.errors import OutsidePicture
from aecodec.format.container import Content
from aecodec.format.container import unpack
from aecodec.format.extras import Extras
from aecodec.format.extras import unpack_extras
from aecodec.format.header import Extra
from aecodec.format.header import Header
from aecodec.format.header import Weights
from aecodec.format.symbol_coding import open_reader
from aecodec.format.symbols import PrefixReader
from aecodec.format.symbols import StageReader
from aecodec.geometry import STRIDE
from aecodec.geometry import Box
from aecodec.geometry import latent_shape
from aecodec.geometry import tiles
from aecodec.limits import MAX_PIXELS
from aecodec.network.quantized import Runtime

Loader = Callable[[Weights], DecoderHalf]  # the decoding half that a header names; raises UnknownWeights

_STRIP_ROWS = 256
_STAGES = 1 + STEPS  # of a stream: the hyper-latent and the context steps


class Decoded(NamedTuple):
    """A decoded picture: pixels uint8 [H, W, 3], or [H, W] of a grey file, as they were coded, and what belongs to it.

    `share`: how much of the picture's symbols the file determines, 0..1. `complete`: False if the file ends early.
    """

    pixels: np.ndarray
    extras: Extras
    header: Header
    share: float
    complete: bool

    @property
    def array(self) -> np.ndarray:
        """The pixels, with alpha [H, W, 4] or [H, W, 2]."""
        return self.pixels if self.extras.alpha is None else np.dstack([self.pixels, self.extras.alpha])


def decode_picture(
    data: bytes,
    runtime: Runtime,
    load: Loader,
    *,
    max_pixels: int = MAX_PIXELS,
    crop: Sequence[int] | None = None,
    partial: bool = False,
    threads: int = 1,
) -> Decoded:
    """The picture of a file; of a `crop` (x, y, width, height) only what it depends on is decoded.

    `partial` takes a file that ends early, too. The synthesis runs on `threads`. Raises CorruptFile,
    HeaderLimitExceeded, UnsupportedVersion, UnknownWeights or OutsidePicture.
    """
    content, decoder = open_file(data, load, max_pixels=max_pixels, partial=partial)
    header = content.header
    area = Box(0, 0, header.height, header.width) if crop is None else area_of(crop, *header.size)
    extras = unpack_extras(content.extras, header.width, header.height)
    if extras.alpha is not None:
        extras = replace(extras, alpha=extras.alpha[area.index[1:]])
    return _decoded(content, extras, decoder, runtime, area, threads)


def decode_stages(
    data: bytes,
    runtime: Runtime,
    load: Loader,
    *,
    max_pixels: int = MAX_PIXELS,
    partial: bool = False,
    threads: int = 1,
) -> Iterator[Decoded]:
    """The picture after the hyper-latent and after each context step. Raises as `decode_picture`."""
    content, decoder = open_file(data, load, max_pixels=max_pixels, partial=partial)
    header = content.header
    extras = unpack_extras(content.extras, header.width, header.height)
    area = Box(0, 0, header.height, header.width)
    for stages in range(1, _STAGES + 1):
        yield _decoded(content, extras, decoder, runtime, area, threads, stages)


def _decoded(
    content: Content,
    extras: Extras,
    decoder: DecoderHalf,
    runtime: Runtime,
    area: Box,
    threads: int,
    stages: int = _STAGES,
) -> Decoded:
    """An area of the picture, from up to `stages` of its streams' stages."""
    header = content.header
    seen = _seen(area, header, decoder)
    field = decode_streams(content, decoder, runtime, seen, stages)
    pixels = _pixels(field, header, decoder, runtime, area, seen, threads)
    return Decoded(pixels, extras, header, field.share, content.complete)


def verify(data: bytes, runtime: Runtime, load: Loader, *, max_pixels: int = MAX_PIXELS) -> None:
    """Decodes every part to its last byte, without the synthesis. Raises as `decode_picture`."""
    content, decoder = open_file(data, load, max_pixels=max_pixels)
    unpack_extras(content.extras, *content.header.size)
    decode_streams(content, decoder, runtime)


def open_file(
    data: bytes, load: Loader, *, max_pixels: int = MAX_PIXELS, partial: bool = False
) -> tuple[Content, DecoderHalf]:
    """A file taken apart, and the decoding half of its weights. Raises as `decode_picture`."""
    content = unpack(data, lambda weights: load(weights).weights_id, max_pixels=max_pixels, partial=partial)
    return content, load(content.header.weights)


def decode_metadata(data: bytes) -> Extras:
    """The extras of a file of the full form except alpha, without decoding its pixels. Raises CorruptFile."""
    content = unpack(data)
    parts = content.extras
    parts.pop(Extra.ALPHA, None)
    return unpack_extras(parts, *content.header.size)


def comparable_latent(data: bytes, runtime: Runtime, load: Loader, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The synthesis' input over the coded picture, int16 [16, ceil(H/8), ceil(W/8)], without the synthesis.

    H and W are at least 32. Raises as `decode_picture`.
    """
    content, decoder = open_file(data, load, max_pixels=max_pixels)
    latent = decode_streams(content, decoder, runtime).latent
    seen = apply_inverse_gain(decoder, latent, np.array([content.header.quality]))[0]
    width, height = coded_sides(*content.header.size)
    rows, columns = -(-height // STRIDE), -(-width // STRIDE)
    return np.ascontiguousarray(np.moveaxis(seen[:rows, :columns], -1, 0), np.int16)


def area_of(crop: Sequence[int], picture_width: int, picture_height: int) -> Box:
    """The area in pixels of a crop (x, y, width, height). Raises OutsidePicture if it leaves the picture."""
    try:
        x, y, width, height = map(index, crop)
    except (TypeError, ValueError) as error:
        raise OutsidePicture(f"a crop is four whole numbers, x, y, width and height, not {crop!r}") from error
    if min(x, y) < 0 or min(width, height) < 1 or x + width > picture_width or y + height > picture_height:
        size = f"{picture_width}x{picture_height}"
        raise OutsidePicture(
            f"the crop {x},{y},{width},{height} (x, y, width, height) is not within the picture of {size} pixels"
        )
    return Box(y, x, y + height, x + width)


class Field(NamedTuple):
    """Decoded latent int32 [1, h, w, 16] in 1/64 and features int16 [1, h, w, 32] of an area of the field.

    `share`: how much of the symbols in the tiles that touch the area is known, 0..1.
    """

    latent: np.ndarray
    features: np.ndarray
    share: float


def decode_streams(
    content: Content, decoder: DecoderHalf, runtime: Runtime, area: Box | None = None, stages: int = _STAGES
) -> Field:
    """Decodes the tiles that touch an area of the field, by default all of it, in up to `stages` of their stages."""
    header = content.header
    area = area or _field(header)
    latent = np.empty((1, *area.shape, LATENT_CHANNELS), np.int32)
    features = np.empty((1, *area.shape, FEATURES), np.int16)
    quality = np.array([header.quality])
    known, count = 0, 0
    for tile, stream in zip(tiles(*header.size), content.streams, strict=True):
        common = tile.shared(area)
        if common is None:
            continue
        tables = decoder.entropy.tables
        source = PrefixReader(tables, stream) if content.is_prefix(stream) else open_reader(tables, stream)
        reader = source if stages == _STAGES else StageReader(source, stages)
        decoded, seen = decode_latent(decoder.entropy, runtime, [reader], tile.shape, quality)
        known, count = known + source.known, count + _symbols_of(tile)
        inner, outer = common.within(tile).index, common.within(area).index
        latent[outer], features[outer] = decoded[inner], seen[inner]
    return Field(latent, features, known / count)


def _symbols_of(tile: Box) -> int:
    rows, columns = tile.shape
    return LATENT_CHANNELS * (rows * columns + rows * columns // 16)


def _seen(area: Box, header: Header, decoder: DecoderHalf) -> Box:
    """The area of the field that an area in pixels depends on. A side coded at 32 is seen whole."""
    top, bottom = (0, CODED_SIDE) if header.height < CODED_SIDE else (area.top, area.bottom)
    left, right = (0, CODED_SIDE) if header.width < CODED_SIDE else (area.left, area.right)
    coded = Box(top, left, bottom, right)
    return coded.coarser(STRIDE).grown(decoder.synthesis.receptive_field, _field(header))


def _pixels(
    field: Field, header: Header, decoder: DecoderHalf, runtime: Runtime, area: Box, seen: Box, threads: int
) -> np.ndarray:
    """Pixels uint8 [h, w, 3], or [h, w] of a grey file, of an area, from the field that it sees."""
    quality = np.array([header.quality])
    pixels = synthesise(decoder, runtime, field.latent, field.features, quality, threads=threads)[0]
    own = area.within(seen.times(STRIDE))
    if header.height < CODED_SIDE:
        own = replace(own, top=area.top, bottom=area.bottom)
    if header.width < CODED_SIDE:
        own = replace(own, left=area.left, right=area.right)
    pixels = reduce(pixels, *header.size)[own.index[1:]]
    return luma(pixels) if header.grey else pixels


def _field(header: Header) -> Box:
    return Box(0, 0, *latent_shape(*header.size))


def luma(pixels: np.ndarray) -> np.ndarray:
    """Grey uint8 [H, W] from three channels: (19595 R + 38470 G + 7471 B + 32768) >> 16, as Pillow computes L."""
    grey = np.empty(pixels.shape[:-1], np.uint8)
    for top in range(0, len(pixels), _STRIP_ROWS):  # in strips: the sums take many times the memory of the result
        strip = pixels[top : top + _STRIP_ROWS].astype(np.int32)
        grey[top : top + _STRIP_ROWS] = (strip @ np.array([19595, 38470, 7471], np.int32) + 32768) >> 16
    return grey
