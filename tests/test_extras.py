"""Alpha and metadata come back to the bit, and a frame that is not exactly its content is refused."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFilter

from aecodec.errors import CorruptFile
from aecodec.errors import LimitExceeded
from aecodec.format import container
from aecodec.format import extras
from aecodec.format.extras import NOTHING
from aecodec.format.extras import Extras
from aecodec.format.extras import flags_of
from aecodec.format.extras import pack_extras
from aecodec.format.extras import unpack_extras
from aecodec.format.header import Extra
from aecodec.limits import MAX_METADATA_BYTES
from aecodec.limits import MAX_WINDOW_BYTES
from attacks.extras import PARTS
from attacks.extras import frame

MASK = np.array([[255, 0, 7], [9, 9, 255]], np.uint8)


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    """Of every kind: noise, few levels, runs."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    levels = rng.integers(0, 256, draw(st.sampled_from((1, 2, 256))), dtype=np.uint8)
    step = draw(st.sampled_from((1, 7)))
    return np.repeat(rng.choice(levels, (height, width)), step, axis=1)


def test_nothing_is_no_part():
    assert pack_extras(NOTHING) == {} and flags_of({}) == 0
    empty = unpack_extras({}, 3, 2)
    assert (empty.alpha, empty.icc, empty.exif, empty.xmp) == (None, b"", b"", b"")


@given(masks())
def test_alpha_comes_back_to_the_bit(mask: np.ndarray):
    parts = pack_extras(Extras(mask))
    assert list(parts) == [Extra.ALPHA]
    back = unpack_extras(parts, mask.shape[1], mask.shape[0]).alpha
    assert back is not None and back.dtype == np.uint8
    np.testing.assert_array_equal(back, mask)


@given(masks(), st.integers(0, 3))
def test_every_filter_is_undone(mask: np.ndarray, number: int):
    """Bit 0 is for differences along rows, bit 1 for those down columns."""
    filtered = mask
    for axis in (1, 0):
        if number & (1 if axis else 2):
            filtered = np.diff(filtered, axis=axis, prepend=np.uint8(0))
    part = bytes([number]) + frame(filtered.tobytes())
    np.testing.assert_array_equal(unpack_extras({Extra.ALPHA: part}, mask.shape[1], mask.shape[0]).alpha, mask)


@given(*[st.binary(max_size=300)] * 3)
def test_metadata_comes_back_and_is_in_order(icc: bytes, exif: bytes, xmp: bytes):
    parts = pack_extras(Extras(MASK, icc, exif, xmp))
    assert list(parts) == sorted(parts)
    assert flags_of(parts) == sum(parts)
    back = unpack_extras(parts, 3, 2)
    assert (back.icc, back.exif, back.xmp) == (icc, exif, xmp)


def test_the_layout_of_memory_does_not_matter():
    mask = np.arange(200, dtype=np.uint8).reshape(10, 20)
    for same in (np.asfortranarray(mask), np.repeat(mask, 2, axis=1)[:, ::2]):
        assert pack_extras(Extras(same)) == pack_extras(Extras(mask))


def drawn(kind: str) -> np.ndarray:
    image = Image.new("L", (256, 256))
    draw = ImageDraw.Draw(image)
    draw.ellipse((30, 50, 200, 220), fill=255)
    draw.rectangle((100, 10, 240, 90), fill=255)
    if kind == "soft":
        image = image.filter(ImageFilter.GaussianBlur(9))
    return np.asarray(Image.linear_gradient("L") if kind == "gradient" else image)


@pytest.mark.parametrize(("kind", "most"), [("hard", 600), ("gradient", 40), ("soft", 8000)])
def test_the_filter_fits_the_mask(kind: str, most: int):
    """A hard mask is smallest without a filter; a filter more than halves a soft one."""
    mask = drawn(kind)
    part = pack_extras(Extras(mask))[Extra.ALPHA]
    assert len(part) <= most
    plain = len(frame(mask.tobytes(), 19)) + 1
    assert len(part) == plain if kind == "hard" else len(part) < plain / 2


def test_metadata_over_the_limit_is_not_written():
    full = bytes(MAX_METADATA_BYTES)
    parts = pack_extras(Extras(icc=full, exif=full, xmp=full))
    assert unpack_extras(parts, 1, 1).xmp == full
    with pytest.raises(LimitExceeded, match="EXIF of 4194305 bytes"):
        pack_extras(Extras(exif=full + b"\0"))


@pytest.mark.parametrize("name", PARTS)
def test_a_part_that_is_not_exactly_its_content_is_refused(name: str):
    kind, part, reason = PARTS[name]
    with pytest.raises(CorruptFile, match=reason) as caught:
        unpack_extras({kind: part}, 1, 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [Extra.ICC, Extra.EXIF, Extra.XMP])
@pytest.mark.parametrize("size", [0, MAX_METADATA_BYTES + 1, 1 << 30])
def test_metadata_out_of_range_is_refused_before_it_is_unpacked(kind: Extra, size: int):
    said = b"\x28\xb5\x2f\xfd\xa0" + size.to_bytes(4, "little") + b"\x03\x00\x00"
    for part in (said, frame(bytes(size))) if size < 1 << 25 else (said,):
        tracemalloc.start()
        with pytest.raises(CorruptFile, match=f"{size} bytes, where 1 to 4194304"):
            unpack_extras({kind: part}, 1, 1)
        assert tracemalloc.get_traced_memory()[1] < 1 << 16
        tracemalloc.stop()


def test_a_frame_that_lies_about_its_size_is_refused():
    honest = frame(bytes(range(100)))
    assert honest[4:6] == b"\x20\x64"  # one byte of size
    for size in (99, 101, 255):
        with pytest.raises(CorruptFile):
            unpack_extras({Extra.XMP: honest[:5] + bytes([size]) + honest[6:]}, 1, 1)


def test_a_window_over_the_limit_is_refused():
    wide = zstandard.ZstdCompressionParameters(window_log=24, write_content_size=True)
    part = b"\0" + zstandard.ZstdCompressor(compression_params=wide).compress(bytes(1 << 24))
    assert zstandard.get_frame_parameters(part[1:]).window_size > MAX_WINDOW_BYTES
    with pytest.raises(CorruptFile, match="window"):
        unpack_extras({Extra.ALPHA: part}, 4096, 4096)


@pytest.mark.parametrize("size", [1, 3000, 1 << 22, 1 << 25])
def test_written_frames_stay_within_the_window(size: int):
    """At both compression levels: that of alpha depends on its size."""
    content = bytes(min(size, MAX_METADATA_BYTES))
    parts = pack_extras(Extras(np.zeros((1, size), np.uint8), xmp=content))
    for part, wanted in ((parts[Extra.ALPHA][1:], size), (parts[Extra.XMP], len(content))):
        parameters = zstandard.get_frame_parameters(part)
        assert parameters.window_size <= MAX_WINDOW_BYTES and parameters.content_size == wanted


@given(st.binary(max_size=40), st.booleans())
def test_any_bytes_are_a_part_or_refused_by_name(part: bytes, framed: bool):
    part = b"\x28\xb5\x2f\xfd" + part if framed else part
    for kind in Extra:
        try:
            unpack_extras({kind: b"\0" + part if kind == Extra.ALPHA else part}, 4, 4)
        except CorruptFile:
            continue


@given(st.integers(0, 39), st.integers(1, 255))
def test_damage_within_a_frame_keeps_the_size_or_is_refused(at: int, change: int):
    part = bytearray(pack_extras(Extras(drawn("soft")[100:108, 100:108]))[Extra.ALPHA])
    part[at % len(part)] ^= change
    try:
        alpha = unpack_extras({Extra.ALPHA: bytes(part)}, 8, 8).alpha
    except CorruptFile:
        return
    assert alpha is not None and alpha.shape == (8, 8)


def test_the_pages_name_the_limits():
    assert f"1 to {MAX_METADATA_BYTES:,} bytes" in (extras.__doc__ or "")
    assert f"at most {MAX_WINDOW_BYTES:,} bytes" in (extras.__doc__ or "")
    for extra in Extra:
        name = {"ICC": "ICC profile", "ALPHA": "alpha"}.get(str(extra.name), str(extra.name))
        assert f"bit {extra.bit_length() - 1}: {name}" in (container.__doc__ or "")
