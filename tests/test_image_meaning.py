"""Pictures mean what their file says: depth, sign, white and black, planes, colour spaces and transparency."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from aecodec.image.reading import open_picture
from helpers.pictures import chunk
from helpers.pictures import photograph
from helpers.pictures import png
from helpers.pictures import tiff

COLOURS = photograph(6, 8)
GREY = COLOURS[..., 0]
SIZE = (8, 6)
BITS, PHOTOMETRIC, CHANNELS, PLANES, FORMAT = 258, 262, 277, 284, 339
UNSIGNED, SIGNED, FLOAT = (1,), (2,), (3,)


def packed(samples: np.ndarray) -> bytes:
    """Samples of 12 bits, the upper bits first."""
    bits = "".join(f"{sample:012b}" for sample in samples.ravel().tolist())
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


class TestDepth:
    def test_12_bits_are_scaled_by_the_depth_that_the_file_states(self) -> None:
        deep = GREY.astype(np.uint16) * 16 + 15
        picture = open_picture(tiff(packed(deep), SIZE, {BITS: (12,), PHOTOMETRIC: (1,), CHANNELS: (1,)}))
        np.testing.assert_array_equal(picture.pixels, GREY)
        assert picture.notices == ("12-bit samples are reduced to 8 bits",)

    @pytest.mark.parametrize(
        ("kind", "samples", "told"),
        [
            (UNSIGNED, GREY.astype("<u4") * 16_843_009, "32-bit samples, taken as 0..4294967295, are reduced"),
            (UNSIGNED, GREY.astype("<u4") * 257, "32-bit samples, taken as 0..65535, are reduced"),
            (SIGNED, GREY.astype("<i4") * 8_421_504, "32-bit samples, taken as 0..2147483647, are reduced"),
            (SIGNED, GREY.astype("<i2") * 128, "16-bit samples, taken as 0..32767, are reduced"),
            (FLOAT, GREY.astype("<f4") * 257, "floating-point samples, taken as 0..65535, are rounded"),
            (FLOAT, GREY.astype("<f4") / 255, "floating-point samples, taken as 0..1, are rounded"),
        ],
    )
    def test_the_range_of_other_kinds_is_told(self, kind: tuple[int], samples: np.ndarray, told: str) -> None:
        tags = {BITS: (8 * samples.itemsize,), PHOTOMETRIC: (1,), CHANNELS: (1,), FORMAT: kind}
        picture = open_picture(tiff(samples.tobytes(), SIZE, tags))
        np.testing.assert_array_equal(picture.pixels, GREY)
        assert picture.notices == (f"{told} to 8 bits",)

    @pytest.mark.parametrize("samples", [GREY.astype("<i2") * 128 - 13_000, GREY.astype("<f4") / 255 - 0.5])
    def test_negative_samples_are_black(self, samples: np.ndarray) -> None:
        kind = FLOAT if samples.dtype.kind == "f" else SIGNED
        tags = {BITS: (8 * samples.itemsize,), PHOTOMETRIC: (1,), CHANNELS: (1,), FORMAT: kind}
        picture = open_picture(tiff(samples.tobytes(), SIZE, tags))
        assert (picture.pixels[samples < 0] == 0).all()
        assert picture.notices[0].endswith("; negative ones are black")

    @pytest.mark.parametrize("bits", [8, 12, 16])
    def test_jpeg_2000_in_colour(self, bits: int) -> None:
        file = io.BytesIO()
        Image.fromarray(COLOURS).save(file, "JPEG2000", no_jp2=True)
        data = bytearray(file.getvalue())
        assert data[40:43] == bytes([0, 3, 7])
        for channel in range(3):
            data[42 + 3 * channel] = bits - 1
        picture = open_picture(io.BytesIO(data))
        assert picture.notices == (() if bits == 8 else (f"{bits}-bit samples are reduced to 8 bits",))


class TestLayout:
    @pytest.mark.parametrize("samples", [GREY, GREY.astype("<u2") * 257, GREY.astype("<f4") / 255])
    @pytest.mark.parametrize("plane", [1, 2])
    def test_white_may_be_zero(self, samples: np.ndarray, plane: int) -> None:
        white = samples.dtype.type(1) if samples.dtype.kind == "f" else np.iinfo(samples.dtype).max
        kind = FLOAT if samples.dtype.kind == "f" else UNSIGNED
        tags = {BITS: (8 * samples.itemsize,), PHOTOMETRIC: (0,), CHANNELS: (1,), FORMAT: kind, PLANES: (plane,)}
        picture = open_picture(tiff((white - samples).astype(samples.dtype).tobytes(), SIZE, tags))
        np.testing.assert_array_equal(picture.pixels, GREY)

    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("bits", [8, 16])
    @pytest.mark.parametrize("channels", [3, 4])
    def test_separate_planes(self, order: str, bits: int, channels: int) -> None:
        samples = np.concatenate([COLOURS, GREY[..., None]], axis=2)[..., :channels].astype(int)
        deep = (samples if bits == 8 else samples * 257).astype(f"{order}u{bits // 8}")
        tags = {BITS: (bits,) * channels, PHOTOMETRIC: (2,), CHANNELS: (channels,), PLANES: (2,)}
        tags |= {} if channels == 3 else {338: (2,)}
        picture = open_picture(tiff(np.moveaxis(deep, 2, 0).tobytes(), SIZE, tags, order))
        np.testing.assert_array_equal(picture.pixels, COLOURS)
        if channels == 4:
            np.testing.assert_array_equal(picture.extras.alpha, GREY)
        assert picture.notices == (() if bits == 8 else ("16-bit samples are reduced to 8 bits",))


class TestTransparentColour:
    @pytest.mark.parametrize("bits", [1, 2, 4, 8])
    def test_grey_of_any_depth(self, bits: int) -> None:
        levels = GREY >> (8 - bits)
        key = int(levels[2, 3])
        rows = np.packbits(np.unpackbits(levels[..., None], axis=2)[..., 8 - bits :].reshape(6, -1), axis=1)
        extra = chunk(b"tRNS", struct.pack(">H", key))
        picture = open_picture(png(rows[..., None], 0, extra=extra, size=SIZE, bits=bits))
        np.testing.assert_array_equal(picture.extras.alpha, np.where(levels == key, 0, 255))

    def test_colours_of_16_bits(self) -> None:
        deep = COLOURS.astype(np.uint16) * 257
        extra = chunk(b"tRNS", struct.pack(">3H", *deep[2, 3]))
        picture = open_picture(png(deep, 2, extra=extra))
        hit = (deep == deep[2, 3]).all(axis=2)
        np.testing.assert_array_equal(picture.extras.alpha, np.where(hit, 0, 255))
        assert picture.notices[1] == "the transparent colour is compared in the upper 8 bits of 16"
