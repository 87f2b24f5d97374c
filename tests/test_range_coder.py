"""Range coder in Python: the stream of constriction, an independent coder, near the ideal size; damage is noticed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from aecodec.errors import CorruptFile
from aecodec.format.range_coder import Decoder
from aecodec.format.range_coder import Encoder
from aecodec.format.range_coder import Tables

TOTAL = 1 << 24

try:
    import constriction
except ImportError:  # no wheel for this platform
    constriction = None

Runs = list[tuple[int, np.ndarray]]  # (table, symbols) in coding order


def flat(alphabet: int) -> np.ndarray:
    frequencies = np.full(alphabet, TOTAL // alphabet)
    frequencies[0] += TOTAL - frequencies.sum()
    return frequencies


def peaked(alphabet: int, likely: int) -> np.ndarray:
    """All symbols but one have the lowest frequency."""
    frequencies = np.ones(alphabet, dtype=np.int64)
    frequencies[likely] += TOTAL - alphabet
    return frequencies


def uneven(alphabet: int, rng: np.random.Generator, concentration: float = 0.3) -> np.ndarray:
    weights = rng.gamma(concentration, size=alphabet) + 1e-9
    frequencies = np.floor(weights / weights.sum() * (TOTAL - alphabet)).astype(np.int64) + 1
    frequencies[frequencies.argmax()] += TOTAL - frequencies.sum()
    return frequencies


def drawn(frequencies: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    return np.searchsorted(frequencies.cumsum(), rng.integers(0, TOTAL, count), side="right")


def encoded(tables: Tables, runs: Runs) -> bytes:
    encoder = Encoder(tables)
    for table, symbols in runs:
        encoder.encode(table, symbols)
    return encoder.finish()


def decoded(tables: Tables, data: bytes, runs: Runs) -> list[np.ndarray]:
    """As many symbols as in `runs`; CorruptFile if the encoder cannot have written the stream."""
    decoder = Decoder(tables, data)
    symbols = [decoder.decode(table, len(run)) for table, run in runs]
    decoder.finish()
    return symbols


def checked(tables: Tables, runs: Runs) -> bytes:
    """The stream of `runs`, read again, and read by constriction."""
    data = encoded(tables, runs)
    for (_, symbols), found in zip(runs, decoded(tables, data, runs), strict=True):
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, symbols)
    for (_, symbols), found in zip(runs, by_constriction(tables, data, runs), strict=False):
        np.testing.assert_array_equal(found, symbols)
    return data


def by_constriction(tables: Tables, data: bytes, runs: Runs) -> list[np.ndarray]:
    """What an independent coder of the same stream reads; nothing where it is not installed."""
    if constriction is None:
        return []
    words = np.frombuffer(data + bytes(-len(data) % 4), ">u4").astype(np.uint32)
    decoder = constriction.stream.queue.RangeDecoder(words)
    # It gives symbol s the left sum floor(scale (p[0] + ... + p[s-1])) + s with scale = (2^24 - A) / sum(p). With
    # p = frequency - 1, scale is exactly 1 and every sum an exact integer.
    models = [
        constriction.stream.model.Categorical((table - 1).astype(np.float64), perfect=False)
        for table in tables.frequencies
    ]
    return [decoder.decode(models[table], len(symbols)) for table, symbols in runs]


def ideal_size(tables: Tables, runs: Runs) -> float:
    """Bytes by the tables' own probabilities."""
    return sum(float((24 - np.log2(tables.frequencies[table][symbols])).sum()) for table, symbols in runs) / 8


@st.composite
def streams(draw: st.DrawFn) -> tuple[Tables, Runs]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    frequencies = []
    for alphabet in draw(st.lists(st.sampled_from([2, 3, 17, 65, 2049, 4096]), min_size=1, max_size=3)):
        make = draw(st.sampled_from([flat, lambda a: peaked(a, int(rng.integers(a))), lambda a: uneven(a, rng)]))
        frequencies.append(make(alphabet))
    runs: Runs = []
    for _ in range(draw(st.integers(0, 4))):
        table = draw(st.integers(0, len(frequencies) - 1))
        count = draw(st.integers(0, 60))
        runs.append((table, draw(st.sampled_from(CHOICES))(frequencies[table], count, rng)))
    return Tables(frequencies), runs


CHOICES = [
    drawn,
    lambda frequencies, count, rng: rng.integers(0, len(frequencies), count),
    lambda frequencies, count, rng: np.full(count, frequencies.argmin()),
    lambda frequencies, count, rng: np.full(count, frequencies.argmax()),
    lambda frequencies, count, rng: np.full(count, len(frequencies) - 1),
]


@settings(max_examples=200, deadline=None)
@given(streams())
def test_back_ends_agree_round_trip_and_size(stream: tuple[Tables, Runs]):
    assert len(checked(*stream)) <= ideal_size(*stream) + 4


def test_the_mean_overhead_of_a_stream_is_under_six_tenths_of_a_byte():
    rng = np.random.default_rng(0)
    tables = Tables([uneven(65, rng, concentration) for concentration in (0.03, 0.3, 3.0)])
    overheads = []
    for _ in range(300):
        runs = [(table, drawn(tables.frequencies[table], int(rng.integers(1, 200)), rng)) for table in range(3)]
        overheads.append(len(encoded(tables, runs)) - ideal_size(tables, runs))
    assert np.mean(overheads) < 0.6
    assert max(overheads) < 4


def test_a_long_stream_stays_near_the_ideal_size():
    rng = np.random.default_rng(1)
    tables = Tables([uneven(65, rng) for _ in range(64)])
    runs = [(table, drawn(tables.frequencies[table], 256, rng)) for table in range(64)]
    assert len(checked(tables, runs)) <= 1.001 * ideal_size(tables, runs) + 1


# Symbols by formula, so that no generator's version matters. The bytes may never change: files depend on them.
GOLDEN = [
    ("one symbol", [flat(2)], [(0, [1])], "80"),
    ("all-same likely", [peaked(2, 0)], [(0, [0] * 1000)], ""),
    ("one rare symbol", [peaked(4096, 0)], [(0, [4095])], "ffffff"),
    ("rare symbols", [peaked(3, 1)], [(0, [0, 2, 0])], "000000fffeff0001"),
    ("flat 256", [flat(256)], [(0, [index * index % 256 for index in range(16)])], "00010409100b14181c2024282c303438"),
    (
        "three tables",
        [flat(3), flat(4096), peaked(17, 9)],
        [(0, [0, 1, 2] * 5), (1, [4095, 0, 77]), (2, [9] * 9 + [16])],
        "313b153697ef2f5a26a5d8",
    ),
]


@pytest.mark.parametrize(
    ("frequencies", "runs", "expected"), [row[1:] for row in GOLDEN], ids=[row[0] for row in GOLDEN]
)
def test_golden_bytes(frequencies: list[np.ndarray], runs: list[tuple[int, list[int]]], expected: str):
    arrays = [(table, np.array(symbols)) for table, symbols in runs]
    assert encoded(Tables(frequencies), arrays).hex() == expected


def test_no_symbols_are_no_bytes():
    tables = Tables([flat(2)])
    runs = [(0, np.zeros(0, dtype=np.int32))]
    assert encoded(tables, []) == encoded(tables, runs) == b""
    assert decoded(tables, b"", []) == []
    assert decoded(tables, b"", runs)[0].shape == (0,)


def held_carry(tables: Tables, count: int) -> np.ndarray:
    """Symbols whose interval keeps the fraction 0x12 strictly inside: the carry into 0x12 stays open to the end."""
    return Decoder(tables, b"\x12").decode(0, count)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 9, 40, 1000])
def test_a_carry_is_pending_for_many_words(count: int):
    tables = Tables([uneven(257, np.random.default_rng(2)), flat(2)])
    open_carry = held_carry(tables, count)
    if count >= 8:
        assert checked(tables, [(0, open_carry)]) == b"\x12"
    below = checked(tables, [(0, open_carry), (1, np.zeros(200, dtype=np.int32))])
    above = checked(tables, [(0, open_carry), (1, np.ones(200, dtype=np.int32))])
    if count >= 40:
        assert below[:16] == b"\x11" + 15 * b"\xff"
        assert above[:16] == b"\x12" + 15 * b"\x00"


def test_the_tail_is_the_shortest_then_smallest():
    """Tries every shorter string and every smaller one of the same length."""
    tables = Tables([uneven(5, np.random.default_rng(3), 3.0)])
    for symbols in np.ndindex(5, 5, 5):
        runs = [(0, np.array(symbols))]
        data = checked(tables, runs)
        assert len(data) <= 2
        rivals = [b"", *(bytes([first]) for first in range(256))]
        if len(data) == 2:
            rivals += [data[:1] + bytes([second]) for second in range(data[1])]
        for rival in rivals:
            if len(rival) < len(data) or rival < data:
                found = Decoder(tables, rival).decode(0, 3)
                assert found.tolist() != list(symbols)


def test_finish_refuses_every_other_ending():
    rng = np.random.default_rng(4)
    tables = Tables([uneven(65, rng)])
    runs = [(0, drawn(tables.frequencies[0], 100, rng))]
    data = encoded(tables, runs)
    # Zeros, and anything after enough of them, decode to the right symbols: only finish() notices.
    for tail in (b"\0", bytes(4), bytes(5), bytes(12) + b"any", bytes(12) + bytes(1000)):
        decoder = Decoder(tables, data + tail)
        np.testing.assert_array_equal(decoder.decode(0, 100), runs[0][1])
        with pytest.raises(CorruptFile, match="does not end"):
            decoder.finish()
    with pytest.raises(CorruptFile):
        decoded(tables, data, [(0, runs[0][1][:-20])])  # symbols left over
    for empty in (b"\0", b"\x01"):
        with pytest.raises(CorruptFile):
            Decoder(tables, empty).finish()


def outcome(tables: Tables, data: bytes, runs: Runs) -> list[list[int]] | None:
    try:
        return [symbols.tolist() for symbols in decoded(tables, data, runs)]
    except CorruptFile:
        return None


def test_damage_is_refused_or_decodes_to_other_symbols():
    rng = np.random.default_rng(5)
    tables = Tables([uneven(65, rng), uneven(2049, rng, 0.05), peaked(3, 0)])
    runs = [(table, drawn(tables.frequencies[table], 12, rng)) for table in range(3)]
    right = [symbols.tolist() for _, symbols in runs]
    data = encoded(tables, runs)
    flips = [data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :] for at in range(len(data)) for bit in range(8)]
    for damaged in [data[:length] for length in range(len(data))] + flips:
        assert outcome(tables, damaged, runs) != right


@settings(deadline=None)
@given(st.binary(max_size=80), streams())
def test_any_bytes_are_refused_or_are_the_stream_of_their_symbols(data: bytes, stream: tuple[Tables, Runs]):
    tables, runs = stream
    found = outcome(tables, data, runs)
    if found is not None:
        assert (
            encoded(tables, [(table, np.array(own, int)) for (table, _), own in zip(runs, found, strict=True)]) == data
        )


def test_a_value_beyond_every_symbol_is_corrupt():
    decoder = Decoder(Tables([flat(2)]), b"\xff" * 8)
    with pytest.raises(CorruptFile, match="no symbol"):
        decoder.decode(0, 1)


def test_symbols_of_any_integer_type_and_layout():
    tables = Tables([flat(65)])
    symbols = np.arange(0, 130).astype(np.uint8)[::2] % 65
    expected = encoded(tables, [(0, symbols.astype(np.int32))])
    for dtype in (np.uint8, np.int16, np.int64, np.uint64):
        assert encoded(tables, [(0, symbols.astype(dtype))]) == expected
    assert encoded(tables, [(0, symbols)]) == expected


@pytest.mark.parametrize(
    ("table", "symbols"),
    [
        (0, np.array([0, 65])),
        (0, np.array([-1])),
        (0, np.array([2**63], dtype=np.uint64)),
        (0, np.array([0.0])),
        (0, np.zeros((2, 2), dtype=np.int32)),
        (1, np.array([0])),
        (-1, np.array([0])),
    ],
    ids=["too large", "negative", "wraps", "float", "2-D", "no such table", "negative table"],
)
def test_invalid_symbols_are_a_value_error_and_leave_the_stream_alone(table: int, symbols: np.ndarray):
    encoder = Encoder(Tables([flat(65)]))
    encoder.encode(0, np.array([64, 64, 64]))
    before = encoder.finish()
    with pytest.raises(ValueError, match=r"symbol|table"):
        encoder.encode(table, symbols)
    assert encoder.finish() == before


@pytest.mark.parametrize(("table", "count"), [(1, 1), (-1, 1), (0, -1)])
def test_invalid_tables_and_counts_are_a_value_error(table: int, count: int):
    with pytest.raises(ValueError, match=r"table|count"):
        Decoder(Tables([flat(65)]), b"abc").decode(table, count)


@pytest.mark.parametrize(
    "frequencies",
    [
        np.array([TOTAL]),
        np.ones(4097, dtype=np.int64),
        np.array([TOTAL, 0]),
        np.array([TOTAL + 1, -1]),
        np.array([TOTAL // 2, TOTAL // 2 - 1]),
        np.array([2**63, 2**63, TOTAL - 1, 1], dtype=np.uint64),
        np.array([TOTAL / 2, TOTAL / 2]),
        np.full((1, 2), TOTAL // 2),
    ],
    ids=["one symbol", "4097 symbols", "zero", "negative", "sum", "sum wraps", "float", "2-D"],
)
def test_tables_are_validated(frequencies: np.ndarray):
    with pytest.raises(ValueError, match="table 1"):
        Tables([flat(2), frequencies])


def test_tables_keep_their_own_copy():
    frequencies = flat(4)
    tables = Tables([frequencies])
    frequencies[:] = 0
    assert tables.frequencies[0].tolist() == flat(4).tolist()
    with pytest.raises(ValueError, match="read-only"):
        tables.frequencies[0][0] = 1
    assert (len(tables), tables.alphabet(0)) == (1, 4)


@pytest.mark.slow
def test_a_million_symbols_over_five_hundred_sets_of_tables():
    rng = np.random.default_rng(6)
    for index in range(500):
        alphabets = rng.choice([2, 3, 65, 65, 257, 2049, 4096], size=4)
        tables = Tables([uneven(int(alphabet), rng, float(rng.choice([0.03, 0.3, 3.0]))) for alphabet in alphabets])
        choose = CHOICES[index % len(CHOICES)]
        runs = [(table, choose(tables.frequencies[table], 500, rng)) for table in range(4)]
        assert len(checked(tables, runs)) <= 1.001 * ideal_size(tables, runs) + 4
