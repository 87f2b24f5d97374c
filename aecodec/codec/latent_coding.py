"""Entropy coding of one latent: hyper-latent, then four context steps, into one range-coded stream.

Everything is an integer from a table or an integer network, so both ends compute the same probabilities. Tensors,
shifts and networks are those of the weights (`weights.py`). `container.py` defines narrow and bits, `symbols.py` how a
table codes its symbols.

Units. Latents and means are integers in 1/64 of a symbol, 16 bits wide. A symbol is floor((latent - mean + 32) / 64),
clipped to -1024..1024; its decoded latent is 64 symbol + mean, clipped to 16 bits. The hyper-latent likewise.

Order of the stream, for a tile of h x w latent positions at quality q:

- The hyper-latent [h/4, w/4, 16]: all its symbols, in raster order with the channel running fastest. The mean of
  channel c is hyper_mean[q, c], its scale index hyper_index[q, c].
- No symbols: the hyper features [h, w, 32] are the output of the network "hyper_synthesis" for narrow(hyper-latent,
  hyper_shift, 12), plus feature_bias[q] in each channel, clipped to 11 bits.
- Steps s = 0..3, with the network "context<s>". Its input in step 0 is the features; later it has 48 channels,
  the features followed by narrow(latent, latent_shift, 12) of the 16 channels decoded in earlier steps, zero where
  none is decoded yet. Channel c of its output [h, w, 32] is the mean of latent channel c, channel 16 + c its scale
  index. In raster order over the latent field, each position codes the four channels of one group, the lowest first:
  channel group g (channels 4g..4g+3) is coded in step s where the position in its 2x2 tile is P[s xor g], P = (0,0),
  (1,1), (0,1), (1,0) as (row, column). The outputs for other channels are not used.

The channel group that each position of a 2x2 tile codes in each step:

    step 0    step 1    step 2    step 3
     0  2      1  3      2  0      3  1
     3  1      2  0      1  3      0  2

So every step codes a quarter of the latent at every position, and after four steps every position has all groups.

Minnen, Balle, Toderici (2018) for hyper-prior and context; He et al. (2021) for the checkerboard in parallel steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from typing import NamedTuple

import numpy as np

from aecodec.codec.architectures import FEATURES
from aecodec.codec.architectures import LATENT_CHANNELS
from aecodec.codec.architectures import STEPS
from aecodec.format.symbols import SCALE_COUNT
from aecodec.format.symbols import Sink
from aecodec.format.symbols import Source
from aecodec.format.symbols import SymbolTables
from aecodec.format.symbols import clip_bits
from aecodec.format.symbols import from_symbols
from aecodec.format.symbols import to_symbols
from aecodec.network.quantized import Network
from aecodec.network.quantized import Runtime

SCALE_RANGE = (0.08, 64.0)  # standard deviations, in symbols, of the first and the last table
CONTEXT_BITS = 12  # width of latents as context and hyper networks see them
FEATURE_BITS = 11
BIAS_BITS = 26  # a feature is within 2^23 before its bias: more than these bits of it change no clipped sum


def scale_of_index(index: Any, exp: Callable[[Any], Any] = np.exp) -> Any:
    """Standard deviation, in symbols, that scale index 0..63 stands for: log-spaced. For training and export only."""
    low, high = (math.log(scale) for scale in SCALE_RANGE)
    return exp(low + (high - low) / (SCALE_COUNT - 1) * index)


def _step_channels() -> np.ndarray:
    place = np.array([[0, 2], [3, 1]])  # the inverse of P: the n of P[n] for each position of the 2x2 tile
    group = np.arange(STEPS)[:, None, None] ^ place
    return 4 * group[..., None] + np.arange(4)


STEP_CHANNELS = _step_channels()  # [step, row % 2, column % 2, 4]: the channels coded there


def narrow(x: np.ndarray, shift: int, bits: int) -> np.ndarray:
    """floor(x 2^-shift + 1/2) clipped to `bits`: integers in 1/64 as a network takes them in."""
    half = (1 << shift) >> 1
    return clip_bits((x + half) >> shift, bits)


@dataclass(frozen=True, eq=False)
class EntropyModel:
    """What encoder and decoder share. Tables over the quality byte are [256, channels]."""

    tables: SymbolTables
    hyper_synthesis: Network
    context: tuple[Network, ...]
    hyper_mean: np.ndarray  # in 1/64
    hyper_index: np.ndarray  # 0..63
    feature_bias: np.ndarray  # in the features' own unit
    latent_shift: int  # from 1/64 to the unit of latents as context and of the features
    hyper_shift: int  # from 1/64 to the unit of the hyper-synthesis' input


class HyperAnalysis(NamedTuple):
    """The encoder's network for the hyper-latent (in 1/64)."""

    network: Network
    shift: int  # from 1/64 to the unit of its input


def analyse_hyper(hyper_analysis: HyperAnalysis, runtime: Runtime, latent: np.ndarray) -> np.ndarray:
    """Hyper-latents int32 [B, h/4, w/4, 16] of latents int32 [B, h, w, 16], both in 1/64."""
    seen = narrow(latent, hyper_analysis.shift, CONTEXT_BITS)
    return runtime.run(hyper_analysis.network, seen).astype(np.int32)


def encode_latent(
    model: EntropyModel,
    runtime: Runtime,
    latent: np.ndarray,
    hyper: np.ndarray,
    quality: np.ndarray,
    sinks: Sequence[Sink],
) -> tuple[np.ndarray, np.ndarray]:
    """Codes a batch of latents, each picture into its own sink.

    `latent` int32 [B, h, w, 16] in 1/64, h and w multiples of 4; `hyper` its hyper-latents, as `analyse_hyper` or
    another search finds them; `quality` [B] of 0..255. Returns what the decoder will have: decoded latents
    int32 [B, h, w, 16] and features int16 [B, h, w, 32].
    """
    hyper_symbols = to_symbols(hyper, model.hyper_mean[quality][:, None, None])
    _write(sinks, _hyper_index(model, quality, hyper.shape), hyper_symbols)
    features = _features(model, runtime, hyper_symbols, quality)

    flat = latent.reshape(len(latent), -1)

    def choose(places: np.ndarray, mean: np.ndarray, index: np.ndarray) -> np.ndarray:
        symbols = to_symbols(flat.take(places, axis=1), mean)
        _write(sinks, index, symbols)
        return symbols

    return _steps(model, runtime, features, choose), features


def decode_latent(
    model: EntropyModel, runtime: Runtime, readers: Sequence[Source], shape: tuple[int, int], quality: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Decoded latents int32 [B, h, w, 16] in 1/64 and features int16 [B, h, w, 32] of a batch; `shape` is (h, w).

    Raises CorruptFile for a stream that no encoder wrote.
    """
    hyper_shape = (len(readers), shape[0] // 4, shape[1] // 4, LATENT_CHANNELS)
    hyper_symbols = _read(readers, _hyper_index(model, quality, hyper_shape))
    features = _features(model, runtime, hyper_symbols, quality)

    def choose(places: np.ndarray, mean: np.ndarray, index: np.ndarray) -> np.ndarray:
        return _read(readers, index)

    decoded = _steps(model, runtime, features, choose)
    for reader in readers:
        reader.finish()
    return decoded, features


def _write(sinks: Sequence[Sink], index: np.ndarray, symbols: np.ndarray) -> None:
    for sink, own_index, own_symbols in zip(sinks, index, symbols, strict=True):
        sink.write(own_index.ravel(), own_symbols.ravel())


def _read(readers: Sequence[Source], index: np.ndarray) -> np.ndarray:
    symbols = np.empty(index.shape, np.int32)
    for reader, own_index, own_symbols in zip(readers, index, symbols, strict=True):
        own_symbols[...] = reader.read(own_index.ravel()).reshape(own_index.shape)
    return symbols


def _hyper_index(model: EntropyModel, quality: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    index = np.empty(shape, np.uint8)
    index[...] = model.hyper_index[quality][:, None, None]
    return index


def _features(model: EntropyModel, runtime: Runtime, hyper_symbols: np.ndarray, quality: np.ndarray) -> np.ndarray:
    hyper = from_symbols(hyper_symbols, model.hyper_mean[quality][:, None, None])
    seen = narrow(hyper, model.hyper_shift, CONTEXT_BITS)
    features = runtime.run(model.hyper_synthesis, seen).astype(np.int32)
    bias = clip_bits(model.feature_bias[quality], BIAS_BITS).astype(np.int32)
    features += bias[:, None, None]
    return clip_bits(features, FEATURE_BITS).astype(np.int16)


def _steps(
    model: EntropyModel,
    runtime: Runtime,
    features: np.ndarray,
    choose: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Walks the four steps; `choose` gives symbols [B, n] for their places [n] in a latent, means and scale indexes."""
    batch, rows, columns = features.shape[:3]
    decoded = np.empty((batch, rows, columns, LATENT_CHANNELS), np.int32)
    seen = np.zeros((batch, rows, columns, FEATURES + LATENT_CHANNELS), np.int16)
    seen[..., :FEATURES] = features
    for step in range(STEPS):
        parameters = runtime.run(model.context[step], seen if step else features).reshape(batch, -1)
        places = _places(step, rows, columns)
        mean = parameters.take(places.mean, axis=1).astype(np.int32)
        index = parameters.take(places.scale, axis=1).astype(np.uint8)
        latent = from_symbols(choose(places.latent, mean, index), mean)
        _put(decoded, places.latent, latent)
        _put(seen, places.seen, narrow(latent, model.latent_shift, CONTEXT_BITS))
    return decoded


def _put(fields: np.ndarray, places: np.ndarray, values: np.ndarray) -> None:
    """Puts values [B, n] to their places in fields [B, ...]: picture by picture, since NumPy is faster on one axis."""
    for own, given in zip(fields.reshape(len(fields), -1), values, strict=True):
        own[places] = given


class _Places(NamedTuple):
    """Where a step's latents lie, in coding order, in four flat fields."""

    latent: np.ndarray  # of [rows, columns, 16]
    mean: np.ndarray  # of a context network's output, [rows, columns, 32]
    scale: np.ndarray  # its scale indexes, there too
    seen: np.ndarray  # of its input, [rows, columns, 48]


@lru_cache(maxsize=STEPS)
def _places(step: int, rows: int, columns: int) -> _Places:
    channels = np.tile(STEP_CHANNELS[step], (rows // 2, columns // 2, 1))
    position = np.arange(rows * columns).reshape(rows, columns, 1)
    mean = (position * 2 * LATENT_CHANNELS + channels).ravel()
    return _Places(
        (position * LATENT_CHANNELS + channels).ravel(),
        mean,
        mean + LATENT_CHANNELS,
        (position * (FEATURES + LATENT_CHANNELS) + FEATURES + channels).ravel(),
    )
