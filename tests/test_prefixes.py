"""Prefixes: every one that holds the header decodes, the same in every decoder, and more bytes are no worse."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import aecodec
from aecodec import api
from aecodec.codec.decoder import decode_picture
from aecodec.errors import AecError
from aecodec.errors import CorruptFile
from aecodec.format.container import Content
from aecodec.format.container import read_header
from aecodec.format.container import unpack
from aecodec.format.header import header_size
from aecodec.format.range_coder import Encoder
from aecodec.format.range_coder import PrefixDecoder
from aecodec.format.range_coder import Tables
from aecodec.image.reading import open_picture
from helpers.paths import PHOTOS
from helpers.paths import TINY
from helpers.paths import TINY_ID
from helpers.pictures import photograph
from helpers.spec import SPEC
from helpers.tiny import Tiny

FILES = [path for path in sorted(TINY.glob("*.aec")) if path.stat().st_size < 310 and "extras" not in path.name]
TWO_TILES = (TINY / "two-tiles-30.aec").read_bytes()
EXTRAS = (TINY / "extras-60.aec").read_bytes()


def content(data: bytes) -> Content:
    return unpack(data, lambda _: TINY_ID, partial=True)


def header_bytes(data: bytes) -> int:
    """Where the body starts: the shortest prefix that decodes."""
    header = read_header(data)
    if header.compact is None:
        return header_size(header)
    return len(data) - len(content(data).parts[0])


def check_prefix(data: bytes, length: int) -> None:
    expected, _ = SPEC.decode(data[:length], [TINY], partial=True)
    np.testing.assert_array_equal(api.decode_pixels(data[:length], partial=True, coded_size=True), expected)


@pytest.mark.parametrize("path", [path for path in FILES if "two-tiles" not in path.name], ids=lambda path: path.name)
def test_prefixes_decode_to_the_same_pixels_in_both_decoders(path: Path):
    data = path.read_bytes()
    start = header_bytes(data)
    for length in range(start):
        with pytest.raises(CorruptFile):
            api.decode_pixels(data[:length], partial=True)
    for length in (start, start + 1, (start + len(data)) // 2, len(data) - 1):
        check_prefix(data, length)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(20))
def test_every_prefix_of_twenty_files_is_the_same_picture_on_every_runtime(number: int, tiny: Tiny):
    """NumPy, torch and the decoder made of the format's pages; full and compact files, colour and grey."""
    pytest.importorskip("torch")
    from aecodec.network.torch_runtime import TorchRuntime

    pixels = photograph(13 + number, 64 - 2 * number, seed=number)
    data = aecodec.encode(pixels[..., 0] if number % 4 == 3 else pixels, number, model="tiny")
    if number % 2:
        data = aecodec.pack(data, checksum=["crc-8", "none"][number // 2 % 2])
    runtime = TorchRuntime("cpu")
    for length in range(header_bytes(data), len(data)):
        check_prefix(data, length)
        found = decode_picture(data[:length], runtime, lambda _: tiny[1], partial=True)
        np.testing.assert_array_equal(found.array, api.decode_pixels(data[:length], partial=True))


def test_more_bytes_are_a_better_picture():
    pixels = open_picture(PHOTOS / "car.jpg").pixels
    data = aecodec.encode(pixels, 50, model="tiny")
    errors, shares = [], []
    for share in (0.02, 0.1, 0.25, 0.5, 0.75, 0.95, 1):
        image = aecodec.decode(data[: math.ceil(share * len(data))], partial=True)
        errors.append(np.square(np.subtract(image, pixels, dtype=np.float32)).mean())
        shares.append(image.info["share"])
    assert errors == sorted(errors, reverse=True)
    assert shares == sorted(shares) and shares[-1] == 1 and shares[0] < 0.1


def test_without_the_option_a_prefix_is_refused():
    checked = [path for path in FILES if path.name != "unchecked-40.aec"]
    for data in (TWO_TILES, *(path.read_bytes() for path in checked)):
        for length in (len(data) - 1, len(data) // 2, 0):
            with pytest.raises(CorruptFile):
                aecodec.decode(data[:length])


def test_a_whole_file_is_checked_with_the_option_too():
    data = aecodec.encode(photograph(64, 64), 40, model="tiny")
    np.testing.assert_array_equal(aecodec.decode(data, partial=True), aecodec.decode(data))
    assert aecodec.decode(data, partial=True).info["share"] == 1
    with pytest.raises(CorruptFile):
        aecodec.decode(TWO_TILES + b"x", partial=True)
    damaged = bytearray(TWO_TILES)
    damaged[-1] ^= 1
    with pytest.raises(CorruptFile, match="checksum"):
        aecodec.decode(bytes(damaged), partial=True)


def test_whole_tiles_of_a_prefix_come_back():
    """The first tile is whole, the second is predicted; the synthesis sees a few positions across the edge."""
    whole, half = (api.decode_pixels(data, partial=True) for data in (TWO_TILES, TWO_TILES[:-8]))
    np.testing.assert_array_equal(whole[:, :900], half[:, :900])
    assert not np.array_equal(whole, half)
    without_directory = api.decode_pixels(TWO_TILES[: header_size(read_header(TWO_TILES)) + 3], partial=True)
    assert without_directory.shape == whole.shape


def test_extras_of_a_prefix_are_kept_if_they_are_whole():
    assert aecodec.decode(EXTRAS, partial=True).mode == "RGBA"
    shorter = aecodec.decode(EXTRAS[:-1], partial=True)
    assert shorter.mode == "RGBA" and "icc_profile" in shorter.info and "xmp" not in shorter.info
    assert aecodec.decode(EXTRAS[:80], partial=True).mode == "RGB"


def test_stages_end_with_the_picture():
    data = (TINY / "car-128.aec").read_bytes()
    pixels = open_picture(PHOTOS / "car.jpg").pixels
    stages = [np.asarray(image) for image in aecodec.decode_stages(data)]
    errors = [np.square(np.subtract(stage, pixels, dtype=np.float32)).mean() for stage in stages]
    assert len(stages) == 5 and errors == sorted(errors, reverse=True)
    np.testing.assert_array_equal(stages[-1], aecodec.decode(data))
    prefix = data[: len(data) // 2]
    *_, last = aecodec.decode_stages(prefix, partial=True)
    np.testing.assert_array_equal(last, aecodec.decode(prefix, partial=True))
    with pytest.raises(CorruptFile):
        next(aecodec.decode_stages(prefix))


@pytest.mark.parametrize("name", ["car-128.aec", "two-tiles-30.aec", "compact-40.aec", "unchecked-40.aec"])
def test_a_cut_file_is_a_file_with_the_picture_of_its_prefix(name: str):
    data = (TINY / name).read_bytes()
    for size in (60, 100, len(data) - 1):
        made = aecodec.cut(data, size)
        assert size - 20 < len(made) <= size
        aecodec.verify(made)
        stream = content(made).parts[0]
        assert content(data).parts[0].startswith(stream) and read_header(made).cut
        if name != "two-tiles-30.aec":
            prefix = data[: header_bytes(data) + len(stream)]
            np.testing.assert_array_equal(aecodec.decode(made), api.decode_pixels(prefix, partial=True))
        if name != "unchecked-40.aec":
            with pytest.raises(CorruptFile):
                aecodec.decode(made[:-1])
    assert aecodec.cut(data, len(data)) == data
    with pytest.raises(AecError, match="too few"):
        aecodec.cut(data, 5)


def test_a_cut_file_keeps_its_extras():
    made = aecodec.cut(EXTRAS, len(EXTRAS) - 10)
    assert set(content(made).extras) == set(content(EXTRAS).extras)
    assert aecodec.decode(made).mode == "RGBA"


@given(st.data())
def test_a_prefix_decides_symbols_of_every_stream_that_begins_with_it(data: st.DataObject):
    generator = np.random.default_rng(data.draw(st.integers(0, 1000)))
    weights = generator.integers(1, 1 << 12, 7)
    frequencies = weights * ((1 << 24) // weights.sum())
    frequencies[0] += (1 << 24) - frequencies.sum()
    tables = Tables([frequencies])
    symbols = generator.integers(0, 7, 40).astype(np.int32)
    encoder = Encoder(tables)
    encoder.encode(0, symbols)
    stream = encoder.finish()
    prefix = stream[: data.draw(st.integers(0, len(stream)))]
    decoder = PrefixDecoder(tables, prefix)
    found = decoder.decode(0, 40)
    np.testing.assert_array_equal(found, symbols[: len(found)])
    assert len(found) >= 40 * len(prefix) // len(stream) - 24, "eight bytes are not decided yet, at most"
    assert len(found) == 40 or (decoder.exhausted and not len(decoder.decode(0, 5)))


def test_a_checksum_of_a_byte_that_fits_a_prefix_by_chance_makes_it_no_whole_file():
    data = aecodec.encode(open_picture(PHOTOS / "car.jpg").pixels[:128, :128], 60, model="tiny", compact=True)
    by_chance = [length for length in range(20, 1200) if aecodec.read_info(data[:length]).complete]
    assert by_chance, "one prefix in 256"
    whole = np.asarray(aecodec.decode(data), np.float32)
    for length in by_chance[:2]:
        image, next_one = (aecodec.decode(data[:end], partial=True) for end in (length, length + 1))
        assert not image.info["complete"] and image.info["share"] <= next_one.info["share"]
        errors = [np.square(whole - np.asarray(each, np.float32)).mean() for each in (image, next_one)]
        assert errors[0] < 1.5 * errors[1] + 1


def test_whole_streams_of_a_file_that_ends_early_are_those_of_the_whole_file():
    data = aecodec.encode(photograph(64, 1100), 75, model="tiny")
    whole, early = aecodec.decode_pixels(data), aecodec.decode_pixels(data[:-1], partial=True)
    np.testing.assert_array_equal(whole[:, :900], early[:, :900])
    behind = sum(map(len, content(EXTRAS).extras.values()))
    only_alpha_is_short = api.decode_pixels(EXTRAS[: len(EXTRAS) - behind + 3], partial=True)
    np.testing.assert_array_equal(only_alpha_is_short, api.decode_pixels(EXTRAS)[..., :3])


def test_a_damaged_cut_file_is_refused_by_both_decoders():
    made = aecodec.cut((TINY / "car-128.aec").read_bytes(), 300)
    for at in (len(made) - 1, len(made) - 100):
        damaged = made[:at] + bytes([made[at] ^ 1]) + made[at + 1 :]
        with pytest.raises(CorruptFile, match="checksum"):
            aecodec.decode(damaged)
        with pytest.raises(SPEC.Refused, match="checksum"):
            SPEC.decode(damaged, [TINY])
