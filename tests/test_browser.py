"""The browser's decoder in Node: the same pixels as Python, and the same refusals."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from PIL import Image

from aecodec import __version__
from aecodec import api
from aecodec.cli import run
from aecodec.codec.manifest import entries_of
from aecodec.codec.manifest import find_by_name
from aecodec.errors import AecError
from aecodec.errors import CorruptFile
from aecodec.format.container import pack
from aecodec.format.container import unpack
from aecodec.geometry import Box
from aecodec.network.layers import Conv
from aecodec.network.layers import Depthwise
from aecodec.network.layers import Layers
from aecodec.network.layers import NearestUpsample
from aecodec.network.layers import Residual
from aecodec.network.layers import SideInput
from aecodec.network.layers import expansion
from aecodec.network.layers import to_json
from aecodec.network.layers import walk
from aecodec.network.numpy_runtime import NumpyRuntime
from aecodec.network.quantized import Network
from aecodec.network.quantized import QuantizedParameters
from fuzz.mutate import MOST_PIXELS
from fuzz.mutate import Mutant
from fuzz.mutate import golden_files
from fuzz.mutate import mutant
from helpers.commands import Refused
from helpers.golden import all_expected
from helpers.marks import needs_bundled
from helpers.node import BROWSER
from helpers.node import ask
from helpers.node import decode
from helpers.node import needs_node
from helpers.paths import GOLDEN
from helpers.paths import PHOTOS
from helpers.paths import TINY
from helpers.paths import WEIGHTS
from helpers.tiny import with_single_bounds

pytestmark = needs_node

CLANG = shutil.which("clang-14") or shutil.which("clang")
TINY_DECODER = TINY / "tiny.decoder.safetensors"
EXPECTED = all_expected()


def by_python(data: bytes, **options: Any) -> dict[str, Any]:
    """What the driver would answer if it were Python."""
    try:
        pixels = api.decode_pixels(data, coded_size=True, **options)
    except AecError as error:
        return {"refusal": type(error).__name__}
    return {"shape": list(pixels.shape), "sha256": hashlib.sha256(pixels.tobytes()).hexdigest()}


def same(answer: dict[str, Any], expected: dict[str, Any]) -> bool:
    return {key: answer.get(key) for key in expected} == expected


def test_golden_files_have_their_pixels() -> None:
    answers = decode([path.read_bytes() for path in EXPECTED])
    for (path, fields), answer in zip(EXPECTED.items(), answers, strict=True):
        assert answer.get("sha256") == fields["pixels_sha256"], (path.name, answer)


def test_the_stages_of_a_picture_are_those_of_python() -> None:
    files = [(TINY / name).read_bytes() for name in ("car-128.aec", "two-tiles-30.aec", "extras-60.aec")]
    for data, answer in zip(files, decode(files, stages=True), strict=True):
        stages = [np.asarray(image) for image in api.decode_stages(data)]
        hashes = [hashlib.sha256(stage.tobytes()).hexdigest() for stage in stages]
        assert [*(stage["sha256"] for stage in answer["stages"]), answer["sha256"]] == hashes


def test_prefixes_are_those_of_python() -> None:
    names = ("dog-20.aec", "two-tiles-30.aec", "narrow-80.aec", "extras-60.aec", "compact-40.aec")
    files = [(TINY / name).read_bytes() for name in names]
    cuts = [data[:length] for data in files for length in range(0, len(data), max(1, len(data) // 12))]
    for cut, answer in zip(cuts, decode(cuts, partial=True), strict=True):
        assert same(answer, by_python(cut, partial=True)), (cut[:20].hex(), len(cut), answer)


@pytest.mark.parametrize(
    ("name", "crop"),
    [
        ("car-128.aec", (100, 3, 57, 90)),
        ("two-tiles-30.aec", (1020, 0, 8, 9)),
        ("narrow-80.aec", (7, 30, 5, 33)),
        ("extras-60.aec", (3, 4, 10, 11)),
        ("car-128.aec", (250, 0, 7, 1)),
    ],
)
def test_a_crop_is_that_of_python(name: str, crop: tuple[int, int, int, int]) -> None:
    data = (TINY / name).read_bytes()
    (answer,) = decode([data], crop=dict(zip(("x", "y", "width", "height"), crop, strict=True)))
    assert same(answer, by_python(data, crop=crop)), answer


def test_a_picture_of_many_blocks_and_tiles() -> None:
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (9, 13, 3), np.uint8)
    pixels = np.kron(coarse, np.ones((80, 90, 1), np.uint8))[:700, :1100]
    data = api.encode(pixels, 40, weights=TINY / "tiny.decoder.safetensors")
    (answer,) = decode([data])
    assert same(answer, by_python(data)), answer


def test_bounds_that_are_equal_may_stand_as_one(tmp_path: Path) -> None:
    weights = tmp_path / "single.safetensors"
    weights.write_bytes(with_single_bounds())
    weights_id = hashlib.sha256(weights.read_bytes()).digest()[:4]
    header, parts, *_ = unpack((TINY / "car-128.aec").read_bytes())
    (answer,) = ask("decode", [pack(replace(header, weights=weights_id), parts)], [weights])
    assert answer["sha256"] == EXPECTED[TINY / "car-128.aec"]["pixels_sha256"]


def check_mutants(mutants: Sequence[Mutant]) -> None:
    files = [made.data for made in mutants]
    refused = []
    for made, answer in zip(mutants, decode(files, maxPixels=MOST_PIXELS), strict=True):
        expected = by_python(made.data, max_pixels=MOST_PIXELS)
        # Of zstd frames that no encoder writes, the library takes some.
        assert same(answer, expected) or ("extras" in made.story and "refusal" in answer), (
            made.story,
            answer,
            expected,
        )
        assert answer["seconds"] < 3, made.story
        refused += [made] if "refusal" in expected else []
    prefixes = decode([made.data for made in refused], maxPixels=MOST_PIXELS, partial=True)
    for made, answer in zip(refused, prefixes, strict=True):
        expected = by_python(made.data, max_pixels=MOST_PIXELS, partial=True)
        assert same(answer, expected) or ("extras" in made.story and "refusal" in answer), (
            made.story,
            answer,
            expected,
        )


def test_a_hundred_mutants() -> None:
    check_mutants([mutant(golden_files(), 25, number) for number in range(100)])


@pytest.mark.slow
def test_2000_mutants() -> None:
    for seed in range(4):
        check_mutants([mutant(golden_files(), seed, number) for number in range(500)])


def test_a_header_is_read_from_its_first_bytes() -> None:
    data = (TINY / "shrunk-90.aec").read_bytes()
    info, (found,) = api_info(data), ask("info", [data[:36]])
    for here, there in (
        ("width", "width"),
        ("codedWidth", "coded_width"),
        ("mode", "mode"),
        ("weightsId", "weights_id"),
    ):
        assert found[here] == getattr(info, there)
    (found,) = ask("info", [data], maxPixels=5)
    assert found["refusal"] == "HeaderLimitExceeded"


def api_info(data: bytes) -> Any:
    from aecodec.info import read_info

    return read_info(data)


def random_layers(rng: np.random.Generator, stride: int) -> Layers:
    """Every kind of layer; channel counts that fill no vector, one vector, and several.

    With a stride of 2 there is no second input, which has the positions of the coarsest field.
    """
    a, b, c = (int(rng.choice([1, 3, 4, 7, 16, 18, 33])) for _ in range(3))
    body = (Conv(a, b, active=True), Depthwise(b), Conv(b, int(rng.choice([a, c]))))
    last = body[-1].outputs
    side = (SideInput((Conv(3, last),)),) if stride == 1 else ()
    return (
        Conv(5, a, kernel=stride + 2, stride=stride, padding=1, active=bool(rng.integers(2))),
        Residual(body),
        *side,
        *expansion(last, c, 2),
        Conv(c, b),
        NearestUpsample(2),
        Depthwise(b),
        Conv(b, 6),
    )


def random_network(rng: np.random.Generator, stride: int) -> Network:
    layers, numbers = random_layers(rng, stride), {}
    for path, layer in walk(layers, ""):
        if layer.weight_shape is not None:
            rows, outputs = layer.weight_shape
            edge = rng.integers(1, 1 << 10, outputs)
            numbers[path.removeprefix(".")] = QuantizedParameters(
                weight=rng.integers(-127, 128, (rows, outputs)).astype(np.int8),
                bias=rng.integers(-(1 << 16), 1 << 16, outputs),
                shift=rng.integers(-1, 14, outputs),
                low=-edge if rng.random() < 0.7 else np.zeros(outputs, np.int64),
                high=edge,
            )
    return Network(layers, numbers, np.full(5, 2048.0), np.full(3, 1024.0), 0)


def test_random_networks_give_the_integers_of_numpy() -> None:
    rng, questions, expected = np.random.default_rng(4), [], []
    for stride in 20 * (1, 2):
        network, (rows, columns) = random_network(rng, stride), rng.integers(2, 20, 2).tolist()
        x = rng.integers(-2048, 2049, (stride * rows, stride * columns, 5))
        side = rng.integers(-1024, 1025, (rows, columns, 3)) if stride == 1 else None
        top, left = rng.integers(0, (rows, columns)).tolist()
        wanted = Box(top, left, *rng.integers((top + 1, left + 1), (rows + 1, columns + 1)).tolist())
        found = NumpyRuntime(np.float64).run(network, x[None], None if side is None else side[None], wanted)
        expected.append(found.astype(int).ravel().tolist())
        own = network.parameters.values()
        question = {
            "layers": to_json(network.layers),
            "weights": [value for part in own for value in part.weight.ravel().tolist()],
            "numbers": [
                v for part in own for row in (part.bias, part.shift, part.low, part.high) for v in row.tolist()
            ],
            "x": x.ravel().tolist(),
            "side": [] if side is None else side.ravel().tolist(),
            "size": {"rows": len(x), "columns": len(x[0]), "channels": 5, "sideChannels": 0 if side is None else 3},
            "wanted": vars(wanted),
        }
        questions.append(json.dumps(question).encode())
    assert ask("networks", questions) == expected


def test_zstd_frames() -> None:
    rng = np.random.default_rng(2)
    contents = [
        *(bytes([7]) * size for size in (1, 300, 300_000)),
        *(rng.bytes(size) for size in (1, 300, 200_000)),
        *(rng.choice([0, 0, 0, 255], size).astype(np.uint8).tobytes() for size in (9, 5000, 400_000)),
        *(np.abs(rng.normal(0, 9, size)).astype(np.uint8).tobytes() for size in (30, 5000, 300_000)),
        b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" * 900,
    ]
    compressors = [zstandard.ZstdCompressor(level=level, write_checksum=level == 3) for level in (1, 3, 19)]
    frames = [compressor.compress(content) for compressor in compressors for content in contents]
    answers = ask("zstd", [*frames, *(frame[:-1] for frame in frames)])
    for content, answer in zip(3 * contents, answers, strict=False):
        assert base64.b64decode(answer["content"]) == content
    for frame, answer in zip(frames, answers[len(frames) :], strict=True):
        assert "refusal" in answer, frame.hex()


@needs_bundled
def test_a_stream_of_other_weights_is_not_called_just_damaged() -> None:
    """A registered number whose weights have changed since, as before 1.0: the checksum matches, the symbols do not."""
    content = unpack((GOLDEN / "bundled" / "light-bay-default.aec").read_bytes())
    number = find_by_name("standard").number
    assert number is not None
    data = pack(replace(content.header, weights=number), content.parts)
    with pytest.raises(CorruptFile, match="^damaged, or made before aecodec 1.0 with other weights: ") as refusal:
        api.decode(data)
    (answer,) = decode([data])
    assert answer["message"] == str(refusal.value)


def test_hashes_without_the_browsers_own() -> None:
    inputs = [bytes(size) for size in (0, 1, 55, 56, 64, 1000)]
    assert ask("hashes", inputs) == [hashlib.sha256(data).hexdigest() for data in inputs]


def test_the_command_writes_a_site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "site" / "aecodec"
    assert run(["browser", str(folder), str(PHOTOS / "dog.jpg"), "--model", "tiny"]) == 0
    assert "http.server" in capsys.readouterr().err
    assert (folder / "weights" / "11ddc256.safetensors").read_bytes() == TINY_DECODER.read_bytes()
    assert gzip.decompress((folder / "aec.wasm.gz").read_bytes()) == (BROWSER / "aec.wasm").read_bytes()
    assert {path.name for path in (folder / "decoder").glob("*.js")} == {
        path.name for path in (BROWSER / "decoder").glob("*.js")
    }
    assert not list(folder.rglob("*.py"))
    data = (folder / "dog.aec").read_bytes()
    [answer] = decode([data], code=folder)
    assert same(answer, by_python(data))


def test_the_example_page_shows_the_pictures_that_are_given(tmp_path: Path) -> None:
    assert run(["browser", str(tmp_path / "none"), "--model", "tiny", "--quiet"]) == 0
    page = (tmp_path / "none" / "index.html").read_text("utf-8")
    assert page == (BROWSER / "example.html").read_text("utf-8")
    data = (tmp_path / "none" / "example.aec").read_bytes()
    assert same(decode([data], code=tmp_path / "none")[0], by_python(data))

    photo = tmp_path / 'a&"b%: 1.png'
    Image.new("RGB", (90, 60)).save(photo)
    assert run(["browser", str(tmp_path / "two"), str(photo), str(PHOTOS / "dog.jpg"), "--model", "tiny"]) == 0
    page = (tmp_path / "two" / "index.html").read_text("utf-8")
    first = '<aec-img src="a%26%22b%25%3A%201.aec" alt="a&amp;&quot;b%: 1" width="90" height="60" loading="lazy">'
    assert first in page
    assert '&lt;aec-img src="a%26%22b%25%3A%201.aec" alt="a&amp;amp;' in page
    assert page.count("</aec-img>") == 2
    assert '<aec-img src="dog.aec" alt="dog" width="256" height="256"' in page
    assert "example.aec" not in page
    assert not (tmp_path / "two" / "example.aec").exists()


@needs_bundled
def test_another_run_keeps_the_weights_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [find_by_name(name).weights_id.hex() for name in ("light", "paper")]
    assert run(["browser", str(tmp_path), "--model", "light"]) == 0
    assert "kept" not in capsys.readouterr().err
    assert run(["browser", str(tmp_path), "--model", "paper"]) == 0
    assert f"kept {ids[0]}.safetensors; delete" in capsys.readouterr().err
    assert {f"{name}.safetensors" for name in ids} <= {path.name for path in (tmp_path / "weights").iterdir()}


def test_a_folder_that_is_not_of_the_command_is_kept(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "README.md").write_text("mine", "utf-8")
    line = f"{tmp_path / 'README.md'}: exists, and is not what this command makes"
    assert line in refused(1, "browser", tmp_path, "--model", "tiny")
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_text("utf-8") == "mine"


def test_the_code_is_small(tmp_path: Path) -> None:
    assert run(["browser", str(tmp_path), "--model", "tiny", "--quiet"]) == 0
    sizes = {path.name: path.stat().st_size for path in tmp_path.rglob("*.gz") if path.parent.name != "weights"}
    own = {name: size for name, size in sizes.items() if not name.startswith(("example", "index"))}
    zstd = {name: size for name, size in own.items() if name.startswith(("zstd", "xxh64"))}
    assert len(zstd) == 3
    assert sum(own.values()) - sum(zstd.values()) <= 40_000
    assert sum(own.values()) <= 100_000


def test_the_command_refuses(refused: Refused) -> None:
    assert "no model named 'unknown'" in refused(2, "browser", "site", "--model", "unknown")
    assert "missing.jpg" in refused(1, "browser", "site", "missing.jpg", "--model", "tiny")
    twice = [PHOTOS / "dog.jpg"] * 2
    assert "another picture gives dog.aec" in refused(1, "browser", "site", *twice, "--model", "tiny")


def test_the_registered_models_are_those_of_the_manifest() -> None:
    entries = {str(entry.number): {"name": entry.name, "id": entry.weights_id.hex()} for entry in entries_of(WEIGHTS)}
    text = (BROWSER / "decoder" / "models.js").read_text("utf-8")
    for number, fields in entries.items():
        assert f'  {number}: {{ name: "{fields["name"]}", id: "{fields["id"]}" }},\n' in text
    assert text.count("name:") == len(entries)


def test_its_version_is_the_packages() -> None:
    assert json.loads((BROWSER / "package.json").read_text("utf-8"))["version"] == __version__


@pytest.mark.skipif(CLANG is None or shutil.which("wasm-ld") is None, reason="no clang for WebAssembly")
def test_the_module_is_that_of_the_source(tmp_path: Path) -> None:
    assert CLANG is not None
    version = subprocess.run([CLANG, "--version"], capture_output=True, text=True, check=True).stdout
    if "version 14." not in version:
        pytest.skip("another clang, which makes another module")
    subprocess.run(
        [BROWSER / "build.sh", tmp_path / "aec.wasm"], check=True, env={"CLANG": CLANG, "PATH": "/usr/bin:/bin"}
    )
    assert (tmp_path / "aec.wasm").read_bytes() == (BROWSER / "aec.wasm").read_bytes(), "run browser/build.sh"
