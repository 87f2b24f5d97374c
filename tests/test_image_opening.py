"""Where pictures come from; damaged and enormous ones are refused by one clear line."""

from __future__ import annotations

import io
import os
import random
import struct
import subprocess
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL import ImageFile

from aecodec.errors import AecError
from aecodec.errors import InputError
from aecodec.errors import LimitExceeded
from aecodec.format.extras import Extras
from aecodec.image import reading
from aecodec.image.opening import open_image
from aecodec.image.reading import from_image
from aecodec.image.reading import open_picture
from aecodec.image.writing import to_image
from aecodec.image.writing import write_image
from aecodec.limits import MAX_PIXELS
from aecodec.limits import MAX_SIDE
from helpers.pictures import assert_pixels
from helpers.pictures import chunk
from helpers.pictures import file_of
from helpers.pictures import noise
from helpers.pictures import oriented
from helpers.pictures import png
from helpers.profiles import rgb_profile


def header_only(width: int, height: int) -> io.BytesIO:
    """A PNG with a header of that size and hardly any data."""
    return png(np.zeros((1, 1), np.uint8), 2, size=(width, height))


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
