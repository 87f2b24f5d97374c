"""Runs the fuzz driver, the attacks and the tests of the kernels over C that watches itself.

    python -m tests.sanitized                    # a hundred mutants: under a minute
    python -m tests.sanitized --mutants 20000

AddressSanitizer and UndefinedBehaviorSanitizer end the process at the first byte read or written outside its array and
at the first operation that C leaves undefined. Needs Linux and GCC. The library is built in a copy of the project.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
NEEDED = ("aecodec", "weights", "tests", "examples", "setup.cfg", "pyproject.toml")
FLAGS = "-std=c99 -O2 -g1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all -fPIC -shared"
SLOWER = 8  # files take longer where every access is checked: 4 s instead of 0.3
TESTS = tuple(f"tests/test_{name}.py" for name in ("native", "native_gradients", "range_coder", "attacks"))
SLOW = "not of_the_models and not mean_overhead"  # these reach no other line of C


def sanitizer() -> str:
    """The library that has to be loaded before all others; empty where there is none."""
    if not sys.platform.startswith("linux") or shutil.which("gcc") is None:
        return ""
    name = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True).stdout.strip()
    return name if Path(name).is_absolute() else ""


def build(folder: Path) -> None:
    """A copy of the project in `folder`, with a library that watches itself."""
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "_kernels.*"))
        else:
            shutil.copy(ROOT / name, folder)
    native = folder / "aecodec" / "native"
    sources = sorted(native.glob("*.c"))
    subprocess.run(["gcc", *FLAGS.split(), *sources, "-o", native / "_kernels.so"], check=True)


def environment(folder: Path) -> dict[str, str]:
    """Python's own allocator is off, since its arrays of many objects hide where each ends."""
    return os.environ | {
        "LD_PRELOAD": sanitizer(),
        "ASAN_OPTIONS": "detect_leaks=0:quarantine_size_mb=16",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(folder),
        "OMP_NUM_THREADS": "1",
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.sanitized", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mutants", type=int, default=100, metavar="N", help="how many (default: 100)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="which ones (default: 0)")
    options = parser.parse_args(argv)
    if not sanitizer():
        parser.error("needs Linux, and GCC with its sanitizers")
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        loads = "import sys; from aecodec.native.library import load; sys.exit(load() if type(load()) is str else 0)"
        fuzz = ["--mutants", str(options.mutants), "--seed", str(options.seed), "--slower", str(SLOWER)]
        commands = [
            ["-c", loads],
            ["-m", "tests.fuzz", *fuzz],
            ["-m", "pytest", "-n", "0", "-p", "no:cacheprovider", "-k", SLOW, *TESTS],
        ]
        variables = environment(Path(folder))
        codes = [subprocess.run([sys.executable, *own], cwd=folder, env=variables).returncode for own in commands]
    return 1 if any(codes) else 0


if __name__ == "__main__":
    sys.exit(main())
