"""Float models small enough for tests."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass
from dataclasses import replace
from functools import cache
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor

from aecodec.codec.architectures import paper
from aecodec.codec.architectures import standard
from aecodec.codec.latent_coding import analyse_hyper
from aecodec.codec.latent_coding import encode_latent
from aecodec.codec.transforms import analyse
from aecodec.codec.transforms import apply_gain
from aecodec.codec.weights import DecoderHalf
from aecodec.codec.weights import EncoderHalf
from aecodec.image.reading import open_picture
from aecodec.network.numpy_runtime import NumpyRuntime
from aecodec.train import rescale
from aecodec.train.export import Halves
from aecodec.train.export import export
from aecodec.train.model import CONFIGS
from aecodec.train.model import AutoEncoder
from aecodec.train.rescale import give_headroom
from helpers.meter import SymbolMeter
from helpers.paths import PHOTOS

RUNTIME = NumpyRuntime()
STEPS = np.array([0, 77, 255])  # quality steps of the three pictures
NAMES = ("car", "church", "mountain")


def small(name: str) -> AutoEncoder:
    """A `standard` of few channels, or the layers of `paper` with its entropy networks."""
    shape = standard(16, 1, 1, entropy_width=16)
    if name == "paper":
        shape = replace(shape, name=name, analysis=paper().analysis, synthesis=paper().synthesis)
    return AutoEncoder(CONFIGS[name], shape)


def pictures() -> np.ndarray:
    """Three pieces of photographs, uint8 [3, 64, 96, 3]."""
    return np.stack([open_picture(PHOTOS / f"{name}.jpg").pixels[60:124, 60:156] for name in NAMES])


def tensor(pixels: np.ndarray) -> Tensor:
    return real(pixels, 255)


def small_model(name: str) -> AutoEncoder:
    """An untrained model whose every part has something to do: no bias is zero, every symbol varies."""
    return deepcopy(_calibrated(name))


@cache
def _calibrated(name: str) -> AutoEncoder:
    torch.manual_seed(3)
    model = AutoEncoder(CONFIGS["paper"]) if name == "full paper" else small(name)
    with torch.no_grad():
        for module in model.modules():
            if hasattr(module, "bias"):
                module.bias += torch.randn_like(module.bias) * 0.05
        for knots, spread in ((model.hyper_mean, 1.0), (model.feature_bias, 1.0), (model.log_inverse_gain, 0.2)):
            knots += torch.randn_like(knots) * spread
        model.get_submodule("hyper_analysis.2").weight.mul_(80)
        model.log_gain.sub_(math.log(2)).mul_(2 / model.log_gain.max()).add_(math.log(2))  # symbols that tables hold
        if name != "standard":
            for part in (model.analysis, model.synthesis):
                for module in part.modules():
                    if hasattr(module, "weight"):
                        module.weight *= 1.6
    model.calibrate(tensor(pictures()), torch.tensor([0.1, 0.5, 0.9]))
    with patch.object(rescale, "SIDE", 32):
        give_headroom(model)
    return model


def unrounded(model: AutoEncoder) -> AutoEncoder:
    """A copy with rounding off."""
    model = deepcopy(model)
    model.mode.rounding = False
    return model


@dataclass(frozen=True)
class Pair:
    """A float model with rounding on and what was exported from it."""

    model: AutoEncoder
    halves: Halves
    encoder: EncoderHalf
    decoder: DecoderHalf


@pytest.fixture(scope="module", params=["standard", "paper", pytest.param("full paper", marks=pytest.mark.slow)])
def pair(request: pytest.FixtureRequest) -> Pair:
    model = small_model(request.param)
    halves = export(model, pictures())
    model.mode.rounding = True
    return Pair(model, halves, *halves.parsed())


class Recorder:
    def __init__(self) -> None:
        self.symbols: list[np.ndarray] = []

    def write(self, index: np.ndarray, symbols: np.ndarray) -> None:
        self.symbols.append(symbols)


def real(values: np.ndarray, scale: float | Tensor) -> Tensor:
    """Integers [B, H, W, C] of a grid as values [B, C, H, W]."""
    return torch.from_numpy(values).permute(0, 3, 1, 2).float() / scale


def raw_latent(pair: Pair) -> np.ndarray:
    return analyse(pair.encoder.analysis, RUNTIME, pictures())


def code(pair: Pair) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Latent, decoded latent and features of the pictures, by the integers."""
    latent = apply_gain(pair.encoder, raw_latent(pair), STEPS)
    sinks = [Recorder() for _ in STEPS]
    entropy = pair.decoder.entropy
    hyper = analyse_hyper(pair.encoder.hyper_analysis, RUNTIME, latent)
    decoded, features = encode_latent(entropy, RUNTIME, latent, hyper, STEPS, sinks)
    assert all(np.ptp(symbols) > 0 for sink in sinks for symbols in sink.symbols), "every part codes something"
    return latent, decoded, features


def coded_bits(pair: Pair, pieces: list[np.ndarray]) -> np.ndarray:
    """Bits of each picture's symbols, with tables made from `pieces`."""
    latent, _, _ = code(pair)
    encoder, decoder = export(pair.model, pieces).parsed()
    meters = [SymbolMeter(decoder.entropy.tables) for _ in STEPS]
    hyper = analyse_hyper(encoder.hyper_analysis, RUNTIME, latent)
    encode_latent(decoder.entropy, RUNTIME, latent, hyper, STEPS, meters)
    return np.array([meter.bits for meter in meters])


def crops(count: int) -> Tensor:
    photo = open_picture(PHOTOS / "church.jpg").pixels
    return tensor(np.stack([photo[16 * n : 16 * n + 64, 20 * n : 20 * n + 64] for n in range(count)]))
