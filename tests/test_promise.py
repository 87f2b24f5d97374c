"""docs/promise.md names all that is public: variables, exit codes, extras; and what it names is still there."""

from __future__ import annotations

import ast
import builtins
import inspect
import json
import re

import pytest

import aecodec
from aecodec import errors
from aecodec.codec.manifest import entries_of
from helpers.interface import RECORD
from helpers.interface import interface
from helpers.paths import PACKAGE_PARENT
from helpers.paths import ROOT
from helpers.paths import WEIGHTS

pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="needs the project's own tree")


def page() -> str:
    return " ".join((ROOT / "docs" / "promise.md").read_text("utf-8").split())


def test_every_variable_is_public() -> None:
    text = "".join(path.read_text("utf-8") for path in (PACKAGE_PARENT / "aecodec").rglob("*.py"))
    assert set(re.findall(r"\bAECODEC_[A-Z]+\b", text)) == set(re.findall(r"`(AECODEC_[A-Z]+)`", page()))


def test_every_exit_code_is_public() -> None:
    listed = page().split("the exit codes:")[1].split(";")[0]
    raised = {
        error.exit_code for error in vars(errors).values() if isinstance(error, type) and hasattr(error, "exit_code")
    }
    assert set(map(int, re.findall(r"\b\d+\b", listed))) == raised | {0, 129, 130, 143}


def test_nothing_public_is_gone() -> None:
    """If this fails, a program or a script of some user fails: keep the name, and warn for one minor release."""
    now = interface()
    gone = {name: set(parts) - set(now.get(name, ())) for name, parts in json.loads(RECORD.read_text("utf-8")).items()}
    assert {name: parts for name, parts in gone.items() if parts or name not in now} == {}


@pytest.mark.skipif(aecodec.__version__.startswith("0."), reason="nothing is promised yet")
def test_all_that_is_public_is_recorded() -> None:
    assert json.loads(RECORD.read_text("utf-8")) == interface(), "run PYTHONPATH=.:tests python -m helpers.interface"


# What annotations may name beside builtins and our own public names: of Python, Pillow and NumPy.
KNOWN = {"Any", "Callable", "Image", "Iterable", "Iterator", "Path", "np"}


@pytest.mark.parametrize("name", aecodec.__all__)
def test_a_public_signature_names_only_public_types(name: str) -> None:
    public = getattr(aecodec, name)
    if isinstance(public, type) and issubclass(public, aecodec.AecError):
        return
    signature = inspect.signature(public)
    annotations = {part.annotation for part in signature.parameters.values()} | {signature.return_annotation}
    trees = (ast.parse(text) for text in annotations - {inspect.Signature.empty, None})
    named = {node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert named <= KNOWN | set(aecodec.__all__) | set(vars(builtins))


def test_the_page_names_the_extras() -> None:
    listed = page().split('what `pip install "aecodec[...]"` takes:')[1].split(";")[0]
    assert sorted(re.findall(r"`(\w+)`", listed)) == interface()["extras"]


def test_the_sizes_of_decoders_are_those_of_the_manifest() -> None:
    text = page() + (ROOT / "docs" / "quality.md").read_text("utf-8")
    for entry in entries_of(WEIGHTS):
        size = f"{entry.details['decoder']['bytes'] / 1e6:.1f} MB"
        assert f"{size} of `{entry.name}`" in text, (entry.name, size)


def test_version_0_says_that_it_promises_nothing() -> None:
    assert ("Version 0.x promises none of this yet" in page()) == aecodec.__version__.startswith("0.")


def test_readme_and_security_link_to_it() -> None:
    assert "](docs/promise.md)" in (ROOT / "README.md").read_text("utf-8")
    assert "](docs/promise.md)" in (ROOT / "SECURITY.md").read_text("utf-8")
