"""The native library is loaded or refused with a reason, and declared as its header says."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import sys
from importlib.util import module_from_spec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from aecodec.errors import InvalidOption
from aecodec.native import interface
from aecodec.native import library
from helpers.commands import Refused

NATIVE = Path(library.__file__).parent
LIBRARY = "_kernels.dll" if sys.platform == "win32" else "_kernels.so"
TYPES = {"int32_t": ctypes.c_int32, "int64_t": ctypes.c_int64, "uint64_t": ctypes.c_uint64, "void": None}

needs_header = pytest.mark.skipif(not (NATIVE / "aecodec.h").is_file(), reason="needs the C sources")
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
TWO_SETS = """
const char *aec_set_name(int set) { return set == 0 ? "avx2" : set == 1 ? "neon" : 0; }
int aec_set_runs(int set) { return set == RUNS; }
"""


def header() -> str:
    """Without its comments."""
    return re.sub(r"/\*.*?\*/", "", (NATIVE / "aecodec.h").read_text("utf-8"), flags=re.DOTALL)


def declared(text: str, pointer: object) -> object:
    """The type of a declaration in C, its name aside."""
    kind = text.removeprefix("const ").split()[0]
    return pointer if "*" in text else TYPES[kind]


@needs_header
def test_the_functions_are_those_of_the_header() -> None:
    found = {}
    for result, name, arguments in re.findall(r"AEC_API ([\w *]+?)(aec_\w+)\((.*?)\);", header(), re.DOTALL):
        own = (
            () if arguments == "void" else tuple(declared(own.strip(), ctypes.c_void_p) for own in arguments.split(","))
        )
        found[name] = (declared(result, ctypes.c_char_p), own)
    assert found == {name: (result, tuple(own)) for name, (result, own) in interface.FUNCTIONS.items()}


@needs_header
def test_the_structures_are_those_of_the_header() -> None:
    structures = re.findall(r"typedef struct \{(.*?)\} (\w+);", header(), re.DOTALL)
    assert len(structures) == 5
    for body, name in structures:
        fields = []
        for kind, names in re.findall(r"(\w+) ([^;]+);", body):
            for own in names.split(","):
                field, _, length = own.strip().rstrip("]").partition("[")
                fields.append((field, TYPES[kind] * int(length) if length else TYPES[kind]))
        assert getattr(interface, name)._fields_ == fields, name


@needs_header
def test_the_number_of_the_interface_is_that_of_the_header() -> None:
    assert f"#define AEC_ABI {interface.ABI}\n" in header()


def copy_of_the_room(folder: Path) -> ModuleType:
    """`library.py` as a module that looks for the library in another folder."""
    shutil.copy(library.__file__, folder)
    spec = spec_from_file_location("copy_of_library", folder / "library.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compile_to(folder: Path, *lines: str) -> None:
    (folder / "some.c").write_text("\n".join(lines))
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / LIBRARY, folder / "some.c"], check=True)


def functions(runs: int, abi: int = interface.ABI) -> str:
    """C with all functions of the interface: two sets, of which the processor can run that of index `runs`."""
    given = {"aec_abi": f"{{ return {abi}; }}"}
    others = interface.FUNCTIONS.keys() - {"aec_abi", "aec_set_name", "aec_set_runs"}
    lines = [f"int {name}(void) {given.get(name, '{ return -1; }')}" for name in sorted(others | given.keys())]
    return "\n".join([f"#define RUNS {runs}", TWO_SETS, *lines])


def test_no_library(tmp_path: Path) -> None:
    copy = copy_of_the_room(tmp_path)
    assert copy.load() == copy.kernel_set() == "not compiled: install with a C compiler for the native kernels"
    assert copy.describe() == f"numpy ({copy.load()})"


def test_a_library_that_does_not_load(tmp_path: Path) -> None:
    (tmp_path / LIBRARY).write_bytes(b"not a library")
    reason = copy_of_the_room(tmp_path).load()
    assert reason.startswith(f"{LIBRARY} does not load: ") and len(reason.splitlines()) == 1


@needs_compiler
@pytest.mark.parametrize(
    "text",
    [functions(0, abi=interface.ABI + 1), "int nothing;", f"int aec_abi(void) {{ return {interface.ABI}; }}"],
    ids=["another number", "no number", "functions that lack"],
)
def test_a_library_of_another_version(tmp_path: Path, text: str) -> None:
    compile_to(tmp_path, text)
    assert copy_of_the_room(tmp_path).kernel_set() == f"{LIBRARY} is of another version of aecodec: install it again"


@needs_compiler
@pytest.mark.parametrize(
    ("runs", "wanted", "chosen"),
    [
        (0, "", (0, "avx2")),
        (1, "", (1, "neon")),
        (2, "", "this processor has none of the kernel sets avx2, neon"),
        (1, "neon", (1, "neon")),
        (1, "avx2", "this processor cannot run avx2"),
        (1, "avx-vnni", "this build has no avx-vnni"),
        (1, "numpy", "AECODEC_RUNTIME=numpy"),
    ],
)
def test_the_best_set_or_the_one_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: int, wanted: str, chosen: object
) -> None:
    monkeypatch.setenv("AECODEC_RUNTIME", wanted)
    compile_to(tmp_path, functions(runs))
    copy = copy_of_the_room(tmp_path)
    assert copy.kernel_set() == chosen
    assert copy.describe() == (f"numpy ({chosen})" if isinstance(chosen, str) else f"native ({chosen[1]})")


def test_an_unknown_runtime(monkeypatch: pytest.MonkeyPatch, refused: Refused) -> None:
    monkeypatch.setenv("AECODEC_RUNTIME", "fast")
    message = "AECODEC_RUNTIME=fast: choose numpy, avx512-vnni, avx-vnni, avx2 or neon"
    with pytest.raises(InvalidOption, match=f"^{message}$"):
        library.kernel_set()
    for arguments in (["--version"], ["info", "a.aec"]):
        assert refused(2, *arguments) == f"aecodec: {message}\n"


def test_loading_costs_nothing_where_nothing_runs() -> None:
    code = "import sys, aecodec.cli, aecodec.native.library; assert 'ctypes' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
