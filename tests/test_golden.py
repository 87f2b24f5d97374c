"""Golden files: files decode to the pixels they always did, and pictures give the bytes they always did."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aecodec import api
from aecodec.codec.decoder import decode_picture
from aecodec.codec.manifest import bundled_folders
from aecodec.codec.manifest import entries_of
from aecodec.codec.manifest import find_by_name
from aecodec.codec.manifest import find_by_weights
from aecodec.codec.weights import load_decoder
from aecodec.format.container import read_header
from aecodec.format.container import unpack
from aecodec.format.header import Check
from aecodec.format.header import Extra
from aecodec.image.reading import open_picture
from aecodec.info import read_info
from aecodec.network.numpy_runtime import NumpyRuntime
from golden import make_release
from golden.make_files import extras
from golden.make_files import file_of
from golden.make_files import source
from golden.make_files import wanted
from helpers.golden import BUNDLED
from helpers.golden import RELEASES
from helpers.golden import expected_of
from helpers.paths import GOLDEN
from helpers.paths import PHOTOS
from helpers.paths import ROOT
from helpers.paths import TINY

(TINY_ENTRY,) = entries_of(TINY)
SCHEMAS = ROOT / "docs" / "schemas"
PERMANENT, LANDED = expected_of(TINY), expected_of(BUNDLED)


def digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def test_every_permanent_file_exists():
    assert set(PERMANENT) == {name for name, _ in wanted()} == {path.name for path in TINY.glob("*.aec")}
    assert {name: PERMANENT[name] | fields for name, fields in wanted()} == PERMANENT


@pytest.mark.parametrize("name", PERMANENT)
def test_a_permanent_file_decodes_to_its_pixels(name: str):
    pixels = api.decode_pixels((TINY / name).read_bytes(), coded_size=True)
    assert list(pixels.shape) == PERMANENT[name]["shape"]
    assert digest(pixels) == PERMANENT[name]["pixels_sha256"]


@pytest.mark.parametrize("name", PERMANENT)
def test_its_source_encodes_to_its_bytes(name: str):
    entry, pixels = entries_of(TINY)[0], source(PERMANENT[name])
    if "photo" in PERMANENT[name] and digest(pixels) != PERMANENT[name]["source_sha256"]:
        pytest.skip("this machine's JPEG decoder gives other pixels")
    assert digest(pixels) == PERMANENT[name]["source_sha256"]
    data, expected = file_of(PERMANENT[name], pixels, entry, NumpyRuntime()), (TINY / name).read_bytes()
    found, wanted = (unpack(file, lambda _: entry.weights_id) for file in (data, expected))
    assert (found.header, found.streams) == (wanted.header, wanted.streams)
    if not found.extras:  # else another zstd may write other frames, of the same content
        assert data == expected


def test_the_extras_of_a_permanent_file_are_unchanged():
    data = (TINY / "extras-60.aec").read_bytes()
    found = decode_picture(data, NumpyRuntime(), lambda _: load_decoder(TINY_ENTRY)).extras
    expected = extras(PERMANENT["extras-60.aec"])
    assert found.alpha is not None and np.array_equal(found.alpha, expected.alpha)
    assert (found.icc, found.exif, found.xmp) == (expected.icc, expected.exif, expected.xmp)


@pytest.mark.parametrize("name", ["car-128.aec", "two-tiles-30.aec", "narrow-80.aec", "cut-120.aec"])
def test_torch_decodes_a_permanent_file_to_its_pixels(name: str):
    pytest.importorskip("torch")
    from aecodec.network.torch_runtime import TorchRuntime

    data = (TINY / name).read_bytes()
    pixels = decode_picture(data, TorchRuntime("cpu"), lambda _: load_decoder(TINY_ENTRY)).array
    assert digest(pixels) == PERMANENT[name]["pixels_sha256"]


def test_the_permanent_files_cover_their_cases():
    files = {name: unpack((TINY / name).read_bytes(), lambda _: TINY_ENTRY.weights_id) for name in PERMANENT}
    headers = {name: content.header for name, content in files.items()}
    assert len(files["two-tiles-30.aec"].streams) == 2
    assert headers["grey-100.aec"].grey
    assert headers["dot-100.aec"].size == (1, 1)
    assert {name for name, header in headers.items() if header.cut} == {name for name in PERMANENT if "cut" in name}
    assert {header.compact for header in headers.values()} == {None, *Check}
    assert headers["shrunk-90.aec"].display == headers["shrunk-compact-90.aec"].display == (400, 300)
    assert {header.weights for header in headers.values()} == {bytes.fromhex("11ddc256")}
    digests = {PERMANENT[name]["pixels_sha256"] for name in PERMANENT}
    assert len(digests) == len(PERMANENT) - 1  # one is there in both forms


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


# Only appended to: files name these models by their numbers. From 1.0 on their ids are permanent, too.
REGISTERED = {0: "standard", 1: "paper", 2: "light"}

# The SHA-256 of everything in a release's folder, which make_release.py wrote. Users have such files. If a test of them
# fails, the change that it fails by breaks their files: take that back, and never adapt a folder or a hash here.
RELEASED = {"1.0": "945246ddda46c37bac65406b43ab839f4933b76d74d287e33b7d304ed42c45b6"}


def test_numbers_of_models_never_change():
    entries = [entry for folder in bundled_folders() for entry in entries_of(folder)]
    assert {entry.number: entry.name for entry in entries} == (REGISTERED if entries else {})


def everything_in(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def test_a_released_folder_is_never_changed():
    assert {folder.name: everything_in(folder) for folder in RELEASES} == RELEASED


@pytest.mark.parametrize("folder", RELEASES, ids=lambda folder: folder.name)
def test_released_files_decode_to_their_pixels_for_good(folder: Path):
    check_release(folder)


@pytest.mark.parametrize("model", REGISTERED.values())
def test_the_released_files_cover_their_cases(model: str):
    files = {}
    for path in (GOLDEN / "1.0").glob(f"{model}-*.aec"):
        files[path.stem.removeprefix(f"{model}-")] = unpack(
            path.read_bytes(), lambda number: find_by_weights(number).weights_id
        )
    headers = [content.header for content in files.values()]
    parts = [content.extras for content in files.values()]
    assert {part[Extra.ALPHA][0] for part in parts if Extra.ALPHA in part} == {0, 1, 2, 3}  # every filter
    assert any(set(part) == set(Extra) for part in parts)
    assert {header.compact for header in headers} == {None, *Check}
    assert {isinstance(header.weights, bytes) for header in headers if header.compact is None} == {True, False}
    assert {isinstance(header.weights, bytes) for header in headers if header.compact is not None} == {True, False}
    assert {(header.grey, header.cut) for header in headers} == {(False, False), (True, False), (False, True)}
    for name in ("tiles", "tiles-in-rows", "tiles-cut", "extras-tiles"):
        assert len(files[name].streams) == 2
    reduced = {
        (header.compact is None, bool(files[name].extras)) for name in files if (header := files[name].header).display
    }
    assert reduced == {(True, False), (True, True), (False, False)}


@pytest.mark.slow
def test_a_new_release_would_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With the names of 1.0, which a release beside it must not use again."""
    with pytest.raises(AssertionError, match="another folder has a standard-photograph"):
        make_release.main(tmp_path / "1.1")
    monkeypatch.setattr(make_release, "GOLDEN", tmp_path)
    make_release.main(tmp_path / "9.9")
    check_release(tmp_path / "9.9")
    with pytest.raises(SystemExit, match="golden files are permanent"):
        make_release.main(tmp_path / "9.9")


def check_release(folder: Path) -> None:
    """Files have their pixels, numbers and ids of models are unchanged, and `--json` writes what it wrote."""
    expected = expected_of(folder)
    assert set(expected) == {path.name for path in folder.glob("*.aec")}
    for name, fields in expected.items():
        pixels = api.decode_pixels((folder / name).read_bytes(), coded_size=True)
        assert (list(pixels.shape), digest(pixels)) == (fields["shape"], fields["pixels_sha256"]), name
        assert make_release.metadata_of((folder / name).read_bytes()) == fields["metadata_sha256"], name
    for number, model in json.loads((folder / "models.json").read_text("utf-8")).items():
        entry = find_by_weights(int(number))
        assert {"name": entry.name, "id": entry.weights_id.hex()} == model
    for path in (folder / "schemas").iterdir():
        now = json.loads((SCHEMAS / path.name).read_text("utf-8"))
        assert list(missing(json.loads(path.read_text("utf-8")), now)) == [], path.name


def missing(before: Any, now: Any, path: str = "") -> Iterator[str]:
    """Where a schema no longer promises what it did: only new properties may come."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in before:
            if key not in ("title", "description"):
                yield from missing(before[key], now.get(key), f"{path}/{key}")
    elif isinstance(before, list) and isinstance(now, list) and path.endswith("/required"):
        yield from (f"{path}/{name}" for name in before if name not in now)
    elif isinstance(before, list) and isinstance(now, list) and path.endswith("/anyOf"):
        for index, part in enumerate(before):
            yield from missing(part, now[index] if index < len(now) else None, f"{path}/{index}")
    elif before != now:
        yield path


def test_a_field_that_went_is_named():
    before = {"properties": {"a": {"type": "string"}, "b": {"type": "number"}}, "required": ["a", "b"]}
    now = {"properties": {"b": {"type": "string"}, "c": {"type": "number"}}, "required": ["b", "c"]}
    assert list(missing(before, now)) == ["/properties/a", "/properties/b/type", "/required/a"]
    assert list(missing(now, now)) == []
    assert list(missing({"anyOf": [before, now]}, {"anyOf": [{**before, "required": ["a", "b", "c"]}]})) == ["/anyOf/1"]


def test_only_bundled_weights_have_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (folder,) = bundled_folders()
    shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("*.float16*"))
    monkeypatch.setenv("AECODEC_WEIGHTS", str(tmp_path / "copy"))
    assert {entry.number for entry in entries_of(tmp_path / "copy")} == {None}
    pixels = np.zeros((32, 32, 3), np.uint8)
    own = api.encode(pixels, 20, weights=tmp_path / "copy" / "standard.decoder.safetensors")
    assert read_header(own).weights == find_by_name("standard").weights_id
    assert read_header(api.encode(pixels, 20)).weights == 0
    assert np.array_equal(api.decode_pixels(own), api.decode_pixels(api.encode(pixels, 20)))
