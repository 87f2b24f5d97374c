"""Wheel, editable install and uninstalled checkout: each is complete and finds the weights it came with."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from importlib import metadata
from pathlib import Path

import click
import pytest

import aecodec
from helpers.marks import needs_bundled
from helpers.paths import PHOTOS
from helpers.paths import ROOT
from helpers.paths import TINY
from helpers.paths import WEIGHTS

PHOTO = PHOTOS / "dog.jpg"
INSTALLED_LIMIT = 5_000_000  # bytes of bundled weights

in_checkout = pytest.mark.skipif(not (ROOT / "setup.cfg").is_file(), reason="needs the project's own tree")

# Where the package comes from, and which folders it looks for weights in.
WHERE = "import aecodec; from aecodec.codec.manifest import folders; print(aecodec.__file__, *folders(), sep='\\n')"


def python(*arguments: str | Path, path: str | Path, cwd: Path, weights: str = "") -> str:
    """Output of a fresh interpreter that finds packages in `path` first."""
    environment = {**os.environ, "PYTHONPATH": str(path), "AECODEC_WEIGHTS": weights}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=environment, cwd=cwd, check=True, capture_output=True, text=True).stdout


def round_trip(path: Path, cwd: Path, *options: str, weights: str = "") -> None:
    """Encodes and decodes by `python -m aecodec` in another folder."""
    python("-m", "aecodec", "encode", PHOTO, "a.aec", *options, path=path, cwd=cwd, weights=weights)
    python("-m", "aecodec", "decode", "a.aec", "a.png", path=path, cwd=cwd, weights=weights)
    assert (cwd / "a.png").stat().st_size > 1000


def manifest_files(manifest: Path) -> set[str]:
    models = json.loads(manifest.read_text("utf-8"))["models"]
    return {model[half]["file"] for model in models for half in ("decoder", "encoder")}


def model_of(tree: Path) -> str:
    """The name of a model bundled in that tree."""
    models = json.loads((tree / "weights" / "manifest.json").read_text("utf-8"))["models"]
    return str(models[0]["name"])


def setup_cfg() -> ConfigParser:
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg", "utf-8")
    return parser


def weights_package() -> str:
    """The name under which the folder `weights` is installed."""
    (package,) = re.findall(r"^(\S+) = weights$", setup_cfg()["options"]["package_dir"], re.MULTILINE)
    return str(package)


@in_checkout
def test_every_package_is_listed() -> None:
    listed = set(setup_cfg()["options"]["packages"].split())
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "aecodec").rglob("__init__.py")}
    assert listed == found | {weights_package()}


@in_checkout
def test_no_package_hides_a_module() -> None:
    """Python prefers the folder aecodec/x to the module aecodec/x.py, which shows in a real install only."""
    for package in setup_cfg()["options"]["packages"].split():
        assert not (ROOT / f"{package.replace('.', '/')}.py").exists(), package


@in_checkout
def test_the_base_install_is_light() -> None:
    names = re.findall(r"^[a-z]+", setup_cfg()["options"]["install_requires"], re.MULTILINE)
    assert set(names) <= {"numpy", "pillow", "click", "safetensors", "constriction", "zstandard"}


def test_the_installed_version() -> None:
    try:
        assert metadata.version("aecodec") == aecodec.__version__
    except metadata.PackageNotFoundError:
        pytest.skip("not installed")


@in_checkout
def test_uninstalled_checkout_runs_from_anywhere(tmp_path: Path) -> None:
    file, *folders = python("-c", WHERE, path=ROOT, cwd=tmp_path).splitlines()
    assert Path(file) == ROOT / "aecodec" / "__init__.py"
    assert folders == ([str(WEIGHTS)] if (WEIGHTS / "manifest.json").is_file() else [])
    round_trip(ROOT, tmp_path, "--model", "tiny", weights=str(TINY))


@in_checkout
@needs_bundled
def test_uninstalled_checkout_finds_its_weights(tmp_path: Path) -> None:
    round_trip(ROOT, tmp_path)


@in_checkout
@needs_bundled
def test_bundled_weights_are_whole_and_small() -> None:
    files = manifest_files(WEIGHTS / "manifest.json")
    assert len(files) >= 4 and all((ROOT / "weights" / name).is_file() for name in files)
    assert sum((ROOT / "weights" / name).stat().st_size for name in files) <= INSTALLED_LIMIT


def installed_version(name: str) -> tuple[int, ...]:
    """Major and minor version; empty if it is not installed. Importing setuptools would patch the interpreter."""
    try:
        return tuple(int(part) for part in metadata.version(name).split(".")[:2])
    except metadata.PackageNotFoundError:
        return ()


def pip(*arguments: str | Path) -> None:
    """Runs pip without the network, so with the setuptools that is installed here."""
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "-q"]
    verb, *others = map(str, arguments)
    done = subprocess.run([sys.executable, "-m", "pip", verb, *options, *others], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, so that its own tree stays clean; the tiny weights stand in if none are bundled."""
    if not (installed_version("pip") >= (22,) and installed_version("setuptools") >= (70, 1)):
        pytest.skip("needs pip, and a setuptools that builds wheels by itself")
    folder = tmp_path_factory.mktemp("tree")
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("aecodec", "weights"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    if not (WEIGHTS / "manifest.json").is_file():
        for name in ("manifest.json", "tiny.decoder.safetensors", "tiny.encoder.safetensors"):
            shutil.copy(TINY / name, folder / "weights")
    (folder / "weights" / "other.float16.safetensors").write_bytes(b"to train on from, not to install")
    return folder


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "-w", folder, tree)
    (built,) = folder.glob("*.whl")
    return built


@in_checkout
@pytest.mark.slow
def test_wheel_holds_what_it_should(tree: Path, wheel: Path) -> None:
    assert wheel.name == f"aecodec-{aecodec.__version__}-py3-none-any.whl"
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "aecodec").rglob("*.py")}
    weights = {"__init__.py", "manifest.json", *manifest_files(tree / "weights" / "manifest.json")}
    folder = weights_package().replace(".", "/")
    page = {path.relative_to(ROOT).as_posix() for path in (ROOT / "aecodec/bench/report").glob("*.[!p]*")}
    expected = modules | page | {"aecodec/py.typed"} | {f"{folder}/{name}" for name in weights}
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert any(name.endswith("LICENSE") for name in names)


@in_checkout
@pytest.mark.slow
def test_wheel_works_unpacked(tree: Path, wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    file, *folders = python("-c", WHERE, path=site, cwd=tmp_path).splitlines()
    assert Path(file) == site / "aecodec" / "__init__.py"
    assert folders == [str(site.joinpath(*weights_package().split(".")))]
    round_trip(site, tmp_path, "--model", model_of(tree))


@in_checkout
@pytest.mark.slow
def test_editable_install_works(tree: Path, tmp_path: Path) -> None:
    """Installed beside the environment that runs the tests, whose own path files stay unread (-S)."""
    others = Path(click.__file__).parents[1]
    if (others / "aecodec").exists():
        pytest.skip("the aecodec installed here would be found first")
    pip("install", "--ignore-installed", "--prefix", tmp_path / "prefix", "-e", tree)
    (site,) = (tmp_path / "prefix").rglob("site-packages")
    path = f"{site}{os.pathsep}{others}"
    start = f"import site; site.addsitedir({str(site)!r}); "
    file, *folders = python("-S", "-c", start + WHERE, path=path, cwd=tmp_path).splitlines()
    assert Path(file) == tree / "aecodec" / "__init__.py"
    assert folders == [str(tree / "weights")]
    encode = f"from aecodec.cli import main; main(['encode', {str(PHOTO)!r}, 'a.aec', '--model', {model_of(tree)!r}])"
    python("-S", "-c", start + encode, path=path, cwd=tmp_path)
    assert (tmp_path / "a.aec").is_file()


@in_checkout
@pytest.mark.slow
def test_wheel_has_the_command(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (entry_points,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
    assert "aecodec = aecodec.__main__:main" in archive.read(entry_points).decode()
