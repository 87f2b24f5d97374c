"""The metrics against closed forms, independent programs and published curves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aecodec.bench.bdrate import Curve
from aecodec.bench.bdrate import Pchip
from aecodec.bench.bdrate import bd_rate
from aecodec.bench.bdrate import overlap
from aecodec.bench.metrics import MS_SSIM_MIN_SIDE
from aecodec.bench.metrics import halve
from aecodec.bench.metrics import l1
from aecodec.bench.metrics import ms_ssim
from aecodec.bench.metrics import psnr

# Kodak, 768x512: bits per pixel and PSNR as published by CompressAI (results/image/kodak/jpeg.json, vtm.json, ...).
JPEG = [
    (0.22115, 23.7799), (0.32661, 26.5772), (0.42313, 28.0422), (0.50839, 29.0418), (0.58787, 29.7847),
    (0.66013, 30.3783), (0.72895, 30.9032), (0.78603, 31.3078), (0.84972, 31.7048), (0.906, 32.0587),
    (0.96438, 32.3993), (1.03721, 32.7899), (1.1274, 33.2347), (1.23985, 33.7926), (1.36883, 34.3943),
    (1.57181, 35.239), (1.85882, 36.3289), (2.3502, 37.9121), (3.40134, 40.5567),
]  # fmt: skip
BPG_444 = [
    (0.06777, 26.1951), (0.16102, 28.6815), (0.35155, 31.5947), (0.6847, 34.8575), (1.19967, 38.2599),
    (1.92971, 41.4789), (3.05788, 44.7031), (4.70314, 47.6325),
]  # fmt: skip
VTM = [
    (0.04824, 26.1448), (0.1125, 28.493), (0.24582, 31.1999), (0.49055, 34.2615), (0.87481, 37.4198),
    (1.43085, 40.4244), (2.32461, 43.5058), (3.63261, 46.5918),
]  # fmt: skip


def flat(value: int, shape: tuple[int, ...] = (20, 30, 3)) -> np.ndarray:
    return np.full(shape, value, np.uint8)


def waves(height: int, width: int) -> np.ndarray:
    """A smooth coloured picture with a chirp, uint8 [H, W, 3]."""
    y, x = np.mgrid[0:height, 0:width]
    chirp = 20 * np.sin(x * y / 500)
    planes = [128 + 60 * np.sin(x / 7 + k) + 40 * np.cos(y / (11 + k)) + chirp for k in range(3)]
    return np.clip(np.stack(planes, axis=2), 0, 255).round().astype(np.uint8)


def coarse(picture: np.ndarray) -> np.ndarray:
    """The same in steps of 24 with a regular grain."""
    y, x = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]]
    grain = (x * 7 + y * 13) % 9 - 4
    return np.clip(picture.astype(int) // 24 * 24 + 12 + grain[:, :, None], 0, 255).astype(np.uint8)


def test_psnr_of_a_known_error() -> None:
    assert psnr(flat(100), flat(101)) == pytest.approx(48.1308, abs=1e-4)
    assert psnr(flat(0), flat(255)) == pytest.approx(0)
    assert psnr(flat(7), flat(7)) == math.inf


def test_psnr_counts_every_channel() -> None:
    decoded = flat(100)
    decoded[:, :, 2] += 3
    assert psnr(flat(100), decoded) == pytest.approx(10 * math.log10(255**2 / (9 / 3)))


def test_l1_is_on_the_unit_scale() -> None:
    assert l1(flat(0), flat(255)) == 1
    assert l1(flat(200), flat(149)) == pytest.approx(0.2)  # an unsigned difference would wrap


def test_grey_compares_as_rgb() -> None:
    grey, rgb = flat(10, (20, 30)), flat(12)
    assert psnr(grey, rgb) == psnr(rgb, grey) == psnr(flat(10), rgb)
    assert l1(grey, rgb) == pytest.approx(2 / 255)


@pytest.mark.parametrize("metric", [psnr, l1, ms_ssim])
def test_pictures_that_do_not_compare_are_refused(metric) -> None:
    with pytest.raises(ValueError, match="shape"):
        metric(flat(0), flat(0, (30, 20, 3)))
    with pytest.raises(ValueError, match="uint8"):
        metric(flat(0), flat(0).astype(np.float32))


@pytest.mark.parametrize(("shape", "expected"), [((192, 176), 0.98225676), ((256, 320), 0.98604818)])
def test_ms_ssim_agrees_with_pytorch_msssim(shape: tuple[int, int], expected: float) -> None:
    picture = waves(*shape)
    assert ms_ssim(picture, coarse(picture)) == pytest.approx(expected, abs=5e-7)


def test_ms_ssim_needs_room_for_its_window_at_the_coarsest_scale() -> None:
    assert MS_SSIM_MIN_SIDE == 161
    assert ms_ssim(flat(5, (160, 400)), flat(5, (160, 400))) is None
    picture = waves(161, 163)
    assert ms_ssim(picture, picture) == pytest.approx(1)
    assert 0 < ms_ssim(picture, coarse(picture)) < 1


def test_an_odd_side_is_continued_when_halved() -> None:
    assert halve(np.array([[0.0, 2.0, 8.0], [4.0, 6.0, 8.0], [1.0, 3.0, 9.0]])).tolist() == [[3.0, 8.0], [2.0, 9.0]]


def test_ms_ssim_of_an_inverted_picture_is_a_number() -> None:
    picture = waves(192, 176)
    assert ms_ssim(picture, 255 - picture) == 0


# Values at seven even points and the integral over [first + 0.3, last - 0.4], from SciPy's PchipInterpolator.
PCHIP_CASES = [
    (
        [0.0, 1.0, 2.5, 3.0, 5.0, 6.0],
        [0.0, 2.0, 2.2, 5.0, 5.5, 9.0],
        [0.0, 2.0, 2.108829468921, 5.0, 5.267345153989, 5.5, 9.0],
        20.225105180071,
    ),
    (
        [0.0, 1.0, 2.0, 4.0, 5.0, 7.0],
        [1.0, 3.0, 3.0, 2.0, 4.0, 0.0],
        [1.0, 3.0, 2.925925925926, 2.15625, 3.481481481481, 3.440586419753, 0.0],
        18.033736111111,
    ),
    (
        [0.0, 1.0, 1.2, 2.0],
        [0.0, 0.1, 3.0, 3.2],
        [0.0, 0.007082521118, 0.036387264457, 0.1, 3.071226268285, 3.174128540305, 3.2],
        1.574436588162,
    ),
    ([0.0, 3.0], [2.0, -1.0], [2.0, 1.5, 1.0, 0.5, 0.0, -0.5, -1.0], 1.265),
]


@pytest.mark.parametrize(("x", "y", "values", "integral"), PCHIP_CASES)
def test_interpolation_agrees_with_scipy(x: list[float], y: list[float], values: list[float], integral: float) -> None:
    curve = Pchip(np.array(x), np.array(y))
    assert curve(np.linspace(x[0], x[-1], 7)) == pytest.approx(values, abs=1e-11)
    assert curve.integral(x[0] + 0.3, x[-1] - 0.4) == pytest.approx(integral, abs=1e-11)


def test_no_extrapolation_and_no_unordered_curve() -> None:
    curve = Pchip(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 4.0]))
    with pytest.raises(ValueError, match="outside"):
        curve(np.array([2.1]))
    with pytest.raises(ValueError, match="increasing"):
        Pchip(np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 2.0]))


@pytest.mark.parametrize(("test", "percent"), [(BPG_444, -58.9), (VTM, -67.6)])
def test_bd_rate_of_published_curves(test: list[tuple[float, float]], percent: float) -> None:
    assert bd_rate(Curve.of(test), Curve.of(JPEG)) == pytest.approx(percent, abs=0.05)


def test_bd_rate_of_a_scaled_curve_is_the_scale() -> None:
    doubled = [(2 * rate, value) for rate, value in JPEG]
    assert bd_rate(Curve.of(doubled), Curve.of(JPEG)) == pytest.approx(100)
    assert bd_rate(Curve.of(JPEG), Curve.of(doubled)) == pytest.approx(-50)


def test_no_bd_rate_without_four_points_or_a_common_range() -> None:
    assert bd_rate(Curve.of(VTM[:3]), Curve.of(JPEG)) is None
    far_above = Curve.of([(rate, value + 50) for rate, value in VTM])
    assert bd_rate(far_above, Curve.of(JPEG)) is None
    assert overlap(far_above, Curve.of(JPEG)) == 0
    assert overlap(Curve.of([]), Curve.of(JPEG)) == 0


def test_overlap_is_the_share_of_the_first_curve() -> None:
    test, reference = Curve.of([(1, 20), (2, 30)]), Curve.of([(1, 25), (9, 90)])
    assert overlap(test, reference) == pytest.approx(0.5)
    assert overlap(reference, test) == pytest.approx(5 / 65)


def test_a_curve_leaves_out_points_that_buy_nothing() -> None:
    curve = Curve.of([(3.0, 33.0), (1.0, 30.0), (2.0, 29.5), (2.5, math.inf), (1.0, 28.0)])
    assert np.exp(curve.log_rate) == pytest.approx([1, 3])
    assert curve.psnr.tolist() == [30, 33]


def test_cutting_keeps_the_points_inside_and_adds_the_ends() -> None:
    curve = Curve.of(JPEG)
    cut = curve.cut(0.3, 0.6)
    assert np.exp(cut.log_rate) == pytest.approx([0.3, 0.32661, 0.42313, 0.50839, 0.58787, 0.6])
    assert cut.psnr[1:-1].tolist() == curve.psnr[1:5].tolist()
    assert 23.7799 < cut.psnr[0] < 26.5772
    assert 29.7847 < cut.psnr[-1] < 30.3783


def test_cutting_does_not_extend_a_curve() -> None:
    cut = Curve.of(JPEG).cut(0.01, 100)
    assert cut.psnr.tolist() == Curve.of(JPEG).psnr.tolist()
    assert len(Curve.of(JPEG).cut(0.01, 0.02)) == 0
    assert bd_rate(Curve.of(JPEG).cut(0.01, 0.02), Curve.of(VTM)) is None
