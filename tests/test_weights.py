"""Weights: found by name, id and file in the order of the search path; damage is refused in one line."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load
from safetensors.numpy import save

import aecodec
from aecodec.codec import manifest
from aecodec.codec.architectures import ARCHITECTURES
from aecodec.codec.architectures import standard
from aecodec.codec.manifest import MANIFEST
from aecodec.codec.manifest import SEARCH_PATH
from aecodec.codec.manifest import Entry
from aecodec.codec.manifest import add_entry
from aecodec.codec.manifest import entries_of
from aecodec.codec.manifest import find_by_file
from aecodec.codec.manifest import find_by_id
from aecodec.codec.manifest import find_by_name
from aecodec.codec.manifest import folders
from aecodec.codec.weights import EXTENTS
from aecodec.codec.weights import EncoderHalf
from aecodec.codec.weights import load_decoder
from aecodec.codec.weights import load_encoder
from aecodec.codec.weights import parse_decoder
from aecodec.codec.weights import parse_encoder
from aecodec.errors import AecError
from aecodec.errors import UnknownWeights
from aecodec.network.layers import extent
from aecodec.network.layers import from_json
from aecodec.network.layers import to_json
from helpers.paths import TINY
from helpers.paths import TINY_ID
from helpers.tiny import load_tiny
from helpers.tiny import with_single_bounds

FILES = {"decoder": "tiny.decoder.safetensors", "encoder": "tiny.encoder.safetensors"}
LOADERS: dict[str, Callable[[Entry], object]] = {"decoder": load_decoder, "encoder": load_encoder}
EACH_HALF = pytest.mark.parametrize("half", FILES)

Edit = Callable[[dict[str, np.ndarray], dict[str, Any]], object]  # of a half's tensors and its description


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the tiny network's folder."""
    return Path(shutil.copytree(TINY, tmp_path / "copy"))


def the_entry(folder: Path) -> Entry:
    (entry,) = entries_of(folder)
    return entry


def change_manifest(folder: Path, **fields: Any) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    content["models"][0] |= fields
    (folder / MANIFEST).write_text(json.dumps(content))


def edited(half: str, edit: Edit) -> bytes:
    """The bytes of a half of the tiny network after `edit`."""
    data = (TINY / FILES[half]).read_bytes()
    tensors = load(data)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    description = json.loads(header["__metadata__"]["description"])
    edit(tensors, description)
    return save(tensors, {"description": json.dumps(description)})


def fields(name: str, weights_id: str) -> dict[str, Any]:
    encoder = {"file": f"{name}.encoder.safetensors", "sha256": "0" * 64}
    return {"name": name, "id": weights_id, "decoder": {"file": f"{name}.decoder.safetensors"}, "encoder": encoder}


def parse(half: str, data: bytes) -> object:
    return parse_decoder(data, TINY_ID, "here") if half == "decoder" else parse_encoder(data, "here")


# Finding


def test_the_tiny_network_never_changes():
    entry = the_entry(TINY)
    assert (entry.name, entry.weights_id) == ("tiny", TINY_ID)
    decoder, encoder = load_decoder(entry), load_encoder(entry)
    shape = standard(16, 1, 1, entropy_width=16)
    assert decoder.weights_id == TINY_ID
    assert (decoder.synthesis.layers, encoder.analysis.layers) == (shape.synthesis, shape.analysis)
    inside_of_context = {layer.bits for layers in shape.context for layer in layers[:-1]}
    assert inside_of_context == {14}  # and 11 when it was made
    for network, layers in zip(decoder.entropy.context, shape.context, strict=True):
        assert network.layers == (*(replace(layer, bits=11) for layer in layers[:-1]), layers[-1])
    assert decoder.inverse_gain.shape == encoder.gain.shape == (256, 16)


def test_found_by_name_id_and_either_file():
    expected = the_entry(TINY)
    assert find_by_name("tiny") == find_by_id(TINY_ID) == expected
    assert find_by_file(TINY / FILES["decoder"]) == find_by_file(TINY / FILES["encoder"]) == expected


def test_an_unknown_name_or_id_is_reported_with_the_known_ones():
    with pytest.raises(UnknownWeights, match=r"no model named 'huge' on the search path \(known: .*tiny"):
        find_by_name("huge")
    with pytest.raises(UnknownWeights, match=r"needs weights 00c0ffee.*11ddc256 \(tiny\).*AECODEC_WEIGHTS") as caught:
        find_by_id(bytes.fromhex("00c0ffee"))
    assert caught.value.exit_code == 4


def test_without_any_weights_none_are_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(manifest, "folders", lambda: [tmp_path])
    for find, key in ((find_by_name, "standard"), (find_by_id, TINY_ID)):
        with pytest.raises(UnknownWeights, match=r"known: none"):
            find(key)  # type: ignore[operator]


def test_a_file_that_is_missing_or_in_no_manifest_is_refused(folder: Path):
    (folder / "other.safetensors").touch()
    for name in ("other.safetensors", MANIFEST):
        with pytest.raises(UnknownWeights, match=r"not listed in a manifest\.json beside it"):
            find_by_file(folder / name)
    with pytest.raises(UnknownWeights, match=r"no such file"):
        find_by_file(folder.parent / FILES["decoder"])


def test_a_folder_stands_for_its_only_model(folder: Path):
    assert find_by_file(folder).weights_id == TINY_ID
    with pytest.raises(UnknownWeights, match=r"holds 0 models"):
        find_by_file(folder.parent)


def test_the_search_path_is_searched_in_order(monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path):
    second = Path(shutil.copytree(folder, tmp_path / "second"))
    empty = tmp_path / "nothing here"
    parts = [str(empty), "", str(second), str(folder)]
    for names, first in ((parts, second), (parts[::-1], folder)):
        monkeypatch.setenv(SEARCH_PATH, os.pathsep.join(names))
        assert folders()[-3:] == [Path(name) for name in names if name]
        assert find_by_name("tiny").folder == find_by_id(TINY_ID).folder == first


def test_bundled_weights_come_first_and_need_no_variable(monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path):
    """Installed they lie in the package, in a checkout beside it; the package's own win."""
    monkeypatch.setattr(manifest, "__file__", str(tmp_path / "project" / "aecodec" / "codec" / "manifest.py"))
    monkeypatch.setenv(SEARCH_PATH, str(folder))
    assert folders() == [folder]
    beside = Path(shutil.copytree(folder, tmp_path / "project" / "weights"))
    assert folders() == [beside, folder]
    assert find_by_name("tiny").folder == beside
    inside = Path(shutil.copytree(folder, tmp_path / "project" / "aecodec" / "bundled"))
    assert folders() == [inside, folder]
    monkeypatch.delenv(SEARCH_PATH)
    assert folders() == [inside]


# Damage


@EACH_HALF
def test_a_half_with_a_flipped_bit_cut_short_or_missing_is_refused(folder: Path, half: str):
    path = folder / FILES[half]
    data = path.read_bytes()
    flipped = [data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :] for place in (0, 50, len(data) // 3, -2)]
    for damaged in (*flipped, data[:-1]):
        path.write_bytes(damaged)
        with pytest.raises(UnknownWeights, match=rf"{FILES[half]}: damaged, its hash"):
            LOADERS[half](the_entry(folder))
    path.unlink()
    with pytest.raises(UnknownWeights, match=rf"{FILES[half]}: No such file or directory"):
        LOADERS[half](the_entry(folder))


def test_an_id_that_is_not_the_decoders_is_refused(folder: Path):
    change_manifest(folder, id="11ddc257")
    with pytest.raises(UnknownWeights, match=r"damaged, its hash does not begin with 11ddc257"):
        load_decoder(the_entry(folder))


def test_an_encoding_half_of_another_kind_or_decoder_is_refused(folder: Path):
    def loaded(data: bytes) -> EncoderHalf:
        (folder / FILES["encoder"]).write_bytes(data)
        change_manifest(folder, encoder={"file": FILES["encoder"], "sha256": hashlib.sha256(data).hexdigest()})
        return load_encoder(the_entry(folder))

    def of_decoder(weights_id: str) -> bytes:
        return edited("encoder", lambda tensors, description: description.update(decoder=weights_id))

    assert loaded(of_decoder("11ddc256")).decoder_id == TINY_ID
    with pytest.raises(UnknownWeights, match=r"belongs to the decoding half 00c0ffee, not to 11ddc256$"):
        loaded(of_decoder("00c0ffee"))
    with pytest.raises(UnknownWeights, match="not weights of this version"):
        loaded((folder / FILES["decoder"]).read_bytes())


def test_a_damaged_manifest_on_the_search_path_is_named_only_where_something_is_not_found(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
):
    (tmp_path / MANIFEST).write_text("{")
    monkeypatch.setenv(SEARCH_PATH, os.pathsep.join([str(tmp_path), str(folder)]))
    assert find_by_name("tiny").folder == find_by_id(TINY_ID).folder == folder
    for find, key in ((find_by_name, "huge"), (find_by_id, bytes(4))):
        damaged = re.escape(str(tmp_path / MANIFEST))
        with pytest.raises(UnknownWeights, match=rf"tiny.*{damaged}: not a weights") as caught:
            find(key)  # type: ignore[operator]
        assert len(str(caught.value).splitlines()) == 1


def manifest_of(**changed: Any) -> bytes:
    return json.dumps({"models": [fields("x", "00c0ffee") | changed]}).encode()


def test_the_manifests_below_are_sound_but_for_one_field(folder: Path):
    (folder / MANIFEST).write_bytes(manifest_of())
    assert the_entry(folder).name == "x"


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe{}"),
        *(b'{"models": 5}', b'{"models": [5]}', b'{"models": [{}]}', b'{"models": [null]}', b'{"models": {"a": 1}}'),
        b'{"models": [{"name": "x", "id": "zz", "decoder": {"file": "d"}, "encoder": {"file": "e", "sha256": ""}}]}',
        b'{"models": [{"name": "x", "id": 12, "decoder": {"file": "d"}, "encoder": {"file": "e", "sha256": ""}}]}',
        b"[" * 200_000,
        b'{"models": %s}' % (b'[{"a":' * 50_000),
        manifest_of(id="00c0ff"),
        manifest_of(id="00 c0 ff ee ee"),
        manifest_of(name=["x"]),
        manifest_of(name="two\nlines"),
        manifest_of(decoder={"file": "../../etc/passwd"}),
        manifest_of(decoder={"file": "/etc/passwd"}),
        manifest_of(decoder={"file": ".."}),
        manifest_of(decoder={"file": ""}),
        manifest_of(pixels="many"),
        manifest_of(pixels=10**400),
        manifest_of(pixels=float("nan")),
        b'{"models": [{"name": "x", "id": "00c0ffee", "decoder": "d", "encoder": {"file": "e", "sha256": ""}}]}',
    ],
)
def test_a_damaged_manifest_is_refused_by_its_name(folder: Path, content: bytes):
    (folder / MANIFEST).write_bytes(content)
    with pytest.raises(UnknownWeights, match=rf"{re.escape(str(folder / MANIFEST))}: not a weights manifest"):
        entries_of(folder)


def change_tensor(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Edit:
    return lambda tensors, description: tensors.update({name: change(tensors[name])})


def stated(name: str, value: Any) -> Edit:
    return lambda tensors, description: description.update({name: value})


def layers_of(network: str, change: Callable[[list[Any]], object]) -> Edit:
    return lambda tensors, description: change(description["networks"][network]["layers"])


def layer_field(name: str, value: Any) -> Edit:
    return layers_of("analysis", lambda layers: layers[0].update({name: value}))


def nested(depth: int) -> dict[str, Any]:
    layer: dict[str, Any] = {"layer": "Depthwise", "channels": 16}
    for _ in range(depth):
        layer = {"layer": "Residual", "body": [layer]}
    return layer


DAMAGED: dict[str, tuple[str, Edit]] = {
    "no tensor": ("decoder", lambda tensors, description: tensors.pop("inverse_gain")),
    "no description": ("encoder", lambda tensors, description: description.clear()),
    "no network": ("decoder", lambda tensors, description: description["networks"].pop("context2")),
    "unknown layer": (
        "decoder",
        lambda tensors, description: description["networks"]["synthesis"]["layers"][0].update(layer="Dense"),
    ),
    "other shape": ("encoder", change_tensor("gain", lambda gain: gain[:255])),
    "wide weights": ("decoder", change_tensor("synthesis.0.weight", lambda weight: weight.astype(np.int16))),
    "turned weights": ("decoder", change_tensor("synthesis.0.weight", lambda weight: weight.T.copy())),
    "sums over 2^52": ("decoder", change_tensor("synthesis.0.bias", lambda bias: bias.astype(np.int64) + (1 << 53))),
    "a shift beyond 30": ("decoder", change_tensor("synthesis.0.shift", lambda shift: shift * 0 + 31)),
    "a shift far below": ("encoder", change_tensor("analysis.0.shift", lambda shift: shift.astype(np.int64) - 2**40)),
    "bounds turned round": ("decoder", change_tensor("hyper_synthesis.0.low", lambda low: low * 0 + 2047)),
    "no id of a decoder": ("encoder", lambda tensors, description: description.update(decoder="zz")),
    "short list of tables": ("decoder", change_tensor("tables.supports", lambda supports: supports[:-1])),
    "tables of other sizes": ("decoder", change_tensor("tables.supports", lambda supports: supports[::-1].copy())),
    "a table that does not add up": ("decoder", change_tensor("tables.frequencies", lambda table: table + 1)),
    "a hyper index without a table": ("decoder", change_tensor("hyper_index", lambda index: index + 64)),
    "a scale index without a table": ("decoder", change_tensor("context2.2.high", lambda high: high + 1)),
    **{
        f"{field} {value!r}": ("encoder", layer_field(field, value))
        for field, values in {
            "stride": (-1, 0, 1, 2**40, 8.0, True, "8", None),
            "kernel": (-16, 0, 17, 15),
            "padding": (-1, 3, 10**9),
            "inputs": (-3, 0, 2, 2**63),
            "active": (0, "no"),
            "bits": (0, 10**6),
            "colour": (1,),
        }.items()
        for value in values
    },
    **{
        f"{half} {name} {value!r}": (half, stated(name, value))
        for half, name, values in (
            ("decoder", "latent_shift", (-1, 64, 1e300, "1", None, True)),
            ("decoder", "hyper_shift", (-1, 10**30)),
            ("decoder", "inverse_shift", (0, -5, 63)),
            ("decoder", "name", (7, ["x"])),
            ("encoder", "gain_shift", (0, 100)),
            ("encoder", "hyper_input_shift", (-1, 1.5)),
            ("encoder", "default_quality", (-1, 256, 30.0)),
            ("encoder", "tradeoff", ({"low": "a"}, {"low": 1e-320}, {"high": float("nan")}, 5)),
        )
        for value in values
    },
    **{
        f"layers {name}": (half, layers_of(network, change))
        for name, half, network, change in (
            ("none", "decoder", "context0", list.clear),
            ("one fewer", "decoder", "synthesis", list.pop),
            ("no expansion", "decoder", "hyper_synthesis", lambda layers: layers.pop(1)),
            (
                "a larger picture",
                "decoder",
                "synthesis",
                lambda layers: layers.append({"layer": "Repeat", "factor": 2}),
            ),
            ("cropped", "decoder", "synthesis", lambda layers: layers[-1].update(crop=15)),
            ("wrong factor", "decoder", "synthesis", lambda layers: layers[-1].update(factor=7)),
            ("a second input", "encoder", "analysis", lambda layers: layers.append({"layer": "Side", "body": []})),
            ("an empty body", "encoder", "analysis", lambda layers: layers.append({"layer": "Residual", "body": []})),
            ("deep", "encoder", "analysis", lambda layers: layers.append(nested(40))),
            ("many", "encoder", "analysis", lambda layers: layers.extend([{"layer": "Repeat", "factor": 1}] * 300)),
            ("no list", "encoder", "analysis", lambda layers: layers.append(None)),
        )
    },
    "an exponent of 2000": ("decoder", lambda tensors, said: said["networks"]["synthesis"].update(exponent=2000)),
    "wide gains": ("encoder", change_tensor("gain", lambda gain: gain.astype(np.int64) + 2**40)),
    "wide means": ("decoder", change_tensor("hyper_mean", lambda mean: mean.astype(np.int64) - 2**62)),
    "gains of floats": ("encoder", change_tensor("gain", lambda gain: gain * np.float32(np.nan))),
    "supports below zero": (
        "decoder",
        change_tensor("tables.supports", lambda supports: supports * 0 - 1),
    ),
    "a scale index below all tables": ("decoder", change_tensor("context3.2.low", lambda low: low - 1)),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_wrong_contents_are_refused_when_they_are_read(name: str):
    half, edit = DAMAGED[name]
    assert parse(half, edited(half, lambda tensors, description: None))
    with pytest.raises(UnknownWeights, match="here: not weights of this version"):
        parse(half, edited(half, edit))


def test_bounds_that_are_equal_may_stand_as_one():
    found, usual = parse_decoder(with_single_bounds(), TINY_ID, "here"), load_tiny()[1]
    networks = (found.synthesis, usual.synthesis), (found.entropy.hyper_synthesis, usual.entropy.hyper_synthesis)
    for network, expected in networks:
        for name, numbers in expected.parameters.items():
            assert np.array_equal(network.parameters[name].low, numbers.low)
            assert np.array_equal(network.parameters[name].high, numbers.high)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_passes_the_checks_of_a_weights_file(name: str):
    shape = ARCHITECTURES[name]()
    for network, (before, after, side) in EXTENTS.items():
        layers = shape.context[int(network[-1])] if network.startswith("context") else getattr(shape, network)
        assert extent(from_json(to_json(layers)), before, side) == after


@EACH_HALF
@pytest.mark.parametrize("kind", ["pipe", "folder", "NUL", "sparse"])
def test_only_regular_files_of_sensible_size_are_read(folder: Path, half: str, kind: str):
    path = folder / FILES[half]
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "sparse":
        path.touch()
        os.truncate(path, 1 << 40)
    else:
        encoder = {"file": "a\0b", "sha256": "0" * 64}
        change_manifest(folder, **{half: encoder if half == "encoder" else {"file": "a\0b"}})
    with pytest.raises(UnknownWeights) as caught:
        LOADERS[half](the_entry(folder))
    assert len(str(caught.value).splitlines()) == 1 and str(folder) in str(caught.value)
    with pytest.raises(UnknownWeights):
        manifest.check(the_entry(folder))
    with pytest.raises(UnknownWeights):
        aecodec.encode(np.zeros((8, 8, 3), np.uint8), weights=folder / "a\0b")


@EACH_HALF
def test_bytes_of_another_kind_are_refused(half: str):
    for data in (b"", b"\0" * 8, b"\xff" * 64, b"not safetensors at all, and long enough"):
        with pytest.raises(UnknownWeights, match="here: not weights of this version"):
            parse(half, data)


# Writing


def test_a_new_entry_replaces_its_name_and_leaves_the_others(tmp_path: Path):
    for name, weights_id in (("b", "00000001"), ("a", "00000002"), ("b", "00000003")):
        add_entry(tmp_path, fields(name, weights_id) | {"recipe": f"of {weights_id}"})
    entries = entries_of(tmp_path)
    assert [(entry.name, entry.weights_id.hex()) for entry in entries] == [("a", "00000002"), ("b", "00000003")]
    assert [entry.details["recipe"] for entry in entries] == ["of 00000002", "of 00000003"]
    assert find_by_file(tmp_path / "a.encoder.safetensors").name == "a"


def test_a_damaged_manifest_is_not_written_over(tmp_path: Path):
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(AecError):
        add_entry(tmp_path, fields("a", "00000001"))
    assert (tmp_path / MANIFEST).read_text() == "{"


def test_decoding_does_not_touch_the_encoding_half(tmp_path: Path):
    data = aecodec.encode(np.zeros((24, 40, 3), np.uint8), model="tiny")
    expected = aecodec.decode_pixels(data)
    folder = Path(shutil.copytree(TINY, tmp_path / "half"))
    (entry,) = entries_of(folder)
    (folder / entry.encoder_file).unlink()
    np.testing.assert_array_equal(aecodec.decode_pixels(data, weights=folder / entry.decoder_file), expected)
