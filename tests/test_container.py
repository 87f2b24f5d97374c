"""The file: the examples of its page are true, packed parts come back, and damaged files are refused."""

from __future__ import annotations

import contextlib
import re

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
from aecodec.format.container import read_header
from aecodec.format.container import unpack
from aecodec.format.extras import unpack_extras
from aecodec.format.header import MAGIC
from aecodec.format.header import MAX_HEADER_BYTES
from aecodec.format.header import NO_EXTRAS
from aecodec.format.header import Extra
from aecodec.format.header import Header
from aecodec.format.header import header_size
from aecodec.limits import MAX_PIXELS
from aecodec.limits import MAX_SIDE
from aecodec.limits import MAX_SYMBOL
from attacks.headers import HEADERS
from fuzz.container import DISPLAY
from fuzz.container import EXTRAS
from fuzz.container import head
from fuzz.container import plain
from fuzz.container import read_head

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
    shown = st.tuples(st.integers(1, 2000), st.integers(1, 65535)).filter(lambda size: size != (width, height))
    header = Header(
        width,
        height,
        draw(st.integers(0, 255)),
        draw(st.binary(min_size=4, max_size=4) | st.integers(0, 254)),
        draw(st.booleans()),
        Extra(draw(st.integers(0, 15))),
        draw(st.none() | shown),
        draw(st.booleans()),
    )
    part = st.binary(max_size=200)
    return header, draw(st.lists(part, min_size=header.parts, max_size=header.parts))


@settings(deadline=None)
@given(pictures())
def test_round_trip(picture: tuple[Header, list[bytes]]):
    data = pack(*picture)
    assert unpack(data) == (*picture, True)
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
    assert unpack(pack(header, parts), max_pixels=2**28) == (header, parts, True)


def test_the_fixed_cost_is_15_bytes_at_256x256():
    header = Header(256, 256, 128, 0)
    assert header_size(header) == len(pack(header, [b""])) == 15
    assert header_size(Header(100, 100, 128, 254)) == 13
    assert header_size(Header(65535, 65535, 128, 0)) == 17
    assert header_size(Header(256, 256, 128, WEIGHTS_ID)) == 19
    assert header_size(Header(65535, 65535, 128, WEIGHTS_ID, extras=ALL, display=(65534, 65535))) <= MAX_HEADER_BYTES


def page_examples() -> list[list[tuple[bytes, str]]]:
    """Each worked example as its lines of bytes and meaning."""
    examples: list[list[tuple[bytes, str]]] = []
    for code, meaning in re.findall(r"^    ((?:[0-9a-f]{2} )+) *(.+)$", container.__doc__ or "", flags=re.MULTILINE):
        if meaning == "magic":
            examples.append([])
        examples[-1].append((bytes.fromhex(code), meaning))
    return examples


def test_the_worked_examples_are_files():
    plain, tiled, _ = page_examples()
    stream = bytes.fromhex("c0ffee")
    weights_id = bytes.fromhex("12345678")
    for example, header, parts, named in [
        (plain, Header(256, 256, 128, 0), [stream], "weights: registered model 0"),
        (tiled, Header(1025, 1, 0, weights_id, grey=True), [stream, b""], "weights 12345678"),
    ]:
        data = b"".join(code for code, _ in example)
        assert pack(header, parts) == data
        assert unpack(data) == (header, parts, True)
        meanings = [meaning for _, meaning in example]
        assert meanings[2:6] == [
            named,
            f"width {header.width}",
            f"height {header.height}",
            f"quality {header.quality}",
        ]


def test_the_worked_example_with_extras_is_a_file():
    _, _, example = page_examples()
    data = b"".join(code for code, _ in example)
    header, parts, _ = unpack(data)
    assert header == Header(3, 2, 100, 0, extras=Extra.ALPHA | Extra.XMP, display=(300, 200))
    assert pack(header, parts) == data
    extras = unpack_extras(dict(zip(header.kinds, parts[1:], strict=True)), 3, 2)
    assert extras.xmp == b"<x/>"
    assert extras.alpha is not None and extras.alpha.tolist() == [[255, 255, 255], [255, 255, 0]]


@pytest.mark.parametrize("number", [0, 2])
def test_the_byte_table_matches_the_worked_examples(number: int):
    table = re.findall(r"^    (\d)(?:[-,] ?(\d))? +(\w+) ", container.__doc__ or "", flags=re.MULTILINE)
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
    header = unpack(sample).header
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
            unpack(bytes(damaged), lambda _: WEIGHTS_ID)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_after_the_magic_are_read_or_refused_by_name(rest: bytes):
    with contextlib.suppress(AecError):
        unpack(MAGIC + b"\x10" + rest)


@settings(deadline=None)
@given(st.data())
def test_edited_fields_with_a_correct_checksum_are_read_or_refused_by_name(data: st.DataObject):
    found = read_head(PLAIN)
    assert found is not None
    fields = bytearray(PLAIN[: found.crc_at])
    position = data.draw(st.integers(len(MAGIC), len(fields) - 1))
    fields[position] = data.draw(st.integers(0, 255))
    file = plain(bytes(fields), PLAIN[found.crc_at + 4 :])
    try:
        header, parts, _ = unpack(file)
    except AecError:
        return
    assert pack(header, parts) == file


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_is_refused_alone_as_with_its_file(name: str):
    """By `read_header`; tests/test_attacks.py has the whole files."""
    case = HEADERS[name]
    with pytest.raises(case.error, match=case.ours) as caught:
        read_header(case.data)
    assert type(caught.value) is case.error


def test_the_checks_come_in_the_order_of_the_page():
    """Each header breaks the rule named and as many later ones as possible; the checksum is wrong too."""
    refusals = [
        (head(0, 65536, version=2, flags=DISPLAY, display=(0, 0)), "version 2"),
        (head(0, 2**32 - 1, flags=DISPLAY | EXTRAS, display=(0, 0), kinds=255), "0x4294967295 pixels"),
        (head(65535, 65535, flags=DISPLAY | EXTRAS, display=(0, 0), kinds=255), "the limit is"),
        (head(1, 1, flags=DISPLAY | EXTRAS, display=(0, 0), kinds=255), "0x0 pixels"),
        (head(1, 1, flags=DISPLAY | EXTRAS, display=(65536, 1), kinds=255), "the limit is"),
        (head(1, 1, flags=DISPLAY | EXTRAS, display=(1, 1), kinds=255), "the picture's own"),
        (head(1, 1, flags=EXTRAS, kinds=255), "unknown kind"),
    ]
    for fields, message in refusals:
        with pytest.raises(AecError, match=message):
            unpack(fields + bytes(4))


def test_the_pixel_limit_is_the_callers():
    data = pack(Header(100, 100, 0, WEIGHTS_ID), [b""])
    for reader in (unpack, read_header):
        reader(data, max_pixels=10_000)
        with pytest.raises(HeaderLimitExceeded, match="9999"):
            reader(data, max_pixels=9_999)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "sides"),
        ({"height": 65536}, "sides"),
        ({"quality": 256}, "quality index 256"),
        ({"quality": -1}, "quality index -1"),
        ({"weights": b"abc"}, "weights id"),
        ({"weights": 255}, "0..254"),
        ({"display": (1, 1)}, "own"),
        ({"display": (0, 1)}, "sides"),
        ({"extras": 16}, "extras 16"),
    ],
)
def test_a_header_out_of_range_is_a_value_error(change: dict[str, int | bytes], message: str):
    with pytest.raises(ValueError, match=message):
        Header(**{"width": 1, "height": 1, "quality": 0, "weights": WEIGHTS_ID, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_header_says_how_many_parts_there_are(count: int):
    for header in (Header(1025, 1024, 0, WEIGHTS_ID), Header(1, 1, 0, WEIGHTS_ID, extras=Extra.EXIF)):
        with pytest.raises(ValueError, match=r"2 tiles|call for 2"):
            pack(header, count * [b""])
