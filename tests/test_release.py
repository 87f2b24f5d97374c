"""What is uploaded: built twice, it is the same to the byte; its metadata is sound, and it holds what is listed."""

from __future__ import annotations

import email
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import aecodec
from helpers.paths import ROOT

BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}
WITHOUT_COMPILER = {"CC": "false"}
MOST_BYTES = 6_000_000
PROJECT = f"aecodec-{aecodec.__version__}"
# Of an sdist: what builds the package, beside the package. Neither tests nor float weights.
SDIST = (
    r"(aecodec|browser|weights|aecodec\.egg-info)/.*|setup\.(py|cfg)|pyproject\.toml|MANIFEST\.in"
    r"|README\.md|LICENSE|PKG-INFO"
)
NEVER = r".*(float16|__pycache__|\.pyc|EXPERIMENTS|peers\.json|_kernels\.|/demo/).*|tests/.*"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / "setup.cfg").is_file(), reason="needs the project's own tree"),
]


def build(folder: Path) -> dict[str, Path]:
    """An sdist and both wheels of a copy of the project, by kind."""
    from tools.steps import SOURCES
    from tools.steps import copy_tree

    try:
        if tuple(map(int, metadata.version("setuptools").split(".")[:2])) < (70, 1):
            pytest.skip("needs a setuptools that builds wheels by itself")
    except metadata.PackageNotFoundError:
        pytest.skip("needs setuptools")
    built = {}
    for kind, hook, variables in (
        ("sdist", "build_sdist", {}),
        ("platform", "build_wheel", {}),
        ("any", "build_wheel", WITHOUT_COMPILER),
    ):
        tree, dist = folder / kind / "tree", folder / kind / "dist"
        copy_tree(tree, *SOURCES, "tests")
        dist.mkdir()
        command = [sys.executable, "-c", BUILD, hook, str(dist)]
        subprocess.run(command, cwd=tree, env=os.environ | EPOCH | variables, check=True, capture_output=True)
        (built[kind],) = dist.iterdir()
    return built


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build(tmp_path_factory.mktemp("one"))


def names(path: Path) -> set[str]:
    """The files in an archive, those of an sdist without its own folder."""
    if path.suffix == ".whl":
        return set(zipfile.ZipFile(path).namelist())
    with tarfile.open(path) as archive:
        return {member.name.removeprefix(f"{PROJECT}/") for member in archive if member.isfile()}


def hashes(path: Path) -> dict[str, str]:
    """Of the archive, and of each file in it, so that a failure names the one that differs."""
    found = {"": path.read_bytes()}
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            found |= {name: archive.read(name) for name in archive.namelist()}
    return {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}


def test_the_same_sources_make_the_same_bytes(built: dict[str, Path], tmp_path: Path) -> None:
    """In a folder of another name, at another time."""
    again = build(tmp_path / "another" / "place")
    for kind, path in built.items():
        assert path.name == again[kind].name
        assert hashes(path) == hashes(again[kind])


def test_names_and_sizes(built: dict[str, Path]) -> None:
    assert built["sdist"].name == f"{PROJECT}.tar.gz"
    assert built["any"].name == f"{PROJECT}-py3-none-any.whl"
    if shutil.which("cc"):
        assert re.fullmatch(rf"{re.escape(PROJECT)}-py3-none-(?!any)\w+\.whl", built["platform"].name)
    assert all(path.stat().st_size <= MOST_BYTES for path in built.values())


def test_an_sdist_has_what_builds_and_nothing_else(built: dict[str, Path]) -> None:
    found = names(built["sdist"])
    assert [name for name in sorted(found) if not re.fullmatch(SDIST, name) or re.fullmatch(NEVER, name)] == []
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "aecodec").rglob("*.[pch]*") if path.is_file()}
    assert {name for name in sources if name.endswith((".py", ".c", ".h"))} <= found


def test_wheels_have_the_package_and_nothing_else(built: dict[str, Path]) -> None:
    platform, pure = names(built["platform"]), names(built["any"])
    inside = {name for name in pure if name.startswith("aecodec/")}
    described = {name.partition(".dist-info/")[2] for name in pure - inside}
    assert described == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt", "licenses/LICENSE"}
    assert [name for name in inside if re.fullmatch(NEVER, name)] == []
    others = {name for name in platform if name.startswith("aecodec/")} - inside
    assert all(re.fullmatch(r"aecodec/native/_kernels\.(so|dll)", name) for name in others)


def test_the_metadata_is_that_of_the_project(built: dict[str, Path]) -> None:
    for kind in ("platform", "any"):
        fields = email.message_from_bytes(zipfile.ZipFile(built[kind]).read(f"{PROJECT}.dist-info/METADATA"))
        assert (fields["Name"], fields["Version"]) == ("aecodec", aecodec.__version__)
        assert fields["Requires-Python"] == ">=3.10" and fields["License-File"] == "LICENSE"
        assert fields["Description-Content-Type"] == "text/markdown"
        assert fields.get_payload() == (ROOT / "README.md").read_text("utf-8")


def test_twine_finds_nothing(built: dict[str, Path]) -> None:
    pytest.importorskip("twine")
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, built.values())]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
