"""The README is true: CI runs its test command, and its figures are those of the manifest."""

from __future__ import annotations

import json
import re

import pytest

import aecodec
from aecodec.codec.manifest import entries_of
from helpers.paths import ROOT
from helpers.paths import WEIGHTS
from tools.land import END
from tools.land import START
from tools.land import figures

README = (ROOT / "README.md").read_text("utf-8")
LANDED = pytest.mark.skipif(not entries_of(WEIGHTS), reason="no weights are landed")


def test_ci_runs_the_test_command_of_the_readme() -> None:
    command = next(line for line in README.splitlines() if line.endswith("-m pytest"))
    assert command in (ROOT / ".ci" / "run").read_text("utf-8").splitlines()


def test_every_file_that_the_readme_names_exists() -> None:
    for name in re.findall(r"(?:examples|weights|benchmarks|docs)/[\w/.-]+\.\w+", README):
        if not name.startswith("weights/") or entries_of(WEIGHTS):
            assert (ROOT / name).is_file(), name


@LANDED
def test_the_figures_are_those_of_the_manifest() -> None:
    peers = json.loads((WEIGHTS / "peers.json").read_text("utf-8"))
    assert README.split(START)[1].split(END)[0].strip() == figures(entries_of(WEIGHTS), peers)


@LANDED
def test_the_opening_quotes_the_manifest() -> None:
    opening, block = README.split("## Use")[0], README.split(START)[1].split(END)[0]
    for number in re.findall(r"([\d.]+) dB", opening):
        assert f"{number} " in block, number
    size = sum(
        entry.details[half]["bytes"] for entry in entries_of(ROOT / "weights") for half in ("encoder", "decoder")
    )
    assert f"weights ({size / 1e6:.1f} MB)" in opening


@LANDED
def test_the_default_quality_is_that_of_the_scale() -> None:
    quality = (ROOT / "docs" / "quality.md").read_text("utf-8")
    assert re.findall(r"the default, ([\d.]+),", quality) == re.findall(r"\(default ([\d.]+)\)", README)


def test_the_readme_is_short() -> None:
    assert len(README.encode()) < 6_500


def test_licence_training_and_citation_agree() -> None:
    """In README, the page on training, the package's metadata and CITATION.cff."""
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == aecodec.__version__
    setup = (ROOT / "setup.cfg").read_text("utf-8")
    assert f"license = {citation['license']}\n" in setup
    assert f"Code and weights: {citation['license']}." in README
    training = (ROOT / "docs" / "training.md").read_text("utf-8")
    count = re.search(r"trained on ([\d,]+) photographs", README)
    assert count is not None and f"crops of {count[1]} photographs" in training
    sources = re.findall(r"^\| ([\d,]+) \| .*[a-z]", training.split("## What the bundled weights")[1], re.MULTILINE)
    assert sum(int(number.replace(",", "")) for number in sources) == int(count[1].replace(",", ""))
