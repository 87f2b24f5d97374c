"""Golden files: files decode to the pixels they always did, and pictures give the bytes they always did."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aecodec import api
from aecodec.codec.decoder import decode
from aecodec.codec.decoder import decode_picture
from aecodec.codec.encoder import PictureEncoder
from aecodec.codec.manifest import entries_of
from aecodec.codec.manifest import find_by_id
from aecodec.codec.manifest import find_by_name
from aecodec.codec.weights import load_decoder
from aecodec.codec.weights import load_encoder
from aecodec.format.container import unpack
from aecodec.format.extras import NOTHING
from aecodec.image.reading import open_picture
from aecodec.info import read_info
from aecodec.network.numpy_runtime import NumpyRuntime
from golden.make_files import extras
from golden.make_files import source
from golden.make_files import wanted
from helpers.paths import GOLDEN
from helpers.paths import PHOTOS

TINY, BUNDLED = GOLDEN / "tiny", GOLDEN / "bundled"


def expected_of(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / "expected.json"
    return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else {}


(TINY_ENTRY,) = entries_of(TINY)
PERMANENT, LANDED = expected_of(TINY), expected_of(BUNDLED)


def digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def test_every_permanent_file_is_there():
    assert set(PERMANENT) == {name for name, _ in wanted()} == {path.name for path in TINY.glob("*.aec")}
    assert {name: PERMANENT[name] | fields for name, fields in wanted()} == PERMANENT


@pytest.mark.parametrize("name", PERMANENT)
def test_a_permanent_file_decodes_to_its_pixels(name: str):
    pixels = api.decode_pixels((TINY / name).read_bytes())
    assert list(pixels.shape) == PERMANENT[name]["shape"]
    assert digest(pixels) == PERMANENT[name]["pixels_sha256"]


@pytest.mark.parametrize("name", PERMANENT)
def test_its_source_encodes_to_its_bytes(name: str):
    entry, pixels = entries_of(TINY)[0], source(PERMANENT[name])
    if "photo" in PERMANENT[name] and digest(pixels) != PERMANENT[name]["source_sha256"]:
        pytest.skip("this machine's JPEG decoder gives other pixels")
    assert digest(pixels) == PERMANENT[name]["source_sha256"]
    own = extras(PERMANENT[name])
    data = (
        PictureEncoder(pixels, load_encoder(entry), load_decoder(entry), NumpyRuntime(), extras=own)
        .encode(PERMANENT[name]["quality"])
        .data
    )
    (header, parts), expected = unpack(data), (TINY / name).read_bytes()
    assert (header, parts[: header.tiles]) == (unpack(expected)[0], unpack(expected)[1][: header.tiles])
    if own is NOTHING:  # else another zstd may write other frames, of the same content
        assert data == expected


def test_the_extras_of_a_permanent_file_are_unchanged():
    _, found = decode_picture((TINY / "extras-60.aec").read_bytes(), NumpyRuntime(), lambda _: load_decoder(TINY_ENTRY))
    expected = extras(PERMANENT["extras-60.aec"])
    assert found.alpha is not None and np.array_equal(found.alpha, expected.alpha)
    assert (found.icc, found.exif, found.xmp) == (expected.icc, expected.exif, expected.xmp)


@pytest.mark.parametrize("name", ["car-128.aec", "two-tiles-30.aec"])
def test_torch_decodes_a_permanent_file_to_its_pixels(name: str):
    pytest.importorskip("torch")
    from aecodec.network.torch_runtime import TorchRuntime

    pixels = decode((TINY / name).read_bytes(), TorchRuntime("cpu"), lambda found: load_decoder(find_by_id(found)))
    assert digest(pixels) == PERMANENT[name]["pixels_sha256"]


def test_the_permanent_files_cover_their_cases():
    headers = {name: unpack((TINY / name).read_bytes()) for name in PERMANENT}
    assert len(headers["two-tiles-30.aec"][1]) == 2
    assert headers["grey-100.aec"][0].grey
    assert (headers["dot-100.aec"][0].width, headers["dot-100.aec"][0].height) == (1, 1)
    assert {header.weights_id for header, _ in headers.values()} == {bytes.fromhex("11ddc256")}
    assert len({PERMANENT[name]["pixels_sha256"] for name in PERMANENT}) == len(PERMANENT)


def test_golden_files_are_not_written_again(tmp_path: Path):
    script = tmp_path / "golden" / "make_files.py"
    shutil.copytree(GOLDEN, script.parent)
    before = {path: path.read_bytes() for path in script.parent.rglob("*") if path.is_file()}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.returncode == 1 and "has golden files, which are permanent" in done.stderr
    assert all(path.read_bytes() == data for path, data in before.items())


@pytest.mark.parametrize("name", LANDED)
def test_a_bundled_model_decodes_its_file_to_its_pixels(name: str):
    assert digest(api.decode_pixels((BUNDLED / name).read_bytes())) == LANDED[name]["pixels_sha256"]


@pytest.mark.parametrize("name", LANDED)
def test_a_bundled_model_encodes_its_source_to_its_bytes(name: str):
    fields = LANDED[name]
    pixels = open_picture(PHOTOS / fields["source"]).pixels
    assert api.encode(pixels, fields["quality"], model=fields["model"]) == (BUNDLED / name).read_bytes()


@pytest.mark.parametrize("model", sorted({fields["model"] for fields in LANDED.values()}))
def test_golden_files_are_of_the_weights_that_are_bundled(model: str):
    ids = {read_info((BUNDLED / name).read_bytes()).weights_id for name in LANDED if LANDED[name]["model"] == model}
    assert ids == {find_by_name(model).weights_id.hex()}


@pytest.mark.skipif(not LANDED, reason="no weights are landed")
@pytest.mark.parametrize("quality", [0, 50, 100])
def test_pure_colours_survive(quality: int):
    """Channels of the analysis that clip on them would take green and magenta 40 levels off."""
    for colour in product((0, 255), repeat=3):
        pixels = np.full((96, 96, 3), colour, np.uint8)
        error = api.decode_pixels(api.encode(pixels, quality)).astype(int) - pixels
        assert np.abs(error).mean() < 6, colour
