"""Export of a float model to integer weights and tables."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from helpers.paths import PHOTOS

torch = pytest.importorskip("torch")
from safetensors.torch import load_file

from aecodec.codec.encoder import PictureEncoder
from aecodec.codec.latent_coding import scale_of_index
from aecodec.codec.weights import DecoderHalf
from aecodec.codec.weights import EncoderHalf
from aecodec.format.symbols import SCALE_COUNT
from aecodec.format.symbols import TOTAL
from aecodec.image.reading import open_picture
from aecodec.network.numpy_runtime import NumpyRuntime
from aecodec.network.quantized import FLOAT32_LIMIT
from aecodec.train import release
from aecodec.train import rescale
from aecodec.train.checkpoint import write_checkpoint
from aecodec.train.export import export
from aecodec.train.export import narrowest
from aecodec.train.export import wide_layers
from aecodec.train.export import with_default_quality
from helpers.models import Pair
from helpers.models import coded_bits
from helpers.models import pictures
from helpers.models import small
from helpers.models import small_model
from helpers.models import unrounded

pytest_plugins = ["helpers.models"]


@pytest.fixture(autouse=True)
def _small_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rescale, "SIDE", 32)


def test_export_is_repeatable_and_does_not_depend_on_the_mode(pair: Pair):
    for model in (pair.model, unrounded(pair.model)):
        assert export(model, pictures()) == pair.halves


def test_another_default_quality_leaves_the_decoder_and_its_id(pair: Pair):
    other = with_default_quality(pair.model, pair.halves, 55)
    assert other.decoder == pair.halves.decoder and other.weights_id == pair.halves.weights_id
    assert (other.parsed()[0].default_quality, pair.encoder.default_quality) == (55, 128)


def test_gains_over_quality():
    """Gain rises with quality as trained, the inverse falls, and their product is the model's."""
    model = small_model("standard")
    with torch.no_grad():
        model.log_inverse_gain.zero_()
    encoder, decoder = export(model, []).parsed()
    assert (np.diff(encoder.gain, axis=0) > 0).all() and (np.diff(decoder.inverse_gain, axis=0) < 0).all()
    for table, bits in ((encoder.gain, 20), (decoder.inverse_gain, 15)):
        assert 2 ** (bits - 1) <= table.max() < 2**bits and table.min() > 2**10, "enough bits at every quality"
    both = encoder.gain * 2.0**-encoder.gain_shift * decoder.inverse_gain * 2.0**-decoder.inverse_shift
    scales = float(model.synthesis_scale.value / model.analysis.output_scale.value)
    assert both == pytest.approx(np.full((256, 16), scales), rel=4e-4)


def test_tensors_take_the_smallest_type_that_holds_them():
    for low, high, dtype in ((-128, 127, "i1"), (0, 200, "u1"), (-1, 200, "i2"), (0, 2**31, "u4"), (-1, 2**31, "i8")):
        values = np.array([low, high])
        assert narrowest(values).dtype == np.dtype(dtype) and np.array_equal(narrowest(values), values)


def test_the_default_quality_is_the_highest_within_the_target(pair: Pair, monkeypatch: pytest.MonkeyPatch):
    photos = [open_picture(path).pixels[:64, :64] for path in sorted(PHOTOS.glob("*.jpg"))]

    def mean_bytes(step: int) -> float:
        coded = [PictureEncoder(photo, pair.encoder, pair.decoder, NumpyRuntime()).encode(step) for photo in photos]
        return float(np.mean([len(each.data) for each in coded]))

    monkeypatch.setattr(release, "TARGET_BYTES", mean_bytes(100))
    found = release._default_quality(pair.halves, photos)
    assert mean_bytes(found) <= mean_bytes(100) < mean_bytes(found + 1)


def test_quality_tables_pass_through_the_knots():
    model = small_model("standard")
    _, decoder = export(model, []).parsed()
    entropy = decoder.entropy
    for step, knot in ((0, 0), (255, -1)):
        means = model.hyper_mean[knot].detach().numpy()
        assert entropy.hyper_mean[step] == pytest.approx(means * 64, abs=0.51)
        bias = model.feature_bias[knot].detach().numpy() * float(model.latent_scale.value)
        assert entropy.feature_bias[step] == pytest.approx(bias, abs=0.51)
    assert (entropy.hyper_index == 12).all()


def test_tables_without_pictures_are_gaussians():
    _, decoder = export(small_model("standard"), []).parsed()
    for index, table in enumerate(decoder.entropy.tables.frequencies):
        support = len(table) // 2 - 1
        symbols, scale = np.arange(-support, support + 1), float(scale_of_index(index)) * math.sqrt(2)
        expected = np.array([math.erf((k + 0.5) / scale) - math.erf((k - 0.5) / scale) for k in symbols]) / 2
        assert table[:-1] / TOTAL == pytest.approx(expected, abs=1e-4)
        assert np.array_equal(table[:support], table[support + 1 : -1][::-1]), "even in sign"
        assert (np.diff(table[: support + 1]) >= 0).all() and table.sum() == TOTAL and table.min() >= 1
    assert len(decoder.entropy.tables.frequencies) == SCALE_COUNT


def test_tables_counted_on_pictures_code_them_in_fewer_bits(pair: Pair):
    assert coded_bits(pair, list(pictures())).sum() < 0.9 * coded_bits(pair, []).sum()


def test_every_exported_layer_is_exact_in_float32(pair: Pair):
    """Untrained weights fill their width and are the worst case: their scales are reduced."""
    assert wide_layers(pair.encoder, pair.decoder) == []
    for network in (pair.encoder.analysis, pair.decoder.synthesis, *pair.decoder.entropy.context):
        assert max(network.bounds.values()) < FLOAT32_LIMIT
    assert max(pair.decoder.entropy.context[1].bounds.values()) > FLOAT32_LIMIT / 4, "and no more than they have to"


def test_layers_that_need_float64_are_named(tiny: tuple[EncoderHalf, DecoderHalf]):
    """The permanent test network has three."""
    named = wide_layers(*tiny)
    assert [line.split()[0] for line in named] == ["context1.0", "context2.0", "context3.0"]
    assert all("(2^24." in line for line in named)


@pytest.mark.parametrize("calibrated", [False, True])
def test_float_weights_are_those_from_before_rounding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calibrated: bool
) -> None:
    """Whether training rounded them, and kept them, or the export does."""
    monkeypatch.setattr(release, "build", small)
    monkeypatch.setattr(release, "central_crops", lambda pictures, count: [pixels[:64, :64] for pixels in pictures[:2]])
    torch.manual_seed(0)
    model, before = small("standard"), dict(small("standard").named_parameters())
    expected = before if calibrated else dict(model.named_parameters())
    content = {
        "config": "standard",
        "model": model.state_dict(),
        "unrounded": {name: weight.detach() for name, weight in before.items()} if calibrated else {},
        "optimizer": {},
        "counters": {"calibrated": calibrated, "pixels": 7},
        "random": {},
    }
    write_checkpoint(tmp_path / "end.pt", content)
    said: list[str] = []
    release.release(tmp_path / "end.pt", [PHOTOS], tmp_path / "out", None, None, said.append)
    assert said[0].startswith("never trained with rounding") != calibrated
    floats = load_file(tmp_path / "out" / "standard.float16.safetensors")
    for name, weight in expected.items():
        assert torch.equal(floats[name], weight.detach().half()), name
