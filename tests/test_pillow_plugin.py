"""Pillow with `.aec` files: opening, loading and saving as for any other format, and libraries built on Pillow."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL import ImageFile
from PIL import ImageOps
from PIL import UnidentifiedImageError

import aecodec
import aecodec.pillow_plugin
from aecodec.format.header import MAGIC
from aecodec.format.header import MAX_HEADER_BYTES
from fuzz.container import DISPLAY
from fuzz.container import head
from fuzz.container import plain
from fuzz.container import varint
from helpers.paths import PHOTOS
from helpers.paths import TINY
from helpers.profiles import rgb_profile

ORIENTATION, MAKER = 0x0112, 0x010F
WIDE = rgb_profile(2.2)  # Adobe RGB


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    with Image.open(PHOTOS / "lighthouse.png") as image:
        return image.convert("RGB").crop((0, 0, 150, 100))


@pytest.fixture(scope="module")
def data(photo: Image.Image) -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AECODEC_WEIGHTS", str(TINY))
        return aecodec.encode(photo, 40, model="tiny")


@pytest.fixture
def path(data: bytes, tmp_path: Path) -> Path:
    file = tmp_path / "lighthouse.aec"
    file.write_bytes(data)
    return file


@pytest.fixture
def turned(photo: Image.Image, tmp_path: Path) -> Path:
    """A picture that lies on its side, as its EXIF data say."""
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKER] = 6, "Somebody"
    photo.save(tmp_path / "turned.png", exif=exif)
    return tmp_path / "turned.png"


def saved(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "AEC", model="tiny", **options)
    return file.getvalue()


def assert_same(first: Image.Image, second: Image.Image) -> None:
    assert (first.mode, first.size) == (second.mode, second.size)
    np.testing.assert_array_equal(np.asarray(first), np.asarray(second))


class Counting(io.BytesIO):
    """Remembers how far it has been read."""

    furthest = 0

    def read(self, size: int | None = -1) -> bytes:
        found = super().read(size)
        self.furthest = max(self.furthest, self.tell())
        return found


class Stream:
    """A source that can only be read forwards, like a socket."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


# Opening and loading.


def test_opening_reads_the_header_and_loading_the_rest(data: bytes) -> None:
    file = Counting(data)
    image = Image.open(file)
    assert (image.format, image.mode, image.size) == ("AEC", "RGB", (150, 100))
    info = aecodec.read_info(data)
    assert image.info == {"quality": info.quality, "model": "tiny", "weights_id": "11ddc256"}
    assert file.furthest <= MAX_HEADER_BYTES < len(data)
    image.load()
    assert file.furthest == len(data)
    assert_same(image, aecodec.decode(data))


def test_every_kind_of_source(data: bytes, path: Path) -> None:
    expected = aecodec.decode(data)
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    with open(reading, "rb") as pipe, path.open("rb") as file:
        for source in (path, str(path), os.fsencode(path), file, io.BytesIO(data), Stream(data), pipe):
            with Image.open(source) as image:  # type: ignore[arg-type]
                assert_same(image, expected)


def test_another_file_extension_and_a_choice_of_formats(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "picture.jpg"
    file.write_bytes(data)
    with Image.open(file) as image:
        assert image.format == "AEC"
    with Image.open(file, formats=["AEC"]) as image:
        assert image.size == (150, 100)
    with pytest.raises(UnidentifiedImageError):
        Image.open(file, formats=["JPEG", "PNG"])


def test_common_operations_on_an_open_image(data: bytes, path: Path) -> None:
    expected = aecodec.decode(data)
    with Image.open(path) as image:
        image.thumbnail((64, 64))
        assert image.size == (64, 43)
    with Image.open(path) as image:
        assert_same(image.copy(), expected)
        assert_same(image.convert("L"), expected.convert("L"))
        assert_same(image.resize((20, 20)), expected.resize((20, 20)))
    with Image.open(path) as image:
        assert_same(image.crop((10, 10, 30, 40)), expected.crop((10, 10, 30, 40)))
        assert image.getexif() == {}
        assert_same(ImageOps.exif_transpose(image), expected)
    with Image.open(path) as image:
        pixel = image.load()
        assert pixel is not None
        assert pixel[3, 4] == expected.getpixel((3, 4))
    with Image.open(path) as image:
        image.putpixel((0, 0), (1, 2, 3))
        assert image.getpixel((0, 0)) == (1, 2, 3)


def test_files_are_closed(path: Path) -> None:
    with Image.open(path) as image:
        file = image.fp  # type: ignore[attr-defined]
        image.load()
        assert file.closed
    with Image.open(path) as image:
        file = image.fp  # type: ignore[attr-defined]
    assert file.closed
    with path.open("rb") as own:
        Image.open(own).load()
        assert not own.closed


def test_pickle_in_this_process_and_in_one_without_the_plugin(data: bytes, path: Path) -> None:
    with Image.open(path) as image:
        pickled = pickle.dumps(image)
    again = pickle.loads(pickled)
    assert_same(again, aecodec.decode(data))
    assert (again.format, again.info["model"]) == ("AEC", "tiny")
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).size)"
    done = subprocess.run([sys.executable, "-c", code], input=pickled, capture_output=True, check=True)
    assert done.stdout.decode().strip() == "(150, 100)"


def test_registering_twice_and_not_at_all(path: Path) -> None:
    aecodec.register_aec_opener()
    assert Image.ID.count("AEC") == 1
    assert Image.registered_extensions()[".aec"] == "AEC"
    assert Image.MIME["AEC"] == "image/x-aec"
    with Image.open(path) as image:
        assert image.get_format_mimetype() == "image/x-aec"  # type: ignore[attr-defined]
    code = "import aecodec; from PIL import Image; Image.init(); assert 'AEC' not in Image.OPEN; "
    code += "aecodec.register_aec_opener(); assert 'AEC' in Image.OPEN and 'AEC' in Image.SAVE"
    subprocess.run([sys.executable, "-c", code], check=True)


# What goes wrong when opening and loading.


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (MAGIC, "cut short"),
        (head(varint(0, padding=1), 100), "shortest form"),
        (head(0, 100), "0x100 pixels"),
        (head(100, 100, flags=DISPLAY, display=(100, 100)), "the picture's own"),
        (head(100, 100, version=2), "format version 2"),
    ],
)
def test_a_damaged_header_is_no_image(tmp_path: Path, fields: bytes, reason: str) -> None:
    path = tmp_path / "damaged.aec"
    path.write_bytes(fields)
    for source in (path, io.BytesIO(fields)):
        with pytest.raises(UnidentifiedImageError, match=reason) as caught:
            Image.open(source)
        assert isinstance(caught.value.__cause__, aecodec.AecError)


def test_other_files_are_left_to_other_plugins(path: Path) -> None:
    path.write_bytes(b"\xaeC\n\n" + bytes(40))
    with pytest.raises(UnidentifiedImageError):
        Image.open(path)
    path.write_bytes((PHOTOS / "dog.jpg").read_bytes())
    with Image.open(path) as image:
        assert image.format == "JPEG"


def test_decompression_bombs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Image.DecompressionBombError, match="60000x60000"):
        Image.open(io.BytesIO(plain(head(60_000, 60_000))))
    large = io.BytesIO(plain(head(1000, 1000)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600_000)
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(large)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400_000)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(large)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: data[:60] + data[61:]]
)
def test_damage_behind_the_header_shows_when_loading(data: bytes, damage: Any) -> None:
    image = Image.open(io.BytesIO(damage(data)))
    assert image.size == (150, 100)
    for _ in range(2):
        with pytest.raises(OSError, match="damaged file") as caught:
            image.load()
        assert isinstance(caught.value.__cause__, aecodec.CorruptFile)


def test_missing_weights(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AECODEC_WEIGHTS")
    image = Image.open(io.BytesIO(data))
    assert image.info["model"] is None
    with pytest.raises(OSError, match="needs weights 11ddc256") as caught:
        image.load()
    assert isinstance(caught.value.__cause__, aecodec.UnknownWeights)


def test_verify(data: bytes, path: Path) -> None:
    image = Image.open(path)
    image.verify()
    assert image.fp is None  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="directly after open"):
        image.verify()
    for position in (20, len(data) // 2, len(data) - 1):
        flipped = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        with pytest.raises(OSError, match="checksum") as caught:
            Image.open(io.BytesIO(flipped)).verify()
        assert isinstance(caught.value.__cause__, aecodec.CorruptFile)


# Saving.


def test_saving_by_name_and_into_a_file(photo: Image.Image, tmp_path: Path) -> None:
    expected = aecodec.encode(photo, 60, model="tiny")
    photo.save(tmp_path / "a.aec", quality=60, model="tiny")
    assert (tmp_path / "a.aec").read_bytes() == expected == saved(photo, quality=60)


def test_options_of_saving(photo: Image.Image) -> None:
    assert saved(photo) == aecodec.encode(photo, model="tiny")
    assert len(saved(photo, target_size=3000)) <= 3000
    assert len(saved(photo, target_bpp=1)) <= 150 * 100 / 8
    assert saved(photo, target_psnr=1) == saved(photo, quality=0)
    weights = TINY / "tiny.encoder.safetensors"
    file = io.BytesIO()
    photo.save(file, "AEC", weights=weights, quality=20)
    assert file.getvalue() == saved(photo, quality=20)
    assert saved(photo, quality=20, optimize=True, progressive=True) == saved(photo, quality=20)


@pytest.mark.parametrize(
    "options", [{"quality": 101}, {"quality": "high"}, {"target_size": 1}, {"quality": 5, "target_size": 900}]
)
def test_options_that_make_no_sense_leave_no_file(photo: Image.Image, tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(OSError) as caught:
        photo.save(tmp_path / "a.aec", model="tiny", **options)
    assert isinstance(caught.value.__cause__, aecodec.AecError)
    assert not (tmp_path / "a.aec").exists()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I", "F", "I;16"])
def test_saving_every_mode(photo: Image.Image, mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
    else:
        image = photo.convert(mode)
    data = saved(image, quality=30)
    assert data == aecodec.encode(image, 30, model="tiny")
    with Image.open(io.BytesIO(data)) as again:
        assert again.size == photo.size
        assert_same(again, aecodec.decode(data))


def test_saving_what_was_opened(data: bytes, path: Path) -> None:
    """Onto itself too, since Pillow loads it first. The default quality is that of the model, not of the file."""
    with Image.open(path) as image:
        image.save(path, model="tiny")
    assert path.read_bytes() == aecodec.encode(aecodec.decode(data), model="tiny")


def test_saving_takes_pixels_as_they_stand(turned: Path) -> None:
    """Programs that turn a picture themselves but keep the tag must not see it turned again."""
    with Image.open(turned) as image:
        by_hand = image.transpose(Image.Transpose.ROTATE_270)
        upright = ImageOps.exif_transpose(image)
    assert by_hand.getexif()[ORIENTATION] == 6
    assert saved(by_hand) == saved(upright) == aecodec.encode(upright, model="tiny")


def test_saving_with_exif_gives_it_back_upright(turned: Path) -> None:
    """As bytes, as an Exif object and from `info`: viewers show the same picture as before."""
    with Image.open(turned) as image:
        expected = aecodec.encode(image, model="tiny", metadata="exif")
        assert saved(image, exif=image.info["exif"]) == saved(image, exif=image.getexif()) == expected
        assert saved(image, metadata=["exif"]) == expected
        upright = ImageOps.exif_transpose(image)
    again = Image.open(io.BytesIO(expected))
    assert (again.size, again.getexif()[ORIENTATION], again.getexif()[MAKER]) == (upright.size, 1, "Somebody")
    assert saved(upright, exif=again.getexif()) == expected


def test_metadata_of_an_open_file(photo: Image.Image, turned: Path) -> None:
    with Image.open(turned) as image:
        exif = image.info["exif"]
    data = saved(photo, icc_profile=WIDE, exif=exif, xmp=b"<x/>")
    stored = aecodec.decode(data).info
    image = Image.open(io.BytesIO(data))
    assert {"icc_profile", "exif", "xmp"} == stored.keys() == stored.keys() & image.info.keys()
    assert {name: image.info[name] for name in stored} == stored
    assert (image.info["icc_profile"], image.info["xmp"]) == (WIDE, b"<x/>")
    assert_same(image, aecodec.decode(data))
    file = io.BytesIO()
    image.save(file, "PNG")
    assert Image.open(file).info["icc_profile"] == WIDE
    damaged = Image.open(io.BytesIO(data[:-1]))
    assert "xmp" not in damaged.info
    with pytest.raises(OSError, match="damaged file"):
        damaged.load()


def test_a_profile_is_converted_unless_it_is_given(photo: Image.Image) -> None:
    """As elsewhere in Pillow, the profile in `info` describes the pixels, and None removes it."""
    other = photo.copy()
    other.info["icc_profile"] = WIDE
    assert saved(other) == aecodec.encode(other, model="tiny") != saved(photo)
    assert saved(other, icc_profile=WIDE) == aecodec.encode(other, model="tiny", metadata="icc")
    assert saved(other, icc_profile=None) == saved(photo)
    assert saved(other, metadata="all") == aecodec.encode(other, model="tiny", metadata="all")


def test_alpha_comes_back_as_it_was(photo: Image.Image) -> None:
    with_alpha = photo.copy()
    with_alpha.putalpha(photo.convert("L"))
    for image in (with_alpha, with_alpha.convert("LA")):
        again = Image.open(io.BytesIO(saved(image)))
        assert again.mode == image.mode
        assert_same(again.getchannel("A"), image.getchannel("A"))
    assert Image.open(io.BytesIO(saved(with_alpha, alpha=False))).mode == "RGB"
    palette = photo.convert("P")
    palette.info["transparency"] = palette.getpixel((0, 0))
    assert Image.open(io.BytesIO(saved(palette))).mode == "RGBA"
    assert saved(palette) == aecodec.encode(palette, model="tiny")


# Libraries built on Pillow.


def test_feeding_a_parser_byte_by_byte(data: bytes) -> None:
    with ImageFile.Parser() as parser:
        for position in range(0, len(data), 7):
            parser.feed(data[position : position + 7])
    assert_same(parser.close(), aecodec.decode(data))


def test_the_calls_of_a_web_framework(data: bytes, path: Path) -> None:
    """The calls of Django's ImageField and its validators, in order."""
    assert path.suffix.lower() in Image.registered_extensions()
    image = Image.open(io.BytesIO(data))
    image.verify()
    assert Image.MIME[str(image.format)] == "image/x-aec"
    parser = ImageFile.Parser()
    parser.feed(data[:1024])
    assert parser.image is not None
    assert parser.image.size == (150, 100)


def test_imageio(photo: Image.Image, data: bytes, path: Path) -> None:
    imageio = pytest.importorskip("imageio.v3")
    np.testing.assert_array_equal(imageio.imread(path), aecodec.decode_pixels(data))
    np.testing.assert_array_equal(imageio.imread(data), aecodec.decode_pixels(data))
    assert imageio.immeta(path)["model"] == "tiny"
    imageio.imwrite(path, np.asarray(photo), quality=70, model="tiny")
    assert path.read_bytes() == aecodec.encode(photo, 70, model="tiny")
