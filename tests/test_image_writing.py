"""Decoded pictures as Pillow images and as files."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aecodec.errors import OutputError
from aecodec.image.reading import from_image
from aecodec.image.writing import format_of
from aecodec.image.writing import to_image
from aecodec.image.writing import write_image
from helpers.commands import environment
from helpers.pictures import assert_pixels
from helpers.pictures import noise


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
