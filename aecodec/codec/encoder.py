"""Pixels to bytes: one analysis, then a file at any quality, at a target, or with refined latents.

Arrays in, bytes out; no files, no Pillow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from aecodec.codec.architectures import FEATURES
from aecodec.codec.architectures import LATENT_CHANNELS
from aecodec.codec.border import analysed_within_margin
from aecodec.codec.border import has_saturated_ground
from aecodec.codec.decoder import luma
from aecodec.codec.latent_coding import analyse_hyper
from aecodec.codec.latent_coding import encode_latent
from aecodec.codec.search import last_fitting
from aecodec.codec.small import enlarge
from aecodec.codec.small import reduce
from aecodec.codec.transforms import analyse
from aecodec.codec.transforms import apply_gain
from aecodec.codec.transforms import synthesise
from aecodec.codec.transparent import fill_transparent
from aecodec.codec.weights import DecoderHalf
from aecodec.codec.weights import EncoderHalf
from aecodec.errors import LimitExceeded
from aecodec.errors import UnreachableTarget
from aecodec.format.compact import check_compact
from aecodec.format.container import pack
from aecodec.format.extras import NOTHING
from aecodec.format.extras import Extras
from aecodec.format.extras import flags_of
from aecodec.format.extras import pack_extras
from aecodec.format.header import QUALITY_STEPS
from aecodec.format.header import Check
from aecodec.format.header import Header
from aecodec.format.header import Size
from aecodec.format.symbol_coding import open_writer
from aecodec.geometry import STRIDE
from aecodec.geometry import TILE
from aecodec.geometry import blocks
from aecodec.geometry import tiles
from aecodec.limits import MAX_PIXELS
from aecodec.limits import exceeded_limit
from aecodec.network.quantized import Runtime

_ENDLESS_PSNR = 3000.0  # dB: only a picture without loss has it, and powers of more leave the floats
_SMALL = 128 * 128  # pixels of which a target may try many quality steps
# Of a picture that does not fit at quality 0: refinements, and the least that distortion is worth, a power of 1/2.
_WEIGHT_TRIALS, _LEAST_WEIGHT = 5, 10.0
REFINED_JUMPS = (8, 4, 2)  # quality steps, of 0.8 % of the bits each
PEAK = 255.0


class Latents(NamedTuple):
    """What is coded of a picture, in 1/64: int32 [1, h, w, 16] and [1, h/4, w/4, 16]."""

    latent: np.ndarray
    hyper: np.ndarray


class Encoded(NamedTuple):
    """A file, its quality step, and what its decoder will have.

    The latent is int32 [1, h, w, 16] in 1/64, the features are int16 [1, h, w, 32].
    """

    data: bytes
    quality: int
    latent: np.ndarray
    features: np.ndarray


class PictureEncoder:
    """One analysed picture, ready to be written at any quality."""

    def __init__(
        self,
        pixels: np.ndarray,
        encoder: EncoderHalf,
        decoder: DecoderHalf,
        runtime: Runtime,
        steps: int = 0,
        progress: Callable[[float], None] = lambda share: None,
        extras: Extras = NOTHING,
        max_pixels: int = MAX_PIXELS,
        display: Size | None = None,
        compact: Check | None = None,
        threads: int = 1,
    ) -> None:
        """`pixels` uint8 [H, W, 3], or [H, W] for grey. `steps`: of refinement, for every file that is written.

        `progress` receives the share done of the current refinement. Every file holds `extras` as they are, and the
        `display` size if it is not the picture's; `compact` asks for the compact form, with this kind of checksum.
        Analysis and synthesis run on `threads`. Cheaper colours replace those of fully transparent pixels
        (`transparent.py`).

        Raises LimitExceeded beyond MAX_SIDE, `max_pixels` or MAX_METADATA_BYTES, AecError if the picture has no compact
        form.
        """
        height, width = pixels.shape[:2]
        check_size(width, height, max_pixels)
        self._size = width, height
        self._grey = pixels.ndim == 2
        if extras.alpha is not None:
            pixels = fill_transparent(pixels, extras.alpha > 0)
        self._pixels = pixels
        coded = enlarge(pixels)
        self._colour = np.broadcast_to(coded[..., None], (*coded.shape[:2], 3)) if self._grey else coded
        self._encoder, self._decoder, self._runtime = encoder, decoder, runtime
        self._steps, self._progress = steps, progress
        self._extras = pack_extras(extras)
        self._header = Header(
            width,
            height,
            quality=0,
            weights=decoder.weights,
            grey=self._grey,
            extras=flags_of(self._extras),
            display=None if display == (width, height) else display,
            compact=compact,
        )
        if compact is not None:
            check_compact(self._header)
        self._threads = threads
        self._raws = [analyse(encoder.analysis, runtime, self._colour[None], threads=threads)]
        if has_saturated_ground(self._colour):
            self._raws.append(analysed_within_margin(encoder, runtime, self._colour, threads))

    def encode(self, quality: int) -> Encoded:
        """The `.aec` file at quality step 0..255.

        Refined latents are written only if they cost less than plain ones, rate and distortion together, measured on
        the file and the pixels that it decodes to.
        """
        latents, plain = self._plain(quality)
        if not self._steps:
            return plain
        refined = self._write(self._refined(latents, plain, quality), quality)
        return min((plain, refined), key=self._cost)

    def encode_plain(self, quality: int) -> Encoded:
        """The same without refinement."""
        return self._plain(quality)[1]

    def _plain(self, quality: int) -> tuple[Latents, Encoded]:
        """What an analysis finds, and its file; of two analyses, the one whose file costs less."""
        found = [self._latents(raw, quality) for raw in self._raws]
        written = [(latents, self._write(latents, quality)) for latents in found]
        return written[0] if len(written) == 1 else min(written, key=lambda pair: self._cost(pair[1]))

    def _latents(self, raw: np.ndarray, quality: int) -> Latents:
        """A latent with its gain; a tile's hyper-latents depend on that tile alone."""
        latent = np.empty_like(raw)
        rows, columns = latent.shape[1:3]
        hyper = np.empty((1, rows // 4, columns // 4, LATENT_CHANNELS), np.int32)
        for tile in tiles(*self._size):
            latent[tile.index] = apply_gain(self._encoder, raw[tile.index], np.array([quality]))
            hyper[tile.coarser(4).index] = analyse_hyper(
                self._encoder.hyper_analysis, self._runtime, latent[tile.index]
            )
        return Latents(latent, hyper)

    def _write(self, latents: Latents, quality: int) -> Encoded:
        width, height = self._size
        entropy = self._decoder.entropy
        parts = []
        decoded = np.empty_like(latents.latent)
        features = np.empty((*decoded.shape[:3], FEATURES), np.int16)
        for tile in tiles(width, height):
            writer = open_writer(entropy.tables)
            latent, hyper = latents.latent[tile.index], latents.hyper[tile.coarser(4).index]
            decoded[tile.index], features[tile.index] = encode_latent(
                entropy, self._runtime, latent, hyper, np.array([quality]), [writer]
            )
            parts.append(writer.finish())
        header = replace(self._header, quality=quality)
        data = pack(header, [*parts, *self._extras.values()], self._decoder.weights_id)
        return Encoded(data, quality, decoded, features)

    def _refined(self, latents: Latents, plain: Encoded, quality: int, weight: float = 1.0) -> Latents:
        """Better latents, tile by tile; the synthesis sees the plain ones of the neighbours.

        `weight`: of distortion, as a share of what it is worth at this quality.
        """
        from aecodec.codec.refine import FloatModel
        from aecodec.codec.refine import Objective
        from aecodec.codec.refine import Surroundings
        from aecodec.codec.refine import refine

        model = FloatModel(self._decoder)
        latent, hyper = latents.latent.copy(), latents.hyper.copy()
        halo = 2 * self._decoder.synthesis.receptive_field  # pixels of the outer half do not see the tile
        cut = list(blocks(latent.shape[1], latent.shape[2], TILE // STRIDE, halo))
        for number, (tile, frame) in enumerate(cut):
            around = Surroundings(
                plain.latent[frame.index],
                plain.features[frame.index],
                self._colour[frame.times(STRIDE).index[1:]],
                tile.within(frame),
            )
            objective = Objective(model, self._encoder.tradeoff.weighted(weight), around, quality)
            coarse = tile.coarser(4)
            latent[tile.index], hyper[coarse.index] = refine(
                objective,
                latent[tile.index],
                hyper[coarse.index],
                self._steps,
                partial(self._tell, number, len(cut)),
            )
        return Latents(latent, hyper)

    def _tell(self, done: int, count: int, share: float) -> None:
        self._progress((done + share) / count)

    def _decode(self, encoded: Encoded) -> np.ndarray:
        """The colour samples that a file decodes to, uint8 [H, W, 3], with sides of at least 32."""
        quality = np.array([encoded.quality])
        height, width = self._colour.shape[:2]
        decoded = synthesise(
            self._decoder, self._runtime, encoded.latent, encoded.features, quality, threads=self._threads
        )
        return decoded[0, :height, :width]

    def _cost(self, encoded: Encoded) -> float:
        """Bits of the file, and its pixels' errors in bits."""
        error = np.subtract(self._colour, self._decode(encoded), dtype=np.float32)
        return 8 * len(encoded.data) + self._encoder.tradeoff.bits(error, encoded.quality)

    def encode_to_size(self, target: int) -> Encoded:
        """The file of the highest quality that takes at most `target` bytes.

        Raises UnreachableTarget if the lowest quality takes more.
        """
        found = self._last_fitting(range(QUALITY_STEPS), lambda encoded: len(encoded.data) / target)
        if found is None and self._steps:
            found = self._below_quality(target)
        if found is None:
            smallest = len(self.encode_plain(0).data)
            message = f"the target of {target} bytes cannot be reached: the lowest quality takes {smallest}"
            if self._extras:
                message += f", {sum(map(len, self._extras.values()))} of them alpha and metadata"
            raise UnreachableTarget(message)
        return found

    def _below_quality(self, target: int) -> Encoded | None:
        """The best file of at most `target` bytes at quality 0, with distortion worth less than there; or None."""
        latents, plain = self._plain(0)

        def at(exponent: float) -> Encoded:
            return self._write(self._refined(latents, plain, 0, 2.0**-exponent), 0)

        low, high = 0.0, _LEAST_WEIGHT
        best = at(high)
        if len(best.data) > target:
            return None
        for _ in range(_WEIGHT_TRIALS):
            middle = (low + high) / 2
            encoded = at(middle)
            if len(encoded.data) <= target:
                best, high = encoded, middle
            else:
                low = middle
        return best

    def encode_to_psnr(self, target: float) -> Encoded:
        """The file of the lowest quality whose decoded pixels have a PSNR of at least `target` dB.

        Raises UnreachableTarget if the highest quality has less.
        """
        allowed = PEAK**2 / 10 ** (min(target, _ENDLESS_PSNR) / 10)
        found = self._last_fitting(range(QUALITY_STEPS)[::-1], lambda encoded: self._squared_error(encoded) / allowed)
        if found is None:
            best = 10 * math.log10(PEAK**2 / self._squared_error(self.encode_plain(QUALITY_STEPS - 1)))
            raise UnreachableTarget(
                f"the target of {target:g} dB cannot be reached: the highest quality gives {best:.2f} dB"
            )
        return found

    def _last_fitting(self, steps: Sequence[int], excess: Callable[[Encoded], float]) -> Encoded | None:
        """The file at the last of the quality steps found to fit, with an `excess` of at most 1; None if none does."""
        width, height = self._size
        found = last_fitting(
            lambda place: self.encode_plain(steps[place]), excess, len(steps), width * height <= _SMALL
        )
        if found is None:
            return None
        place, best = found
        if not self._steps:
            return best
        return self._refined_fitting(steps, place, lambda encoded: excess(encoded) <= 1) or best

    def _refined_fitting(self, steps: Sequence[int], place: int, fits: Callable[[Encoded], bool]) -> Encoded | None:
        """The last refined file found to fit, searching the quality steps from index `place`; None if none fits.

        Refining at every step of a bisection would take too long, and it moves size and error by a few steps only.
        """
        best = None
        for jump in (*REFINED_JUMPS, 0):
            encoded = self.encode(steps[place])
            if fitting := fits(encoded):
                best = encoded
            place = min(max(place + (jump if fitting else -jump), 0), len(steps) - 1)
        return best

    def _squared_error(self, encoded: Encoded) -> float:
        """Mean squared error per sample of the pixels that a file decodes to."""
        colour = reduce(self._decode(encoded), *self._size)
        decoded = luma(colour) if self._grey else colour
        return float(np.mean(np.subtract(self._pixels, decoded, dtype=np.float32) ** 2, dtype=np.float64))


def check_size(width: int, height: int, max_pixels: int = MAX_PIXELS) -> None:
    """Raises LimitExceeded for a picture that the format does not hold, or with more than `max_pixels`."""
    if limit := exceeded_limit(width, height, max_pixels):
        raise LimitExceeded(f"a picture of {width}x{height} pixels: the limit is {limit}")
