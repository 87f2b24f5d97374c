"""Joins the parts: pixels to bytes and back. Arrays in, arrays out; no files, no Pillow, no options to decode."""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Sequence

import numpy as np

from aecodec.bitstream import QUALITY_STEPS
from aecodec.bitstream import Header
from aecodec.bitstream import pack
from aecodec.bitstream import unpack
from aecodec.engine import Runtime
from aecodec.entropy import SymbolReader
from aecodec.entropy import SymbolWriter
from aecodec.entropy import decode_latent
from aecodec.entropy import encode_latent
from aecodec.errors import AecError
from aecodec.errors import LimitExceeded
from aecodec.limits import MAX_PIXELS
from aecodec.limits import MAX_SIDE
from aecodec.networks import FEATURES
from aecodec.networks import LATENT_CHANNELS
from aecodec.tiling import STRIDE
from aecodec.tiling import latent_shape
from aecodec.tiling import tiles
from aecodec.transforms import analyse
from aecodec.transforms import apply_gain
from aecodec.transforms import pad_to_grid
from aecodec.transforms import synthesise
from aecodec.transforms import take_back_gain
from aecodec.weights import DecoderHalf
from aecodec.weights import EncoderHalf

PATIENCE = 4  # quality steps tried past a bisection's result: sizes and errors are monotone but for noise
PEAK = 255.0


class Analysed:
    """One analysed picture, ready to be written at any quality."""

    def __init__(self, pixels: np.ndarray, encoder: EncoderHalf, decoder: DecoderHalf, runtime: Runtime) -> None:
        """`pixels` uint8 [H, W, 3], or [H, W] for grey. Raises LimitExceeded beyond MAX_SIDE or MAX_PIXELS."""
        height, width = pixels.shape[:2]
        check_size(width, height)
        self._size = width, height
        self._pixels = pixels
        self._grey = pixels.ndim == 2
        if self._grey:
            pixels = np.broadcast_to(pixels[..., None], (height, width, 3))
        self._encoder, self._decoder, self._runtime = encoder, decoder, runtime
        self._raw = analyse(encoder.analysis, runtime, pad_to_grid(pixels[None]))

    def encode(self, quality: int) -> bytes:
        """The `.aec` file at quality step 0..255."""
        width, height = self._size
        steps = np.array([quality])
        parts = []
        for tile in tiles(width, height):
            latent = apply_gain(self._encoder, self._raw[tile.index], steps)
            writer = SymbolWriter(self._decoder.entropy.tables)
            encode_latent(self._decoder.entropy, self._encoder.hyper_analysis, self._runtime, latent, steps, [writer])
            parts.append(writer.finish())
        return pack(Header(width, height, quality, self._decoder.weights_id, self._grey), parts)

    def encode_to_size(self, target: int) -> bytes:
        """The file of the highest quality that takes at most `target` bytes.

        Raises AecError where the lowest quality takes more.
        """
        found = self._last_fitting(range(QUALITY_STEPS), lambda data: len(data) <= target)
        if found is None:
            smallest = len(self.encode(0))
            message = f"the target of {target} bytes cannot be reached: the lowest quality takes {smallest}"
            raise AecError(message)
        return found

    def encode_to_psnr(self, target: float) -> bytes:
        """The file of the lowest quality whose decoded pixels have a PSNR of at least `target` dB.

        Raises AecError where the highest quality has less.
        """
        allowed = PEAK**2 / 10 ** (target / 10)
        found = self._last_fitting(range(QUALITY_STEPS)[::-1], lambda data: self._squared_error(data) <= allowed)
        if found is None:
            best = 10 * math.log10(PEAK**2 / self._squared_error(self.encode(QUALITY_STEPS - 1)))
            message = f"the target of {target:g} dB cannot be reached: the highest quality gives {best:.2f} dB"
            raise AecError(message)
        return found

    def _last_fitting(self, steps: Sequence[int], fits: Callable[[bytes], bool]) -> bytes | None:
        """The file at the last of the quality steps that fits, by bisection; None where not even the first does."""
        low, high = 0, len(steps) - 1
        best = self.encode(steps[low])
        if not fits(best):
            return None
        while low < high:
            middle = (low + high + 1) // 2
            data = self.encode(steps[middle])
            if fits(data):
                low, best = middle, data
            else:
                high = middle - 1
        for step in steps[low + 2 : low + PATIENCE + 1]:
            data = self.encode(step)
            if fits(data):
                best = data
        return best

    def _squared_error(self, data: bytes) -> float:
        """Mean squared error per sample of the pixels that a file really decodes to."""
        decoded = decode(data, self._runtime, lambda _: self._decoder)
        return float(np.mean(np.subtract(self._pixels, decoded, dtype=np.float32) ** 2, dtype=np.float64))


def check_size(width: int, height: int) -> None:
    """Raises LimitExceeded for a picture that the format does not hold."""
    if max(width, height) > MAX_SIDE:
        message = f"a side of {max(width, height)} pixels is over the limit of {MAX_SIDE}"
        raise LimitExceeded(message)
    if width * height > MAX_PIXELS:
        message = f"{width * height} pixels are over the limit of {MAX_PIXELS}"
        raise LimitExceeded(message)


def decode(
    data: bytes, runtime: Runtime, load: Callable[[bytes], DecoderHalf], *, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Pixels uint8 [H, W, 3], or [H, W] of a grey file. `load` gives the decoding half for a weights id.

    Raises CorruptFile, HeaderLimitExceeded, UnsupportedVersion or UnknownWeights.
    """
    header, parts = unpack(data, max_pixels=max_pixels)
    decoder = load(header.weights_id)
    latent, features = decode_parts(header, parts, decoder, runtime)
    quality = np.array([header.quality])
    pixels = synthesise(decoder, runtime, latent, features, quality)[0, : header.height, : header.width]
    return luma(pixels) if header.grey else pixels


def verify(
    data: bytes, runtime: Runtime, load: Callable[[bytes], DecoderHalf], *, max_pixels: int = MAX_PIXELS
) -> None:
    """Decodes every stream to its last byte, without the synthesis. Raises as `decode`."""
    header, parts = unpack(data, max_pixels=max_pixels)
    decode_parts(header, parts, load(header.weights_id), runtime)


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
    """Decoded latent int32 [1, h, w, 16] in 1/64 and features int16 [1, h, w, 32] of the whole picture."""
    rows, columns = latent_shape(header.width, header.height)
    latent = np.empty((1, rows, columns, LATENT_CHANNELS), np.int32)
    features = np.empty((1, rows, columns, FEATURES), np.int16)
    quality = np.array([header.quality])
    for tile, part in zip(tiles(header.width, header.height), parts, strict=True):
        reader = SymbolReader(decoder.entropy.tables, part)
        decoded, seen = decode_latent(decoder.entropy, runtime, [reader], tile.shape, quality)
        latent[tile.index], features[tile.index] = decoded, seen
    return latent, features


def luma(pixels: np.ndarray) -> np.ndarray:
    """Grey uint8 [H, W] from three channels: (19595 R + 38470 G + 7471 B + 32768) >> 16, as Pillow computes L."""
    red, green, blue = (pixels[..., channel].astype(np.int32) for channel in range(3))
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(np.uint8)
