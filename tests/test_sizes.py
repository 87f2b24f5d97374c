"""Sides below 32, and pictures that are shown at another size than they are coded at."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image

import aecodec
from aecodec import api
from aecodec.bench.metrics import psnr
from aecodec.cli import run
from aecodec.codec.small import enlarge
from aecodec.codec.small import reduce
from aecodec.format.container import read_header
from aecodec.image.resizing import sides_for
from helpers.paths import PHOTOS
from helpers.spec import SPEC


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    with Image.open(PHOTOS / "bay.png") as image:
        return image.convert("RGB")


# Sides below 32


@settings(max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
def test_the_means_of_an_enlarged_picture_are_the_picture(height: int, width: int, seed: int):
    pixels = np.random.default_rng(seed).integers(110, 146, (height, width, 3)).astype(np.uint8)
    large = enlarge(pixels)
    assert large.shape == (max(height, 32), max(width, 32), 3)
    error = np.abs(reduce(large, width, height).astype(int) - pixels)
    clipped = (large == 0) | (large == 255)
    assert error.mean() < (0.1 if not clipped.any() else 2), "only what clips is lost, and some roundings"


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
def test_means_are_those_of_the_page(height: int, width: int, seed: int):
    samples = np.random.default_rng(seed).integers(0, 256, (max(height, 32), max(width, 32), 3))
    np.testing.assert_array_equal(
        reduce(samples.astype(np.uint8), width, height), SPEC.take_means(samples, width, height)
    )


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (16, 16), (31, 31), (5, 60)])
@pytest.mark.parametrize("grey", [False, True])
def test_few_pixels_come_back_well(photo: Image.Image, size: tuple[int, int], grey: bool):
    image = photo.resize(size, Image.Resampling.LANCZOS).convert("L" if grey else "RGB")
    decoded = aecodec.decode(aecodec.encode(image, 90))
    assert decoded.size == size and decoded.mode == image.mode
    assert psnr(np.asarray(image), np.asarray(decoded)) > 25


def test_a_flat_pixel_is_a_level_off_at_most_at_high_quality():
    for colour in ((10, 200, 90), (0, 0, 0), (255, 255, 255)):
        pixels = np.full((1, 1, 3), colour, np.uint8)
        assert np.abs(api.decode_pixels(aecodec.encode(pixels, 100)).astype(int) - pixels).max() <= 2


def test_a_crop_of_few_pixels_is_part_of_them(photo: Image.Image):
    for size in ((20, 70), (70, 20), (9, 9)):
        data = aecodec.encode(photo.resize(size), 50)
        whole = api.decode_pixels(data)
        np.testing.assert_array_equal(api.decode_pixels(data, crop=(3, 2, 5, 7)), whole[2:9, 3:8])


# Shrunk pictures


@pytest.mark.parametrize("target", [40, 150, 600])
@pytest.mark.parametrize("compact", [False, True])
def test_a_shrunk_picture_keeps_the_target_and_its_size(photo: Image.Image, target: int, compact: bool):
    data = aecodec.encode(photo, target_size=target, shrink=True, compact=compact)
    assert 0.8 * target < len(data) <= target
    decoded = aecodec.decode(data)
    assert decoded.size == photo.size
    header = read_header(data)
    assert header.display == photo.size and max(header.size) < 256 and (header.compact is not None) == compact
    coded = aecodec.decode(data, coded_size=True)
    assert coded.size == header.size
    np.testing.assert_array_equal(decoded, coded.resize(photo.size, Image.Resampling.LANCZOS))


def test_a_target_that_needs_no_shrinking_is_met_at_full_size(photo: Image.Image):
    data = aecodec.encode(photo, target_size=6000, shrink=True)
    assert read_header(data).display is None and read_header(data).size == photo.size


def test_shrinking_is_better_than_the_lowest_quality(photo: Image.Image):
    target = len(aecodec.encode(photo, 0))
    plain, shrunk = aecodec.encode(photo, 0), aecodec.encode(photo, target_size=target, shrink=True)
    assert psnr(np.asarray(photo), np.asarray(aecodec.decode(shrunk))) > psnr(
        np.asarray(photo), np.asarray(aecodec.decode(plain))
    )


def test_a_longer_side_is_coded_and_the_size_remembered(photo: Image.Image):
    image = photo.crop((0, 0, 256, 150))
    data = aecodec.encode(image, 50, shrink_to=96)
    info = aecodec.read_info(data)
    assert (info.width, info.height, info.coded_width, info.coded_height) == (256, 150, 96, 56)
    assert aecodec.decode(data).size == (256, 150) and api.decode_pixels(data).shape == (150, 256, 3)
    assert aecodec.unpack(aecodec.pack(data)) == data
    assert aecodec.decode(aecodec.encode(image, 50, shrink_to=999)).size == (256, 150)


def test_crops_count_in_the_picture_that_comes_back(photo: Image.Image):
    data = aecodec.encode(photo, 50, shrink_to=64)
    whole = np.asarray(aecodec.decode(data))
    np.testing.assert_array_equal(aecodec.decode(data, crop=(100, 60, 90, 80)), whole[60:140, 100:190])
    coded = np.asarray(aecodec.decode(data, coded_size=True))
    np.testing.assert_array_equal(aecodec.decode(data, crop=(10, 6, 9, 8), coded_size=True), coded[6:14, 10:19])
    with pytest.raises(aecodec.OutsidePicture, match="64x64"):
        aecodec.decode(data, crop=(100, 60, 90, 80), coded_size=True)


def test_alpha_shrinks_and_grows_with_its_picture(photo: Image.Image):
    image = photo.copy()
    image.putalpha(Image.linear_gradient("L"))
    decoded = aecodec.decode(aecodec.encode(image, 60, shrink_to=64))
    assert decoded.mode == "RGBA" and decoded.size == image.size
    assert np.abs(np.asarray(decoded)[..., 3].astype(int) - np.asarray(image)[..., 3]).mean() < 2


def test_grey_stays_grey(photo: Image.Image):
    data = aecodec.encode(photo.convert("L"), target_size=80, shrink=True, compact=True)
    assert aecodec.decode(data).mode == "L"


def test_a_target_in_psnr_holds_for_the_reduced_picture(photo: Image.Image):
    data = aecodec.encode(photo, target_psnr=25, shrink_to=64)
    reduced = photo.resize((64, 64), Image.Resampling.LANCZOS)
    assert psnr(np.asarray(reduced), np.asarray(aecodec.decode(data, coded_size=True))) >= 25


@pytest.mark.parametrize(
    "options", [{"shrink": True}, {"shrink": True, "quality": 50}, {"shrink": True, "target_size": 90, "shrink_to": 64}]
)
def test_shrinking_needs_a_target(photo: Image.Image, options: dict[str, int]):
    with pytest.raises(aecodec.InvalidOption, match="shrink"):
        aecodec.encode(photo, **options)  # type: ignore[arg-type]


def test_a_target_beyond_every_reduction_is_named(photo: Image.Image):
    with pytest.raises(aecodec.AecError, match="the lowest quality takes"):
        aecodec.encode(photo, target_size=6, shrink=True)


GREY = np.zeros((24, 40), np.uint8)


@pytest.mark.parametrize(
    ("pixels", "options", "hint"),
    [
        (GREY, {}, " (shrink reduces the picture)"),
        (GREY, {"compact": True}, " (shrink reduces the picture)"),
        (GREY, {"shrink_to": 16}, " (shrink instead of shrink_to reduces the picture further)"),
        (GREY, {"shrink": True}, " (compact takes some ten bytes less)"),
        (GREY, {"shrink": True, "compact": True}, ""),
        (np.dstack([GREY, GREY]), {"shrink": True}, ""),
        (np.zeros((1, 1025), np.uint8), {"shrink": True}, ""),
    ],
)
def test_only_what_is_left_to_do_is_advised(pixels: np.ndarray, options: dict[str, Any], hint: str):
    with pytest.raises(aecodec.UnreachableTarget) as caught:
        aecodec.encode(pixels, target_size=1, model="tiny", **options)
    said = r"the target of 1 bytes cannot be reached: the lowest quality takes \d+(, \d+ of them alpha and metadata)?"
    assert re.fullmatch(said + re.escape(hint), str(caught.value))


def test_candidates_are_on_the_grid_and_within_the_picture():
    for display in ((256, 256), (4000, 3000), (20, 10), (33, 999)):
        for allowed in (20, 300, 5000):
            sides = sides_for(display, allowed)
            assert sides == sorted(sides, reverse=True) and max(sides) <= max(display) and len(sides) <= 6


def test_effort_reaches_below_the_lowest_quality(photo: Image.Image):
    with pytest.raises(aecodec.AecError, match="cannot be reached"):
        aecodec.encode(photo, target_size=20, shrink_to=32, compact=True)
    data = aecodec.encode(photo, target_size=20, shrink_to=32, compact=True, effort=1)
    assert len(data) <= 20 and read_header(data).quality == 0
    assert aecodec.decode(data).size == photo.size


def test_the_command_reports_the_reduction(photo: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source, out, back = tmp_path / "in.png", tmp_path / "out.aec", tmp_path / "back.png"
    photo.save(source)
    assert run(["encode", str(source), str(out), "--target-size", "100", "--shrink", "--compact"]) == 0
    assert "coded at 64x64" in capsys.readouterr().err
    assert run(["info", str(out)]) == 0
    told = capsys.readouterr().out
    assert "256x256 RGB" in told and "reduced to 64x64, enlarged when it is shown" in told and "compact form" in told
    assert run(["decode", str(out), str(back), "--coded-size"]) == 0
    with Image.open(back) as image:
        assert image.size == (64, 64)


def test_a_target_beyond_the_sizes_of_the_compact_form_is_used(photo: Image.Image):
    large = photo.resize((700, 500), Image.Resampling.BICUBIC)
    data = aecodec.encode(large, target_size=1500, shrink=True, compact=True)
    assert 1000 < len(data) <= 1500 and max(read_header(data).size) in (256, 700)


def test_alpha_and_metadata_leave_less_for_the_picture(photo: Image.Image):
    image = photo.copy()
    image.putalpha(Image.fromarray(np.random.default_rng(0).integers(0, 255, (256, 256)).astype(np.uint8)))
    data = aecodec.encode(image, target_size=9000, shrink=True)
    assert 2000 < len(data) <= 9000, "alpha alone takes 60 kB at full size"


def test_what_fits_without_effort_fits_with_it(photo: Image.Image):
    image = photo.resize((64, 64))
    image.putalpha(Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)))
    sizes = [len(aecodec.encode(image, target_size=400, shrink=True, effort=effort)) for effort in (0, 1)]
    assert max(sizes) <= 400 < 64 * 64, "alpha alone takes 4 kB at full size"


def test_long_strips_are_reduced_by_what_they_take_on_the_grid(photo: Image.Image):
    strip = photo.resize((1, 2000))
    data = aecodec.encode(strip, target_size=100, shrink=True)
    assert len(data) > 60 and read_header(data).height >= 128


def test_hidden_colours_do_not_bleed_into_a_shrunk_picture():
    pixels = np.zeros((128, 128, 4), np.uint8)
    pixels[..., 1] = 255  # green, hidden
    disk = np.hypot(*(np.indices((128, 128)) - 64)) < 40
    pixels[disk] = (255, 0, 0, 255)
    shown = np.asarray(aecodec.decode(aecodec.encode(pixels, 90, shrink_to=64)), np.float32)
    over_black = shown[..., :3] * shown[..., 3:] / 255
    assert over_black[..., 1].max() < 40


def test_hidden_colours_do_not_choose_the_size(photo: Image.Image):
    noise = np.random.default_rng(1).integers(0, 255, (256, 256, 3)).astype(np.uint8)
    alpha = np.zeros((256, 256), np.uint8)
    alpha[:, :128] = 255
    sizes = []
    for hidden in (noise, np.full_like(noise, 128)):
        pixels = np.where(alpha[..., None] > 0, np.asarray(photo), hidden)
        data = aecodec.encode(np.dstack([pixels, alpha]), target_size=1200, shrink=True)
        sizes.append(read_header(data).size)
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"target_size": 10**400}, aecodec.InvalidOption),
        ({"max_pixels": 20_000, "shrink_to": 100}, aecodec.LimitExceeded),
        ({"checksum": ["x"], "compact": True}, aecodec.InvalidOption),
        ({"checksum": "crc-32"}, aecodec.InvalidOption),
    ],
)
def test_odd_options_are_refused_by_name(photo: Image.Image, options: dict[str, object], error: type[Exception]):
    with pytest.raises(error):
        aecodec.encode(np.asarray(photo), **options)  # type: ignore[arg-type]
    assert len(aecodec.encode(np.zeros((8, 8), np.uint8), target_bpp=1e308)) < 500
    with pytest.raises(aecodec.LimitExceeded):
        aecodec.encode(np.zeros((70_000, 2), np.uint8), shrink_to=100)


def test_an_enlarged_array_can_be_written_to(photo: Image.Image):
    assert api.decode_pixels(aecodec.encode(photo, 20, shrink_to=32)).flags.writeable
