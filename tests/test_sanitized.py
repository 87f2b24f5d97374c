"""The C code reads and writes within its arrays and overflows nowhere, for any input."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sanitized
from helpers.paths import ROOT

needs_sanitizer = pytest.mark.skipif(not sanitized.sanitizer(), reason="needs Linux, and GCC with its sanitizers")
in_checkout = pytest.mark.skipif(not (ROOT / "setup.cfg").is_file(), reason="needs the project's own tree")


@in_checkout
@needs_sanitizer
@pytest.mark.slow
def test_no_find_in_mutants_and_attacks() -> None:
    done = subprocess.run([sys.executable, "-m", "tests.sanitized"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


@needs_sanitizer
@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "report"),
    [
        ("return x[n];", "AddressSanitizer: heap-buffer-overflow"),
        ("return x[0] << 31 << n;", "runtime error: "),
        ("return x[0];", ""),
    ],
    ids=["a byte too far", "undefined", "nothing"],
)
def test_planted_errors_are_found(tmp_path: Path, body: str, report: str) -> None:
    source, library, count = tmp_path / "some.c", tmp_path / "some.so", 3000
    source.write_text(f"int f(const int *x, int n) {{ {body} }}")
    subprocess.run(["gcc", *sanitized.FLAGS.split(), source, "-o", library], check=True)
    call = (
        f"import ctypes, numpy as np; x = np.ones({count}, np.int32); "
        f"ctypes.CDLL({str(library)!r}).f(ctypes.c_void_p(x.ctypes.data), {count})"
    )
    variables = sanitized.environment(Path(np.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", call], env=variables, capture_output=True, text=True)
    assert (report in done.stderr) if report else done.stderr == ""
    assert (done.returncode != 0) == bool(report)
