"""Pictures mean what their file says: depth, sign, white and black, planes, colour spaces and transparency."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from aecodec.errors import InputError
from aecodec.image.declared import Declared
from aecodec.image.declared import declared_by
from aecodec.image.reading import from_image
from aecodec.image.reading import open_picture
from helpers.pictures import chunk
from helpers.pictures import photograph
from helpers.pictures import png
from helpers.pictures import tiff
from helpers.profiles import rgb_profile

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
    def test_a_notice_names_the_range_of_other_kinds(self, kind: tuple[int], samples: np.ndarray, told: str) -> None:
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

    def test_signed_bytes(self) -> None:
        samples = np.int8([[-128, -1, 0, 1, 64, 127]])
        tags = {BITS: (8,), PHOTOMETRIC: (1,), CHANNELS: (1,), FORMAT: SIGNED}
        picture = open_picture(tiff(samples.tobytes(), (6, 1), tags))
        np.testing.assert_array_equal(picture.pixels, [[0, 0, 0, 2, 129, 255]])
        assert picture.notices == ("signed 8-bit samples are taken as 0..127; negative ones are black",)

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

    @pytest.mark.parametrize("filtering", range(5))
    def test_colours_of_16_bits(self, filtering: int) -> None:
        """All 16 bits count: the neighbours of the key differ in the lower byte only. Filtered by the standard."""
        deep = np.repeat(COLOURS.astype(np.uint16) * 256, 2, axis=1)
        deep[:, 1::2] += 1
        samples = deep.astype(">u2").reshape(6, -1).view(np.uint8).astype(int)
        left, above = np.pad(samples, ((0, 0), (6, 0)))[:, :-6], np.pad(samples, ((1, 0), (0, 0)))[:-1]
        corner = np.pad(samples, ((1, 0), (6, 0)))[:-1, :-6]
        distances = [abs(left + above - corner - near) for near in (left, above, corner)]
        nearest = np.choose(np.argmin(distances, axis=0), [left, above, corner])
        guess = [0, left, above, (left + above) // 2, nearest][filtering]
        rows = np.insert((samples - guess) & 255, 0, filtering, axis=1).astype(np.uint8)
        key = deep[2, 3]
        file = png(deep, 2, extra=chunk(b"tRNS", struct.pack(">3H", *key))).getvalue()
        start = file[: file.index(b"IDAT") - 4]
        data = start + chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b"")
        picture = open_picture(io.BytesIO(data))
        np.testing.assert_array_equal(picture.pixels, np.repeat(COLOURS, 2, axis=1))
        np.testing.assert_array_equal(picture.extras.alpha, np.where((deep == key).all(axis=2), 0, 255))
        assert picture.notices == ("16-bit samples are reduced to 8 bits",)

    def test_colours_of_an_image_that_is_loaded_already(self) -> None:
        deep = COLOURS.astype(np.uint16) * 257
        image = Image.open(png(deep, 2, extra=chunk(b"tRNS", struct.pack(">3H", *deep[2, 3]))))
        picture = from_image(image)
        assert picture.extras.alpha is not None and picture.extras.alpha[2, 3] == 0


def chrm(*primaries: float) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(100_000 * value) for value in primaries)))


def gama(gamma: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(100_000 / gamma)))


P3 = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
SRGB = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
BY_CODE = "colours are converted from {} to sRGB"
HDR = "HDR colours ({}) are taken as sRGB: the picture looks flat"
DAMAGED = "the gamma and primaries of the file are damaged: colours are taken as sRGB"
BY_GAMMA = "colours are converted from the gamma and primaries of the file to sRGB"
# Linear RGB of Display P3 to that of sRGB, from the literature.
P3_TO_SRGB = np.array([[1.22494, -0.22494, 0], [-0.04206, 1.04206, 0], [-0.01964, -0.07864, 1.09827]])


def linear(levels: np.ndarray) -> np.ndarray:
    part = levels / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def encoded(light: np.ndarray) -> np.ndarray:
    light = light.clip(0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def in_srgb(levels: np.ndarray) -> np.ndarray:
    return encoded(linear(levels) @ P3_TO_SRGB.T)


class TestColourSpace:
    @pytest.mark.parametrize(
        ("extra", "expected", "told"),
        [
            (chunk(b"cICP", bytes([12, 13, 0, 1])), in_srgb(COLOURS), BY_CODE.format("Display P3")),
            (chrm(*P3) + gama(2.2), in_srgb(COLOURS), BY_GAMMA),
            (chrm(*P3), in_srgb(COLOURS), BY_GAMMA),
            (gama(1.0), encoded(COLOURS / 255), BY_GAMMA),
            (gama(1.8), encoded((COLOURS / 255) ** 1.8), BY_GAMMA),
            (chrm(*SRGB) + gama(2.2), COLOURS, None),
            (gama(1 / 0.45455), COLOURS, None),
            (chunk(b"sRGB", b"\0") + gama(1.0), COLOURS, None),
            (chunk(b"cICP", bytes([1, 13, 0, 1])) + gama(1.0), COLOURS, None),
            (chunk(b"cICP", bytes([1, 8, 0, 1])), encoded(COLOURS / 255), BY_CODE.format("gamma 1.0")),
            (chrm(*[0.3] * 8) + gama(1.0), COLOURS, DAMAGED),
            (gama(0.001), COLOURS, DAMAGED),
            (chunk(b"cICP", bytes([9, 16, 0, 1])), COLOURS, HDR.format("PQ")),
            (chunk(b"cICP", bytes([9, 18, 0, 1])), COLOURS, HDR.format("HLG")),
        ],
    )
    def test_of_a_png(self, extra: bytes, expected: np.ndarray, told: str | None) -> None:
        picture = open_picture(png(COLOURS, 2, extra=extra))
        assert np.abs(picture.pixels.astype(float) - expected).max() < 2
        assert picture.notices == (() if told is None else (told,))

    def test_behind_long_chunks(self) -> None:
        extra = chunk(b"prVt", bytes(200_000)) + chunk(b"cICP", bytes([9, 16, 0, 1]))
        assert open_picture(png(COLOURS, 2, extra=extra)).notices == (HDR.format("PQ"),)

    def test_gamma_of_grey(self) -> None:
        picture = open_picture(png(GREY[..., None], 0, extra=gama(1.0)))
        assert np.abs(picture.pixels - encoded(GREY / 255)).max() < 2 and picture.notices == (BY_GAMMA,)

    @pytest.mark.parametrize(("primaries", "transfer", "told"), [(12, 13, "Display P3"), (9, 16, "PQ"), (1, 13, None)])
    def test_of_an_avif(self, primaries: int, transfer: int, told: str | None) -> None:
        file = io.BytesIO()
        Image.fromarray(COLOURS).save(file, "AVIF", quality=100, subsampling="4:4:4")
        data = bytearray(file.getvalue())
        struct.pack_into(">HH", data, data.index(b"colrnclx") + 8, primaries, transfer)
        picture = open_picture(io.BytesIO(data))
        assert [told in notice for notice in picture.notices if told] == [True] * (told is not None)
        expected = in_srgb(COLOURS) if primaries == 12 else COLOURS
        assert np.abs(picture.pixels.astype(float) - expected).mean() < 3

    def test_profile_of_a_jpeg_2000(self) -> None:
        file = io.BytesIO()
        Image.fromarray(COLOURS).save(file, "JPEG2000")
        data, profile = file.getvalue(), rgb_profile(1.0)
        at = data.index(b"colr") - 4
        box = struct.pack(">I4s3B", 11 + len(profile), b"colr", 2, 0, 0) + profile
        outer = data.index(b"jp2h") - 4
        grown = struct.pack(">I", int.from_bytes(data[outer : outer + 4], "big") - 15 + len(box))
        data = data[:outer] + grown + data[outer + 4 : at] + box + data[at + 15 :]
        assert open_picture(io.BytesIO(data)).notices == (BY_CODE.format("the ICC profile"),)
        picture = open_picture(io.BytesIO(data), metadata=["icc"])
        np.testing.assert_array_equal(picture.pixels, COLOURS)
        assert picture.extras.icc == profile

    @pytest.mark.parametrize(("flags", "bits"), [(0x00, 8), (0x40, 10), (0x60, 12)])
    def test_depth_of_an_avif(self, flags: int, bits: int) -> None:
        assert declared_in(b"\0\0\0\x0cftypavif" + b"av1C\x81\0" + bytes([flags, 0])).bits == bits

    def test_depth_and_colours_that_a_plugin_for_heif_tells(self) -> None:
        image = Image.fromarray(COLOURS)
        image.format = "HEIF"  # type: ignore[attr-defined]
        image.info |= {"bit_depth": 10, "nclx_profile": {"color_primaries": 12, "transfer_characteristics": 13}}
        picture = from_image(image)
        assert picture.notices == ("10-bit samples are reduced to 8 bits", BY_CODE.format("Display P3"))
        assert np.abs(picture.pixels.astype(float) - in_srgb(COLOURS)).max() < 2


def declared_in(start: bytes) -> Declared:
    image = Image.new("RGB", (1, 1))
    image.format, image.fp = "AVIF", io.BytesIO(start)  # type: ignore[attr-defined]
    return declared_by(image)


class TestWhatIsLeftOut:
    def test_texts_of_a_png(self) -> None:
        texts = b"".join(chunk(b"tEXt", name + b"\0words") for name in (b"Software", b"parameters", b"Author"))
        picture = open_picture(png(COLOURS, 2, extra=texts), metadata=["icc", "exif", "xmp"])
        assert picture.notices == ("text of the PNG is dropped: parameters, Author",)

    def test_names_of_texts_are_one_short_line(self) -> None:
        texts = b"".join(chunk(b"tEXt", name + b"\0words") for name in (b"\x1b[2J\n", b"long " * 15))
        assert open_picture(png(COLOURS, 2, extra=texts)).notices == (
            f"text of the PNG is dropped: ?[2J?, {'long ' * 8}",
        )

    def test_extended_xmp(self) -> None:
        file = io.BytesIO()
        Image.fromarray(COLOURS).save(file, "JPEG", xmp=b'<x xmpNote:HasExtendedXMP="00"/>')
        assert open_picture(file, metadata=["xmp"]).notices == ("the extended XMP data is dropped",)

    @pytest.mark.parametrize("format", ["JPEG", "GIF"])
    def test_comments(self, format: str) -> None:
        file = io.BytesIO()
        Image.fromarray(GREY).save(file, format, comment=b"by the harbour")
        assert open_picture(file).notices == ("the comment is dropped",)

    def test_iptc(self) -> None:
        file = io.BytesIO()
        Image.fromarray(COLOURS).save(file, "JPEG")
        title = b"\x1c\x02\x05\0\x05Title"
        block = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(title)) + title
        data = file.getvalue()
        data = data[:2] + b"\xff\xed" + struct.pack(">H", len(block) + 2) + block + data[2:]
        assert open_picture(io.BytesIO(data)).notices == ("the IPTC data is dropped",)

    def test_gain_maps(self) -> None:
        file = io.BytesIO()
        Image.fromarray(COLOURS).save(file, "JPEG", xmp=b'<x hdrgm:Version="1.0"/>')
        told = "the gain map for HDR displays is dropped"
        assert told in open_picture(file).notices
        assert declared_in(b"\0\0\0\x1cftypavif\0\0\0\0mif1tmap").gain_map

    @pytest.mark.parametrize("tags", [{330: (8,)}, {50706: (1, 4)}])
    def test_a_camera_raw_file_is_not_its_preview(self, tags: dict[int, tuple[int, ...]]) -> None:
        plain = {BITS: (8,), PHOTOMETRIC: (1,), CHANNELS: (1,), 254: (1,)}
        with pytest.raises(InputError, match="only the preview of 8x6 pixels could be read; develop it first"):
            open_picture(tiff(GREY.tobytes(), SIZE, plain | tags))
        assert open_picture(tiff(GREY.tobytes(), SIZE, plain)).notices == ()


def saved(format: str, **options: object) -> io.BytesIO:
    file = io.BytesIO()
    Image.fromarray(COLOURS).save(file, format, **options)
    return file


# Each loss that docs/conventions.md names, with a word of its notice.
LOSSES = {
    "ICC profile": (lambda: saved("PNG", icc_profile=rgb_profile(1.0)), "ICC profile"),
    "EXIF": (lambda: saved("JPEG", exif=exif_with_a_maker()), "EXIF"),
    "XMP": (lambda: saved("JPEG", xmp=b"<x/>"), "XMP"),
    "text": (lambda: png(COLOURS, 2, extra=chunk(b"tEXt", b"Title\0words")), "Title"),
    "comment": (lambda: saved("JPEG", comment=b"words"), "comment"),
    "16 bits": (lambda: png(COLOURS.astype(np.uint16), 2), "16-bit"),
    "HDR": (lambda: png(COLOURS, 2, extra=chunk(b"cICP", bytes([9, 16, 0, 1]))), "HDR"),
    "gain map": (lambda: saved("JPEG", xmp=b"<x hdrgm:Version='1.0'/>"), "gain map"),
    "frames": (lambda: saved("TIFF", save_all=True, append_images=[Image.new("L", (1, 1))]), "frames"),
    "alpha": (lambda: png(np.concatenate([COLOURS, GREY[..., None]], axis=2), 6), "alpha"),
}


def exif_with_a_maker() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    return exif


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_is_a_notice(loss: str) -> None:
    make, word = LOSSES[loss]
    assert any(word in notice for notice in open_picture(make(), alpha=False).notices)
