"""Reads weights: the two halves of a model, each a safetensors file.

The decoding half holds everything that a decoder reads; the first four bytes of its SHA-256 are the weights id that
`.aec` files name it by, unless it has the number of a registered model. The encoding half belongs to one decoding half.

A safetensors file is 8 bytes (little-endian) with the length of a header, the header in JSON, then the tensors' bytes.
The header has for each tensor {"dtype", "shape", "data_offsets": [start, end]}, counted from the end of the header;
tensors are little-endian, the last axis running fastest, of dtype I8, U8, I16, I32, U32 or I64, whichever holds the
values (a PATH.weight is always I8). Beside them `__metadata__` has the one key "description", a string that is JSON
again. No pickles, nothing is executed.

Tensors of a decoding half, with what they mean in `latent_coding.py`, `container.py` and `quantized.py`:

    name                  shape              contents
    tables.supports       [64]               support K of each probability table, 1 to 1024
    tables.frequencies    [sum of 2K + 2]    the tables one after the other, table 0 first; each sums to 2^24
    hyper_mean            [256, 16]          mean of each hyper-latent channel, by quality; in 1/64
    hyper_index           [256, 16]          its scale index, by quality; 0..63
    feature_bias          [256, 32]          added to the hyper features, by quality
    inverse_gain          [256, 16]          from the latent to the synthesis' input, by quality
    PATH.weight           [rows, outputs]    of each Conv (kernel * kernel * inputs rows) and Depthwise (9 rows)
    PATH.bias             [outputs]          and likewise PATH.shift
    PATH.low, PATH.high   [outputs] or [1]   the bounds of each output, or of all

The description has "name", the shifts "latent_shift", "hyper_shift" (0 or more) and "inverse_shift" (1 or more), and
"networks": for each of synthesis, hyper_synthesis and context0 to context3 {"layers": [...], "exponent": e}. Of the
exponents a decoder needs only that of the synthesis, whose output integers stand for real numbers in units of 2^-e. A
layer is an object with its kind under "layer" (`layers.py`) and its fields:

    Conv         inputs, outputs, kernel, stride, padding, active
    Depthwise    channels (its inputs and its outputs)
    Residual     body, a list of layers
    Side         body, a list of layers
    Shuffle      factor, crop
    Repeat       factor

"bits" of Conv and Depthwise is for training; low and high say what holds. PATH is the network's name and the layer's
position in its list from 0, in a body after that of the body's owner: "synthesis.2.1.weight".

A reader refuses weights whose fields are out of range or do not fit together: inputs, outputs and channels are 1 to
4096, kernel, stride and factor 1 to 16, padding and crop 0 to 15, lists of at most 256 layers, bodies at most 4 deep;
latent_shift, hyper_shift and hyper_input_shift are at most 16, inverse_shift and gain_shift 1 to 48, exponents -31 to
31, PATH.shift -30 to 30, PATH.low at most PATH.high, both at most 2^23 in magnitude, the numbers of hyper_mean,
feature_bias, inverse_gain and gain 32 bits wide. No sum that inputs within their bounds can give reaches 2^52. Every
network has the channels and the size of output that its place needs, and no field finer than the pixels.

An encoding half is built alike, with the networks analysis and hyper_analysis, the tensor gain [256, 16] and the
numbers "gain_shift", "hyper_input_shift" and "default_quality"; "tradeoff" is what the loss of its training was. Where
the description has "decoder", it is the id of the decoding half that this one was made with, and no other is taken.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from aecodec.codec.architectures import FEATURES
from aecodec.codec.architectures import LATENT_CHANNELS
from aecodec.codec.architectures import STEPS
from aecodec.codec.latent_coding import CONTEXT_BITS
from aecodec.codec.latent_coding import FEATURE_BITS
from aecodec.codec.latent_coding import EntropyModel
from aecodec.codec.latent_coding import HyperAnalysis
from aecodec.codec.manifest import Entry
from aecodec.codec.manifest import read_regular
from aecodec.codec.rate_distortion import RateDistortion
from aecodec.errors import UnknownWeights
from aecodec.format.header import QUALITY_STEPS
from aecodec.format.header import Weights
from aecodec.format.symbols import SCALE_COUNT
from aecodec.format.symbols import SymbolTables
from aecodec.geometry import STRIDE
from aecodec.limits import MAX_SYMBOL
from aecodec.network.layers import Extent
from aecodec.network.layers import check_kind
from aecodec.network.layers import extent
from aecodec.network.layers import from_json
from aecodec.network.layers import walk
from aecodec.network.quantized import Network
from aecodec.network.quantized import QuantizedParameters

SYNTHESIS_BITS = 12  # width of latents as the synthesis sees them

# Bounds of |input| per network, from the widths that the format gives its inputs.
_CONTEXT = 2.0 ** (CONTEXT_BITS - 1)
_FEATURES = np.full(FEATURES, 2.0 ** (FEATURE_BITS - 1))
INPUT_BOUNDS: dict[str, np.ndarray] = {
    "analysis": np.full(3, 255.0),
    "hyper_analysis": np.full(LATENT_CHANNELS, _CONTEXT),
    "hyper_synthesis": np.full(LATENT_CHANNELS, _CONTEXT),
    "synthesis": np.full(LATENT_CHANNELS, 2.0 ** (SYNTHESIS_BITS - 1)),
    "context0": _FEATURES,
} | {f"context{step}": np.append(_FEATURES, np.full(LATENT_CHANNELS, _CONTEXT)) for step in range(1, STEPS)}

# Input, output and second input of each network, for m positions of its coarsest field.
_LATENT = Extent(LATENT_CHANNELS)
EXTENTS: dict[str, tuple[Extent, Extent, Extent | None]] = {
    "analysis": (Extent(3, STRIDE), _LATENT, None),
    "hyper_analysis": (Extent(LATENT_CHANNELS, 4), _LATENT, None),
    "hyper_synthesis": (_LATENT, Extent(FEATURES, 4), None),
    "synthesis": (_LATENT, Extent(3, STRIDE), Extent(FEATURES)),
    "context0": (Extent(FEATURES), Extent(2 * LATENT_CHANNELS), None),
} | {
    f"context{step}": (Extent(FEATURES + LATENT_CHANNELS), Extent(2 * LATENT_CHANNELS), None)
    for step in range(1, STEPS)
}

# Bounds of what a file states beside its networks. With them, 64 bits hold every product of a gain and a latent.
_MAX_VALUE = 1 << 31
_GAIN_SHIFTS = range(1, 49)
_SHIFTS = range(17)  # of numbers that are 16 bits wide
_EXPONENTS = range(-31, 32)


@dataclass(frozen=True, eq=False)
class DecoderHalf:
    """Everything that turns a file into pixels. `inverse_gain` [256, 16]."""

    name: str
    weights_id: bytes
    entropy: EntropyModel
    synthesis: Network
    inverse_gain: np.ndarray
    inverse_shift: int
    number: int | None = None  # of a registered model

    @property
    def weights(self) -> Weights:
        """How a file names these weights."""
        return self.weights_id if self.number is None else self.number


@dataclass(frozen=True, eq=False)
class EncoderHalf:
    """What only an encoder needs. `gain` [256, 16]; `default_quality` 0..255."""

    analysis: Network
    gain: np.ndarray
    gain_shift: int
    hyper_analysis: HyperAnalysis
    default_quality: int
    tradeoff: RateDistortion
    decoder_id: bytes | None = None  # of its decoding half; in older files only the manifest states it


@lru_cache(maxsize=8)
def _load_decoder(path: Path, weights_id: bytes, number: int | None) -> DecoderHalf:
    data = read_regular(path)
    if hashlib.sha256(data).digest()[:4] != weights_id:
        raise UnknownWeights(f"{path}: damaged, its hash does not begin with {weights_id.hex()}")
    return replace(parse_decoder(data, weights_id, str(path)), number=number)


def load_decoder(entry: Entry) -> DecoderHalf:
    """The decoding half, its hash checked. Raises UnknownWeights if it is missing or damaged."""
    return _load_decoder(entry.folder / entry.decoder_file, entry.weights_id, entry.number)


@lru_cache(maxsize=8)
def _load_encoder(path: Path, sha256: str) -> EncoderHalf:
    data = read_regular(path)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UnknownWeights(f"{path}: damaged, its hash is not the manifest's")
    return parse_encoder(data, str(path))


def load_encoder(entry: Entry) -> EncoderHalf:
    """The encoding half, its hash checked. Raises UnknownWeights if it is missing, damaged, or another decoder's."""
    path = entry.folder / entry.encoder_file
    encoder = _load_encoder(path, entry.encoder_hash)
    if encoder.decoder_id not in (None, entry.weights_id):
        raise UnknownWeights(
            f"{path}: belongs to the decoding half {encoder.decoder_id.hex()}, not to {entry.weights_id.hex()}"
        )
    return encoder


class _File:
    """Tensors and description of one half, checked as they are read."""

    def __init__(self, data: bytes) -> None:
        from safetensors.numpy import load

        self.tensors = load(data)
        length = int.from_bytes(data[:8], "little")
        self.description = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["description"])

    def integers(self, name: str, *shape: int) -> np.ndarray:
        values = self._integers(name)
        if values.shape != shape:
            raise ValueError(f"tensor {name} has shape {values.shape}, not {shape}")
        return values

    def integers_or_one(self, name: str, count: int) -> np.ndarray:
        """As many integers, which the file may hold as one if they are all equal."""
        values = self._integers(name)
        return np.repeat(values, count) if values.shape == (1,) else self.integers(name, count)

    def bounded(self, name: str, *shape: int) -> np.ndarray:
        """Numbers that other numbers are multiplied with or added to."""
        values = self.integers(name, *shape)
        if not -_MAX_VALUE <= values.min() <= values.max() < _MAX_VALUE:
            raise ValueError(f"tensor {name} holds numbers beyond 32 bits")
        return values

    def tables(self) -> SymbolTables:
        """The probability tables. Raises ValueError for another number of entries than their supports call for."""
        supports, flat = self.integers("tables.supports", SCALE_COUNT), self._integers("tables.frequencies")
        if not 0 < supports.min() <= supports.max() <= MAX_SYMBOL:
            raise ValueError(f"a table holds symbols up to {supports.max()}, the format up to {MAX_SYMBOL}")
        ends = np.cumsum(2 * supports + 2)
        if flat.shape != (ends[-1],):
            raise ValueError(f"tensor tables.frequencies has shape {flat.shape}, not {(int(ends[-1]),)}")
        return SymbolTables(tuple(np.split(flat, ends[:-1])))

    def _integers(self, name: str) -> np.ndarray:
        values = self.tensors[name]
        if values.dtype.kind not in "iu":
            raise ValueError(f"tensor {name} is {values.dtype}, not integers")
        return values.astype(np.int64)

    def number(self, name: str, allowed: range) -> int:
        """A whole number of the description."""
        return _number(name, self.description[name], allowed)

    def network(self, name: str) -> Network:
        described = self.description["networks"][name]
        layers = from_json(described["layers"])
        before, after, side = EXTENTS[name]
        if extent(layers, before, side) != after:
            raise ValueError(f"the network {name} turns {before} into {extent(layers, before, side)}, not {after}")
        numbers = {}
        for path, layer in walk(layers, name):
            if layer.weight_shape is not None:
                numbers[path.removeprefix(f"{name}.")] = self._parameters(path, *layer.weight_shape)
        return Network(
            layers, numbers, INPUT_BOUNDS[name], _FEATURES, _number("exponent", described["exponent"], _EXPONENTS)
        )

    def _parameters(self, path: str, rows: int, outputs: int) -> QuantizedParameters:
        weight = self.tensors[f"{path}.weight"]
        if weight.dtype != np.int8 or weight.shape != (rows, outputs):
            raise ValueError(f"tensor {path}.weight is {weight.dtype} {weight.shape}, not int8 {(rows, outputs)}")
        bias, shift = (self.integers(f"{path}.{part}", outputs) for part in ("bias", "shift"))
        low, high = (self.integers_or_one(f"{path}.{part}", outputs) for part in ("low", "high"))
        return QuantizedParameters(weight, bias, shift, low, high)


def parse_decoder(data: bytes, weights_id: bytes, where: str) -> DecoderHalf:
    """Reads a decoding half from the bytes of its file. Raises UnknownWeights if they are invalid."""
    try:
        file = _File(data)
        entropy = EntropyModel(
            tables=file.tables(),
            hyper_synthesis=file.network("hyper_synthesis"),
            context=tuple(file.network(f"context{step}") for step in range(STEPS)),
            hyper_mean=file.bounded("hyper_mean", 256, LATENT_CHANNELS),
            hyper_index=file.integers("hyper_index", 256, LATENT_CHANNELS),
            feature_bias=file.bounded("feature_bias", 256, FEATURES),
            latent_shift=file.number("latent_shift", _SHIFTS),
            hyper_shift=file.number("hyper_shift", _SHIFTS),
        )
        _check(entropy)
        return DecoderHalf(
            name=check_kind("name", file.description["name"], str),
            weights_id=weights_id,
            entropy=entropy,
            synthesis=file.network("synthesis"),
            inverse_gain=file.bounded("inverse_gain", 256, LATENT_CHANNELS),
            inverse_shift=file.number("inverse_shift", _GAIN_SHIFTS),
        )
    except Exception as error:
        raise _not_weights(where, error) from error


def _check(model: EntropyModel) -> None:
    """Raises ValueError if a table is invalid or a scale index has none."""
    last = [network.parameters[str(len(network.layers) - 1)] for network in model.context]
    edges = np.concatenate([own.low[LATENT_CHANNELS:] for own in last] + [own.high[LATENT_CHANNELS:] for own in last])
    indexes = np.append(edges, model.hyper_index)
    if len(model.tables.coder) != SCALE_COUNT + 1 or indexes.min() < 0 or indexes.max() >= SCALE_COUNT:
        raise ValueError(f"scale indexes {indexes.min()}..{indexes.max()} for {SCALE_COUNT} tables")


def parse_encoder(data: bytes, where: str) -> EncoderHalf:
    """Reads an encoding half from the bytes of its file. Raises UnknownWeights if they are invalid."""
    try:
        file = _File(data)
        decoder_id = file.description.get("decoder")
        return EncoderHalf(
            analysis=file.network("analysis"),
            gain=file.bounded("gain", 256, LATENT_CHANNELS),
            gain_shift=file.number("gain_shift", _GAIN_SHIFTS),
            hyper_analysis=HyperAnalysis(file.network("hyper_analysis"), file.number("hyper_input_shift", _SHIFTS)),
            default_quality=file.number("default_quality", range(QUALITY_STEPS)),
            tradeoff=_tradeoff(file.description.get("tradeoff", {})),
            decoder_id=None if decoder_id is None else bytes.fromhex(decoder_id),
        )
    except Exception as error:
        raise _not_weights(where, error) from error


def _number(name: str, value: Any, allowed: range) -> int:
    if check_kind(name, value, int) not in allowed:
        raise ValueError(f"{name} {value} is not in {allowed.start}..{allowed.stop - 1}")
    return value


def _tradeoff(described: dict[str, Any]) -> RateDistortion:
    """Raises ValueError for an invalid one. Weights that do not state theirs have the default."""
    tradeoff = RateDistortion(**described)
    if tradeoff.distortion not in ("mse", "l1") or not 1e-9 < tradeoff.low <= tradeoff.high < 1e9:
        raise ValueError(f"no such trade-off: {tradeoff}")
    return tradeoff


def _not_weights(where: str, error: Exception) -> UnknownWeights:
    reason = repr(error)
    return UnknownWeights(
        f"{where}: not weights of this version ({reason if len(reason) < 300 else reason[:300] + '...'})"
    )
