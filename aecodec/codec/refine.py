"""Looks for a better latent of one picture by gradient descent on rate and distortion; decoders are unaffected.

The symbols are relaxed to a random choice between the two nearest integers that hardens step by step: stochastic
Gumbel annealing (Yang, Bamler, Mandt, "Improving inference for neural image compression", NeurIPS 2020, section 3.2),
with less noise. Improving the latent of a single picture by descent is from Campos et al. (2019). The rate is that of
the integer tables, linear between symbols and between scale indexes.

Floats only steer the search: its result is rounded, and encoder.py keeps it only if the exact decoder measures it as
better. Arrays are [1, rows, columns, channels].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from aecodec.codec.architectures import FEATURES
from aecodec.codec.architectures import LATENT_CHANNELS
from aecodec.codec.latent_coding import STEP_CHANNELS
from aecodec.codec.rate_distortion import RateDistortion
from aecodec.codec.transforms import PIXEL_EXPONENT
from aecodec.codec.weights import DecoderHalf
from aecodec.format.symbols import SCALE_COUNT
from aecodec.format.symbols import TOTAL
from aecodec.format.symbols import UNIT
from aecodec.format.symbols import SymbolTables
from aecodec.geometry import Box
from aecodec.limits import MAX_SYMBOL
from aecodec.network.choice import differentiable

LEARNING_RATE = 0.03  # in symbols, falling along a cosine
FLOOR = 0.05  # the share of it at the end
TEMPERATURES = (0.5, 0.2)  # of the relaxation, falling geometrically
NOISE = 0.35  # the share of the Gumbel noise: all of it would drown the gradient in this few steps
MOMENTS = (0.9, 0.999)  # of Adam

_EDGE = 1e-4  # keeps the logits of the relaxation finite
_MARGIN = 2  # symbols beyond a table's support that have an entry of their own


@dataclass(frozen=True, eq=False)
class Relaxed:
    """Symbols on their way to integers: lower + share, with the derivative of the share by what is rounded."""

    lower: np.ndarray  # int
    share: np.ndarray
    slope: np.ndarray

    @property
    def value(self) -> np.ndarray:
        return self.lower.astype(np.float32) + self.share


def relax(x: np.ndarray, temperature: float, random: np.random.Generator) -> Relaxed:
    """A random relaxed rounding of `x`: nearly an integer at a low temperature."""
    lower = np.floor(x)
    part = np.clip(x - lower, _EDGE, 1 - _EDGE)
    uniform = np.clip(random.random(x.shape, np.float32), _EDGE, 1 - _EDGE)
    logit = (np.arctanh(part) - np.arctanh(1 - part)) / temperature
    logit += NOISE * np.log(uniform / (1 - uniform))
    share = 1 / (1 + np.exp(np.clip(-logit / temperature, -60, 60)))
    slope = share * (1 - share) / temperature**2 * (1 / (1 - part**2) + 1 / (1 - (1 - part) ** 2))
    return Relaxed(lower.astype(np.intp), share.astype(np.float32), slope.astype(np.float32))


class Rates:
    """Bits of relaxed symbols under the probability tables, with their derivatives."""

    def __init__(self, tables: SymbolTables) -> None:
        self._middle = int(tables.supports.max()) + _MARGIN
        self._width = 2 * self._middle + 1
        bits = np.empty((SCALE_COUNT, self._width), np.float32)
        for row, frequencies, support in zip(bits, tables.frequencies, tables.supports, strict=True):
            row[:] = math.log2(TOTAL / frequencies[-1]) + math.log2(2 * MAX_SYMBOL + 1)  # an escape
            row[self._middle - support : self._middle + support + 1] = np.log2(TOTAL / frequencies[:-1])
        self._bits = bits.ravel()

    def of(self, symbols: Relaxed, index: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Bits of all symbols together, and the derivatives by each symbol and by its scale index, a float."""
        row = np.clip(index, 0, SCALE_COUNT - 1 - 1e-3)
        above = row.astype(np.intp)
        part = row - above
        place = np.clip(symbols.lower + self._middle, 0, self._width - 2) + above * self._width
        first, second = self._bits[place], self._bits[place + 1]
        third, fourth = self._bits[place + self._width], self._bits[place + self._width + 1]
        by_symbol = (1 - part) * (second - first) + part * (fourth - third)
        by_index = (1 - symbols.share) * (third - first) + symbols.share * (fourth - second)
        bits = (1 - part) * first + part * third + symbols.share * by_symbol
        return float(bits.sum()), by_symbol, by_index


class FloatModel:
    """The decoding half in floats."""

    def __init__(self, decoder: DecoderHalf) -> None:
        self.decoder = decoder
        self.synthesis = differentiable(decoder.synthesis)
        self.hyper_synthesis = differentiable(decoder.entropy.hyper_synthesis)
        self.context = [differentiable(network) for network in decoder.entropy.context]
        self.rates = Rates(decoder.entropy.tables)


@dataclass(frozen=True, eq=False)
class Surroundings:
    """A coded tile with what the synthesis sees around it.

    Arrays hold the frame: decoded latents int32 [1, h, w, 16] in 1/64, features [1, h, w, 32], and the picture's
    pixels uint8 [8h, 8w, 3], fewer where the picture ends inside the frame. `tile` is the tile within the frame.
    """

    latent: np.ndarray
    features: np.ndarray
    pixels: np.ndarray
    tile: Box


class Objective:
    """Rate plus weighted distortion of one coded tile at one quality step, as a function of its latents."""

    def __init__(self, model: FloatModel, tradeoff: RateDistortion, around: Surroundings, quality: int) -> None:
        entropy = model.decoder.entropy
        self._model = model
        self._around = around
        self._hyper_mean = entropy.hyper_mean[quality].astype(np.float32) / UNIT
        self._hyper_index = entropy.hyper_index[quality].astype(np.float32)
        self._feature_bias = entropy.feature_bias[quality].astype(np.float32)
        self._hyper_scale = np.float32(UNIT * 2.0**-entropy.hyper_shift)
        self._context_scale = np.float32(UNIT * 2.0**-entropy.latent_shift)
        gain = model.decoder.inverse_gain[quality] * 2.0**-model.decoder.inverse_shift
        self._gain = (UNIT * gain).astype(np.float32)  # from symbols to the synthesis' input
        self._frame = around.latent.astype(np.float32) * gain.astype(np.float32)
        self._pixel_scale = np.float32(math.ldexp(1, PIXEL_EXPONENT - model.decoder.synthesis.exponent))
        self._tradeoff, self._quality = tradeoff, quality

    def gradients(
        self, latent: np.ndarray, hyper: np.ndarray, round_to: Callable[[np.ndarray], Relaxed]
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """The loss in bits, and its gradients by the latents [1, h, w, 16] and hyper-latents, both in symbols."""
        model = self._model
        hyper_symbols = round_to(hyper - self._hyper_mean)
        seen = (hyper_symbols.value + self._hyper_mean) * self._hyper_scale
        features, hyper_pass = model.hyper_synthesis.forward(seen)
        features += self._feature_bias
        decoded = np.zeros_like(latent)
        walked = []
        for step, network in enumerate(model.context):
            context = np.concatenate([features, decoded * self._context_scale], -1) if step else features
            parameters, context_pass = network.forward(context)
            channels = np.tile(STEP_CHANNELS[step], (latent.shape[1] // 2, latent.shape[2] // 2, 1))[None]
            mean = np.take_along_axis(parameters, channels, -1) / UNIT
            index = np.take_along_axis(parameters, channels + LATENT_CHANNELS, -1)
            symbols = round_to(np.take_along_axis(latent, channels, -1) - mean)
            np.put_along_axis(decoded, channels, symbols.value + mean, -1)
            walked.append((channels, symbols, index, context_pass))
        loss, by_decoded, by_features = self._distortion(decoded, features)
        by_latent = np.zeros_like(latent)
        for step, (channels, symbols, index, context_pass) in reversed(list(enumerate(walked))):
            bits, by_symbol, by_index = model.rates.of(symbols, index)
            loss += bits
            outside = np.take_along_axis(by_decoded, channels, -1)
            inside = (outside + by_symbol) * symbols.slope
            np.put_along_axis(by_latent, channels, inside, -1)
            by_parameters = np.zeros((*latent.shape[:3], 2 * LATENT_CHANNELS), np.float32)
            np.put_along_axis(by_parameters, channels, (outside - inside) / UNIT, -1)
            np.put_along_axis(by_parameters, channels + LATENT_CHANNELS, by_index, -1)
            by_context, _ = context_pass.backward(by_parameters)
            by_features += by_context[..., :FEATURES]
            if step:  # later steps have already contributed their gradients
                by_decoded += by_context[..., FEATURES:] * self._context_scale
        by_seen, _ = hyper_pass.backward(by_features)
        bits, by_symbol, _ = model.rates.of(hyper_symbols, np.broadcast_to(self._hyper_index, hyper.shape))
        return loss + bits, by_latent, (by_seen * self._hyper_scale + by_symbol) * hyper_symbols.slope

    def _distortion(self, decoded: np.ndarray, features: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Of the frame, in bits, with its gradients by the tile's decoded latents in symbols and by its features."""
        tile = self._around.tile.index
        frame, frame_features = self._frame.copy(), self._around.features.astype(np.float32)
        frame[tile], frame_features[tile] = decoded * self._gain, features
        real, synthesis_pass = self._model.synthesis.forward(frame, frame_features)
        height, width = self._around.pixels.shape[:2]
        error = real[0, :height, :width] * self._pixel_scale + np.float32(127.5) - self._around.pixels
        by_real = np.zeros_like(real)
        by_real[0, :height, :width] = self._tradeoff.slope(error, self._quality) * self._pixel_scale
        by_frame, by_features = synthesis_pass.backward(by_real)
        if by_features is None:
            by_features = np.zeros_like(frame_features)
        distortion = self._tradeoff.bits(error, self._quality)
        return distortion, by_frame[tile] * self._gain, np.ascontiguousarray(by_features[tile])


def refine(
    objective: Objective,
    latent: np.ndarray,
    hyper: np.ndarray,
    steps: int,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Better latents int32 [1, h, w, 16] and hyper-latents, in 1/64, after `steps` steps of Adam from those given.

    `progress` receives the share done after each step.
    """
    random = np.random.default_rng(0)  # the same picture is refined in the same way
    variables = [latent.astype(np.float32) / UNIT, hyper.astype(np.float32) / UNIT]
    means, squares = ([np.zeros_like(values) for values in variables] for _ in range(2))
    high, low = TEMPERATURES
    for step in range(steps):
        share = step / steps
        round_to = partial(relax, temperature=high * (low / high) ** share, random=random)
        rate = LEARNING_RATE * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * share)))
        first, second = (1 - moment ** (step + 1) for moment in MOMENTS)
        with np.errstate(all="ignore"):  # small gradients and their squares underflow
            _, *gradients = objective.gradients(variables[0], variables[1], round_to)
            for values, gradient, mean, square in zip(variables, gradients, means, squares, strict=True):
                mean += (1 - MOMENTS[0]) * (gradient - mean)
                square += (1 - MOMENTS[1]) * (gradient**2 - square)
                values -= (rate / first) * mean / (np.sqrt(square / second) + 1e-12)
        progress((step + 1) / steps)
    refined_latent, refined_hyper = (np.rint(values * UNIT).astype(np.int32) for values in variables)
    return refined_latent, refined_hyper
