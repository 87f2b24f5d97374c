"""Pictures of every mode and depth become 8-bit RGB or grey; alpha and colour profiles are kept or converted."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from aecodec.image.reading import from_image
from aecodec.image.reading import open_picture
from helpers.pictures import assert_alpha
from helpers.pictures import assert_pixels
from helpers.pictures import chunk
from helpers.pictures import file_of
from helpers.pictures import noise
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
PROFILE_CONVERTED = "colours are converted from the ICC profile to sRGB"
PROFILE_IGNORED = "the ICC profile cannot be applied: colours are taken as sRGB"


def srgb_encoded(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


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
