"""The command: `python -m tests.matrix`."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from . import __doc__ as description
from . import arm64 as emulated
from .configurations import Configuration
from .configurations import native_configurations
from .configurations import numpy_configurations
from .configurations import torch_configurations

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"


def expected(folders: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Hashes of pixels, as they stand in `expected.json`, and of the golden files, by name."""
    pixels, files = {}, {}
    for folder in folders:
        path = GOLDEN / folder / "expected.json"
        for name, fields in json.loads(path.read_text("utf-8")).items() if path.is_file() else ():
            pixels[f"{folder}/{name}"] = fields["pixels_sha256"]
            files[f"{folder}/{name}"] = hashlib.sha256((GOLDEN / folder / name).read_bytes()).hexdigest()
    return pixels, files


def run(configuration: Configuration, folders: list[str], arm64: Path | None) -> dict[str, str | dict[str, str]]:
    """What the worker prints. Raises RuntimeError with its complaint where it fails."""
    own = [str(arm64 / "package"), str(ROOT), str(arm64 / "site")] if arm64 else [str(ROOT)]
    paths = [*own, os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, **configuration.environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    python = emulated.python(arm64) if arm64 else [sys.executable]
    command = [*python, "-m", "tests.matrix.worker", *configuration.options, "--folders", *folders]
    done = subprocess.run(command, env=environment, cwd=own[0], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip() or f"exit code {done.returncode}")
    answer: dict[str, str | dict[str, str]] = json.loads(done.stdout)
    return answer


def digest(hashes: Mapping[str, str]) -> str:
    """One hash of all, in the order of their names."""
    return hashlib.sha256("".join(f"{name} {hashes[name]}\n" for name in sorted(hashes)).encode()).hexdigest()[:16]


def compare(found: Mapping[str, str], wanted: Mapping[str, str]) -> tuple[str, list[str]]:
    """The cell of a table, and the names that differ. Hashes that a configuration does not make are no difference."""
    if not found:
        return "-", []
    different = sorted(name for name in found if found[name] != wanted[name])
    return f"{len(found) - len(different)} of {len(wanted)} {digest(found)}", different


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.matrix", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="WORD", default="", help="configurations whose name has that word")
    parser.add_argument("--fast", action="store_true", help="the short form: the tiny network, generic kernels")
    parser.add_argument("--each", action="store_true", help="print the hash of every file")
    parser.add_argument("--arm64", type=Path, metavar="FOLDER", help="emulate 64-bit Arm with what lies there")
    options = parser.parse_args(argv)
    arm64 = options.arm64 and options.arm64.absolute()
    folders = ["tiny"] if options.fast else sorted(path.parent.name for path in GOLDEN.glob("*/expected.json"))
    if arm64:
        emulated.package(arm64)
        configurations = emulated.configurations()
    else:
        configurations = [*native_configurations(), *numpy_configurations(), *torch_configurations()]
    chosen = [own for own in configurations if options.only in own.name and (own.fast or not options.fast)]
    pixels, files = expected(folders)
    failures = 0
    print(f"{'equal pixels, and their hash':30}{'equal files, and their hash':30}configuration")
    for configuration in chosen:
        try:
            answer = run(configuration, folders, arm64)
        except RuntimeError as error:
            print(f"{configuration.name}: {error}", file=sys.stderr)
            failures += 1
            continue
        decoded, encoded = answer["pixels"], answer["files"]
        assert isinstance(decoded, dict) and isinstance(encoded, dict)
        left, wrong = compare(decoded, pixels)
        right, other = compare(encoded, files)
        print(f"{left:30}{right:30}{configuration.name} ({answer['about']})", flush=True)
        if options.each:
            for name in sorted(decoded):
                print(f"    {decoded[name]}  {name}")
        for name in [*wrong, *other]:
            print(f"    DIFFERENT: {name}", flush=True)
        failures += bool(wrong or other)
    print(f"{len(chosen)} configurations, {failures} of them different")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
