"""What setup.cfg cannot say: the native kernels, one shared library that ctypes loads in any Python 3.

They are optional. Without a C compiler the installation succeeds, and NumPy runs the networks.
"""

from __future__ import annotations

import gzip
import os
import sys
import tarfile
from glob import glob
from pathlib import Path
from typing import Any

from setuptools import Extension
from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist
from setuptools.errors import BaseError
from setuptools.errors import CCompilerError

# -g0: debug information would hold the paths of the machine that builds.
UNIX_FLAGS = ["-std=c99", "-O3", "-g0", "-fvisibility=hidden", "-fno-math-errno"]


class BuildLibrary(build_ext):
    """Builds a shared library that does not use Python's interface."""

    def get_ext_filename(self, fullname: str) -> str:
        """The name without Python's version, as `aecodec/native/library.py` looks for it."""
        return fullname.replace(".", "/") + (".dll" if sys.platform == "win32" else ".so")

    def get_export_symbols(self, ext: Extension) -> list[str]:
        """Only what aecodec.h marks: no PyInit function."""
        return []

    def get_libraries(self, ext: Extension) -> list[str]:
        """Not Python's."""
        return []

    def build_extension(self, ext: Extension) -> None:
        if self.compiler.compiler_type != "msvc":
            ext.extra_compile_args = UNIX_FLAGS
        try:
            super().build_extension(ext)
        except (BaseError, CCompilerError, OSError) as error:
            Path(self.get_ext_fullpath(ext.name)).unlink(missing_ok=True)  # an earlier build's
            print(f"aecodec: not compiled, so NumPy runs the networks: {error}", file=sys.stderr)


class PlatformWheel(bdist_wheel):
    """Tags the wheel for any Python 3 of this platform, or for every platform if nothing was compiled."""

    def get_tag(self) -> tuple[str, str, str]:
        libraries = self.get_finalized_command("build_ext").get_outputs()
        return "py3", "none", super().get_tag()[2] if any(map(Path.is_file, map(Path, libraries))) else "any"


class SameSdist(sdist):
    """Writes the same bytes for the same files and SOURCE_DATE_EPOCH, as setuptools does for wheels only."""

    def make_archive(
        self, base_name: str, format: str, root_dir: Any = None, base_dir: Any = None, **owner: Any
    ) -> str:
        """The folder `base_dir` as the archive `base_name`.tar.gz."""
        epoch = int(os.environ.get("SOURCE_DATE_EPOCH", -1))
        if format != "gztar" or root_dir is not None or epoch < 0:
            return super().make_archive(base_name, format, root_dir, base_dir, **owner)

        def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
            member.mtime, member.mode = epoch, 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            return member

        name = f"{base_name}.tar.gz"
        with (
            open(name, "wb") as file,
            gzip.GzipFile("", "wb", 9, file, epoch) as packed,
            tarfile.open(fileobj=packed, mode="w") as archive,
        ):
            archive.add(base_dir, filter=plain)
        return name


sources = sorted(glob("aecodec/native/*.c"))
headers = sorted(glob("aecodec/native/*.h"))
kernels = Extension("aecodec.native._kernels", sources, depends=[*headers, "setup.py"], optional=True)
setup(
    ext_modules=[kernels] if sources else [],
    cmdclass={"build_ext": BuildLibrary, "bdist_wheel": PlatformWheel, "sdist": SameSdist},
)
