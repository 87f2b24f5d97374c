"""The compact form: its page's examples, every header comes back, one form for each picture, damage."""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aecodec.errors import AecError
from aecodec.errors import CorruptFile
from aecodec.errors import HeaderLimitExceeded
from aecodec.errors import UnknownWeights
from aecodec.format import compact
from aecodec.format.compact import is_compact
from aecodec.format.compact import reduced_size
from aecodec.format.container import pack
from aecodec.format.container import read_header
from aecodec.format.container import unpack
from aecodec.format.header import Check
from aecodec.format.header import Extra
from aecodec.format.header import Header
from aecodec.format.header import Weights
from aecodec.format.header import header_size

ID = bytes.fromhex("12345678")
STREAM = bytes.fromhex("c0ffee")
CHECKS = pytest.mark.parametrize("check", Check)


def id_of(weights: Weights) -> bytes:
    return weights if isinstance(weights, bytes) else ID


def read(data: bytes) -> tuple[Header, bytes]:
    header, (stream,), _ = unpack(data, id_of)
    return header, stream


@st.composite
def headers(draw: st.DrawFn) -> Header:
    display, size = None, draw(st.tuples(st.integers(1, 1024), st.integers(1, 1024)))
    if draw(st.booleans()):
        display = draw(st.tuples(st.integers(1, 10_000), st.integers(1, 10_000)))
        size = reduced_size(display, 8 * draw(st.integers(1, 32)))
    return Header(
        *size,
        draw(st.integers(0, 255)),
        draw(st.integers(0, 126) | st.binary(min_size=4, max_size=4)),
        draw(st.booleans()),
        display=None if display == size else display,
        cut=draw(st.booleans()),
        compact=draw(st.sampled_from(Check)),
    )


@given(headers(), st.binary(max_size=30))
def test_every_picture_comes_back(header: Header, stream: bytes):
    weights_id = id_of(header.weights)
    try:
        data = pack(header, [stream], weights_id)
    except AecError as error:  # a size that is its own reduction and no multiple of 8
        assert header.display is None or "reduced" in str(error)
        return
    assert is_compact(data) and read(data) == (header, stream) and read_header(data) == header
    full = pack(replace(header, compact=None), [stream])
    assert not is_compact(full) and len(data) < len(full)


def test_the_worked_examples_are_files():
    page = compact.__doc__ or ""
    examples = [bytes.fromhex(code) for code in re.findall(r"^    ((?:[0-9a-f]{2} )+) +\S.*,", page, re.MULTILINE)]
    headers = [
        Header(256, 256, 128, 0, compact=Check.CRC8),
        Header(100, 64, 0, 0, grey=True, compact=Check.NONE),
        Header(32, 32, 128, ID, display=(256, 256), cut=True, compact=Check.CRC8),
    ]
    assert [read(data) for data in examples] == list(zip(headers, [STREAM, b"", b""], strict=True))


@pytest.mark.parametrize(
    ("size", "check", "length"),
    [
        ((256, 256), Check.NONE, 3),
        ((256, 256), Check.CRC8, 4),
        ((100, 75), Check.CRC8, 5),
        ((640, 480), Check.NONE, 5),
        ((640, 480), Check.CRC16, 7),
    ],
)
def test_the_header_takes_three_to_seven_bytes(size: tuple[int, int], check: Check, length: int):
    header = Header(*size, 90, 0, compact=check)
    assert len(pack(header, [b""], ID)) == length < header_size(header)


@CHECKS
def test_the_first_byte_is_that_of_no_other_format(check: Check):
    others = {0xAE, 0xFF, 0x89, 0x47, 0x52, 0x42, 0x49, 0x4D, 0x00, 0x38, 0x0A}  # aec, JPEG and JXL, PNG, GIF, ...
    for weights in (*range(8), 126, ID):
        for grey in (False, True):
            lead = pack(Header(8, 8, 0, weights, grey, compact=check), [b""], ID)[0]
            assert 0xC0 <= lead <= 0xF7 and lead not in others


@pytest.mark.parametrize("check", [Check.CRC8, Check.CRC16, Check.CRC32])
def test_every_flipped_bit_is_refused_or_another_header(check: Check):
    data = pack(Header(100, 64, 90, 0, compact=check), [bytes(range(40))], ID)
    for bit in range(8, 8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AecError):
            unpack(bytes(damaged), id_of)


@CHECKS
def test_the_checksum_covers_the_weights(check: Check):
    data = pack(Header(64, 64, 90, 0, compact=check), [STREAM], ID)
    if check is Check.NONE:
        unpack(data, lambda _: bytes(4))
    else:
        with pytest.raises(CorruptFile, match="checksum"):
            unpack(data, lambda _: bytes(4))


def test_checksums_are_those_of_the_page():
    """Of the nine digits, as catalogues of CRCs give them: CRC-8/SMBUS, CRC-16/CCITT-FALSE, CRC-32."""
    digits = b"123456789"
    stored = {check: compact.checksum(check, digits).hex() for check in Check}
    assert stored == {Check.NONE: "", Check.CRC8: "f4", Check.CRC16: "29b1", Check.CRC32: "cbf43926"}


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused_by_name(rest: bytes):
    for lead in (0xC0, 0xC1, 0xF1, 0xF7):
        with contextlib.suppress(AecError):
            header, stream = read(bytes([lead]) + rest)
            assert pack(header, [stream], id_of(header.weights)) == bytes([lead]) + rest, "one form for each picture"


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ("c1", CorruptFile, "cut short"),
        ("c1 5a", CorruptFile, "cut short"),
        ("c1 5a 1f", CorruptFile, "cut short"),
        ("f8 5a 1f 00", CorruptFile, "not an .aec file"),
        ("f0 00 5a 1f", CorruptFile, "model is not in its shortest form"),
        ("c0 5a 83 87", CorruptFile, "sides are not in their shortest form"),  # 16x8 is fine, 8x8 is not
        ("c0 5a 80 00", None, ""),
        ("c0 5a 87 87", None, ""),
        ("c0 5a c0 00 01", CorruptFile, "sides are not in their shortest form"),  # a bit that is always 0
        ("c0 5a e3 03", CorruptFile, "the picture's own"),
        ("c0 5a e3 ff 80 08 80 08", CorruptFile, "sides are not in their shortest form"),
        ("c0 5a e3 ff 00 01", CorruptFile, "0x1 pixels"),
        ("c0 5a e3 ff ff ff 07 01", HeaderLimitExceeded, "the limit is 65535 a side"),
        ("c0 5a e3 ff ff ff 03 ff ff 03", HeaderLimitExceeded, "in all"),
    ],
)
def test_the_checks_of_the_header(data: str, error: type[AecError] | None, message: str):
    if error is None:
        read(bytes.fromhex(data))
        return
    with pytest.raises(error, match=message):
        read(bytes.fromhex(data))


def test_weights_that_are_not_known_are_named_before_the_checksum():
    def unknown(weights: Weights) -> bytes:
        raise UnknownWeights(str(weights))

    with pytest.raises(UnknownWeights, match="5"):
        unpack(bytes.fromhex("e9 5a 1f 00"), unknown)


@pytest.mark.parametrize(
    "header",
    [
        Header(1025, 8, 0, 0),
        Header(8, 8, 0, 0, extras=Extra.ALPHA),
        Header(30, 20, 0, 0, display=(300, 200)),
        Header(264, 264, 0, 0, display=(800, 800)),
        Header(32, 20, 0, 0, display=(300, 200)),
        Header(8, 8, 0, 127),
    ],
)
def test_what_has_no_compact_form_is_refused(header: Header):
    parts = [b""] * header.parts
    with pytest.raises(AecError, match="compact form"):
        pack(replace(header, compact=Check.CRC8), parts, ID)
    assert unpack(pack(header, parts)).header == header
