"""From a float model to weights: integer networks, tables over the quality byte, probability tables.

The export uses the grids of training with rounding, so the runtimes compute what the model computed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save
from torch import Tensor

from aecodec.codec.architectures import LATENT_CHANNELS
from aecodec.codec.architectures import STEPS
from aecodec.codec.latent_coding import analyse_hyper
from aecodec.codec.latent_coding import encode_latent
from aecodec.codec.latent_coding import scale_of_index
from aecodec.codec.transforms import analyse
from aecodec.codec.transforms import apply_gain
from aecodec.codec.weights import DecoderHalf
from aecodec.codec.weights import EncoderHalf
from aecodec.codec.weights import parse_decoder
from aecodec.codec.weights import parse_encoder
from aecodec.format.header import QUALITY_STEPS
from aecodec.format.symbols import SCALE_COUNT
from aecodec.format.symbols import TOTAL
from aecodec.format.symbols import UNIT
from aecodec.network.layers import to_json
from aecodec.network.numpy_runtime import NumpyRuntime
from aecodec.network.quantized import FLOAT32_LIMIT
from aecodec.train.layers import Product
from aecodec.train.model import AutoEncoder
from aecodec.train.model import at_quality

PRIOR_WEIGHT = 2000.0  # of a table's Gaussian, in observed symbols
# Largest symbol of each table: about six standard deviations.
SUPPORTS = np.ceil(6.0 * scale_of_index(np.arange(SCALE_COUNT))).astype(np.int64) + 1


@dataclass(frozen=True)
class Halves:
    """The two weights files of a model."""

    decoder: bytes
    encoder: bytes

    @property
    def weights_id(self) -> bytes:
        """The id that the decoding half gives to its files."""
        return hashlib.sha256(self.decoder).digest()[:4]

    def parsed(self) -> tuple[EncoderHalf, DecoderHalf]:
        return parse_encoder(self.encoder, "export"), parse_decoder(self.decoder, self.weights_id, "export")


def export(model: AutoEncoder, pictures: Iterable[np.ndarray], *, default_quality: int = 128) -> Halves:
    """The weights of a calibrated model. `pictures`: training pictures uint8 [H, W, 3], for the probability tables."""
    gaussian = _tables(np.zeros((SCALE_COUNT, 2 * SUPPORTS.max() + 2)))
    halves = _halves(model, gaussian, default_quality)
    encoder, decoder = halves.parsed()
    return _halves(model, _tables(_count_symbols(encoder, decoder, pictures)), default_quality)


def with_default_quality(model: AutoEncoder, halves: Halves, quality: int) -> Halves:
    """The same weights with another default quality, which only the encoding half holds: the id stays."""
    _, decoder = halves.parsed()
    return _halves(model, list(decoder.entropy.tables.frequencies), quality)


def _halves(model: AutoEncoder, frequencies: list[np.ndarray], default_quality: int) -> Halves:
    decoder_networks = ["synthesis", "hyper_synthesis", *(f"context{step}" for step in range(STEPS))]
    tables = _quality_tables(model)
    decoder: dict[str, np.ndarray] = {
        "tables.frequencies": np.concatenate(frequencies),
        "tables.supports": SUPPORTS,
    }
    decoder |= {name: tables[name] for name in ("inverse_gain", "hyper_mean", "hyper_index", "feature_bias")}
    encoder = {"gain": tables["gain"]}
    low, high = model.config.lambda_range
    description = {
        "name": model.config.name,
        "latent_shift": _shift_of(model.latent_scale.value),
        "hyper_shift": _shift_of(model.hyper_scale.value),
        "inverse_shift": tables["inverse_shift"],
    }
    data = _file(model, decoder_networks, decoder, description)
    encoder_description = {
        "name": model.config.name,
        "decoder": Halves(data, b"").weights_id.hex(),
        "gain_shift": tables["gain_shift"],
        "hyper_input_shift": _shift_of(model.hyper_input_scale.value),
        "default_quality": default_quality,
        "tradeoff": {"distortion": model.config.distortion, "low": low, "high": high},
    }
    return Halves(data, _file(model, ["analysis", "hyper_analysis"], encoder, encoder_description))


def _shift_of(scale: Tensor) -> int:
    """From 1/64 to the grid of `scale`."""
    return round(np.log2(UNIT / float(scale)))


def _file(model: AutoEncoder, names: list[str], tensors: dict[str, np.ndarray], description: dict[str, Any]) -> bytes:
    networks = {}
    for name in names:
        stack = model.get_submodule(name)
        exponent = stack.output_scale.value.log2().max()
        networks[name] = {"layers": to_json(model.architecture.networks()[name]), "exponent": round(float(exponent))}
        for path, module in stack.named_modules(prefix=name):
            if isinstance(module, Product):
                tensors |= {f"{path}.{part}": values for part, values in _integers(module).items()}
    text = json.dumps(description | {"networks": networks}, sort_keys=True, separators=(",", ":"))
    return save({name: narrowest(tensors[name]) for name in sorted(tensors)}, {"description": text})


def narrowest(values: np.ndarray) -> np.ndarray:
    """The same integers in the smallest of the format's types; in a small model, biases and bounds take a tenth."""
    for dtype in (np.int8, np.uint8, np.int16, np.int32, np.uint32):
        limits = np.iinfo(dtype)
        if limits.min <= values.min() and values.max() <= limits.max:
            return np.ascontiguousarray(values, dtype)
    return np.ascontiguousarray(values, np.int64)


def one_if_equal(values: np.ndarray) -> np.ndarray:
    return values[:1] if (values == values[0]).all() else values


@torch.no_grad()
def _integers(module: Product) -> dict[str, np.ndarray]:
    """A layer's integers, in the units of `quantized.py`."""
    own = module.weight_scale()  # [outputs, 1, 1, 1]
    weight = module.rounded_weight() * own
    outputs = weight.shape[0]
    unit = own.flatten().double() * module.input_scale.value.double()
    scale = module.output_scale.value.double().flatten().expand(outputs)
    shift = torch.round(torch.log2(unit / scale)).long()
    half = torch.where(shift > 0, 2.0 ** (shift.clamp_min(1) - 1), 0.0)
    bias = module.rounded_bias().double() * unit + half
    low, high = torch.full((outputs,), module.low), torch.full((outputs,), module.high)
    if scale.min() != scale.max():  # the parameters of a context step: means, then scale indexes
        low[LATENT_CHANNELS:], high[LATENT_CHANNELS:] = 0, SCALE_COUNT - 1
    return {
        "weight": weight.permute(2, 3, 1, 0).reshape(-1, outputs).to(torch.int8).numpy(),
        "bias": bias.long().numpy(),
        "shift": shift.numpy(),
        "low": one_if_equal(low.long().numpy()),
        "high": one_if_equal(high.long().numpy()),
    }


@torch.no_grad()
def _quality_tables(model: AutoEncoder) -> dict[str, Any]:
    """All that depends on quality, as integers for each of the 256 steps."""
    quality = torch.arange(QUALITY_STEPS) / (QUALITY_STEPS - 1)

    def at(knots: Tensor) -> Tensor:
        return at_quality(knots, quality)[:, :, 0, 0].double()

    log_gain, log_inverse = at(model.log_gain), at(model.log_inverse_gain)
    analysis, synthesis = model.analysis.output_scale.value, model.synthesis_scale.value
    gain = log_gain.exp() * UNIT / float(analysis)
    inverse = (log_inverse - log_gain).exp() * float(synthesis) / UNIT
    gain_table, gain_shift = _fixed_point(gain, 20)
    inverse_table, inverse_shift = _fixed_point(inverse, 15)  # an error under 0.03 %: the smallest is a twentieth
    features = float(model.latent_scale.value)
    return {
        "gain": gain_table,
        "gain_shift": gain_shift,
        "inverse_gain": inverse_table,
        "inverse_shift": inverse_shift,
        "hyper_mean": torch.floor(at(model.hyper_mean) * UNIT + 0.5).long().numpy(),
        "hyper_index": at(model.hyper_index).round().clamp(0, SCALE_COUNT - 1).long().numpy(),
        "feature_bias": torch.floor(at(model.feature_bias) * features + 0.5).long().numpy(),
    }


def _fixed_point(values: Tensor, bits: int) -> tuple[np.ndarray, int]:
    """Positive factors times 2^shift, rounded to integers under 2^bits, and the shift."""
    shift = bits - int(np.ceil(np.log2(float(values.max()))))
    return torch.round(values * 2.0**shift).clamp_max(2**bits - 1).long().numpy(), shift


def wide_layers(encoder: EncoderHalf, decoder: DecoderHalf) -> list[str]:
    """Layers whose sums can reach 2^24, with their bound: NumPy runs them in float64. There should be none."""
    networks = {
        "analysis": encoder.analysis,
        "hyper_analysis": encoder.hyper_analysis.network,
        "synthesis": decoder.synthesis,
        "hyper_synthesis": decoder.entropy.hyper_synthesis,
    } | {f"context{step}": network for step, network in enumerate(decoder.entropy.context)}
    return [
        f"{name}.{path} (2^{np.log2(bound):.2f})"
        for name, network in networks.items()
        for path, bound in network.bounds.items()
        if bound >= FLOAT32_LIMIT
    ]


class _Counter:
    """A sink that counts symbols by table; the last column is the escape."""

    def __init__(self, counts: np.ndarray) -> None:
        self.counts = counts

    def write(self, index: np.ndarray, symbols: np.ndarray) -> None:
        support = SUPPORTS[index]
        entry = np.where(np.abs(symbols) > support, 2 * support + 1, symbols + support)
        np.add.at(self.counts, (index, entry), 1)


def _count_symbols(encoder: EncoderHalf, decoder: DecoderHalf, pictures: Iterable[np.ndarray]) -> np.ndarray:
    """How often each table codes each of its entries over the pictures, at qualities over the whole range."""
    runtime = NumpyRuntime()
    counter = _Counter(np.zeros((SCALE_COUNT, 2 * SUPPORTS.max() + 2)))
    for number, picture in enumerate(pictures):
        raw = analyse(encoder.analysis, runtime, picture[None])
        for share in (0.15, 0.5, 0.85):
            quality = np.array([(int(share * QUALITY_STEPS) + 37 * number) % QUALITY_STEPS])
            latent = apply_gain(encoder, raw, quality)
            hyper = analyse_hyper(encoder.hyper_analysis, runtime, latent)
            encode_latent(decoder.entropy, runtime, latent, hyper, quality, [counter])
    return counter.counts


def _tables(counts: np.ndarray) -> list[np.ndarray]:
    """Frequencies per scale index: a Gaussian prior updated by the counts, symmetric in sign."""
    return [_table(counts[index], float(scale_of_index(index)), int(k)) for index, k in enumerate(SUPPORTS)]


def _table(counts: np.ndarray, scale: float, support: int) -> np.ndarray:
    size = 2 * support + 2
    edges = torch.arange(-support, support + 2, dtype=torch.float64) - 0.5
    gaussian = torch.special.ndtr(edges / scale).diff().numpy()
    prior = np.append(gaussian, max(1 - gaussian.sum(), 1e-6))
    seen = counts[:size].copy()
    seen[:-1] = (seen[:-1] + seen[:-1][::-1]) / 2
    probability = seen + PRIOR_WEIGHT * prior / prior.sum()
    frequencies = np.floor(probability / probability.sum() * (TOTAL - size)).astype(np.int64) + 1
    frequencies[support] += TOTAL - frequencies.sum()
    return frequencies
