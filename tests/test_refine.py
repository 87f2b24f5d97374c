"""Effort: refined latents cost less than plain ones, are judged by real files, and the gradients are right."""

from __future__ import annotations

import math

import numpy as np
import pytest

import aecodec
from aecodec.codec import encoder
from aecodec.codec import manifest
from aecodec.codec.decoder import Loader
from aecodec.codec.decoder import decode_picture
from aecodec.codec.encoder import Encoded
from aecodec.codec.encoder import PictureEncoder
from aecodec.codec.rate_distortion import RateDistortion
from aecodec.codec.refine import FloatModel
from aecodec.codec.refine import Objective
from aecodec.codec.refine import Rates
from aecodec.codec.refine import Relaxed
from aecodec.codec.refine import Surroundings
from aecodec.codec.refine import relax
from aecodec.codec.weights import load_decoder
from aecodec.codec.weights import load_encoder
from aecodec.errors import AecError
from aecodec.geometry import Box
from aecodec.image.reading import open_picture
from aecodec.network.gradients import FloatNetwork
from aecodec.network.quantized import Runtime
from helpers.meter import SymbolMeter
from helpers.paths import PHOTOS
from helpers.tiny import RUNTIME
from helpers.tiny import Tiny


def decode(data: bytes, runtime: Runtime, load: Loader) -> np.ndarray:
    return decode_picture(data, runtime, load).array


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return open_picture(PHOTOS / "church.jpg").pixels[40:136, 30:158]


def cost(tiny: Tiny, pixels: np.ndarray, data: bytes, quality: int) -> float:
    decoded = decode(data, RUNTIME, lambda _: tiny[1])
    return 8 * len(data) + tiny[0].tradeoff.bits(pixels.astype(float) - decoded, quality)


# The parts


def test_a_relaxed_symbol_is_between_its_neighbours_and_hardens():
    x = np.linspace(-3, 3, 4001, dtype=np.float32)
    soft, hard = (relax(x, temperature, np.random.default_rng(0)) for temperature in (0.5, 0.02))
    for relaxed in (soft, hard):
        assert ((relaxed.value >= np.floor(x)) & (relaxed.value <= np.floor(x) + 1)).all()
        assert (relaxed.slope >= 0).all()
    assert (np.abs(hard.value - np.rint(hard.value)) < 0.01).mean() > 0.95
    clear = np.abs(x - np.rint(x)) < 0.3
    assert (np.rint(hard.value) == np.rint(x))[clear].mean() > 0.99


def test_the_slope_of_a_relaxed_symbol_is_its_derivative():
    x = np.linspace(-2.9, 2.9, 60)
    step = 1e-4
    near = relax(x, 0.5, np.random.default_rng(0))
    above, below = (relax(x + move, 0.5, np.random.default_rng(0)).share.astype(float) for move in (step, -step))
    assert near.slope == pytest.approx((above - below) / (2 * step), rel=0.02, abs=0.02)


def test_rates_of_integers_are_the_code_length_of_the_tables(tiny: Tiny):
    tables = tiny[1].entropy.tables
    rng = np.random.default_rng(0)
    index = rng.integers(0, 63, 500)
    symbols = rng.integers(-2, 3, 500)
    meter = SymbolMeter(tables)
    meter.write(index, symbols)
    whole = Relaxed(symbols, np.zeros(500, np.float32), np.ones(500, np.float32))
    assert Rates(tables).of(whole, index.astype(np.float32))[0] == pytest.approx(meter.bits, rel=1e-5)


@pytest.mark.parametrize("distortion", ["mse", "l1"])
def test_gradients_of_the_objective_are_those_of_differences(
    tiny: Tiny, photo: np.ndarray, distortion: str, monkeypatch: pytest.MonkeyPatch
):
    """A tile within a larger frame, through hyper-latent, context steps, tables and synthesis; rounding held still.

    In floats: the kernels' forward pass has steps.
    """
    monkeypatch.setattr("aecodec.codec.refine.differentiable", FloatNetwork)
    rng = np.random.default_rng(0)
    tile = Box(0, 4, 4, 8)
    around = Surroundings(
        latent=rng.integers(-200, 200, (1, 8, 12, 16)).astype(np.int32),
        features=rng.integers(-40, 40, (1, 8, 12, 32)).astype(np.int16),
        pixels=photo[:60, :90],
        tile=tile,
    )
    objective = Objective(FloatModel(tiny[1]), RateDistortion(distortion), around, 200)
    latent = rng.normal(0, 1, (1, 4, 4, 16)).astype(np.float32)
    hyper = rng.normal(0, 1, (1, 1, 1, 16)).astype(np.float32)

    def smooth(x: np.ndarray) -> Relaxed:
        """The identity, as far as the tables are linear."""
        lower = np.floor(x)
        return Relaxed(lower.astype(np.intp), (x - lower).astype(np.float32), np.ones_like(x))

    _, by_latent, by_hyper = objective.gradients(latent, hyper, smooth)
    assert (by_latent != 0).all() and (by_hyper != 0).any()
    agreeing = 0
    for _ in range(12):  # some land on a kink of the tables or of an activation
        along_latent, along_hyper = (rng.standard_normal(values.shape).astype(np.float32) for values in (latent, hyper))
        above, below = (
            objective.gradients(latent + step * along_latent, hyper + step * along_hyper, smooth)[0]
            for step in (0.002, -0.002)
        )
        found = float((by_latent * along_latent).sum() + (by_hyper * along_hyper).sum())
        agreeing += math.isclose((above - below) / 0.004, found, rel_tol=0.1, abs_tol=20)
    assert agreeing >= 9


# Whole files


def test_refined_files_cost_less(tiny: Tiny, photo: np.ndarray):
    photo = photo[:64, :96]
    for quality in (60, 200):
        plain = PictureEncoder(photo, *tiny, RUNTIME).encode(quality).data
        refined = PictureEncoder(photo, *tiny, RUNTIME, steps=60).encode(quality).data
        assert cost(tiny, photo, refined, quality) < 0.97 * cost(tiny, photo, plain, quality)


def test_the_same_picture_is_refined_in_the_same_way(tiny: Tiny, photo: np.ndarray):
    files = {PictureEncoder(photo[:64, :64], *tiny, RUNTIME, steps=5).encode(128).data for _ in range(2)}
    assert len(files) == 1


def test_a_refinement_that_costs_more_is_discarded(tiny: Tiny, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    plain = PictureEncoder(photo, *tiny, RUNTIME).encode(128).data
    monkeypatch.setattr("aecodec.codec.refine.refine", lambda objective, latent, hyper, *rest: (latent + 700, hyper))
    assert PictureEncoder(photo, *tiny, RUNTIME, steps=5).encode(128).data == plain


@pytest.mark.parametrize("shape", [(1, 1, 3), (40, 33), (37, 70, 3)])
def test_any_shape_and_grey_are_refined(tiny: Tiny, photo: np.ndarray, shape: tuple[int, ...]):
    pixels = photo[: shape[0], : shape[1]]
    pixels = pixels if len(shape) == 3 else pixels[..., 1]
    data = PictureEncoder(np.ascontiguousarray(pixels), *tiny, RUNTIME, steps=3).encode(128).data
    assert decode(data, RUNTIME, lambda _: tiny[1]).shape == shape


def test_each_tile_is_refined_and_progress_is_reported(tiny: Tiny, monkeypatch: pytest.MonkeyPatch):
    """With small tiles in encoder and decoder."""
    monkeypatch.setattr("aecodec.geometry.TILE", 64)
    monkeypatch.setattr("aecodec.codec.encoder.TILE", 64)
    monkeypatch.setattr("aecodec.format.header.tile_count", lambda width, height: -(-width // 64) * -(-height // 64))
    photo = open_picture(PHOTOS / "church.jpg").pixels[:128, :160]
    told: list[float] = []
    plain = PictureEncoder(photo, *tiny, RUNTIME).encode(128).data
    refined = PictureEncoder(photo, *tiny, RUNTIME, 20, told.append).encode(128).data
    assert cost(tiny, photo, refined, 128) < 0.99 * cost(tiny, photo, plain, 128)
    assert told == pytest.approx([step / 120 for step in range(1, 121)])


# Targets


@pytest.mark.slow
def test_targets_are_kept_and_results_improve():
    """With the bundled model: the tiny one was never trained, so its loss means little."""
    entry = manifest.find_by_name("standard")
    halves = load_encoder(entry), load_decoder(entry)
    photo = open_picture(PHOTOS / "church.jpg").pixels
    plain, refined = (PictureEncoder(photo, *halves, RUNTIME, steps) for steps in (0, 40))

    def psnr(data: bytes) -> float:
        decoded = decode(data, RUNTIME, lambda _: halves[1])
        return 10 * math.log10(255**2 / float(np.mean((photo.astype(float) - decoded) ** 2)))

    by_size = refined.encode_to_size(2000).data
    assert 1900 < len(by_size) <= 2000 and psnr(by_size) > psnr(plain.encode_to_size(2000).data) + 0.1
    by_psnr = refined.encode_to_psnr(24).data
    assert 24 <= psnr(by_psnr) < 24.2 and len(by_psnr) < 0.98 * len(plain.encode_to_psnr(24).data)


def made_up(quality: int, size: int) -> Encoded:
    return Encoded(bytes(size), quality, np.empty(0), np.empty(0))


def test_a_refined_target_is_searched_on_both_sides(tiny: Tiny, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    analysed = PictureEncoder(photo, *tiny, RUNTIME, steps=1)
    monkeypatch.setattr(analysed, "encode_plain", lambda quality: made_up(quality, 10 * quality))
    for ratio, expected in ((0.95, 105), (1.0, 100), (1.05, 94)):
        monkeypatch.setattr(
            analysed, "encode", lambda quality, ratio=ratio: made_up(quality, int(10 * ratio * quality))
        )
        found = analysed.encode_to_size(1004).data
        assert 10 * ratio * (expected - 2) < len(found) <= 1004


def test_the_plain_file_is_kept_if_no_refinement_fits(tiny: Tiny, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    analysed = PictureEncoder(photo, *tiny, RUNTIME, steps=1)
    target = len(analysed.encode_plain(100).data)
    monkeypatch.setattr(analysed, "encode", lambda quality: made_up(quality, target + 1))
    assert analysed.encode_to_size(target).data == PictureEncoder(photo, *tiny, RUNTIME).encode_to_size(target).data


# The interface


def test_effort_of_the_interface(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    seen: list[int] = []
    own = encoder.PictureEncoder.__init__

    def noting(self: PictureEncoder, *arguments: object) -> None:
        seen.append(arguments[4])
        own(self, *arguments[:4], 0)

    monkeypatch.setattr(encoder.PictureEncoder, "__init__", noting)
    for effort in range(4):
        aecodec.encode(photo, model="tiny", effort=effort)
    assert seen[0] == 0 and seen == sorted(set(seen)), "more steps the higher"
    for effort in (-1, 4, 1.5, "2"):
        with pytest.raises(AecError, match=r"effort .* is not a whole number within 0\.\.3"):
            aecodec.encode(photo, model="tiny", effort=effort)


@pytest.mark.parametrize(("distortion", "per_sample"), [("mse", 9.0), ("l1", 48.0)])
def test_the_cost_of_an_error(distortion: str, per_sample: float):
    """An error of three levels in each of the 12 samples of four pixels."""
    error = np.full((2, 2, 3), -3.0, np.float32)
    tradeoff = RateDistortion(distortion, low=0.001, high=0.1)
    for quality, weight in ((0, 0.001), (255, 0.1)):
        assert tradeoff.bits(error, quality) == pytest.approx(4 * weight * per_sample)
    step = 1e-2
    difference = (tradeoff.bits(error + step, 100) - tradeoff.bits(error - step, 100)) / (2 * step)
    assert float(tradeoff.slope(error, 100).sum()) == pytest.approx(difference, rel=1e-3)
