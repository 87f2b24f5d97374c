"""Analysis and synthesis of pixels, in blocks that keep memory small.

Blocks of any size, on any number of threads, give the same integers as one pass: each carries a halo of the network's
receptive field. The halo ends at the field's border, so the zero padding there is the field's.
"""

from __future__ import annotations

import math

import numpy as np

from aecodec.codec.architectures import LATENT_CHANNELS
from aecodec.codec.threads import on_threads
from aecodec.codec.weights import SYNTHESIS_BITS
from aecodec.codec.weights import DecoderHalf
from aecodec.codec.weights import EncoderHalf
from aecodec.format.symbols import clip_bits
from aecodec.geometry import STRIDE
from aecodec.geometry import Box
from aecodec.geometry import blocks
from aecodec.geometry import latent_shape
from aecodec.network.quantized import Network
from aecodec.network.quantized import Runtime

BLOCK = 64  # side of a block in latent positions: 512 pixels
PIXEL_EXPONENT = 7  # a pixel value v is the real (v - 127.5) / 128


def _cut(pixels: np.ndarray, area: Box) -> np.ndarray:
    """An area of the grid; beyond the picture, copies of its last row and column."""
    found = pixels[area.index]
    if found.shape[1:3] == area.shape:
        return found
    height, width = pixels.shape[1:3]
    rows = np.minimum(np.arange(area.top, area.bottom), height - 1)
    columns = np.minimum(np.arange(area.left, area.right), width - 1)
    return pixels[:, rows[:, None], columns]


def analyse(
    analysis: Network, runtime: Runtime, pixels: np.ndarray, block: int = BLOCK, threads: int = 1
) -> np.ndarray:
    """The latent before its gain: int32 [B, 4 ceil(H/32), 4 ceil(W/32), 16], 16 bits wide.

    `pixels` uint8 [B, H, W, 3]. Each block is padded to the grid by itself, which avoids a copy of a large picture.
    """
    batch, height, width = pixels.shape[:3]
    latent = np.empty((batch, *latent_shape(width, height), LATENT_CHANNELS), np.int32)

    def do(areas: tuple[Box, Box]) -> None:
        core, whole = areas
        x = _cut(pixels, whole.times(STRIDE)).astype(np.int16)
        x *= 2
        x -= 255
        latent[core.index] = runtime.run(analysis, x, wanted=core.within(whole))

    on_threads(do, blocks(latent.shape[1], latent.shape[2], block, analysis.receptive_field), threads)
    return latent


def apply_gain(encoder: EncoderHalf, raw: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """The latent in 1/64 of a symbol, int32, from `analyse`'s output; `quality` [B] of 0..255."""
    return _scale(raw, encoder.gain[quality], encoder.gain_shift, 16).astype(np.int32)


def apply_inverse_gain(decoder: DecoderHalf, latent: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """Decoded latents [B, h, w, 16] as the synthesis takes them: int16, 12 bits wide, in one unit at every quality."""
    return _scale(latent, decoder.inverse_gain[quality], decoder.inverse_shift, SYNTHESIS_BITS).astype(np.int16)


def _scale(latent: np.ndarray, gain: np.ndarray, shift: int, bits: int) -> np.ndarray:
    """floor(latent gain 2^-shift + 1/2) clipped to `bits`, for gains [B, 16] and shift >= 1.

    Gains of 32 bits and latents of 16 call for int64: those of our models reach 2^20, and a product 2^35.
    """
    product = latent.astype(np.int64)
    product *= gain[:, None, None]
    product += 1 << (shift - 1)
    product >>= shift
    return clip_bits(product, bits)


def synthesise(
    decoder: DecoderHalf,
    runtime: Runtime,
    latent: np.ndarray,
    features: np.ndarray,
    quality: np.ndarray,
    block: int = BLOCK,
    threads: int = 1,
) -> np.ndarray:
    """Pixels uint8 [B, 8h, 8w, 3] from decoded latents [B, h, w, 16] and features [B, h, w, 32]."""
    batch, height, width = latent.shape[:3]
    pixels = np.empty((batch, height * STRIDE, width * STRIDE, 3), np.uint8)

    def do(areas: tuple[Box, Box]) -> None:
        core, whole = areas
        seen = apply_inverse_gain(decoder, latent[whole.index], quality)
        real = runtime.run(decoder.synthesis, seen, features[whole.index], core.within(whole))
        pixels[core.times(STRIDE).index] = _levels(real, decoder.synthesis.exponent - PIXEL_EXPONENT)

    on_threads(do, blocks(height, width, block, decoder.synthesis.receptive_field), threads)
    return pixels


def _levels(real: np.ndarray, down: int) -> np.ndarray:
    """real 2^-down + 128 within 0..255, which a cast truncates; `real`, of int16 or a float type, is overwritten."""
    if real.dtype == np.int16 and down >= 0:
        real >>= down
        np.clip(real, -128, 127, out=real)
        real += 128
        return real
    real = real.astype(np.float32, copy=False)
    real *= np.float32(math.ldexp(1, -down))  # exact in every rounding mode
    real += 128
    return np.clip(real, 0, 255, out=real)
