"""The file: its page's examples are true, what is packed comes back, and nothing damaged is read."""

from __future__ import annotations

import contextlib
import re
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from aecodec.errors import AecError
from aecodec.errors import CorruptFile
from aecodec.errors import HeaderLimitExceeded
from aecodec.errors import UnsupportedVersion
from aecodec.format import container
from aecodec.format.container import extra_sizes
from aecodec.format.container import pack
from aecodec.format.container import unpack
from aecodec.format.extras import unpack_extras
from aecodec.format.header import MAGIC
from aecodec.format.header import MAX_HEADER_BYTES
from aecodec.format.header import NO_EXTRAS
from aecodec.format.header import Extra
from aecodec.format.header import Header
from aecodec.format.header import header_size
from aecodec.format.header import read_header
from aecodec.limits import MAX_PIXELS
from aecodec.limits import MAX_SIDE
from aecodec.limits import MAX_SYMBOL

WEIGHTS_ID = b"\x00\x80\xff\x7f"
PLAIN = pack(Header(256, 256, 128, WEIGHTS_ID), [bytes(range(40))])
EMPTY = pack(Header(1, 1, 0, WEIGHTS_ID), [b""])
TILED = pack(Header(2049, 1024, 255, WEIGHTS_ID, grey=True), [b"first", b"", bytes(200)])
ALL = Extra.ALPHA | Extra.ICC | Extra.EXIF | Extra.XMP
RICH = pack(Header(300, 200, 7, WEIGHTS_ID, extras=ALL), [b"stream", b"alpha", b"", b"exif", b"xmp"])
SAMPLES = pytest.mark.parametrize("sample", [PLAIN, EMPTY, TILED, RICH], ids=["plain", "empty", "tiled", "rich"])


@st.composite
def pictures(draw: st.DrawFn) -> tuple[Header, list[bytes]]:
    width, height = draw(st.tuples(st.integers(1, 65535), st.integers(1, 2500)))
    header = Header(
        width,
        height,
        draw(st.integers(0, 255)),
        draw(st.binary(min_size=4, max_size=4)),
        draw(st.booleans()),
        Extra(draw(st.integers(0, 15))),
    )
    part = st.binary(max_size=200)
    return header, draw(st.lists(part, min_size=header.parts, max_size=header.parts))


@settings(deadline=None)
@given(pictures())
def test_round_trip(picture: tuple[Header, list[bytes]]):
    data = pack(*picture)
    assert unpack(data) == picture
    assert read_header(data[:MAX_HEADER_BYTES]) == picture[0]
    sizes = [len(part) for part in picture[1][picture[0].tiles :]]
    assert list(extra_sizes(data).values()) == sizes


def test_the_mode_is_in_the_header():
    modes = {
        (grey, extras): Header(1, 1, 0, WEIGHTS_ID, grey, extras).mode
        for grey in (False, True)
        for extras in (NO_EXTRAS, Extra.ALPHA, Extra.ICC)
    }
    assert list(modes.values()) == ["RGB", "RGBA", "RGB", "L", "LA", "L"]


@pytest.mark.parametrize(
    "size", [(1, 1), (65535, 1), (1, 65535), (65535, 2730), (1024, 1024), (127, 128), (16383, 16384)]
)
def test_every_size_up_to_the_limits(size: tuple[int, int]):
    header = Header(*size, 7, WEIGHTS_ID)
    parts = [bytes([index % 256]) for index in range(header.tiles)]
    assert unpack(pack(header, parts), max_pixels=2**28) == (header, parts)


def test_the_fixed_cost_is_18_bytes_at_256x256():
    header = Header(256, 256, 128, WEIGHTS_ID)
    assert header_size(header) == len(pack(header, [b""])) == 18
    assert header_size(Header(100, 100, 128, WEIGHTS_ID)) == 16
    assert header_size(Header(65535, 65535, 128, WEIGHTS_ID)) == 20


def page_examples() -> list[list[tuple[bytes, str]]]:
    """Each worked example as its lines of bytes and meaning."""
    examples: list[list[tuple[bytes, str]]] = []
    for code, meaning in re.findall(r"^    ((?:[0-9a-f]{2} )+) +(.+)$", container.__doc__ or "", flags=re.MULTILINE):
        if meaning == "magic":
            examples.append([])
        examples[-1].append((bytes.fromhex(code), meaning))
    return examples


def test_the_worked_examples_are_files():
    plain, tiled, _ = page_examples()
    stream = bytes.fromhex("c0ffee")
    weights_id = bytes.fromhex("12345678")
    for example, header, parts in [
        (plain, Header(256, 256, 128, weights_id), [stream]),
        (tiled, Header(1025, 1, 0, weights_id, grey=True), [stream, b""]),
    ]:
        data = b"".join(code for code, _ in example)
        assert pack(header, parts) == data
        assert unpack(data) == (header, parts)
        meanings = [meaning for _, meaning in example]
        assert meanings[2:6] == [
            "weights 12345678",
            f"width {header.width}",
            f"height {header.height}",
            f"quality {header.quality}",
        ]


def test_the_worked_example_with_extras_is_a_file():
    _, _, example = page_examples()
    data = b"".join(code for code, _ in example)
    header, parts = unpack(data)
    assert header == Header(3, 2, 100, bytes.fromhex("12345678"), extras=Extra.ALPHA | Extra.XMP)
    assert pack(header, parts) == data
    extras = unpack_extras(dict(zip(header.kinds, parts[1:], strict=True)), 3, 2)
    assert extras.xmp == b"<x/>"
    assert extras.alpha is not None and extras.alpha.tolist() == [[255, 255, 255], [255, 255, 0]]


@pytest.mark.parametrize("number", [0, 2])
def test_the_byte_table_matches_the_worked_examples(number: int):
    table = re.findall(r"^    (\d)(?:-(\d))? +(\w+) ", container.__doc__ or "", flags=re.MULTILINE)
    if number == 0:
        table = [row for row in table if row[0] != "0"]  # what only some files have
    for (least, most, field), (code, meaning) in zip(table, page_examples()[number], strict=False):
        assert int(least) <= len(code) <= int(most or least)
        assert re.split(r"\W", meaning)[0] == field


def test_the_page_names_the_limits():
    for limit in (f"{MAX_PIXELS:,} pixels", f"1..{MAX_SIDE} pixels", f"up to {MAX_SYMBOL:d},"):
        assert limit in (container.__doc__ or "")


@SAMPLES
def test_every_prefix_is_refused(sample: bytes):
    for length in range(len(sample)):
        with pytest.raises(CorruptFile):
            unpack(sample[:length])


@SAMPLES
def test_every_prefix_shorter_than_the_header_is_refused_by_read_header(sample: bytes):
    header, _ = unpack(sample)
    for length in range(len(sample)):
        if length < header_size(header):
            with pytest.raises(CorruptFile):
                read_header(sample[:length])
        else:
            assert read_header(sample[:length]) == header


@SAMPLES
@pytest.mark.parametrize(
    "tail", [b"\0", b"\n", bytes(1 << 20), PLAIN, TILED], ids=["0", "newline", "1MiB", "plain", "tiled"]
)
def test_appended_bytes_are_refused(sample: bytes, tail: bytes):
    with pytest.raises(CorruptFile):
        unpack(sample + tail)


@SAMPLES
def test_every_flipped_bit_is_refused(sample: bytes):
    for bit in range(8 * len(sample)):
        damaged = bytearray(sample)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises((CorruptFile, UnsupportedVersion)):
            unpack(bytes(damaged))


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_after_the_magic_are_read_or_refused_by_name(rest: bytes):
    with contextlib.suppress(AecError):
        unpack(MAGIC + b"\x00" + rest)


@settings(deadline=None)
@given(st.data())
def test_edited_fields_with_a_right_checksum_are_read_as_they_stand_or_refused_by_name(data: st.DataObject):
    fields = bytearray(PLAIN[:14])
    position = data.draw(st.integers(4, 13))
    fields[position] = data.draw(st.integers(0, 255))
    file = sealed(bytes(fields), PLAIN[18:])
    try:
        header, parts = unpack(file)
    except AecError:
        return
    assert pack(header, parts) == file


def sealed(fields: bytes, body: bytes = b"") -> bytes:
    """A file of one tile with these fields and a right checksum."""
    return fields + zlib.crc32(fields + body).to_bytes(4, "big") + body


def fields(width: bytes, height: bytes, version: int = 0) -> bytes:
    return MAGIC + bytes([version]) + WEIGHTS_ID + width + height + b"\x80"


ONE = b"\x01"
SIDE_65535 = b"\xff\xff\x03"
SIDE_65536 = b"\x80\x80\x04"
SIDE_2_32 = b"\xff\xff\xff\xff\x0f"  # 2^32 - 1
SIDE_100000 = b"\xa0\x8d\x06"

REFUSED = [
    ("no width", fields(b"\0", ONE), CorruptFile, "0x1 pixels"),
    ("no height", fields(ONE, b"\0"), CorruptFile, "1x0 pixels"),
    ("no size", fields(b"\0", b"\0"), CorruptFile, "0x0 pixels"),
    ("no width, huge height", fields(b"\0", SIDE_2_32), CorruptFile, "0x4294967295 pixels"),
    ("width 65536", fields(SIDE_65536, ONE), HeaderLimitExceeded, "65535"),
    ("height 65536", fields(ONE, SIDE_65536), HeaderLimitExceeded, "65535"),
    ("100000x100000", fields(SIDE_100000, SIDE_100000), HeaderLimitExceeded, "100000x100000"),
    ("sides 2^32 - 1", fields(SIDE_2_32, SIDE_2_32), HeaderLimitExceeded, "4294967295"),
    ("65535x65535", fields(SIDE_65535, SIDE_65535, 2), HeaderLimitExceeded, "178956970"),
    ("extras, no directory flag", fields(ONE, ONE, 4) + b"\x01", CorruptFile, "directory flag"),
    ("no extras", fields(ONE, ONE, 6) + b"\x00", CorruptFile, "no extras"),
    ("extras of bit 4", fields(ONE, ONE, 6) + b"\x11", CorruptFile, "unknown kind"),
    ("extras of bit 7", fields(ONE, ONE, 6) + b"\x80", CorruptFile, "unknown kind"),
    ("reserved bit 3", fields(ONE, ONE, 8), CorruptFile, "reserved"),
    ("directory flag, one tile", fields(ONE, ONE, 2), CorruptFile, "directory flag"),
    ("no directory flag, two tiles", fields(b"\x81\x08", ONE), CorruptFile, "directory flag"),
    ("version 1", fields(ONE, ONE, 0x10), UnsupportedVersion, "version 1"),
    ("version 15", fields(ONE, ONE, 0xF0), UnsupportedVersion, "version 15"),
    ("long width", fields(b"\x81\x00", ONE), CorruptFile, "shortest form"),
    ("long height", fields(ONE, b"\x81\x80\x00"), CorruptFile, "shortest form"),
    ("long zero", fields(b"\x80\x00", ONE), CorruptFile, "shortest form"),
    ("six-byte width", fields(b"\x81\x80\x80\x80\x80\x01", ONE), CorruptFile, "shortest form"),
    ("another magic", b"\xaeC\n\n" + fields(ONE, ONE)[4:], CorruptFile, "not an .aec"),
    ("a text file", b"To be, or not to be, that is the question", CorruptFile, "not an .aec"),
    ("nothing", b"", CorruptFile, "not an .aec"),
]


@pytest.mark.parametrize("reader", [unpack, read_header])
@pytest.mark.parametrize(
    ("header", "error", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_refused_although_the_checksum_is_right(
    header: bytes, error: type[AecError], message: str, reader: Callable[[bytes], object]
):
    with pytest.raises(error, match=re.escape(message)) as caught:
        reader(sealed(header))
    assert type(caught.value) is error


def test_the_checks_come_in_the_order_of_the_page():
    """Each header breaks the rule named and all it can of the later ones; the checksum is wrong too."""
    refusals = [
        (fields(SIDE_65535, SIDE_65535, 0x1C), "version 1"),
        (fields(b"\0", SIDE_2_32, 0x0C), "0x4294967295 pixels"),
        (fields(SIDE_65535, SIDE_65535, 0x0C), "the limit is"),
        (fields(ONE, ONE, 0x0E) + b"\xff", "reserved"),
        (fields(ONE, ONE, 0x04) + b"\xff", "directory flag"),
        (fields(ONE, ONE, 0x02), "directory flag"),
        (fields(ONE, ONE, 0x06) + b"\xff", "unknown kind"),
    ]
    for header, message in refusals:
        with pytest.raises(AecError, match=re.escape(message)):
            unpack(header + bytes(4))


def test_the_pixel_limit_is_the_callers():
    data = pack(Header(100, 100, 0, WEIGHTS_ID), [b""])
    for reader in (unpack, read_header):
        reader(data, max_pixels=10_000)
        with pytest.raises(HeaderLimitExceeded, match="9999"):
            reader(data, max_pixels=9_999)


def test_a_directory_that_asks_for_more_than_the_file_holds_is_refused():
    head = MAGIC + b"\x02" + WEIGHTS_ID + b"\x81\x08" + ONE + b"\0"
    directory = 2 * (SIDE_2_32 + bytes(4))
    with pytest.raises(CorruptFile, match="cut short"):
        unpack(head + zlib.crc32(head + directory).to_bytes(4, "big") + directory + bytes(100))


def test_streams_that_changed_places_are_refused():
    header = Header(1025, 1, 0, WEIGHTS_ID)
    start, end = pack(header, [b"one", b"two"]), pack(header, [b"two", b"one"])
    with pytest.raises(CorruptFile, match="checksum"):
        unpack(start[:-6] + end[-6:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "sides"),
        ({"height": 65536}, "sides"),
        ({"quality": 256}, "quality index 256"),
        ({"quality": -1}, "quality index -1"),
        ({"weights_id": b"abc"}, "weights id"),
        ({"extras": 16}, "extras 16"),
    ],
)
def test_a_header_out_of_range_is_a_value_error(change: dict[str, int | bytes], message: str):
    with pytest.raises(ValueError, match=message):
        Header(**{"width": 1, "height": 1, "quality": 0, "weights_id": WEIGHTS_ID, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("parts", [[], [b"", b"", b""], [b""]])
def test_the_number_of_streams_is_that_of_the_tiles(parts: list[bytes]):
    with pytest.raises(ValueError, match="2 tiles"):
        pack(Header(1025, 1024, 0, WEIGHTS_ID), parts)


@pytest.mark.parametrize("parts", [[b""], [b"", b"", b""]])
def test_the_number_of_extras_is_that_of_the_header(parts: list[bytes]):
    with pytest.raises(ValueError, match="call for 2"):
        pack(Header(1, 1, 0, WEIGHTS_ID, extras=Extra.EXIF), parts)
