"""Hostile files: each is refused by name and exit code, or costs no more than the picture that it declares."""

from __future__ import annotations

import contextlib
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from aecodec import api
from aecodec.cli import run
from aecodec.errors import AecError
from aecodec.errors import CorruptFile
from aecodec.errors import HeaderLimitExceeded
from aecodec.errors import UnknownWeights
from aecodec.errors import UnsupportedVersion
from aecodec.format.symbol_coding import open_reader
from aecodec.format.symbols import SymbolReader
from aecodec.info import read_info
from attacks import extras
from attacks import headers
from attacks import streams
from fuzz.container import read_head
from fuzz.mutate import MOST_PIXELS

ATTACKS = Path(__file__).parent / "attacks"
HANG = 30.0  # seconds of processor time: such a picture takes less than one
SMALL = 1 << 20  # bytes: more than refusing a header may allocate, less than any picture worth an attack

CASES = headers.HEADERS | headers.DIRECTORIES | headers.UNKNOWN
SMALL_FILES = {
    **{name: (case.data, case.error, case.ours) for name, case in CASES.items()},
    **{name: (extras.file_with(kind, part), CorruptFile, said) for name, (kind, part, said) in extras.PARTS.items()},
}
REFUSED = [
    *(pytest.param(lambda data=data: data, *rest, id=name) for name, (data, *rest) in SMALL_FILES.items()),
    *(pytest.param(build, CorruptFile, "damaged", id=build.__name__) for build in streams.CORRUPT),
]
EXIT_CODES = {CorruptFile: 3, HeaderLimitExceeded: 3, UnsupportedVersion: 4, UnknownWeights: 4}


@pytest.mark.parametrize(("build", "error", "said"), REFUSED)
def test_it_is_refused_by_name(build: Callable[[], bytes], error: type[AecError], said: str):
    with pytest.raises(error, match=said) as caught:
        api.decode_pixels(build())
    assert type(caught.value) is error


@pytest.mark.parametrize(("build", "error", "said"), REFUSED)
def test_the_command_refuses_it_in_one_line_and_writes_nothing(
    build: Callable[[], bytes], error: type[AecError], said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    source = tmp_path / "in.aec"
    source.write_bytes(build())
    assert run(["decode", str(source), str(tmp_path / "out.png")]) == EXIT_CODES[error]
    complaint = capfd.readouterr().err
    assert complaint.endswith("\n") and complaint[:-1].isprintable()
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("name", SMALL_FILES)
def test_refusing_a_header_allocates_next_to_nothing(name: str):
    data = SMALL_FILES[name][0]
    tracemalloc.start()
    try:
        for reader in (api.decode_pixels, read_info):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            with contextlib.suppress(AecError):
                reader(data)  # type: ignore[operator]
            assert tracemalloc.get_traced_memory()[1] - before < SMALL
    finally:
        tracemalloc.stop()


def test_unused_megabytes_cost_a_few_times_their_size():
    data = streams.unused_megabytes()
    tracemalloc.start()
    try:
        with pytest.raises(CorruptFile):
            api.decode_pixels(data)
        assert tracemalloc.get_traced_memory()[1] < 8 * len(data)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("build", streams.VALID)
def test_an_extreme_picture_is_decoded_to_its_size_in_time(build: Callable[[], bytes]):
    data = build()
    declared = read_head(data)
    assert declared is not None
    start = time.process_time()
    pixels = api.decode_pixels(data, max_pixels=MOST_PIXELS)
    assert time.process_time() - start < HANG
    assert pixels.shape == declared.shape
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("reader", [SymbolReader, open_reader])
def test_an_impossible_stream_is_refused_by_both_coders(reader: Callable[..., object], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("aecodec.codec.decoder.open_reader", reader)
    for build in streams.CORRUPT:
        with pytest.raises(CorruptFile):
            api.decode_pixels(build())


def test_finds_of_the_fuzz_driver_stay_fixed():
    for find in ATTACKS.glob("*.aec"):
        assert find.with_suffix(".txt").is_file(), find
        data = find.read_bytes()
        try:
            pixels = api.decode_pixels(data, max_pixels=MOST_PIXELS)
        except AecError:
            continue
        declared = read_head(data)
        assert declared is not None and pixels.shape == declared.shape, find
