"""The Python interface: Pillow images or arrays to `.aec` bytes and back."""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from typing import NamedTuple

import numpy as np

from aecodec.codec import decoder
from aecodec.codec import manifest
from aecodec.codec.decoder import Decoded
from aecodec.codec.decoder import Loader
from aecodec.codec.weights import DecoderHalf
from aecodec.codec.weights import load_decoder
from aecodec.codec.weights import load_encoder
from aecodec.errors import InputError
from aecodec.errors import InvalidOption
from aecodec.errors import UnreachableTarget
from aecodec.format.container import read_header
from aecodec.format.extras import Extras
from aecodec.format.extras import pack_extras
from aecodec.format.header import Size
from aecodec.format.header import Weights
from aecodec.geometry import TILE
from aecodec.info import as_bytes
from aecodec.limits import MAX_PIXELS
from aecodec.network.choice import cpu_runtime
from aecodec.network.quantized import Runtime
from aecodec.options import CHECKS
from aecodec.options import EFFORT_STEPS
from aecodec.options import Crop
from aecodec.options import DecodeOptions
from aecodec.options import EncodeOptions
from aecodec.options import metadata_kinds
from aecodec.options import no_progress
from aecodec.options import quality_step

if TYPE_CHECKING:
    from PIL import Image

    from aecodec.codec.encoder import Encoded
    from aecodec.image.reading import Picture

_SHAPES = ((), (1,), (2,), (3,), (4,))  # of a pixel


def encode(
    image: Image.Image | np.ndarray,
    quality: float | None = None,
    *,
    model: str | None = None,
    weights: str | Path | None = None,
    target_size: int | None = None,
    target_bpp: float | None = None,
    target_psnr: float | None = None,
    effort: int = 0,
    device: str = "auto",
    progress: Callable[[float], None] = no_progress,
    max_pixels: int = MAX_PIXELS,
    threads: int | None = None,
    alpha: bool = True,
    metadata: Iterable[str] = (),
    shrink: bool = False,
    shrink_to: int | None = None,
    compact: bool = False,
    checksum: str = "crc-8",
) -> bytes:
    """Encodes a picture to the bytes of an `.aec` file.

    `image`: a Pillow image of any mode, or a uint8 array [H, W, 3], or [H, W] or [H, W, 1] (coded as grey), with alpha
    [H, W, 4] or [H, W, 2]. `quality`: 0..100; by default the model's own, about 1 % of raw at 256x256. Instead of it,
    give one target: `target_size`, the best quality within this many bytes for the whole file; `target_bpp`, the same
    in bits per pixel; or `target_psnr`, the smallest file that decodes with at least this PSNR in dB. `model`: by
    default "standard". Instead of it, `weights`: a weights file with its manifest beside it. `effort`: 0 takes the
    latents that the analysis finds; 1, 2 and 3 refine them in 40, 150 and 800 steps, which lowers the error at about
    the same size. `progress` gets the share done of each refinement; a target needs several.

    `alpha`: False drops alpha. It is coded without loss, and only if some of it is below 255; colours under an alpha of
    0 are not kept. `metadata`: which of "icc", "exif" and "xmp" of a Pillow image to store, or "all". With "icc" the
    pixels stay in the colour space of their profile; without it they are converted to sRGB.

    `shrink`: with a target in bytes or bits, code the picture reduced as far as suits the target; the file remembers
    its size and decodes to it. `shrink_to`: reduce it to this longer side, in pixels. A target in dB then holds for the
    reduced picture. `compact`: write the compact form, some ten bytes shorter, for a picture of up to 1024x1024 pixels
    without alpha and metadata; `checksum` is "none", "crc-8", "crc-16" or "crc-32".

    `threads`: for a picture of more than 512x512 pixels, whose blocks are analysed on that many; by default the
    environment's AECODEC_THREADS, or 1. The file is the same. `device`: "auto" and "cpu" are the CPU, "cuda" needs a
    GPU and torch. `max_pixels`: the size above which a picture is refused.

    Raises AecError: InputError for anything but a picture, InvalidOption, LimitExceeded, UnknownWeights,
    UnreachableTarget, or MissingExtra for "cuda" without torch or a GPU.
    """
    options = EncodeOptions(
        quality=quality,
        model=model,
        weights=_path(weights),
        target_size=target_size,
        target_bpp=target_bpp,
        target_psnr=target_psnr,
        effort=effort,
        device=device,
        progress=progress,
        max_pixels=max_pixels,
        threads=threads,
        alpha=alpha,
        metadata=metadata_kinds(metadata),
        shrink=shrink,
        shrink_to=shrink_to,
        compact=compact,
        checksum=checksum,
    )
    return encode_picture(image, options).data


def encode_picture(image: Image.Image | np.ndarray | Picture, options: EncodeOptions) -> Encoded:
    """The file of a picture and its quality step, which depends on the target. Raises as `encode`."""
    from aecodec.codec.encoder import check_size

    picture = _picture(image, options)
    height, width = picture.pixels.shape[:2]
    check_size(width, height, options.max_pixels)
    allowed = options.allowed_bytes(width * height)
    try:
        if options.shrink and allowed is not None:
            return _encode_shrunk(picture, options, allowed)
        if options.shrink_to is not None:
            return _encode_at(picture, options.shrink_to, options, allowed)
        return _encode(picture, options, allowed, None)
    except UnreachableTarget as error:
        hint = "" if allowed is None else _hint(picture, options)
        raise UnreachableTarget(f"{error}{hint}") from error


def _hint(picture: Picture, options: EncodeOptions) -> str:
    """An option that takes fewer bytes, for a message; empty if all of them are given."""
    if options.shrink_to is not None:
        return " (shrink instead of shrink_to reduces the picture further)"
    if not options.shrink:
        return " (shrink reduces the picture)"
    has_compact_form = max(picture.pixels.shape[:2]) <= TILE and not pack_extras(picture.extras)
    return " (compact takes some ten bytes less)" if has_compact_form and not options.compact else ""


def _encode(picture: Picture, options: EncodeOptions, allowed: int | None, display: Size | None) -> Encoded:
    """The file of a picture, of at most `allowed` bytes, shown at the `display` size."""
    from aecodec.codec.encoder import PictureEncoder

    entry = manifest.find(options.model, options.weights)
    encoder = load_encoder(entry)
    analysed = PictureEncoder(
        picture.pixels,
        encoder,
        load_decoder(entry),
        runtime(options.device),
        EFFORT_STEPS[options.effort],
        options.progress,
        picture.extras,
        options.max_pixels,
        display,
        CHECKS[options.checksum] if options.compact else None,
        options.thread_count,
    )
    if allowed is not None:
        return analysed.encode_to_size(allowed)
    if options.target_psnr is not None:
        return analysed.encode_to_psnr(options.target_psnr)
    default = encoder.default_quality
    return analysed.encode(default if options.quality is None else quality_step(options.quality))


def _encode_shrunk(picture: Picture, options: EncodeOptions, allowed: int) -> Encoded:
    """The file that comes closest to the picture, of several reductions. Raises AecError if not even the last fits.

    Refinement takes long: it is for the reduction that is best without it, and the next larger one, which may now fit.
    """
    from aecodec.image.resizing import sides_for
    from aecodec.image.resizing import smaller_sides

    sides = sides_for((picture.pixels.shape[1], picture.pixels.shape[0]), allowed, options.compact)
    plain = replace(options, effort=0)
    best = _closest(picture, sides, plain, allowed)
    place = len(sides) - 1 if best is None else sides.index(best.side)
    refined = _closest(picture, sides[max(place - 1, 0) : place + 1], options, allowed) if options.effort else None
    smaller = list(smaller_sides(sides[-1]))  # alpha and metadata take room, too
    least = [*sides, *smaller][-1]
    while best is None and smaller:
        best = _closest(picture, [smaller.pop(0)], plain, allowed)
    found = [attempt for attempt in (best, refined) if attempt is not None]
    if not found:
        return _encode_at(picture, least, options, allowed)  # raises the reason
    return min(found, key=lambda attempt: attempt.error).encoded


class _Attempt(NamedTuple):
    error: float
    side: int
    encoded: Encoded


def _closest(picture: Picture, sides: Sequence[int], options: EncodeOptions, allowed: int) -> _Attempt | None:
    """The file with the least error at the picture's own size, of reductions to some sides; None if none fits."""
    from aecodec.image.resizing import error_at

    best = None
    for side in sides:
        with suppress(UnreachableTarget):
            encoded = _encode_at(picture, side, options, allowed)
            found = decoder.decode_picture(
                encoded.data,
                runtime(options.device),
                _loader(options.weights),
                max_pixels=options.max_pixels,
                threads=options.thread_count,
            )
            error = error_at(picture, found.pixels)
            if best is None or error < best.error:
                best = _Attempt(error, side, encoded)
    return best


def _encode_at(picture: Picture, side: int, options: EncodeOptions, allowed: int | None) -> Encoded:
    """The file of a picture reduced to a longer side."""
    from aecodec.image.resizing import reduced

    height, width = picture.pixels.shape[:2]
    return _encode(reduced(picture, side), options, allowed, (width, height))


def decode(
    data: bytes | bytearray | memoryview,
    *,
    device: str = "auto",
    max_pixels: int = MAX_PIXELS,
    threads: int | None = None,
    weights: str | Path | None = None,
    crop: tuple[int, int, int, int] | None = None,
    partial: bool = False,
    coded_size: bool = False,
) -> Image.Image:
    """Decodes the bytes of an `.aec` file, of either form, to a Pillow image, mode RGB or L, with alpha RGBA or LA.

    Its `info` holds the stored metadata: "icc_profile", "exif" and "xmp". The file names its weights; `weights`, a
    weights file with its manifest beside it, is tried before the search path.

    `crop` (x, y, width, height), in pixels from the top left, decodes that region alone, exactly as it is in the whole
    picture. Every checksum of the file is compared, but only the coded tiles (1024x1024) that the region depends on are
    decoded, so damage that passes the checksums goes unnoticed in the others.

    `partial` also decodes a file that ends anywhere after its header, to the picture that its bytes give; what is
    missing is predicted, and damage goes unnoticed. `info["share"]` is then the share of its symbols that are known,
    and `info["complete"]` whether nothing is missing; a compact file whose checksum is of one byte or none counts as
    one that ends early, so decode without `partial` first.
    `coded_size`: the exact pixels of a shrunk picture, instead of the picture enlarged (by Pillow's Lanczos) to its
    own size. `crop` counts in the pixels of the picture that is returned. `threads`, `device` and `max_pixels`: as for
    `encode`; the pixels are the same.

    Raises CorruptFile, HeaderLimitExceeded, UnsupportedVersion, UnknownWeights, InvalidOption, MissingExtra, or
    OutsidePicture for a crop beyond the picture; all are AecError.
    """
    return decode_picture(
        as_bytes(data),
        DecodeOptions(
            device=device,
            max_pixels=max_pixels,
            threads=threads,
            weights=_path(weights),
            crop=crop,
            partial=partial,
            coded_size=coded_size,
        ),
    )


def decode_picture(data: bytes, options: DecodeOptions) -> Image.Image:
    """As `decode`, with the options as one record."""
    found, crop = _decoded(data, options)
    return _shown(found, options, crop)


def _decoded(data: bytes, options: DecodeOptions) -> tuple[Decoded, Crop | None]:
    """The decoded picture, and the crop that remains to be taken once it is shown at its own size."""
    enlarged = not options.coded_size and read_header(data, max_pixels=options.max_pixels).display is not None
    found = decoder.decode_picture(
        data,
        runtime(options.device),
        _loader(options.weights),
        max_pixels=options.max_pixels,
        crop=None if enlarged else options.crop,
        partial=options.partial,
        threads=options.thread_count,
    )
    return found, options.crop if enlarged else None


def _shown(found: Decoded, options: DecodeOptions, crop: Crop | None) -> Image.Image:
    from aecodec.image.resizing import resized
    from aecodec.image.writing import to_image

    image = to_image(found.pixels, found.extras)
    if found.header.display is not None and not options.coded_size:
        image = resized(image, found.header.display)
        if crop is not None:
            box = decoder.area_of(crop, *found.header.display)
            image = image.crop((box.left, box.top, box.right, box.bottom))
    if options.partial:
        image.info |= {"share": found.share, "complete": found.complete}
    return image


def decode_stages(
    data: bytes | bytearray | memoryview,
    *,
    device: str = "auto",
    max_pixels: int = MAX_PIXELS,
    threads: int | None = None,
    weights: str | Path | None = None,
    partial: bool = False,
) -> Iterator[Image.Image]:
    """The picture in five stages: decoded from the hyper-latent alone, then with each of the four context steps.

    It needs the whole file, unless `partial` is set. The last image is the one that `decode` gives with the same
    `partial`. Raises as `decode`.
    """
    options = DecodeOptions(
        device=device, max_pixels=max_pixels, threads=threads, weights=_path(weights), partial=partial
    )
    stages = decoder.decode_stages(
        as_bytes(data),
        runtime(device),
        _loader(options.weights),
        max_pixels=max_pixels,
        partial=partial,
        threads=options.thread_count,
    )
    for found in stages:
        yield _shown(found, options, None)


def decode_pixels(
    data: bytes | bytearray | memoryview,
    *,
    device: str = "auto",
    max_pixels: int = MAX_PIXELS,
    threads: int | None = None,
    weights: str | Path | None = None,
    crop: tuple[int, int, int, int] | None = None,
    partial: bool = False,
    coded_size: bool = False,
) -> np.ndarray:
    """As `decode`, to a uint8 array [H, W, 3], or [H, W] of a grey picture; with alpha [H, W, 4] or [H, W, 2]."""
    options = DecodeOptions(
        device=device,
        max_pixels=max_pixels,
        threads=threads,
        weights=_path(weights),
        crop=crop,
        partial=partial,
        coded_size=coded_size,
    )
    found, crop = _decoded(as_bytes(data), options)
    if found.header.display is None or coded_size:
        return found.array
    return np.array(_shown(found, options, crop))


def decode_latent(
    data: bytes | bytearray | memoryview, *, max_pixels: int = MAX_PIXELS, weights: str | Path | None = None
) -> np.ndarray:
    """The latent of an `.aec` file, int16 [16, ceil(H/8), ceil(W/8)], without making its pixels.

        x = aecodec.decode_latent(Path("in.aec").read_bytes()).astype(np.float32)    # [16, 32, 32] at 256x256

    These are the integers that the synthesis reads (`format/container.py`, "Pixels"): the decoded latent after the
    inverse gain of its quality, rounded, -2048..2047. All qualities of the same weights share one unit, and a higher
    quality is nearer to what the encoder saw; other weights have other latents. Position [:, r, c] covers the 8x8
    pixels from row 8r, column 8c. The coded grid of 4 ceil(H/32) rows and 4 ceil(W/32) columns is cut to the positions
    that hold a pixel; at the right and bottom edge those have seen copies of the last column and row. H and W are those
    that the picture is coded at: smaller than its own if it was shrunk, and at least 32. Raises as `decode`.
    """
    options = DecodeOptions(max_pixels=max_pixels, weights=_path(weights))
    return decoder.comparable_latent(as_bytes(data), runtime("cpu"), _loader(options.weights), max_pixels=max_pixels)


def verify(data: bytes | bytearray | memoryview, *, max_pixels: int = MAX_PIXELS) -> None:
    """Checks a file without making its picture: checksums, weights, and that every stream decodes to its last byte.

    Raises as `decode`.
    """
    options = DecodeOptions(max_pixels=max_pixels)
    decoder.verify(as_bytes(data), runtime("cpu"), _loader(None), max_pixels=options.max_pixels)


def _path(name: str | Path | None) -> Path | None:
    try:
        return None if name is None else Path(name)
    except TypeError as error:
        raise InvalidOption(f"weights {name!r} is not the path of a file") from error


def _loader(weights: Path | None) -> Loader:
    """Finds the decoding half that a header names: that of the file `weights`, or one on the search path."""

    def load(named: Weights) -> DecoderHalf:
        own = None if weights is None else manifest.find_by_file(weights)
        if own is None or named not in (own.weights_id, own.number):
            return _found_decoder(named, os.environ.get(manifest.SEARCH_PATH))
        return load_decoder(own)

    return load


@lru_cache(maxsize=8)
def _found_decoder(weights: Weights, search_path: str | None) -> DecoderHalf:
    """Cached for each search path: a name stands for the content of a file, even if the file changes later."""
    return load_decoder(manifest.find_by_weights(weights))


@lru_cache(maxsize=4)
def runtime(device: str) -> Runtime:
    """The runtime of a device: "cpu" and "auto" are native kernels or NumPy, "cuda" is torch on the GPU."""
    if device in ("auto", "cpu"):
        return cpu_runtime()
    from aecodec.network.torch_runtime import TorchRuntime

    return TorchRuntime(device)


def _picture(image: Image.Image | np.ndarray | Picture, options: EncodeOptions) -> Picture:
    from aecodec.image.reading import Picture
    from aecodec.image.reading import from_image

    if isinstance(image, Picture):
        return image
    if not isinstance(image, np.ndarray):
        if not hasattr(image, "getexif"):
            raise InputError(f"a picture must be a Pillow image or a uint8 array, not {type(image).__name__}")
        return from_image(image, max_pixels=options.max_pixels, alpha=options.alpha, metadata=options.metadata)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in _SHAPES or 0 in image.shape:
        raise InputError(
            f"an array must be uint8 [H, W] or [H, W, C], C from 1 to 4, not {image.dtype} {list(image.shape)}"
        )
    if image.shape[2:] == (1,):
        return Picture(image[..., 0])
    if image.shape[2:] not in ((2,), (4,)):
        return Picture(image)
    colours = image[..., 0] if image.shape[2] == 2 else image[..., :3]
    mask = image[..., -1]
    return Picture(colours, extras=Extras(mask if options.alpha and mask.min() < 255 else None))
