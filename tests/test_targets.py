"""Targets in bytes, bits per pixel and PSNR: which quality step a search finds, and what the command says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec.batch import jobs
from aecodec.bench.metrics import psnr
from aecodec.cli import run
from aecodec.codec.encoder import PictureEncoder
from aecodec.codec.search import last_fitting
from aecodec.format.header import QUALITY_STEPS
from helpers.commands import Refused
from helpers.paths import PHOTOS
from helpers.pictures import noise
from helpers.tiny import RUNTIME
from helpers.tiny import Tiny


def searched(sizes: list[int], target: int, thorough: bool = True) -> tuple[int | None, int]:
    """The step found, and how many were made."""
    made: list[int] = []

    def make(step: int) -> int:
        made.append(step)
        return step

    found = last_fitting(make, lambda step: sizes[step] / target, len(sizes), thorough)
    assert found is None or found[0] == found[1]
    return None if found is None else found[0], len(made)


STEEP = [round(100 * 1.009**step) for step in range(256)]
FLAT = [40 + 10 * (step // 32 % 2) + step // 16 for step in range(256)]  # a saw, as flat colours give


@pytest.mark.parametrize("thorough", [True, False])
@pytest.mark.parametrize("target", [100, 123, 200, 500, 10_000])
def test_a_steep_curve_costs_little_more_than_bisection(target: int, thorough: bool) -> None:
    step, made = searched(STEEP, target, thorough)
    assert step == max(n for n in range(256) if STEEP[n] <= target)
    assert made <= (13 if target < STEEP[-1] / 3.5 else 32)


def test_noise_within_a_few_steps() -> None:
    """A bisection ends at step 97 here; four steps further fits again."""
    noisy = [10 * step for step in range(1024)]
    noisy[101] = 965
    assert searched(noisy, 970) == (101, 15)


@pytest.mark.parametrize("target", range(40, 70))
def test_a_curve_that_falls_again(target: int) -> None:
    step, made = searched(FLAT, target)
    assert step is not None and FLAT[step] <= target
    assert step >= max(n for n in range(256) if FLAT[n] <= target) - 4
    assert made <= 80
    coarse, made = searched(FLAT, target, thorough=False)
    assert coarse is not None and FLAT[coarse] <= target and made <= 45


@pytest.mark.parametrize("least", [1, 5, 100])
def test_a_target_that_only_a_later_step_meets(least: int) -> None:
    sizes = [33] * 256
    sizes[least] = 21
    assert searched(sizes, 21) == (least, 256)
    assert searched(sizes, 20) == (None, 256)
    assert searched(sizes, 16) == (None, 1), "too far to look"
    assert searched(sizes, 21, thorough=False)[1] == 65


PHOTO = PHOTOS / "dog.jpg"


@pytest.mark.parametrize("target", [4500, 5000, 7000, 9000])
def test_target_size_within_three_percent(target: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.aec"
    assert run(["encode", str(PHOTO), str(file), "--model", "tiny", "--target-size", str(target)]) == 0
    assert 0.97 * target <= file.stat().st_size <= target
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_target_size_above_the_best(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, best = tmp_path / "a.aec", tmp_path / "best.aec"
    assert run(["encode", str(PHOTO), str(best), "--model", "tiny", "-q", "100"]) == 0
    capsys.readouterr()
    assert run(["encode", str(PHOTO), str(file), "--model", "tiny", "--target-size", "100000"]) == 0
    assert file.read_bytes() == best.read_bytes()
    remark, _ = capsys.readouterr().err.splitlines()
    assert f"{file.stat().st_size} bytes instead of 100000: the best of this model" in remark


def test_target_size_between_two_qualities(
    tmp_path: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(jobs, "REACHED", 1.0)  # the tiny network has no gap of 3 % between two of its sizes
    pixels = noise(16, 16, 3)
    Image.fromarray(pixels).save(tmp_path / "small.png")
    analysed = PictureEncoder(pixels, *tiny, RUNTIME)
    sizes = {len(analysed.encode(step).data) for step in range(QUALITY_STEPS)}
    target = next(size for size in range(max(sizes), min(sizes), -1) if size not in sizes)
    arguments = [str(tmp_path / "small.png"), str(tmp_path / "a.aec"), "--model", "tiny"]
    assert run(["encode", *arguments, "--target-size", str(target)]) == 0
    assert (tmp_path / "a.aec").stat().st_size < target
    remark, _ = capsys.readouterr().err.splitlines()
    assert f"instead of {target}: the next quality takes more than that" in remark


def test_target_size_out_of_reach(tmp_path: Path, refused: Refused) -> None:
    line = refused(1, "encode", PHOTO, tmp_path / "a.aec", "--model", "tiny", "--target-size", "100")
    smallest = len(aecodec.encode(Image.open(PHOTO), 0, model="tiny"))
    assert f"the target of 100 bytes cannot be reached: the lowest quality takes {smallest} (shrink reduces" in line


def test_target_bpp(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.aec"
    assert run(["encode", str(PHOTO), str(file), "--model", "tiny", "--target-bpp", "0.7"]) == 0
    assert 0.97 * 0.7 <= aecodec.read_info(file.read_bytes()).bits_per_pixel <= 0.7
    assert run(["encode", str(PHOTO), str(file), "--model", "tiny", "--target-bpp", "9"]) == 0
    assert "bytes instead of 73728: the best of this model" in capsys.readouterr().err


def test_target_psnr(tmp_path: Path, refused: Refused) -> None:
    file = tmp_path / "a.aec"
    original = np.asarray(Image.open(PHOTO))
    low, high = (psnr(original, aecodec.decode_pixels(aecodec.encode(original, q, model="tiny"))) for q in (0, 100))
    target = (low + high) / 2
    assert run(["encode", str(PHOTO), str(file), "--model", "tiny", "--target-psnr", str(target)]) == 0
    assert target <= psnr(original, aecodec.decode_pixels(file.read_bytes())) < high
    line = refused(1, "encode", PHOTO, file, "--model", "tiny", "--target-psnr", "60")
    assert f"the target of 60 dB cannot be reached: the highest quality gives {high:.2f} dB" in line
