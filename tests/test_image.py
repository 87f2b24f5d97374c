"""Every kind of picture comes in as upright 8-bit sRGB or grey, or is refused with one clear line."""

from __future__ import annotations

import io
import os
import random
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags
from PIL import Image
from PIL import ImageFile

from aecodec.errors import AecError
from aecodec.errors import InputError
from aecodec.errors import LimitExceeded
from aecodec.errors import OutputError
from aecodec.format.extras import Extras
from aecodec.image import reading
from aecodec.image.opening import open_image
from aecodec.image.reading import Picture
from aecodec.image.reading import from_image
from aecodec.image.reading import open_picture
from aecodec.image.writing import format_of
from aecodec.image.writing import to_image
from aecodec.image.writing import write_image
from aecodec.limits import MAX_PIXELS
from aecodec.limits import MAX_SIDE
from helpers.commands import environment
from helpers.pictures import chunk
from helpers.pictures import png
from helpers.profiles import ADOBE_RGB
from helpers.profiles import SRGB
from helpers.profiles import built_profile
from helpers.profiles import cmyk_profile
from helpers.profiles import grey_profile
from helpers.profiles import other_srgb_profile
from helpers.profiles import rgb_profile

ALPHA_DROPPED = "the alpha channel is dropped"
SIXTEEN_BIT = "16-bit samples are reduced to 8 bits"
SEVERAL_FRAMES = "of several frames only one is kept"
PROFILE_CONVERTED = "colours are converted from the ICC profile to sRGB"
PROFILE_IGNORED = "the ICC profile cannot be applied: colours are taken as sRGB"


def noise(*shape: int, top: int = 256, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(7).integers(0, top, shape).astype(dtype)


def file_of(image: Image.Image, format: str, **options: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, format, **options)
    file.seek(0)
    return file


def header_only(width: int, height: int) -> io.BytesIO:
    """A PNG with a header of that size and hardly any data."""
    return png(np.zeros((1, 1), np.uint8), 2, size=(width, height))


def srgb_encoded(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def assert_pixels(picture: Picture, expected: np.ndarray) -> None:
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.flags.c_contiguous
    np.testing.assert_array_equal(picture.pixels, expected)


def assert_alpha(picture: Picture, expected: np.ndarray | None) -> None:
    assert (picture.extras.alpha is None) == (expected is None)
    if picture.extras.alpha is not None:
        assert picture.extras.alpha.dtype == np.uint8
        np.testing.assert_array_equal(picture.extras.alpha, expected)


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


class TestModes:
    def test_colour_and_grey_are_kept_as_they_are(self) -> None:
        colour, grey = noise(600, 5, 3), noise(600, 5)
        for pixels in (colour, grey):
            picture = from_image(Image.fromarray(pixels))
            assert_pixels(picture, pixels)
            assert picture.notices == ()

    def test_colour_with_equal_channels_stays_colour(self) -> None:
        pixels = np.repeat(noise(4, 5, 1), 3, axis=2)
        assert_pixels(open_picture(file_of(Image.fromarray(pixels), "PNG")), pixels)

    def test_bilevel(self) -> None:
        bits = noise(4, 5, top=2)
        picture = open_picture(file_of(Image.fromarray(bits.astype(bool)), "PNG"))
        assert_pixels(picture, bits * np.uint8(255))
        assert picture.notices == ()

    @pytest.mark.parametrize("mode", ["LA", "RGBA"])
    @pytest.mark.parametrize("alpha", [True, False])
    def test_alpha_is_split_off_or_dropped_and_the_colours_below_it_stay(self, mode: str, alpha: bool) -> None:
        channels = noise(4, 5, len(mode))
        picture = open_picture(file_of(Image.fromarray(channels), "PNG"), alpha=alpha)
        assert_pixels(picture, channels[..., :3] if mode == "RGBA" else channels[..., 0])
        assert_alpha(picture, channels[..., -1] if alpha else None)
        assert picture.notices == (() if alpha else (ALPHA_DROPPED,))

    @pytest.mark.parametrize("alpha", [True, False])
    def test_opaque_alpha_is_dropped_without_a_notice(self, alpha: bool) -> None:
        channels = noise(4, 5, 4)
        channels[..., 3] = 255
        picture = from_image(Image.fromarray(channels), alpha=alpha)
        assert_pixels(picture, channels[..., :3])
        assert_alpha(picture, None)
        assert picture.notices == ()

    @pytest.mark.parametrize("mode", ["La", "RGBa"])
    def test_premultiplied_alpha(self, mode: str) -> None:
        straight = np.full((2, 3, len(mode)), 200, np.uint8)
        straight[..., -1] = 128
        picture = from_image(Image.fromarray(straight).convert(mode))
        assert picture.pixels.shape == ((2, 3) if mode == "La" else (2, 3, 3))
        assert np.abs(picture.pixels.astype(int) - 200).max() <= 1
        assert_alpha(picture, np.full((2, 3), 128))

    @pytest.mark.parametrize("transparency", [None, 2, bytes([255, 0, 128, 255])])
    def test_palette(self, transparency: int | bytes | None) -> None:
        colours = noise(4, 3)
        indices = noise(4, 5, top=4)
        image = Image.fromarray(indices).convert("P")
        image.putpalette(colours.tobytes())
        options = {} if transparency is None else {"transparency": transparency}
        picture = open_picture(file_of(image, "PNG", **options))
        assert_pixels(picture, colours[indices])
        levels = [255, 255, 0, 255] if transparency == 2 else transparency
        assert_alpha(picture, None if levels is None else np.array([*levels])[indices])  # type: ignore[misc]
        assert picture.notices == ()

    def test_palette_with_alpha(self) -> None:
        image = Image.fromarray(noise(4, 5, 3)).convert("P")
        picture = from_image(image.convert("PA"))
        assert_pixels(picture, np.asarray(image.convert("RGB")))
        assert picture.notices == ()

    @pytest.mark.parametrize(("mode", "colour"), [("L", 9), ("RGB", (9, 8, 7))])
    def test_one_transparent_colour(self, mode: str, colour: int | tuple[int, ...]) -> None:
        picture = open_picture(file_of(Image.new(mode, (3, 2), colour), "PNG", transparency=colour))
        assert (picture.pixels == colour).all()
        assert_alpha(picture, np.zeros((2, 3)))

    @pytest.mark.parametrize(
        ("mode", "colour", "expected"),
        [
            ("CMYK", (0, 0, 0, 0), (255, 255, 255)),
            ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
            ("YCbCr", (90, 128, 128), (90, 90, 90)),
            ("HSV", (0, 255, 255), (255, 0, 0)),
            ("RGBX", (1, 2, 3, 4), (1, 2, 3)),
        ],
    )
    def test_other_colour_spaces(self, mode: str, colour: tuple[int, ...], expected: tuple[int, ...]) -> None:
        picture = from_image(Image.new(mode, (3, 2), colour))
        assert_pixels(picture, np.broadcast_to(np.uint8(expected), (2, 3, 3)))
        inks = "inks without an ICC profile become colours by a plain formula, brighter than in print"
        assert picture.notices == ((inks,) if mode == "CMYK" else ())

    @pytest.mark.parametrize(
        ("colour", "expected"),
        [((255, 128, 128), (255, 255, 255)), ((0, 128, 128), (0, 0, 0)), ((121, 183, 173), (200, 60, 40))],
    )
    def test_lab(self, colour: tuple[int, int, int], expected: tuple[int, int, int]) -> None:
        picture = from_image(Image.new("LAB", (3, 2), colour))
        assert picture.pixels.shape == (2, 3, 3)
        assert np.abs(picture.pixels.astype(int) - expected).max() <= 2
        assert picture.notices == ()

    def test_cmyk_jpeg(self) -> None:
        file = file_of(Image.new("CMYK", (16, 16), (0, 200, 0, 0)), "JPEG", quality=95)
        assert np.abs(open_picture(file).pixels.astype(int) - (255, 55, 255)).max() <= 2

    @pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L", "I;16N"])
    def test_sixteen_bit_grey_in_memory(self, mode: str) -> None:
        samples = noise(4, 5, top=65536, dtype=np.uint16)
        image = Image.frombytes(mode, (5, 4), samples.astype(">u2" if mode == "I;16B" else "=u2").tobytes())
        picture = from_image(image)
        assert_pixels(picture, (samples >> 8).astype(np.uint8))
        assert picture.notices == (SIXTEEN_BIT,)

    @pytest.mark.parametrize("largest", [255, 256, 65535, 70000])
    def test_integers_take_the_smallest_range_that_holds_them(self, largest: int) -> None:
        samples = np.array([[-5, 0, 100, largest]], np.int32)
        picture = from_image(Image.fromarray(samples))
        top = 255 if largest == 255 else 65535
        expected = [0, 0, 100, 255] if top == 255 else [0, 0, 0, min(largest >> 8, 255)]
        assert_pixels(picture, np.uint8([expected]))
        reduced = f"32-bit samples, taken as 0..{top}, are reduced to 8 bits; negative ones are black"
        assert picture.notices == (reduced,)

    @pytest.mark.parametrize("top", [1, 255, 65535, 2**24 - 1])
    def test_floats_take_the_smallest_range_that_holds_them(self, top: int) -> None:
        samples = np.float32([[-1, 0, 0.2 * top, top, np.nan, -np.inf]])
        picture = from_image(Image.fromarray(samples))
        assert_pixels(picture, np.uint8([[0, 0, 51, 255, 0, 0]]))
        assert picture.notices == (
            f"floating-point samples, taken as 0..{top}, are rounded to 8 bits; negative ones are black",
        )

    def test_floats_without_a_finite_value(self) -> None:
        picture = from_image(Image.fromarray(np.float32([[np.nan, np.inf]])))
        assert_pixels(picture, np.uint8([[0, 255]]))

    def test_the_image_given_is_left_alone(self) -> None:
        image = Image.fromarray(noise(4, 5, 4))
        image.getexif()[0x0112] = 6
        image.info["icc_profile"] = rgb_profile(2.2)
        before = image.mode, image.size, image.tobytes()
        from_image(image)
        assert (image.mode, image.size, image.tobytes()) == before


class TestSixteenBitFiles:
    @pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (6, 4)])
    def test_png(self, colour_type: int, channels: int) -> None:
        samples = noise(4, 5, channels, top=65536, dtype=np.uint16)
        picture = open_picture(png(samples, colour_type))
        assert_pixels(picture, (samples[..., :3] >> 8).astype(np.uint8).squeeze())
        assert_alpha(picture, samples[..., 3] >> 8 if channels == 4 else None)
        assert picture.notices == (SIXTEEN_BIT,)

    def test_png_with_a_transparent_grey(self) -> None:
        samples = noise(4, 5, 1, top=65536, dtype=np.uint16)
        transparency = chunk(b"tRNS", struct.pack(">H", samples[0, 0, 0]))
        picture = open_picture(png(samples, 0, extra=transparency))
        assert_pixels(picture, (samples[..., 0] >> 8).astype(np.uint8))
        assert_alpha(picture, np.where(samples[..., 0] == samples[0, 0, 0], 0, 255))
        assert picture.notices == (SIXTEEN_BIT,)

    @pytest.mark.parametrize("format", ["PGM", "PPM", "TIFF"])
    @pytest.mark.parametrize("dark", [False, True])
    def test_others(self, format: str, dark: bool) -> None:
        """Pillow scales the colours of a PPM, which gives the same 8 bits only for multiples of 257."""
        samples = noise(4, 5, top=200 if dark else 65536, dtype=np.uint16)
        if format == "PPM":
            samples = np.stack([samples >> 8] * 3, axis=2) * 257
        kind = {"PGM": b"P5", "PPM": b"P6", "TIFF": b""}[format]
        portable = io.BytesIO(kind + b" 5 4 65535\n" + samples.astype(">u2").tobytes())
        picture = open_picture(portable if kind else file_of(Image.fromarray(samples), "TIFF"))
        assert_pixels(picture, (samples >> 8).astype(np.uint8))
        told = f"no 16-bit sample is above {samples.max()} of 65535: the picture is dark as stored"
        assert picture.notices == ((SIXTEEN_BIT, told) if dark and format != "PPM" else (SIXTEEN_BIT,))


# Where a pixel of the upright picture u of H rows and W columns is stored, by the EXIF standard's words on which side
# of the visual picture the stored row 0 and column 0 are.
STORED = {
    1: lambda u, r, c: u[r, c],  # row 0 at the top, column 0 at the left
    2: lambda u, r, c: u[r, -1 - c],  # top, right
    3: lambda u, r, c: u[-1 - r, -1 - c],  # bottom, right
    4: lambda u, r, c: u[-1 - r, c],  # bottom, left
    5: lambda u, r, c: u[c, r],  # left, top
    6: lambda u, r, c: u[c, -1 - r],  # right, top
    7: lambda u, r, c: u[-1 - c, -1 - r],  # right, bottom
    8: lambda u, r, c: u[-1 - c, r],  # left, bottom
}


class TestOrientation:
    @pytest.mark.parametrize(
        ("format", "channels"), [("PNG", 1), ("PNG", 3), ("PNG", 4), ("TIFF", 1), ("TIFF", 3), ("WEBP", 3)]
    )
    @pytest.mark.parametrize("orientation", STORED)
    def test_applied_to_the_pixel(self, format: str, channels: int, orientation: int) -> None:
        upright = noise(3, 5, channels).squeeze()
        rows, columns = (5, 3) if orientation >= 5 else (3, 5)
        stored = np.array([[STORED[orientation](upright, r, c) for c in range(columns)] for r in range(rows)])
        options = {"lossless": True} if format == "WEBP" else {}
        picture = open_picture(file_of(Image.fromarray(stored), format, exif=oriented(orientation), **options))
        assert_pixels(picture, upright[..., :3] if channels == 4 else upright)
        assert_alpha(picture, upright[..., 3] if channels == 4 else None)
        assert picture.notices == ()

    def test_jpeg(self) -> None:
        file = file_of(Image.new("RGB", (30, 20)), "JPEG", exif=oriented(6))
        assert open_picture(file).pixels.shape == (30, 20, 3)

    @pytest.mark.parametrize("orientation", [0, 9, 65535])
    def test_unknown_values_mean_upright(self, orientation: int) -> None:
        pixels = noise(3, 5, 3)
        file = file_of(Image.fromarray(pixels), "PNG", exif=oriented(orientation))
        assert_pixels(open_picture(file), pixels)

    @pytest.mark.parametrize("metadata", [(), ("exif",)])
    def test_damaged_exif_is_dropped_with_a_notice(self, metadata: tuple[str, ...]) -> None:
        pixels = noise(3, 5, 3)
        file = file_of(Image.fromarray(pixels), "PNG", exif=b"Exif\0\0no such byte order")
        picture = open_picture(file, metadata=metadata)
        assert_pixels(picture, pixels)
        assert picture.extras.exif == b""
        told = ["the EXIF data is damaged: the picture is taken as upright", "the EXIF data is damaged and dropped"]
        assert [*picture.notices] == told[: 2 if metadata else 1]


class TestProfiles:
    @pytest.mark.parametrize("icc", [built_profile("sRGB"), other_srgb_profile()])
    @pytest.mark.parametrize("channels", [1, 3, 4])
    def test_srgb_changes_nothing(self, channels: int, icc: bytes) -> None:
        pixels = noise(40, 50, channels).squeeze()
        pixels[..., 3:] = 255
        picture = open_picture(file_of(Image.fromarray(pixels), "PNG", icc_profile=icc))
        assert_pixels(picture, pixels[..., :3] if channels == 4 else pixels)
        assert picture.notices == ()

    @pytest.mark.parametrize("format", ["PNG", "TIFF"])
    def test_wide_gamut_becomes_srgb(self, format: str) -> None:
        pixels = noise(20, 20, 3, top=120) + np.uint8(80)  # colours inside both gamuts
        icc = rgb_profile(2.2)
        picture = open_picture(file_of(Image.fromarray(pixels), format, icc_profile=icc))
        to_xyz, from_xyz = np.array([*ADOBE_RGB.values()]), np.linalg.inv(np.array([*SRGB.values()]))
        linear = (pixels / 255) ** (round(2.2 * 256) / 256) @ to_xyz @ from_xyz
        inside = ((linear > 0) & (linear < 1)).all(axis=-1)
        assert inside.mean() > 0.5
        difference = np.abs(picture.pixels - srgb_encoded(linear))[inside]
        assert difference.max() < 2
        assert np.abs(picture.pixels.astype(int) - pixels).max() > 10
        assert picture.notices == (PROFILE_CONVERTED,)

    def test_palette_goes_through_the_profile_too(self) -> None:
        image = Image.new("RGB", (3, 2), (90, 160, 90))
        direct = open_picture(file_of(image, "PNG", icc_profile=rgb_profile(2.2)))
        palette = open_picture(file_of(image.quantize(), "PNG", icc_profile=rgb_profile(2.2)))
        assert_pixels(palette, direct.pixels)
        assert palette.notices == (PROFILE_CONVERTED,)

    @pytest.mark.parametrize("icc", [grey_profile(1.5), rgb_profile(1.5)], ids=["grey", "RGB"])
    def test_grey_of_8_and_16_bits(self, icc: bytes) -> None:
        levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
        picture = open_picture(file_of(Image.fromarray(levels), "PNG", icc_profile=icc))
        assert picture.pixels.shape == (16, 16)
        assert np.abs(picture.pixels - srgb_encoded((levels / 255) ** 1.5)).max() < 2
        assert picture.notices == (PROFILE_CONVERTED,)
        deep = open_picture(file_of(Image.fromarray(levels.astype(np.uint16) * 257), "PNG", icc_profile=icc))
        assert_pixels(deep, picture.pixels)
        assert deep.notices == (SIXTEEN_BIT, PROFILE_CONVERTED)

    def test_cmyk(self) -> None:
        icc = cmyk_profile()
        levels = {(0, 0, 0, 0): 255, (0, 0, 0, 255): 0, (255, 0, 0, 0): 161, (0, 0, 255, 0): 161}
        for colour, expected in levels.items():
            picture = open_picture(file_of(Image.new("CMYK", (3, 2), colour), "TIFF", icc_profile=icc))
            assert picture.pixels.shape == (2, 3, 3)
            assert np.abs(picture.pixels.astype(int) - expected).max() <= 2
            assert picture.notices == (PROFILE_CONVERTED,)

    def test_lab_needs_no_profile(self) -> None:
        file = file_of(Image.new("LAB", (3, 2), (255, 128, 128)), "TIFF", icc_profile=built_profile("LAB"))
        picture = open_picture(file)
        assert picture.pixels.min() >= 254
        assert picture.notices == ()

    @pytest.mark.parametrize(
        ("channels", "icc"),
        [
            (3, b"not a profile at all"),
            (3, rgb_profile(2.2)[:200]),
            (3, rgb_profile(2.2)[:128] + bytes(300)),
            (3, grey_profile(2.2)),
            (3, built_profile("LAB")),
            (3, cmyk_profile()),
            (1, cmyk_profile()),
            (1, grey_profile(2.2)[:150]),
        ],
    )
    def test_damaged_or_of_another_colour_space(self, channels: int, icc: bytes) -> None:
        pixels = noise(4, 5, channels).squeeze()
        picture = open_picture(file_of(Image.fromarray(pixels), "PNG", icc_profile=icc))
        assert_pixels(picture, pixels)
        assert picture.notices == (PROFILE_IGNORED,)

    def test_damaged_profile_of_cmyk(self) -> None:
        picture = open_picture(file_of(Image.new("CMYK", (3, 2)), "TIFF", icc_profile=cmyk_profile()[:300]))
        assert_pixels(picture, np.full((2, 3, 3), 255, np.uint8))
        assert picture.notices == (PROFILE_IGNORED,)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
@pytest.mark.parametrize("frames", [1, 3])
def test_of_several_frames_the_first(format: str, frames: int) -> None:
    pictures = [Image.new("RGB", (6, 5), colour) for colour in ((200, 10, 20), (10, 200, 20), (10, 20, 200))]
    options = {"lossless": True} if format == "WEBP" else {}
    file = file_of(pictures[0], format, save_all=True, append_images=pictures[1:frames], **options)
    picture = open_picture(file)
    assert_pixels(picture, np.broadcast_to(np.uint8([200, 10, 20]), (5, 6, 3)))
    assert picture.notices == ((SEVERAL_FRAMES,) if frames > 1 else ())


def with_metadata(format: str, orientation: int = 6) -> io.BytesIO:
    """A file of 5x3 pixels, stored on its side, with a profile, EXIF and XMP."""
    exif = oriented(orientation)
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769).update({0x829A: 0.5, 0xA002: 5, 0xA003: 3})
    exif.get_ifd(0x8825)[1] = "N"
    xmp = b'<rdf:Description tiff:Orientation="%d"/>' % orientation
    options = {"lossless": True} if format == "WEBP" else {}
    image = Image.fromarray(noise(3, 5, 3))
    return file_of(image, format, exif=exif, xmp=xmp, icc_profile=rgb_profile(2.2), **options)


class TestMetadata:
    @pytest.mark.parametrize("format", ["JPEG", "WEBP"])
    def test_kept_on_request_and_upright(self, format: str) -> None:
        picture = open_picture(with_metadata(format), metadata=("icc", "exif", "xmp"))
        assert picture.pixels.shape == (5, 3, 3)
        assert picture.notices == ()
        assert picture.extras.icc == rgb_profile(2.2)
        assert picture.extras.xmp == b'<rdf:Description tiff:Orientation="1"/>'
        exif = Image.Exif()
        exif.load(picture.extras.exif)
        assert (exif[0x0112], exif[0x010F]) == (1, "Maker")
        assert exif.get_ifd(0x8769) == {0x829A: 0.5, 0xA002: 3, 0xA003: 5}
        assert exif.get_ifd(0x8825) == {1: "N"}
        assert exif.get_ifd(ExifTags.IFD.IFD1) == {}

    def test_dropped_with_a_notice_each(self) -> None:
        picture = open_picture(with_metadata("WEBP"))
        assert picture.extras.alpha is None
        assert (picture.extras.icc, picture.extras.exif, picture.extras.xmp) == (b"", b"", b"")
        dropped = ("the EXIF data is dropped", "the XMP data is dropped")
        assert picture.notices == (*dropped, PROFILE_CONVERTED)

    def test_a_kept_profile_leaves_the_pixels_unchanged(self) -> None:
        picture = open_picture(with_metadata("WEBP", orientation=1), metadata=("icc",))
        assert_pixels(picture, noise(3, 5, 3))

    def test_a_profile_of_inks_cannot_be_kept(self) -> None:
        image = Image.new("CMYK", (5, 4), (9, 8, 7, 6))
        picture = open_picture(file_of(image, "TIFF", icc_profile=cmyk_profile()), metadata=("icc",))
        assert picture.extras.icc == b""
        assert picture.notices == (PROFILE_CONVERTED,)

    @pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF"])
    def test_written_if_the_format_can_hold_it(self, format: str) -> None:
        extras = open_picture(with_metadata("WEBP"), metadata=("icc", "exif", "xmp")).extras
        file = io.BytesIO()
        assert write_image(to_image(noise(5, 3, 3), extras), file, format) == ()
        again = open_picture(file, metadata=("icc", "exif", "xmp"))
        assert again.pixels.shape == (5, 3, 3)
        assert (again.extras.icc, again.extras.xmp) == (extras.icc, extras.xmp)
        exif = Image.Exif()
        exif.load(again.extras.exif)
        assert exif[0x010F] == "Maker" and exif.get_ifd(0x8825) == {1: "N"}

    def test_what_a_format_cannot_hold_is_reported(self) -> None:
        extras = Extras(noise(5, 3), b"icc", b"MM\0*\0\0\0\x08\0\0\0\0\0\0", b"xmp")
        file = io.BytesIO()
        notices = write_image(to_image(noise(5, 3, 3), extras), file, "PPM")
        assert notices == ("PPM holds no alpha: it is dropped", "PPM holds no ICC, EXIF, XMP: dropped")
        assert Image.open(file).mode == "RGB"

    @pytest.mark.parametrize("format", ["ICO", "GIF", "QOI", "ICNS", "MPO"])
    @pytest.mark.parametrize("shape", [(8, 8, 3), (8, 8), (40, 256, 3), (300, 40, 3)])
    def test_no_format_changes_a_picture_silently(self, format: str, shape: tuple[int, ...]) -> None:
        pixels, file = noise(*shape), io.BytesIO()
        height, width = shape[:2]
        if (format == "ICO" and height > 256) or (format == "ICNS" and height != width):
            with pytest.raises(OutputError, match=f"{format} holds .*, not {width}x{height}"):
                write_image(to_image(pixels), file, format)
            assert file.getvalue() == b""
            return
        notices = write_image(to_image(pixels), file, format)
        with Image.open(file) as image:
            assert (image.size == (width, height)) == (format != "ICNS")
            same = image.size == (width, height) and np.array_equal(image.convert(to_image(pixels).mode), pixels)
        assert same or notices or format == "MPO"
        if format == "MPO":  # as good as a JPEG
            jpeg = io.BytesIO()
            write_image(to_image(pixels), jpeg, "JPEG")
            assert len(file.getvalue()) >= len(jpeg.getvalue())

    @pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
    @pytest.mark.parametrize("shape", [(5, 3), (5, 3, 3)])
    def test_alpha_is_written(self, format: str, shape: tuple[int, ...]) -> None:
        mask, file = noise(5, 3), io.BytesIO()
        assert write_image(to_image(noise(*shape), Extras(mask)), file, format) == ()
        assert_alpha(open_picture(file), mask)


class TestSources:
    def test_the_content_tells_the_format_and_not_the_name(self, tmp_path: Path) -> None:
        pixels = noise(4, 5, 3)
        path = tmp_path / "picture.jpg"
        Image.fromarray(pixels).save(path, "PNG")
        assert_pixels(open_picture(path), pixels)
        assert_pixels(open_picture(str(path)), pixels)

    def test_a_pipe(self) -> None:
        pixels = noise(4, 5, 3)
        reading, writing = os.pipe()
        with os.fdopen(writing, "wb") as file:
            file.write(file_of(Image.fromarray(pixels), "PNG").getvalue())
        with os.fdopen(reading, "rb") as file:
            assert_pixels(open_picture(file), pixels)

    def test_the_file_is_closed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        Image.new("RGB", (4, 4)).save(tmp_path / "a.tif", save_all=True, append_images=[Image.new("RGB", (4, 4))])
        opened: list[Image.Image] = []
        monkeypatch.setattr(reading, "open_image", lambda *given: opened.append(open_image(*given)) or opened[0])
        open_picture(tmp_path / "a.tif")
        assert opened[0].fp is None or opened[0].fp.closed


class TestBadFiles:
    def check(self, source: Path | io.BytesIO, reason: str) -> None:
        with pytest.raises(InputError) as caught:
            open_picture(source)
        message = str(caught.value)
        assert message.startswith(f"{source}: " if isinstance(source, Path) else "picture: ")
        assert reason in message
        assert "\n" not in message

    def test_missing_file_and_folder(self, tmp_path: Path) -> None:
        self.check(tmp_path / "absent.png", "No such file or directory")
        self.check(tmp_path, "Is a directory")

    @pytest.mark.parametrize("content", [b"", b"Dear reader,\nthis is no picture.\n", bytes(1000)])
    def test_no_picture(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "a.png"
        path.write_bytes(content)
        self.check(path, "not a picture")

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
    def test_truncated(self, format: str) -> None:
        data = file_of(Image.fromarray(noise(64, 64, 3)), format).getvalue()
        self.check(io.BytesIO(data[: len(data) // 2]), "")
        if format == "JPEG":
            self.check(io.BytesIO(data[:-200]), "the picture cannot be decoded: image file is truncated")

    def test_a_reason_of_several_lines_becomes_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise ValueError("first line\n  second line")

        monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
        self.check(header_only(4, 4), "the picture cannot be decoded: first line second line")

    def test_nothing_is_run_to_read_a_picture(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> None:
            raise AssertionError("a program was started")

        monkeypatch.setattr(subprocess, "Popen", fail)
        monkeypatch.setattr(subprocess, "check_call", fail)
        self.check(file_of(Image.new("RGB", (8, 8)), "EPS"), "EPS files are not read")

    def test_empty_image(self) -> None:
        with pytest.raises(InputError, match="empty"):
            from_image(Image.new("RGB", (0, 5)))

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "TIFF"])
    def test_damage_raises_nothing_but_our_own(self, format: str) -> None:
        options = {} if format == "GIF" else {"exif": oriented(6), "icc_profile": rgb_profile(2.2)}
        data = file_of(Image.fromarray(noise(16, 16, 3)), format, **options).getvalue()
        chance = random.Random(11)
        for _ in range(150):
            damaged = bytearray(data)
            for _ in range(chance.randint(1, 6)):
                damaged[chance.randrange(min(len(data), 900))] = chance.randrange(256)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    picture = open_picture(io.BytesIO(damaged), max_pixels=1_000_000)
                except AecError as error:
                    assert "\n" not in str(error)
                else:
                    assert picture.pixels.dtype == np.uint8 and picture.pixels.ndim in (2, 3)


class TestLimits:
    def test_refused_from_the_header(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise AssertionError("decoding began")

        monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
        for width in (101, 1000):
            with pytest.raises(LimitExceeded, match=f"picture: {width}x100 pixels exceed the limit of 10000 in all"):
                open_picture(header_only(width, 100), max_pixels=10_000)
        with pytest.raises(LimitExceeded, match=f"{MAX_SIDE + 1}x1 pixels exceed the limit of {MAX_SIDE} a side"):
            open_picture(header_only(MAX_SIDE + 1, 1))

    def test_the_limit_itself_is_allowed(self) -> None:
        assert open_picture(file_of(Image.new("L", (100, 100)), "PNG"), max_pixels=10_000).pixels.shape == (100, 100)
        with pytest.raises(LimitExceeded):
            from_image(Image.new("L", (100, 100)), max_pixels=9_999)

    def test_decompression_bomb(self) -> None:
        for side in (14_000, 60_000):  # Pillow would warn of the first and refuse the second
            with pytest.raises(
                LimitExceeded, match=f"picture: {side}x{side} pixels exceed the limit of {MAX_PIXELS} in all"
            ):
                open_picture(header_only(side, side))

    @pytest.mark.parametrize(("side", "limit"), [(10_000, MAX_PIXELS), (20_000, 500_000_000)])
    def test_our_limit_stands_in_place_of_pillows(self, side: int, limit: int) -> None:
        """Pillow warns at half our default and refuses beyond it: here the file is refused because it has no pixels."""
        with pytest.raises(InputError, match="cannot be decoded"):
            open_picture(header_only(side, side), max_pixels=limit)

    def test_an_icon_larger_than_its_directory_says(self) -> None:
        content = file_of(Image.new("RGB", (40, 40)), "PNG").getvalue()
        directory = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(content), 22)
        with pytest.warns(UserWarning, match="expected size"):
            assert open_picture(io.BytesIO(directory + content)).pixels.shape == (40, 40, 3)
        with pytest.raises(LimitExceeded, match="40x40 pixels exceed the limit of 300 in all"):
            open_picture(io.BytesIO(directory + content), max_pixels=300)

    def test_a_bomb_hidden_behind_a_header_is_found_by_pillow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def bomb(*_: object) -> None:
            raise Image.DecompressionBombError("frame of 10^9 pixels")

        monkeypatch.setattr(ImageFile.ImageFile, "load", bomb)
        with pytest.raises(LimitExceeded, match="picture: frame"):
            open_picture(header_only(10, 10))

    def test_a_limit_of_pillow_is_called_its_own(self) -> None:
        size = struct.pack("<I", 16_382 | 16_382 << 14)
        content = b"WEBPVP8L" + struct.pack("<I", 70) + b"\x2f" + size + bytes(65)
        file = io.BytesIO(b"RIFF" + struct.pack("<I", len(content)) + content)
        with pytest.raises(LimitExceeded) as caught:
            open_picture(file, max_pixels=10**9)
        says = "exceeds limit of 178956970 pixels, which Pillow sets for files of this format"
        assert str(caught.value) == f"picture: image size (268402689 pixels) {says}"

    @pytest.mark.parametrize("shared", [0, 30])
    def test_a_texture_larger_than_it_says(self, shared: int) -> None:
        jpeg = file_of(Image.new("RGB", (40, 40)), "JPEG").getvalue()
        head = b"BLP1" + struct.pack("<6I", 0, 0, 40, 40, 0, 0)
        places = struct.pack("<33I", 160 + shared, *[0] * 15, len(jpeg) - shared, *[0] * 15, shared)
        texture = head + places + jpeg
        assert open_picture(io.BytesIO(texture)).pixels.shape == (40, 40, 3)
        small = texture.replace(struct.pack("<2I", 40, 40), struct.pack("<2I", 4, 4), 1)
        with pytest.raises(LimitExceeded, match="40x40 pixels exceed the limit of 300 in all"):
            open_picture(io.BytesIO(small), max_pixels=300)
        for length in range(150, len(texture), 40):  # damage is no size
            with pytest.raises(InputError):
                open_picture(io.BytesIO(texture[:length]))

    def test_pillows_own_limit_is_never_touched(self) -> None:
        """Other threads of the program rely on it, and a stream that stalls must not keep others from opening."""
        before = Image.MAX_IMAGE_PIXELS
        data = file_of(Image.new("L", (4, 4)), "PNG").getvalue()
        entered, go_on = threading.Event(), threading.Event()

        class Stalling(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                entered.set()
                assert go_on.wait(60)
                return super().read(size)

        thread = threading.Thread(target=open_picture, args=(Stalling(data),), kwargs={"max_pixels": 100})
        thread.start()
        assert entered.wait(60)
        assert open_picture(io.BytesIO(data), max_pixels=200).pixels.shape == (4, 4)
        assert before == Image.MAX_IMAGE_PIXELS
        go_on.set()
        thread.join()

    @pytest.mark.parametrize("format", ["PNG", "JPEG2000"])
    def test_an_apple_icon_larger_than_its_type_says(self, format: str) -> None:
        content = file_of(Image.new("RGBA", (300, 300)), format).getvalue()
        element = b"ic07" + struct.pack(">I", 8 + len(content)) + content
        icon = b"icns" + struct.pack(">I", 8 + len(element)) + element
        with pytest.raises(LimitExceeded, match="300x300 pixels exceed the limit of 20000 in all"):
            open_picture(io.BytesIO(icon), max_pixels=20_000)

    def test_a_file_is_read_by_its_name_once(self, tmp_path: Path) -> None:
        path = tmp_path / "a.pgm"
        Image.new("L", (300, 300), 7).save(path)
        image = open_image(path, lambda *_: None)
        path.unlink()
        assert_pixels(from_image(image), np.full((300, 300), 7, np.uint8))
        image.close()

    @pytest.mark.parametrize("kind", ["zTXt", "iTXt", "iCCP"])
    def test_large_chunks_of_a_png(self, kind: str) -> None:
        pixels, rest = noise(4, 5, 3), os.urandom(1 << 20)
        profile = rgb_profile(2.2) + rest
        profile = struct.pack(">I", len(profile)) + profile[4:]
        content = zlib.compress(profile if kind == "iCCP" else bytes(2 << 20))
        extra = chunk(kind.encode(), (b"workflow\0\1\0\0\0" if kind == "iTXt" else b"workflow\0\0") + content)
        picture = open_picture(png(pixels, 2, extra=extra), metadata=["icc"])
        assert_pixels(picture, pixels)
        assert picture.extras.icc == (profile if kind == "iCCP" else b"")
        assert picture.notices == (() if kind == "iCCP" else ("text of the PNG is dropped: workflow",))

    def test_a_png_written_with_a_large_profile_is_read_again(self) -> None:
        profile = rgb_profile(2.2) + os.urandom(1 << 20)
        profile, file = struct.pack(">I", len(profile)) + profile[4:], io.BytesIO()
        write_image(to_image(noise(4, 5, 3), Extras(icc=profile)), file, "PNG")
        assert open_picture(file, metadata=["icc"]).extras.icc == profile


class TestOut:
    @pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3)])
    def test_to_image(self, shape: tuple[int, ...]) -> None:
        pixels = noise(*shape)
        image = to_image(pixels)
        assert image.mode == ("L" if len(shape) == 2 else "RGB") and image.size == (5, 4)
        assert_pixels(from_image(image), pixels)

    @pytest.mark.parametrize("pixels", [noise(4, 5, 4), noise(4, 5, 1), noise(4), noise(4, 5, dtype=np.float32)])
    def test_to_image_refuses_the_rest(self, pixels: np.ndarray) -> None:
        with pytest.raises(ValueError, match="uint8"):
            to_image(pixels)

    @pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "BMP", "PPM", "JPEG"])
    @pytest.mark.parametrize("shape", [(40, 50), (40, 50, 3)])
    def test_every_pixel_is_written_and_jpeg_loses_little(self, format: str, shape: tuple[int, ...]) -> None:
        pixels = noise(*shape)
        file = io.BytesIO()
        write_image(to_image(pixels), file, format)
        with Image.open(file) as image:
            assert image.format == format
            written = np.asarray(image)
        expected = pixels if written.ndim == pixels.ndim else np.stack([pixels] * 3, -1)
        assert np.abs(written.astype(int) - expected).mean() <= (8 if format == "JPEG" else 0)

    def test_what_a_format_cannot_hold_is_an_error(self) -> None:
        for image, format in (
            (Image.new("RGB", (4, 4)), "XBM"),
            (Image.new("L", (16_384, 1)), "WEBP"),
            (Image.new("L", (4, 4)), "NONE"),
        ):
            with pytest.raises(OutputError, match=f"the picture cannot be written as {format}: .") as caught:
                write_image(image, io.BytesIO(), format)
            assert "\n" not in str(caught.value)

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
    def test_full_disk(self) -> None:
        with (
            pytest.raises(OutputError, match="No space left on device"),
            open("/dev/full", "wb", buffering=0) as file,
        ):
            write_image(Image.new("RGB", (64, 64)), file, "PNG")

    @pytest.mark.parametrize(
        ("name", "format"),
        [
            ("a.png", "PNG"),
            ("a.JPG", "JPEG"),
            ("a.b.jpeg", "JPEG"),
            ("a.webp", "WEBP"),
            ("a.tif", "TIFF"),
            ("a.ppm", "PPM"),
            ("a.bmp", "BMP"),
        ],
    )
    def test_format_of(self, tmp_path: Path, name: str, format: str) -> None:
        assert format_of(name) == format
        assert format_of(tmp_path / name) == format

    def test_format_of_in_a_fresh_process(self) -> None:
        """Pillow knows few extensions until it has loaded all its plugins."""
        code = "from aecodec.image.writing import format_of; print(format_of('a.tif'), format_of('a.png'))"
        assert subprocess.check_output([sys.executable, "-c", code], env=environment(), text=True) == "TIFF PNG\n"

    @pytest.mark.parametrize("name", ["a", ".png", "a.xyz", "a.", "folder.png/a", "a.psd"])
    def test_names_without_a_format(self, name: str) -> None:
        with pytest.raises(OutputError, match=f"^{name}: .* no picture format"):
            format_of(name)
