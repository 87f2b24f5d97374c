"""Entropy coding: any latent comes back, in the order that the page gives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from aecodec.codec import latent_coding
from aecodec.codec.latent_coding import STEP_CHANNELS
from aecodec.codec.latent_coding import EntropyModel
from aecodec.codec.latent_coding import analyse_hyper
from aecodec.codec.latent_coding import decode_latent
from aecodec.codec.latent_coding import encode_latent
from aecodec.codec.latent_coding import narrow
from aecodec.codec.latent_coding import scale_of_index
from aecodec.codec.transforms import analyse
from aecodec.codec.transforms import apply_gain
from aecodec.errors import CorruptFile
from aecodec.format.range_coder import Encoder
from aecodec.format.symbol_coding import open_reader
from aecodec.format.symbol_coding import open_writer
from aecodec.format.symbols import SCALE_COUNT
from aecodec.format.symbols import TOTAL
from aecodec.format.symbols import Reader
from aecodec.format.symbols import SymbolReader
from aecodec.format.symbols import SymbolWriter
from aecodec.format.symbols import clip_bits
from aecodec.format.symbols import from_symbols
from aecodec.format.symbols import to_symbols
from aecodec.image.reading import open_picture
from aecodec.limits import MAX_SYMBOL
from helpers.meter import SymbolMeter
from helpers.paths import PHOTOS
from helpers.paths import TINY
from helpers.paths import TINY_ID
from helpers.spec import SPEC
from helpers.tiny import RUNTIME
from helpers.tiny import Tiny

LOWEST, HIGHEST = -(1 << 15), (1 << 15) - 1  # of a latent


class Recorder(list[tuple[np.ndarray, np.ndarray]]):
    """A sink that keeps what is written to it."""

    def write(self, index: np.ndarray, symbols: np.ndarray) -> None:
        self.append((index.copy(), symbols.copy()))


def photo_latent(tiny: Tiny, name: str, quality: int) -> np.ndarray:
    pixels = open_picture(PHOTOS / f"{name}.jpg").pixels[None]
    return apply_gain(tiny[0], analyse(tiny[0].analysis, RUNTIME, pixels), np.array([quality]))


def encode_into(
    tiny: Tiny, latent: np.ndarray, quality: list[int], sinks: Sequence[object]
) -> tuple[np.ndarray, np.ndarray]:
    """Decoded latents and features of a batch, whose symbols go into the sinks."""
    hyper = analyse_hyper(tiny[0].hyper_analysis, RUNTIME, latent)
    return encode_latent(tiny[1].entropy, RUNTIME, latent, hyper, np.array(quality), sinks)  # type: ignore[arg-type]


def encode(tiny: Tiny, latent: np.ndarray, quality: list[int]) -> tuple[list[bytes], np.ndarray, np.ndarray]:
    """Streams, decoded latents and features of a batch."""
    writers = [SymbolWriter(tiny[1].entropy.tables) for _ in quality]
    decoded, features = encode_into(tiny, latent, quality, writers)
    return [writer.finish() for writer in writers], decoded, features


def decode(model: EntropyModel, streams: list[bytes], shape: tuple[int, int], quality: list[int]) -> np.ndarray:
    readers = [SymbolReader(model.tables, stream) for stream in streams]
    return decode_latent(model, RUNTIME, readers, shape, np.array(quality))[0]


def assert_round_trip(tiny: Tiny, latent: np.ndarray, quality: list[int]) -> list[bytes]:
    streams, decoded, features = encode(tiny, latent, quality)
    model = tiny[1].entropy
    readers = [SymbolReader(model.tables, stream) for stream in streams]
    got, seen = decode_latent(model, RUNTIME, readers, latent.shape[1:3], np.array(quality))
    assert np.array_equal(got, decoded) and np.array_equal(seen, features)
    assert decoded.min() >= LOWEST and decoded.max() <= HIGHEST
    return streams


# Numbers and units


def test_narrow_rounds_halves_up_and_clips_to_the_width():
    values = np.array([-9, -8, -7, -5, -4, 0, 3, 4, 11, 12, 1000, -1000])
    assert narrow(values, 3, 5).tolist() == [-1, -1, -1, -1, 0, 0, 0, 1, 1, 2, 15, -16]
    assert narrow(values, 0, 16).tolist() == values.tolist()
    assert clip_bits(np.array([-129, -128, 127, 128]), 8).tolist() == [-128, -128, 127, 127]


def test_a_symbol_is_the_nearest_with_halves_up():
    latent = np.array([-97, -96, -33, -32, 31, 32, 95, 96])
    assert to_symbols(latent, np.zeros(8, int)).tolist() == [-2, -1, -1, 0, 0, 1, 1, 2]
    assert to_symbols(np.array([100]), np.array([68])).tolist() == [1]
    extremes = np.array([LOWEST, HIGHEST])
    assert to_symbols(extremes, extremes[::-1]).tolist() == [-MAX_SYMBOL, MAX_SYMBOL]
    assert to_symbols(np.array([-(1 << 20), 1 << 20]), np.zeros(2, int)).tolist() == [-MAX_SYMBOL, MAX_SYMBOL]


def test_a_decoded_latent_stays_within_16_bits():
    symbols, means = np.array([2, MAX_SYMBOL, -MAX_SYMBOL]), np.array([-3, 5, -5])
    assert from_symbols(symbols, means).tolist() == [125, HIGHEST, LOWEST]


def test_scales_run_geometrically_over_the_indexes():
    scales = scale_of_index(np.arange(SCALE_COUNT))
    assert scales[[0, -1]] == pytest.approx([0.08, 64])
    assert np.diff(np.log(scales)) == pytest.approx(np.full(63, np.log(800) / 63))


def test_tables_of_the_tiny_network(tiny: Tiny):
    tables = tiny[1].entropy.tables
    assert len(tables.frequencies) == SCALE_COUNT
    assert all(table.sum() == TOTAL and table.min() >= 1 for table in tables.frequencies)
    assert [len(table) for table in tables.frequencies] == (2 * tables.supports + 2).tolist()
    assert tables.supports.max() < MAX_SYMBOL and (np.diff(tables.supports) >= 0).all()
    escape = tables.coder.frequencies[SCALE_COUNT]
    assert len(escape) == 2 * MAX_SYMBOL + 1 and escape.sum() == TOTAL
    assert set(escape[:-1]) == {TOTAL // 2049} and escape[-1] == TOTAL // 2049 + TOTAL % 2049


# The four steps


def test_the_steps_cover_each_position_and_channel_once():
    covered = np.zeros((2, 2, 16), int)
    for step in range(4):
        for row, column in np.ndindex(2, 2):
            covered[row, column, STEP_CHANNELS[step, row, column]] += 1
    assert (covered == 1).all() and STEP_CHANNELS.shape == (4, 2, 2, 4)


def test_group_g_is_coded_in_step_s_at_place_s_xor_g():
    places = ((0, 0), (1, 1), (0, 1), (1, 0))
    for step in range(4):
        for group in range(4):
            assert STEP_CHANNELS[step][places[step ^ group]].tolist() == list(range(4 * group, 4 * group + 4))


# Symbols of a table


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), calls=st.lists(st.integers(1, 60), min_size=1, max_size=4))
def test_symbols_and_escapes_of_both_signs_round_trip(tiny: Tiny, seed: int, calls: list[int]):
    rng = np.random.default_rng(seed)
    tables = tiny[1].entropy.tables
    writers, meter, written = [SymbolWriter(tables), open_writer(tables)], SymbolMeter(tables), []
    for count in calls:
        index = rng.integers(0, SCALE_COUNT, count)
        support = tables.supports[index]
        edges = np.stack([support, support + 1, np.full(count, MAX_SYMBOL), rng.integers(0, 5, count)])
        symbols = rng.choice([-1, 1], count) * edges[rng.integers(0, 4, count), np.arange(count)]
        for own in (*writers, meter):
            own.write(index, symbols)
        written.append((index, symbols))
    data, native = (writer.finish() for writer in writers)
    assert data == native
    for reader in (SymbolReader(tables, data), open_reader(tables, data)):
        for index, symbols in written:
            assert np.array_equal(reader.read(index), symbols)
        reader.finish()
    assert abs(len(data) - meter.bits / 8) <= 0.001 * meter.bits / 8 + 8


@pytest.mark.parametrize("symbol", [0, 1, -1, "support", "-support"])
def test_a_needless_escape_is_refused(tiny: Tiny, symbol: int | str):
    """Otherwise one picture would have several files."""
    tables, table = tiny[1].entropy.tables, 40
    support = int(tables.supports[table])
    value = {"support": support, "-support": -support}.get(str(symbol), symbol)
    encoder = Encoder(tables.coder)
    encoder.encode(table, np.array([2 * support + 1]))
    encoder.encode(SCALE_COUNT, np.array([int(value) + MAX_SYMBOL]))
    for reader in (SymbolReader(tables, encoder.finish()), open_reader(tables, encoder.finish())):
        with pytest.raises(CorruptFile, match="escapes a symbol that its table holds"):
            reader.read(np.array([table]))


@settings(max_examples=200)
@given(data=st.binary(max_size=40), seed=st.integers(0, 2**32 - 1), calls=st.lists(st.integers(1, 40), max_size=3))
def test_any_bytes_are_read_alike_by_both_coders(tiny: Tiny, data: bytes, seed: int, calls: list[int]):
    """Symbol by symbol; and where one refuses, the other does, with the same words."""
    tables, rng = tiny[1].entropy.tables, np.random.default_rng(seed)
    readers = [SymbolReader(tables, data), open_reader(tables, data)]
    indexes = [rng.integers(0, SCALE_COUNT, count) for count in calls]

    def outcome(reader: Reader) -> object:
        try:
            found = [reader.read(index).tolist() for index in indexes]
            reader.finish()
            return found
        except CorruptFile as error:
            return str(error)

    assert outcome(readers[0]) == outcome(readers[1])


def test_a_carry_runs_through_many_words_in_both_coders(tiny: Tiny):
    """Symbols whose interval keeps a fraction of few bytes inside, so that a carry stays open to the end."""
    tables = tiny[1].entropy.tables
    rng = np.random.default_rng(2)
    index = rng.integers(20, SCALE_COUNT, 3000)
    held = SymbolReader(tables, b"\x12").read(index)
    for last in (-1, 0, 1):
        streams = []
        for writer in (SymbolWriter(tables), open_writer(tables)):
            writer.write(index, held)
            writer.write(np.full(200, 40), np.full(200, last))
            streams.append(writer.finish())
        assert streams[0] == streams[1]


def test_symbols_are_grouped_by_table_and_escapes_follow_their_group(tiny: Tiny):
    """By hand with the range coder: index 30 before 7, each in order, escaped values after their group."""
    tables = tiny[1].entropy.tables
    index = np.array([30, 7, 30, 7, 30])
    seven, thirty = tables.supports[[7, 30]].tolist()
    symbols = np.array([2, -(seven + 3), 1000, 0, -(thirty + 1)])
    encoder = Encoder(tables.coder)
    encoder.encode(30, np.array([2 + thirty, 2 * thirty + 1, 2 * thirty + 1]))
    encoder.encode(SCALE_COUNT, np.array([1000, -(thirty + 1)]) + MAX_SYMBOL)
    encoder.encode(7, np.array([2 * seven + 1, seven]))
    encoder.encode(SCALE_COUNT, np.array([-(seven + 3) + MAX_SYMBOL]))
    writer = SymbolWriter(tables)
    writer.write(index, symbols)
    assert writer.finish() == encoder.finish()


# Whole latents


@pytest.mark.parametrize("quality", [0, 90, 255])
def test_photographs_come_back_near_their_ideal_length(tiny: Tiny, quality: int):
    latent = photo_latent(tiny, "church", quality)
    (stream,) = assert_round_trip(tiny, latent, [quality])
    meter = SymbolMeter(tiny[1].entropy.tables)
    decoded, _ = encode_into(tiny, latent, [quality], [meter])
    assert abs(len(stream) - meter.bits / 8) <= 0.001 * meter.bits / 8 + 8
    assert len(stream) > 1000
    assert (decoded - latent).min() > -32 and (decoded - latent).max() <= 32, "to the nearest symbol"


def hostile_latents() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    shape = (1, 8, 12, 16)
    checks = np.indices(shape).sum(0) % 2
    spike = np.zeros(shape, int)
    spike[0, 3, 5, 7], spike[0, 4, 5, 11] = HIGHEST, LOWEST
    return {
        "zero": np.zeros(shape, int),
        "lowest": np.full(shape, LOWEST),
        "highest": np.full(shape, HIGHEST),
        "alternating": np.where(checks, HIGHEST, LOWEST),
        "noise": rng.integers(LOWEST, HIGHEST + 1, shape),
        "little noise": rng.integers(-70, 70, shape),
        "two spikes": spike,
    }


@pytest.mark.parametrize("name", hostile_latents())
@pytest.mark.parametrize("quality", [0, 255])
def test_hostile_latents_come_back(tiny: Tiny, name: str, quality: int):
    latent = hostile_latents()[name].astype(np.int32)
    assert_round_trip(tiny, latent, [quality])
    recorder = Recorder()
    encode_into(tiny, latent, [quality], [recorder])
    index, symbols = (np.concatenate(values) for values in zip(*recorder, strict=True))
    escaped = symbols[np.abs(symbols) > tiny[1].entropy.tables.supports[index]]
    if name in ("alternating", "noise"):
        assert (escaped > 400).any() and (escaped < -400).any()


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from([1, 40, 600, 9000, 40000]),
    rows=st.sampled_from([4, 8]),
    columns=st.sampled_from([4, 12]),
    quality=st.integers(0, 255),
)
def test_any_latent_comes_back(tiny: Tiny, seed: int, spread: int, rows: int, columns: int, quality: int):
    noise = np.random.default_rng(seed).normal(0, spread, (1, rows, columns, 16))
    assert_round_trip(tiny, np.clip(noise, LOWEST, HIGHEST).astype(np.int32), [quality])


def test_a_batch_gives_the_streams_of_its_pictures_alone(tiny: Tiny):
    qualities = [0, 130, 255]
    latents = [photo_latent(tiny, name, q) for name, q in zip(("car", "dog", "mountain"), qualities, strict=True)]
    alone = [encode(tiny, latent, [q])[0][0] for latent, q in zip(latents, qualities, strict=True)]
    assert assert_round_trip(tiny, np.concatenate(latents), qualities) == alone


# The order of the stream


@pytest.mark.parametrize("spread", [0, 400, 20000])
def test_the_stream_has_the_order_of_the_page(tiny: Tiny, spread: int):
    rng = np.random.default_rng(11)
    latent = np.clip(rng.normal(0, spread, (1, 8, 12, 16)), LOWEST, HIGHEST).astype(np.int32)
    (stream,), decoded, features = encode(tiny, latent, [77])
    weights = SPEC.Registry([TINY]).weights(TINY_ID)
    read, seen = SPEC.read_tile(weights, SPEC.RangeDecoder(stream), (8, 12), 77)
    assert np.array_equal(read, decoded[0]) and np.array_equal(seen, features[0])


# Damage


def test_damaged_streams_are_corrupt_or_decode_to_other_symbols(tiny: Tiny):
    """A changed or cut stream may decode to another picture, but causes no other error."""
    rng = np.random.default_rng(2)
    (stream,), decoded, _ = encode(tiny, rng.integers(-600, 600, (1, 4, 8, 16)).astype(np.int32), [60])
    changed = [bytearray(stream) for _ in range(60)]
    for damaged in changed:
        damaged[rng.integers(len(stream))] ^= 1 << int(rng.integers(8))
    cut = [stream[:length] for length in range(0, len(stream), 9)]
    refused = 0
    for data in [*map(bytes, changed), *cut]:
        try:
            assert not np.array_equal(decode(tiny[1].entropy, [data], (4, 8), [60]), decoded)
        except CorruptFile:
            refused += 1
    assert refused > 50, "most end elsewhere than their symbols do"


@pytest.mark.parametrize("tail", [b"\0", b"\x80", bytes(40)])
def test_bytes_after_the_end_are_refused(tiny: Tiny, tail: bytes):
    (stream,), _, _ = encode(tiny, photo_latent(tiny, "dog", 30), [30])
    with pytest.raises(CorruptFile):
        decode(tiny[1].entropy, [stream + tail], (32, 32), [30])


def test_a_stream_of_another_size_is_refused(tiny: Tiny):
    (stream,), _, _ = encode(tiny, photo_latent(tiny, "dog", 100), [100])
    with pytest.raises(CorruptFile):
        decode(tiny[1].entropy, [stream], (32, 28), [100])


def test_the_drawing_of_the_context_steps_is_right():
    assert latent_coding.__doc__ is not None
    _, drawing = latent_coding.__doc__.split("    step 0    step 1    step 2    step 3\n")
    groups = np.array([list(map(int, line.split())) for line in drawing.splitlines()[:2]])
    for step in range(4):
        assert np.array_equal(groups[:, 2 * step : 2 * step + 2], STEP_CHANNELS[step, :, :, 0] // 4)
