"""Orientation, frames and metadata of pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import ExifTags
from PIL import Image

from aecodec.errors import OutputError
from aecodec.format.extras import Extras
from aecodec.image.reading import open_picture
from aecodec.image.writing import to_image
from aecodec.image.writing import write_image
from helpers.pictures import assert_alpha
from helpers.pictures import assert_pixels
from helpers.pictures import file_of
from helpers.pictures import noise
from helpers.pictures import oriented
from helpers.profiles import cmyk_profile
from helpers.profiles import rgb_profile

SEVERAL_FRAMES = "of several frames only one is kept"
PROFILE_CONVERTED = "colours are converted from the ICC profile to sRGB"
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
