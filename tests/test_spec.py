"""The format's pages suffice: the decoder made of them alone agrees with the package, on good files and on damaged."""

from __future__ import annotations

import ast
import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from aecodec import api
from aecodec.codec.decoder import luma
from aecodec.errors import AecError
from aecodec.errors import CorruptFile
from aecodec.format.container import read_header
from aecodec.format.container import unpack
from aecodec.format.range_coder import Decoder
from aecodec.format.range_coder import Tables
from attacks import streams
from attacks.headers import DIRECTORIES
from attacks.headers import HEADERS
from attacks.headers import UNKNOWN
from fuzz.container import GREY
from fuzz.container import head
from fuzz.container import plain
from fuzz.container import tiled
from helpers.golden import all_expected
from helpers.paths import GOLDEN
from helpers.paths import TINY
from helpers.spec import SCRIPT
from helpers.spec import SPEC

DOT = (TINY / "dot-100.aec").read_bytes()
TILED = (TINY / "two-tiles-30.aec").read_bytes()


def golden_files() -> dict[str, str]:
    """Hashes of their pixels by path within the folder of golden files."""
    return {path.relative_to(GOLDEN).as_posix(): own["pixels_sha256"] for path, own in all_expected().items()}


EXPECTED = golden_files()


def run(*arguments: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True)


# Files of the real networks, and of two tiles, take seconds each: all but one wait for the slow run.
LARGE = [*[name for name in EXPECTED if not name.startswith("tiny/")][1:], "tiny/two-tiles-cut-30.aec"]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in LARGE else []) for name in EXPECTED]
)
def test_a_golden_file_decodes_to_its_pixels(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path, out = GOLDEN / name, tmp_path / "out.png"
    SPEC.main(str(path), str(out))
    header = read_header(path.read_bytes())
    left_out = header.mode in ("RGBA", "LA") and sys.version_info < (3, 14)
    said = "alpha is left out: it takes Python 3.14\n" if left_out else ""
    assert capsys.readouterr() == ("", said)
    with Image.open(out) as image:
        assert image.format == "PNG" and image.mode == (header.mode.removesuffix("A") if left_out else header.mode)
        pixels = np.asarray(image)
    if left_out:
        colours = api.decode_pixels(path.read_bytes(), coded_size=True)[..., :-1]
        assert np.array_equal(pixels, colours.squeeze() if header.grey else colours)
    else:
        assert hashlib.sha256(pixels.tobytes()).hexdigest() == EXPECTED[name]


def test_alpha_is_read_if_zstd_is_installed(monkeypatch: pytest.MonkeyPatch):
    zstd = pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    monkeypatch.setitem(sys.modules, "compression", SimpleNamespace(zstd=zstd))
    header, parts, _ = unpack((TINY / "extras-60.aec").read_bytes())
    part = parts[header.tiles]
    alpha = api.decode_pixels((TINY / "extras-60.aec").read_bytes())[..., 3]
    assert np.array_equal(SPEC.read_alpha(part, header.width, header.height), alpha)
    for damaged in (b"", b"\4" + part[1:], part[:-1], part + b"\0", part[:1] + b"\0" + part[1:]):
        with pytest.raises(SPEC.Refused):
            SPEC.read_alpha(damaged, header.width, header.height)
    with pytest.raises(SPEC.Refused):
        SPEC.read_alpha(part, header.width, header.height + 1)


def test_weights_are_found_in_the_folder_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("AECODEC_WEIGHTS")
    out = tmp_path / "out.png"
    refused = run(TINY / "dot-100.aec", out)
    assert refused.returncode == 1 and "needs weights 11ddc256" in refused.stderr and not out.exists()
    assert refused.stderr.count("\n") == 1
    assert run(TINY / "dot-100.aec", out, TINY).returncode == 0 and out.exists()


NEWER = {"compression"} - sys.stdlib_module_names  # in the standard library from Python 3.14 on, and not needed


def test_the_script_needs_only_numpy_and_the_standard_library():
    tree = ast.parse(SCRIPT.read_text("utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} - sys.stdlib_module_names == {"numpy", *NEWER}


def outcome(data: bytes) -> tuple[tuple[int, ...], bytes] | None:
    """The result of both decoders: the same pixels, or None if both refuse the file."""
    try:
        pixels, _ = SPEC.decode(data, [TINY])
    except SPEC.Refused:
        with pytest.raises(AecError):
            api.decode_pixels(data)
        return None
    assert np.array_equal(api.decode_pixels(data, coded_size=True), pixels)
    return pixels.shape, pixels.tobytes()


CASES = HEADERS | DIRECTORIES | UNKNOWN
STREAM = unpack(DOT)[1][0]
STREAMS = unpack(TILED)[1]
DOT_FIELDS = head(1, 1, quality=100)


def test_the_files_to_be_damaged_are_sound():
    assert plain(DOT_FIELDS, STREAM) == DOT and outcome(DOT) is not None
    assert tiled(head(1030, 9, quality=30), STREAMS) == TILED, "a golden file, which decodes"
    assert outcome(plain(head(1, 1, flags=GREY, quality=100), STREAM)) is not None


@pytest.mark.parametrize("name", CASES)
def test_the_files_that_the_package_refuses_are_refused(name: str):
    with pytest.raises(SPEC.Refused, match=CASES[name].spec):
        SPEC.decode(CASES[name].data, [TINY])


def test_both_refuse_every_prefix():
    assert all(outcome(data[:length]) is None for data in (DOT, TILED[:60]) for length in range(len(data)))


def test_both_agree_on_damaged_streams_with_a_fitting_checksum():
    flipped = [STREAM[:at] + bytes([STREAM[at] ^ 1 << at % 8]) + STREAM[at + 1 :] for at in range(len(STREAM))]
    other = [STREAM[:-1], STREAM + b"\0", STREAM + b"\1", b"", b"\xff" * 40]
    outcomes = [outcome(plain(DOT_FIELDS, stream)) for stream in [*flipped, *other]]
    assert None in outcomes and outcomes[: len(flipped)].count(None) < len(flipped)


TABLE = np.array([1, 2**24 - 70_000, 65_536 - 1, 4_464], np.int64)


@given(st.binary(max_size=12), st.integers(0, 12))
def test_both_range_decoders_agree_on_any_bytes(data: bytes, count: int):
    own, theirs = Decoder(Tables([TABLE]), data), SPEC.RangeDecoder(data)
    sums = [0, *np.cumsum(TABLE).tolist()]
    try:
        expected = own.decode(0, count).tolist()
    except CorruptFile:
        with pytest.raises(SPEC.Refused):
            [theirs.symbol(sums) for _ in range(count)]
        return
    assert [theirs.symbol(sums) for _ in range(count)] == expected
    try:
        own.finish()
    except CorruptFile:
        with pytest.raises(SPEC.Refused):
            theirs.finish()
    else:
        theirs.finish()


@pytest.mark.parametrize("build", streams.CORRUPT)
def test_a_stream_that_the_package_refuses_is_refused(build: Callable[[], bytes]):
    """Among them unnecessary escapes and bytes after the last symbol."""
    with pytest.raises(SPEC.Refused):
        SPEC.decode(build(), [TINY])


def test_grey_is_the_same_where_halves_are_rounded():
    pixels = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3))
    weighted = pixels @ [19595, 38470, 7471]
    assert (weighted % 65536 == 32768).any()
    assert np.array_equal(SPEC.luma(pixels), luma(pixels))
