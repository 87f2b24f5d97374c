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
from aecodec.format.range_coder import Decoder
from aecodec.info import read_info
from attacks import extras
from attacks import headers
from attacks import streams
from fuzz.container import read_head
from fuzz.mutate import MOST_PIXELS

Builder = Callable[[], bytes]

ATTACKS = Path(__file__).parent / "attacks"
HANG = 30.0  # seconds of processor time: such a picture takes less than one
SMALL = 1 << 20  # bytes: more than refusing a header may allocate, less than any picture worth an attack

HEADERS = [
    *((builder, CorruptFile, 3) for builder in headers.CORRUPT),
    *((builder, HeaderLimitExceeded, 3) for builder in headers.TOO_LARGE),
    *((builder, UnsupportedVersion, 4) for builder in headers.TOO_NEW),
    *((builder, UnknownWeights, 4) for builder in headers.UNKNOWN),
]
EXTRAS = [(builder, CorruptFile, 3) for builder in extras.CORRUPT]
REFUSED = [*HEADERS, *EXTRAS, *((builder, CorruptFile, 3) for builder in streams.CORRUPT)]


def name_of(value: object) -> str | None:
    return getattr(value, "__name__", None)


def test_every_builder_is_run_and_has_its_reason():
    for module, run_here in (
        (headers, {case[0] for case in HEADERS}),
        (extras, {*extras.CORRUPT}),
        (streams, {*streams.CORRUPT, *streams.VALID}),
    ):
        public = {value for name, value in vars(module).items() if callable(value) and name[0] != "_"}
        own = {value for value in public if value.__module__ == module.__name__ and not isinstance(value, type)}
        assert own == run_here
        assert all(builder.__doc__ for builder in own)


@pytest.mark.parametrize(("builder", "error", "exit_code"), REFUSED, ids=name_of)
def test_it_is_refused_by_name(builder: Builder, error: type[AecError], exit_code: int):
    with pytest.raises(error) as caught:
        api.decode_pixels(builder())
    assert type(caught.value) is error
    assert caught.value.exit_code == exit_code


@pytest.mark.parametrize(("builder", "error", "exit_code"), REFUSED, ids=name_of)
def test_the_command_refuses_it_in_one_line_and_writes_nothing(
    builder: Builder, error: type[AecError], exit_code: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    source = tmp_path / "in.aec"
    source.write_bytes(builder())
    assert run(["decode", str(source), str(tmp_path / "out.png")]) == exit_code
    complaint = capfd.readouterr().err
    assert complaint.endswith("\n") and complaint[:-1].isprintable()
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("builder", [case[0] for case in (*HEADERS, *EXTRAS)], ids=name_of)
def test_refusing_a_header_allocates_next_to_nothing(builder: Builder):
    data = builder()
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


@pytest.mark.parametrize("builder", streams.VALID, ids=name_of)
def test_an_extreme_picture_is_decoded_to_its_size_in_time(builder: Builder):
    data = builder()
    declared = read_head(data)
    assert declared is not None
    start = time.process_time()
    pixels = api.decode_pixels(data, max_pixels=MOST_PIXELS)
    assert time.process_time() - start < HANG
    assert pixels.shape == declared.shape
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("backend", ["constriction", "python"])
def test_an_impossible_stream_is_refused_by_both_coders(backend: str, monkeypatch: pytest.MonkeyPatch):
    if backend == "constriction":
        pytest.importorskip("constriction")

    def coder(tables: object, data: bytes) -> Decoder:
        return Decoder(tables, data, backend=backend)  # type: ignore[arg-type]

    monkeypatch.setattr("aecodec.format.symbols.Decoder", coder)
    for builder in streams.CORRUPT:
        with pytest.raises(CorruptFile):
            api.decode_pixels(builder())


def test_what_the_fuzz_driver_found_stays_mended():
    for find in ATTACKS.glob("*.aec"):
        assert find.with_suffix(".txt").is_file(), find
        data = find.read_bytes()
        try:
            pixels = api.decode_pixels(data, max_pixels=MOST_PIXELS)
        except AecError:
            continue
        declared = read_head(data)
        assert declared is not None and pixels.shape == declared.shape, find
