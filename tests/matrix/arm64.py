"""64-bit Arm under qemu-user: Python and packages as `arm64.sh` laid them out, and the kernels, cross-compiled."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from .configurations import NUMPY
from .configurations import PYTHON_CODER
from .configurations import Configuration

ROOT = Path(__file__).parents[2]
COMPILER = "aarch64-linux-gnu-gcc"
FLAGS = "-std=c99 -O3 -fvisibility=hidden -fPIC -shared"  # as in setup.py


def python(folder: Path) -> list[str]:
    """The command that runs it."""
    return ["qemu-aarch64-static", "-L", str(folder / "root"), str(folder / "root" / "usr" / "bin" / "python3.11")]


def package(folder: Path) -> Path:
    """Copies aecodec into `folder`, where the library may be one for Arm. Without a cross-compiler there is none."""
    copy = folder / "package"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ROOT / "aecodec", copy / "aecodec", ignore=shutil.ignore_patterns("__pycache__", "_kernels.*"))
    (copy / "weights").symlink_to(ROOT / "weights")
    if shutil.which(COMPILER):
        native = copy / "aecodec" / "native"
        sources = sorted(native.glob("*.c"))
        subprocess.run([COMPILER, *FLAGS.split(), *sources, "-o", native / "_kernels.so"], check=True)
    return copy


def configurations() -> list[Configuration]:
    """The first is what a user gets."""
    native = [Configuration("native, emulated 64-bit Arm")] if shutil.which(COMPILER) else []
    return [*native, Configuration("numpy, emulated 64-bit Arm", NUMPY, PYTHON_CODER)]
