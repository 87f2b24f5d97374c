"""What the commands print as JSON is what docs/schemas says, to the last field."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from PIL import Image

from aecodec.cli import cli
from aecodec.cli import run
from helpers.marks import needs_bundled
from helpers.paths import GOLDEN
from helpers.paths import ROOT
from helpers.pictures import photograph

jsonschema = pytest.importorskip("jsonschema")

SCHEMAS = ROOT / "docs" / "schemas"
COMMANDS = {"encode": "result", "decode": "result", "info": "info", "bench": "bench", "paper claim": "claim"}
TINY = ("--model", "tiny")


def valid(name: str, text: str) -> list[dict[str, Any]]:
    """The objects of these lines, or the one object; each fits the schema and has no field that it does not list."""
    validator = jsonschema.Draft202012Validator(closed(name))
    values = [json.loads(line) for line in text.splitlines()] if name in ("result", "info") else [json.loads(text)]
    assert values
    for value in values:
        validator.validate(value)
    return values


def published(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_text("utf-8"))
    return schema


def closed(name: str) -> dict[str, Any]:
    """The schema, but accepting only the fields that it lists. As published it accepts more, which 1.1 may add."""
    schema = published(name)
    for part in parts(schema):
        if part.get("type") == "object":
            part["additionalProperties"] = False
    return schema


def parts(schema: object) -> Iterator[dict[str, Any]]:
    """The schema and every schema in it."""
    if isinstance(schema, dict):
        yield schema
    for value in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from parts(value)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(2):
        Image.fromarray(photograph(64, 80, seed)).save(folder / f"{seed}.png")
    return folder


@pytest.mark.parametrize("name", sorted(set(COMMANDS.values())))
def test_a_schema_is_valid_and_accepts_fields_of_later_releases(name: str) -> None:
    schema = published(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    for part in parts(schema):
        assert not {"additionalProperties", "unevaluatedProperties", "oneOf"} & set(part)  # oneOf: two may come to fit
        if part.get("type") == "object":
            assert set(part["required"]) <= set(part["properties"])


def test_an_unlisted_field_fits_what_is_published_but_not_these_tests(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", str(GOLDEN / "tiny" / "grey-100.aec"), "--json"]) == 0
    later = {**json.loads(capsys.readouterr().out), "unlisted": 1}
    assert jsonschema.Draft202012Validator(published("info")).is_valid(later)
    with pytest.raises(jsonschema.ValidationError, match="unlisted"):
        valid("info", json.dumps(later))


def test_every_command_with_json_has_a_schema_and_a_place_on_the_page() -> None:
    context = click.Context(cli)
    every = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    for name, group in list(every.items()):
        if isinstance(group, click.Group):
            every |= {f"{name} {own}": command for own, command in group.commands.items()}
    with_json = [
        name for name, own in every.items() if own and any("--json" in parameter.opts for parameter in own.params)
    ]
    assert set(with_json) == set(COMMANDS)
    page = (ROOT / "docs" / "json.md").read_text("utf-8")
    assert all(f"`aecodec {name} --json" in page for name in COMMANDS)
    assert {f"{name}.schema.json" for name in COMMANDS.values()} == set(os.listdir(SCHEMAS))
    assert all(f"schemas/{name}.schema.json" in page for name in COMMANDS.values())


def test_encode_and_decode(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told(exit_code: int, *arguments: str | Path) -> list[dict[str, Any]]:
        assert run([*map(str, arguments), "--json"]) == exit_code
        return valid("result", capsys.readouterr().out)

    (one,) = told(0, "encode", photos / "0.png", tmp_path / "a.aec", *TINY)
    assert one["bytes"] == (tmp_path / "a.aec").stat().st_size
    (photos / "2.png").write_bytes(b"no picture")
    Image.fromarray(np.arange(32 * 32, dtype=np.uint16).reshape(32, 32)).save(photos / "3.png")  # 16 bits: a notice
    many = "encode", photos, "--out-dir", tmp_path / "out", *TINY
    first, again = told(1, *many), told(1, *many)
    assert [line["output"] for line in first if "notices" in line] == [str(tmp_path / "out" / "3.aec")]
    assert sorted(("error" in line, "skipped" in line) for line in again) == [(False, True)] * 3 + [(True, False)]
    told(0, "decode", tmp_path / "a.aec", tmp_path / "a.png")
    told(0, "decode", tmp_path / "out", "--out-dir", tmp_path / "back")
    (photos / "2.png").unlink()
    assert run(["encode", str(photos), "--out-dir", str(tmp_path / "shards"), *TINY, "--shard", "1/1"]) == 0
    (results,) = (tmp_path / "shards").glob("*.jsonl")
    assert len(valid("result", results.read_text("utf-8"))) == 3


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    """Of every golden file: both forms, alpha, metadata, tiles, shrunk, and one that ends early."""
    files = sorted(GOLDEN.glob("*/*.aec"))
    assert run(["info", *map(str, files), "--json"]) == 0
    fields = valid("info", capsys.readouterr().out)
    assert len(fields) == len(files)
    for name, values in (("compact", {False, True}), ("mode", {"L", "RGB"})):
        assert {line[name] for line in fields} >= values


def test_info_of_what_is_not_whole_or_not_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = (GOLDEN / "tiny" / "grey-100.aec").read_bytes()
    (tmp_path / "short.aec").write_bytes(data[:-3])
    (tmp_path / "other.aec").write_bytes(data.replace(bytes.fromhex("11ddc256"), bytes(4), 1))
    assert run(["info", str(tmp_path / "short.aec"), str(tmp_path / "other.aec"), "--json"]) == 0
    short, other = valid("info", capsys.readouterr().out)
    assert short["complete"] is False and other["model"] is None


def test_a_name_that_is_not_utf8_comes_back(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In every line of `encode`, of a failed picture and of `info`."""
    stem = os.fsencode(tmp_path) + b"/\xff\xe4"
    picture, broken, out = (os.fsdecode(stem + end) for end in (b".png", b"-broken.png", b".aec"))
    try:
        Image.fromarray(photograph(32, 32)).save(picture)
    except OSError:
        pytest.skip("the file system refuses such names")
    assert run(["encode", picture, out, "--json", *TINY]) == 0
    Path(broken).write_bytes(b"no picture")
    assert run(["encode", broken, str(tmp_path / "b.aec"), "--json", *TINY]) != 0
    assert run(["info", out, "--json"]) == 0
    text = capfd.readouterr().out
    assert text.isascii() and r"\udcff\udce4" in text
    first, *_, last = (json.loads(line) for line in text.splitlines())
    assert os.fsencode(first["input"]) == stem + b".png" and os.fsencode(first["output"]) == stem + b".aec"
    assert os.fsencode(last["file"]) == stem + b".aec"


@pytest.mark.parametrize("options", [("-q", "0,50,100"), ("--at-bytes", "400")], ids=["curves", "at bytes"])
def test_bench(photos: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]) -> None:
    assert run(["bench", str(photos), *TINY, "--codecs", "jpeg,webp", *options, "--json", "-"]) == 0
    (fields,) = valid("bench", capsys.readouterr().out)
    assert bool(fields["measurements"]) != bool(fields["at_bytes"])


@needs_bundled
def test_claim(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(photograph(256, 256)).save(photos / "0.png")
    (photos / "1.png").unlink()
    assert run(["paper", "claim", str(photos), "--model", "paper", "--json", "-"]) == 0
    valid("claim", capsys.readouterr().out)
