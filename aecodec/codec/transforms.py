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
from aecodec.network.layers import receptive_field
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

    on_threads(do, blocks(latent.shape[1], latent.shape[2], block, receptive_field(analysis.layers)), threads)
    return latent


def apply_gain(encoder: EncoderHalf, raw: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """The latent in 1/64 of a symbol, int32, from `analyse`'s output; `quality` [B] of 0..255."""
    product = raw.astype(np.int64) * encoder.gain[quality][:, None, None]
    return clip_bits(_shift(product, encoder.gain_shift), 16).astype(np.int32)


def apply_inverse_gain(decoder: DecoderHalf, latent: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """Decoded latents [B, h, w, 16] as the synthesis takes them in, 12 bits wide; in one unit at every quality."""
    product = latent.astype(np.int64) * decoder.inverse_gain[quality][:, None, None]
    return clip_bits(_shift(product, decoder.inverse_shift), SYNTHESIS_BITS)


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

    on_threads(do, blocks(height, width, block, receptive_field(decoder.synthesis.layers)), threads)
    return pixels


def _levels(real: np.ndarray, down: int) -> np.ndarray:
    """floor(real 2^-down) + 128 within 0..255, as uint8; `real`, of int16 or a float type, is overwritten."""
    if real.dtype == np.int16 and down >= 0:
        real >>= down
        return (np.clip(real, -128, 127, out=real) + 128).astype(np.uint8)
    real = real.astype(np.float32, copy=False)
    real *= np.float32(math.ldexp(1, -down))  # exact in every rounding mode
    real += 128
    return np.clip(real, 0, 255, out=real).astype(np.uint8)  # the cast truncates


def _shift(product: np.ndarray, shift: int) -> np.ndarray:
    """floor(product 2^-shift + 1/2), for shift >= 1."""
    return (product + (1 << (shift - 1))) >> shift
