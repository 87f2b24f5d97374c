"""EXIF blocks come back as they were, upright; malformed and hostile ones stop nothing."""

from __future__ import annotations

import io
import random
import struct

import numpy as np
import pytest
from PIL import ExifTags
from PIL import Image

from aecodec.errors import OutputError
from aecodec.format.extras import Extras
from aecodec.image.exif_block import Block
from aecodec.image.reading import from_image
from aecodec.image.reading import open_picture
from aecodec.image.writing import to_image
from aecodec.image.writing import write_image
from helpers.pictures import photograph

PIXELS = photograph(6, 8)
CAMERA, PLACE = 0x8769, 0x8825
NAMES = ["Åsa Ö".encode(), "Jörg  ".encode("latin-1"), "山田".encode()]
PARSED = pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged EXIF


def block(order: str = "<", orientation: int = 6, name: bytes = b"Name") -> bytes:
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F], exif[0x0112], exif[0x013B] = "Maker", orientation, "X" * len(name)
    exif.get_ifd(CAMERA)[0x9003], exif.get_ifd(PLACE)[1] = "2020:01:02 03:04:05", "N"
    return exif.tobytes().replace(b"X" * len(name), name).removeprefix(b"Exif\0\0")


def stored(exif: bytes, format: str = "JPEG") -> io.BytesIO:
    file = io.BytesIO()
    options = {"lossless": True} if format == "WEBP" else {}
    Image.fromarray(PIXELS).save(file, format, exif=b"Exif\0\0" + exif, **options)
    return file


def kept(exif: bytes, format: str = "JPEG") -> bytes:
    return open_picture(stored(exif, format), metadata=["exif"]).extras.exif


class TestOrientation:
    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize(
        ("kind", "value"), [(3, "H2x"), (4, "I"), (1, "B3x"), (7, "B3x"), (8, "h2x"), (9, "i"), (2, None)]
    )
    def test_of_any_type_is_applied_and_the_rest_is_kept(self, order: str, kind: int, value: str | None) -> None:
        usual = block(order)
        at = usual.index(struct.pack(f"{order}HHI", 0x0112, 3, 1))
        number = b"6\0\0\0" if value is None else struct.pack(order + value, 6)
        odd = usual[: at + 2] + struct.pack(f"{order}HI", kind, 2 if value is None else 1) + number + usual[at + 12 :]
        picture = open_picture(stored(odd), metadata=["exif"])
        assert picture.pixels.shape == (8, 6, 3) and picture.notices == ()
        assert Block(picture.extras.exif).orientation() == 1
        exif = Image.Exif()
        exif.load(picture.extras.exif)
        assert (exif[0x010F], exif.get_ifd(PLACE)[1]) == ("Maker", "N")
        assert exif.get_ifd(CAMERA)[0x9003] == "2020:01:02 03:04:05"

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_only_the_orientation_is_reset(self, format: str, order: str) -> None:
        given = block(order, name=NAMES[0])
        assert kept(given, format) == block(order, orientation=1, name=NAMES[0])

    def test_sides_are_exchanged_with_it(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        exif.get_ifd(CAMERA).update({0xA002: 8, 0xA003: 70_000})
        changed = Image.Exif()
        changed.load(kept(exif.tobytes().removeprefix(b"Exif\0\0")))
        assert changed.get_ifd(CAMERA) == {0xA002: 70_000, 0xA003: 8}

    def test_the_thumbnail_is_cut_off(self) -> None:
        given = bytearray(block("<", orientation=1))
        directory = struct.unpack_from("<I", given, 4)[0]
        link = directory + 2 + 12 * struct.unpack_from("<H", given, directory)[0]
        thumbnail = struct.pack("<HHHIIHHIII", 2, 0x201, 4, 1, len(given) + 30, 0x202, 4, 1, 500, 0)
        with_one = given + thumbnail + b"\xff\xd8" + bytes(498)
        struct.pack_into("<I", with_one, link, len(given))
        assert kept(bytes(with_one)) == given


class TestText:
    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
    def test_keeps_its_bytes_through_every_format(self, name: bytes, format: str) -> None:
        file = io.BytesIO()
        assert write_image(to_image(PIXELS, Extras(exif=block(name=name, orientation=1))), file, format) == ()
        assert name in open_picture(file, metadata=["exif"]).extras.exif

    @pytest.mark.parametrize("name", NAMES)
    def test_of_a_turned_avif(self, name: bytes) -> None:
        plain = b"X" * len(name)
        turned = stored(block(name=plain), "AVIF").getvalue().replace(plain, name)
        picture = open_picture(io.BytesIO(turned), metadata=["exif"])
        assert name in picture.extras.exif and picture.pixels.shape == (8, 6, 3)

    def test_tags_changed_in_python_count(self) -> None:
        with Image.open(stored(block())) as image:
            before = image.getexif().tobytes()
            assert from_image(image, metadata=["exif"]).extras.exif == block(orientation=1)
            assert image.getexif().tobytes() == before
            image.getexif()[0x013B] = "山田"
            image.getexif().get_ifd(PLACE)[3] = "E"
            changed = from_image(image, metadata=["exif"]).extras.exif
        assert "山田".encode() in changed
        exif = Image.Exif()
        exif.load(changed)
        assert exif.get_ifd(PLACE) == {1: "N", 3: "E"}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "AVIF", "WEBP"])
class TestWriting:
    @PARSED
    def test_hostile_blocks_end_in_a_picture_or_one_line(self, format: str) -> None:
        """Checked once as they are, and once as our reader keeps them."""
        chance, given = random.Random(5), block()
        for _ in range(150):
            hostile = bytearray(given)
            for _ in range(chance.randint(1, 8)):
                hostile[chance.randrange(len(hostile))] = chance.choice([0, 1, 255, chance.randrange(256)])
            file = io.BytesIO()
            try:
                write_image(to_image(PIXELS[:1, :1], Extras(exif=bytes(hostile))), file, format)
            except OutputError as error:
                pytest.fail(str(error))
            assert open_picture(file).pixels.shape == (1, 1, 3)

    def test_no_length_of_metadata_stops_a_picture(self, format: str) -> None:
        exif = Image.Exif()
        exif.get_ifd(CAMERA)[0x9286] = b"y" * 70_000
        padded, long = b"<x/>" + b" " * 70_000 + b'<?xpacket end="w"?>', b"<x>" + b"y" * 70_000 + b"</x>"
        for xmp in (padded, long):
            extras = Extras(exif=exif.tobytes().removeprefix(b"Exif\0\0"), xmp=xmp)
            file = io.BytesIO()
            notices = write_image(to_image(PIXELS, extras), file, format)
            assert [notice.split(":")[0] for notice in notices] == (
                [f"JPEG holds at most {most} bytes of {name}" for most, name in ((65533, "EXIF"), (65504, "XMP"))]
                if format == "JPEG"
                else []
            )[: 2 if xmp is long else 1]
            back = open_picture(file, metadata=["exif", "xmp"])
            assert back.pixels.shape == PIXELS.shape
            assert (back.extras.xmp == b"") == (format == "JPEG" and xmp is long)


@PARSED
def test_hostile_blocks_on_reading() -> None:
    chance, given = random.Random(6), block(">")
    for _ in range(300):
        hostile = bytearray(given)
        for _ in range(chance.randint(1, 8)):
            hostile[chance.randrange(len(hostile))] = chance.choice([0, 1, 255, chance.randrange(256)])
        image = Image.fromarray(PIXELS)
        image.info["exif"] = bytes(hostile[: chance.randint(1, len(hostile))])
        assert sorted(from_image(image, metadata=["exif"]).pixels.shape) == [3, 6, 8]


def test_directories_that_point_to_themselves() -> None:
    loop = b"II*\0\x08\0\0\0" + struct.pack("<HHHIIHHIII", 2, CAMERA, 4, 1, 8, PLACE, 4, 1, 8, 8)
    exif = Block(loop)
    exif.cut_thumbnail()
    assert len(exif.data) <= len(loop) and np.all(exif.orientation() == 1)


def test_the_directory_of_the_thumbnail_is_removed() -> None:
    exif = Image.Exif()
    exif.load(kept(block()))
    assert exif.get_ifd(ExifTags.IFD.IFD1) == {}
