"""Sdist, wheel, editable install and uninstalled checkout: each is complete and finds the weights it came with.

With a C compiler they have the native kernels, and without one NumPy runs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipapp
import zipfile
from collections.abc import Mapping
from configparser import ConfigParser
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

import click
import pytest

import aecodec
from aecodec.frozen import hook_folders
from helpers.commands import environment
from helpers.marks import needs_bundled
from helpers.paths import PACKAGE_PARENT
from helpers.paths import PHOTOS
from helpers.paths import ROOT
from helpers.paths import TINY
from helpers.paths import WEIGHTS

PHOTO = PHOTOS / "dog.jpg"
LIBRARY = "aecodec/native/_kernels.dll" if sys.platform == "win32" else "aecodec/native/_kernels.so"
INSTALLED_LIMIT = 5_000_000  # bytes of bundled weights

# Ways to lack a compiler, as variables: none on the path, none of that name, one that always fails.
WITHOUT_COMPILER = [{"PATH": "/nonexistent"}, {"CC": "/nonexistent/cc"}, {"CC": "false"}]

in_checkout = pytest.mark.skipif(not (ROOT / "setup.cfg").is_file(), reason="needs the project's own tree")

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

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


def runtime(path: Path, cwd: Path) -> str:
    """What runs the networks of the package in `path`."""
    return python("-m", "aecodec", "--version", path=path, cwd=cwd).splitlines()[2]


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
    assert listed == found | {weights_package(), "aecodec.browser"}


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
def test_an_uninstalled_checkout_without_kernels_runs(tmp_path: Path) -> None:
    library = shutil.ignore_patterns("__pycache__", Path(LIBRARY).name)
    shutil.copytree(ROOT / "aecodec", tmp_path / "aecodec", ignore=library)
    assert runtime(tmp_path, tmp_path).startswith("runtime numpy (not compiled: ")
    round_trip(tmp_path, tmp_path, "--model", "tiny", weights=str(TINY))


@in_checkout
@needs_bundled
def test_uninstalled_checkout_finds_its_weights(tmp_path: Path) -> None:
    round_trip(ROOT, tmp_path)


@in_checkout
@needs_bundled
def test_a_zip_archive_says_that_weights_are_files(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(
        PACKAGE_PARENT / "aecodec", source / "aecodec", ignore=shutil.ignore_patterns("__pycache__", "*.so")
    )
    zipapp.create_archive(source, tmp_path / "aec.pyz", main="aecodec.__main__:main")
    env = {name: value for name, value in os.environ.items() if name != "AECODEC_WEIGHTS"}

    def said(*arguments: str) -> tuple[int, str, str]:
        line = [sys.executable, "aec.pyz", *arguments]
        done = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    code, _, error = said("encode", str(PHOTOS / "dog.jpg"), "a.aec")
    assert code == 4 and error.count("\n") == 1 and error.endswith("have to be files, not parts of an archive\n"), error
    code, page, error = said("encode", "--help")
    assert (code, error) == (0, "") and "--target-size" in page


FROZEN = """
import multiprocessing, sys
sys.frozen = True
multiprocessing.freeze_support = lambda: sys.exit("a worker")  # it takes the arguments of a worker, and never returns
from aecodec.__main__ import main
main()
"""


def test_a_frozen_program_may_start_workers_and_finds_its_hook() -> None:
    done = subprocess.run([sys.executable, "-c", FROZEN, "--help"], env=environment(), capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "a worker\n")
    (folder,) = hook_folders()
    assert os.listdir(folder).count("hook-aecodec.py") == 1


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


def pip(*arguments: str | Path, variables: Mapping[str, str] = MappingProxyType({})) -> None:
    """Runs pip without the network, so with the setuptools that is installed here."""
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "-q"]
    verb, *others = map(str, arguments)
    command = [sys.executable, "-m", "pip", verb, *options, *others]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, so that its own tree stays clean; the tiny weights stand in if none are bundled."""
    if not (installed_version("pip") >= (22,) and installed_version("setuptools") >= (70, 1)):
        pytest.skip("needs pip, and a setuptools that builds wheels by itself")
    folder = tmp_path_factory.mktemp("tree")
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("aecodec", "browser", "weights"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", Path(LIBRARY).name))
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


@pytest.fixture(scope="module")
def sdist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    build = f"from setuptools.build_meta import build_sdist; build_sdist({str(folder)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=tree, check=True, capture_output=True)
    (built,) = folder.glob("*.tar.gz")
    return built


def contents(tree: Path) -> set[str]:
    """What every wheel holds, by its names there."""
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "aecodec").rglob("*.py")}
    weights = {"__init__.py", "manifest.json", *manifest_files(tree / "weights" / "manifest.json")}
    folder = weights_package().replace(".", "/")
    page = {path.relative_to(ROOT).as_posix() for path in (ROOT / "aecodec/bench/report").glob("*.[!p]*")}
    browser = {path.relative_to(tree).as_posix() for path in (tree / "browser").rglob("*") if path.is_file()}
    site = {f"aecodec/{name}" for name in browser if name != "browser/build.sh" and "/demo/" not in name}
    return modules | page | site | {"aecodec/py.typed"} | {f"{folder}/{name}" for name in weights}


def names_in(wheel: Path) -> set[str]:
    """Without those that describe the wheel."""
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


@in_checkout
@needs_compiler
@pytest.mark.slow
def test_a_compiled_wheel_fits_any_python_of_its_platform(tree: Path, wheel: Path) -> None:
    assert re.fullmatch(rf"aecodec-{re.escape(aecodec.__version__)}-py3-none-(?!any)\w+\.whl", wheel.name)
    assert names_in(wheel) == contents(tree) | {LIBRARY}
    assert any(name.endswith("LICENSE") for name in zipfile.ZipFile(wheel).namelist())


@in_checkout
@pytest.mark.slow
@pytest.mark.parametrize("variables", WITHOUT_COMPILER, ids=str)
def test_a_wheel_without_a_compiler_fits_all(tree: Path, tmp_path: Path, variables: dict[str, str]) -> None:
    copy = tmp_path / "tree"
    shutil.copytree(tree, copy, ignore=shutil.ignore_patterns("build", Path(LIBRARY).name))
    pip("wheel", "-w", tmp_path, copy, variables=variables)
    (built,) = tmp_path.glob("*.whl")
    assert built.name == f"aecodec-{aecodec.__version__}-py3-none-any.whl"
    assert names_in(built) == contents(tree)


@in_checkout
@needs_compiler
@pytest.mark.slow
def test_the_sdist_installs_with_and_without_a_compiler(tree: Path, sdist: Path, tmp_path: Path) -> None:
    files = []
    for name, variables, expected in (
        ("with", {}, "runtime (native|numpy [(]this processor)"),
        ("without", WITHOUT_COMPILER[0], "runtime numpy [(]not compiled: "),
    ):
        folder = tmp_path / name
        pip("install", "--no-cache-dir", "--target", folder / "site", sdist, variables=variables)
        assert re.match(expected, runtime(folder / "site", folder))
        round_trip(folder / "site", folder, "--model", model_of(tree))
        files.append((folder / "a.aec").read_bytes() + (folder / "a.png").read_bytes())
    assert files[0] == files[1]


@in_checkout
@pytest.mark.slow
def test_wheel_works_unpacked(tree: Path, wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    file, *folders = python("-c", WHERE, path=site, cwd=tmp_path).splitlines()
    assert Path(file) == site / "aecodec" / "__init__.py"
    assert folders == [str(site.joinpath(*weights_package().split(".")))]
    round_trip(site, tmp_path, "--model", model_of(tree))
    python("-m", "aecodec", "browser", "pages", "--model", model_of(tree), path=site, cwd=tmp_path)
    assert (tmp_path / "pages" / "aec.wasm").read_bytes() == (ROOT / "browser" / "aec.wasm").read_bytes()


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
    assert (tree / LIBRARY).is_file() == (shutil.which("cc") is not None)
    encode = f"from aecodec.cli import main; main(['encode', {str(PHOTO)!r}, 'a.aec', '--model', {model_of(tree)!r}])"
    python("-S", "-c", start + encode, path=path, cwd=tmp_path)
    assert (tmp_path / "a.aec").is_file()


@in_checkout
@pytest.mark.slow
def test_wheel_has_the_command(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (entry_points,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
    assert "aecodec = aecodec.__main__:main" in archive.read(entry_points).decode()


@pytest.mark.skipif(not (ROOT / "constraints.txt").is_file(), reason="needs the project's own tree")
def test_constraints_can_be_met_on_the_oldest_python() -> None:
    """A version that this Python installed, and that 3.10 cannot, is for the newer ones only."""
    packaging = pytest.importorskip("packaging.specifiers")
    checked = 0
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        pinned = re.fullmatch(r"([\w.-]+)==([\w.]+)(; python_version >= .*)?", line)
        try:
            found = metadata.metadata(pinned[1]) if pinned else {}
        except metadata.PackageNotFoundError:
            continue
        if pinned and not pinned[3] and found["Version"].partition("+")[0] == pinned[2]:
            assert packaging.SpecifierSet(found["Requires-Python"] or "").contains("3.10"), line
            checked += 1
    assert checked
