"""Imports go one way, heavy libraries stay in their rooms, and what should be light is light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import aecodec
from helpers.paths import PHOTOS
from helpers.paths import ROOT

PACKAGE = Path(aecodec.__file__).parent

# From the bottom to the top; a module imports only from rows below its own. A sub-package is one room.
ROWS = (
    ("errors", "frozen"),
    ("limits", "native"),
    ("geometry", "files", "inputs", "web"),
    ("format", "network"),
    ("codec", "options"),
    ("info",),
    ("forms",),
    ("image",),
    ("api",),
    ("imagecodecs", "pillow_plugin", "torch_dataset"),
    ("batch",),
    ("bench",),
    ("train",),
    ("paper",),
    ("cli",),
    ("__main__",),
)
RANK = {room: rank for rank, rooms in enumerate(ROWS) for room in rooms}
PAPER_ROOMS = ("paper/systems.py", "paper/training.py", "paper/table3.py")
TORCH_ROOMS = (
    "train/",
    *PAPER_ROOMS,
    "network/torch_runtime.py",
    "torch_dataset.py",
    "cli/model.py",  # only looks for it
)
PIL_ROOMS = ("image/", "pillow_plugin.py", "bench/", "train/drawings.py", "paper/figures.py")

FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if path.parent.name != "bundled")


def room_of(file: str) -> str:
    return file.split("/")[0].removesuffix(".py")


def nodes(tree: ast.AST, *, type_checking: bool) -> Iterator[ast.AST]:
    """Every node, with or without the bodies of `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        guarded = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        if guarded and not type_checking:
            continue
        yield node
        yield from nodes(node, type_checking=type_checking)


@cache
def imported(file: str, *, type_checking: bool = True) -> frozenset[str]:
    """Dotted names of the modules that a file imports anywhere, in functions too."""
    names: set[str] = set()
    for node in nodes(ast.parse((PACKAGE / file).read_text("utf-8")), type_checking=type_checking):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            if node.module == "aecodec":
                names |= {f"aecodec.{alias.name}" for alias in node.names}
            else:
                names.add(str(node.module))
    return frozenset(names)


def test_the_walk_sees_the_package():
    assert {"aecodec.network.quantized", "numpy"} <= imported("codec/latent_coding.py")
    assert "torch" in imported("network/torch_runtime.py")
    assert "aecodec.image.reading" in imported("api.py"), "imports in functions count"


@pytest.mark.parametrize("file", [file for file in FILES if file != "__init__.py"])
def test_imports_go_down_only(file: str):
    own = room_of(file)
    assert own in RANK, "a new module has to take its place in ROWS"
    for name in imported(file):
        if not name.startswith("aecodec.") or name == "aecodec.__version__":
            continue
        room = name.split(".")[1]
        assert RANK[room] < RANK[own] or (room == own and "/" in file), f"{file} imports {name}"


def test_no_import_cycles():
    """Within a room too, whether at the top of a module or in a function."""
    modules = {
        f"aecodec.{file.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}": file for file in FILES
    }
    graph = {
        module: {name for name in imported(file, type_checking=False) if name in modules and name != module}
        for module, file in modules.items()
    }
    TopologicalSorter(graph).prepare()  # raises CycleError with the circle


@pytest.mark.parametrize(
    ("library", "rooms"),
    [
        ("torch", TORCH_ROOMS),
        ("PIL", PIL_ROOMS),
        ("ray", ("batch/ray.py",)),
        ("fsspec", ("batch/storage.py",)),
    ],
)
def test_heavy_libraries_stay_in_their_rooms(library: str, rooms: tuple[str, ...]):
    users = {
        file
        for file in FILES
        for name in imported(file, type_checking=False)
        if name.split(".")[0] == library and not file.startswith(rooms)
    }
    assert users == set()


def names_in(code: str) -> set[str]:
    """What a module defines, assigns or imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def test_one_module_lists_the_suffixes_of_pictures() -> None:
    assert [file for file in FILES if '".webp"' in (PACKAGE / file).read_text("utf-8")] == ["image/suffixes.py"]


@pytest.mark.parametrize("folder", ["benchmarks", "examples", "tools"])
def test_what_scripts_import_exists(folder: str):
    """No test runs most benchmarks, so a name that moved would go unnoticed."""
    for path in (PACKAGE.parent / folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not str(node.module).startswith("aecodec."):
                continue
            home = PACKAGE.parent / f"{str(node.module).replace('.', '/')}.py"
            if home.is_file():
                lacking = {alias.name for alias in node.names} - names_in(home.read_text("utf-8"))
                assert not lacking, f"{path.name}: {node.module} has no {', '.join(lacking)}"


def test_no_test_module_imports_another():
    for path in sorted((ROOT / "tests").glob("*.py")):
        others = re.findall(r"^ *(?:from|import) (test_\w+|conftest)\b", path.read_text("utf-8"), re.MULTILINE)
        assert not others, f"{path.name} imports {', '.join(others)}: what tests share is in tests/helpers"


def run(code: str, *arguments: str) -> None:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_decoding_loads_only_what_it_needs(tmp_path: Path):
    """Start-up is most of what a small picture takes."""
    aec = tmp_path / "dog.aec"
    run(
        "import sys\n"
        "from aecodec.cli import run\n"
        "photo, out = sys.argv[1:]\n"
        "assert run(['encode', photo, out, '--model', 'tiny']) == 0\n"
        "idle = {'PIL.ImageCms', 'zstandard', 'torch'} & set(sys.modules)\n"
        "assert not idle, idle\n",
        str(PHOTOS / "dog.jpg"),
        str(aec),
    )
    run(
        "import sys\n"
        "from aecodec.cli import run\n"
        "assert run(['decode', *sys.argv[1:]]) == 0\n"
        "others = {'PIL.ImageCms', 'PIL.JpegImagePlugin', 'PIL.GifImagePlugin', 'zstandard', 'torch'}\n"
        "idle = ({'aecodec.batch.workers', 'aecodec.codec.encoder'} | others) & set(sys.modules)\n"
        "assert not idle, idle\n",
        str(aec),
        str(tmp_path / "dog.png"),
    )


def test_contributing_draws_these_rows() -> None:
    diagram = (PACKAGE.parent / "CONTRIBUTING.md").read_text("utf-8").split("```text\n")[1].split("```")[0]
    drawn = [tuple(line.split("  ")[0].split(", ")) for line in diagram.splitlines()]
    assert tuple(reversed(drawn)) == ROWS
