"""The browser's decoder, asked in Node: `tests/browser/driver.mjs` answers."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from helpers.paths import ROOT
from helpers.paths import TINY
from helpers.paths import WEIGHTS

BROWSER = ROOT / "browser"
NODE = shutil.which("node") or shutil.which("nodejs")
DRIVER = ROOT / "tests" / "browser" / "driver.mjs"
DECODERS = [path for folder in (TINY, WEIGHTS) for path in sorted(folder.glob("*.decoder.safetensors"))]

needs_node = pytest.mark.skipif(NODE is None, reason="no Node on this machine")

Answer = dict[str, Any]


def ask(
    what: str, inputs: Sequence[bytes], weights: Sequence[Path] = (), *, code: Path = BROWSER, **options: Any
) -> list[Answer]:
    """An answer to each input: a picture's shape and hash, or a refusal with its name."""
    question = {
        "ask": what,
        "browser": f"{code.as_uri()}/",
        "weights": [str(path) for path in weights],
        "inputs": [base64.b64encode(data).decode() for data in inputs],
        "options": options,
    }
    assert NODE is not None
    done = subprocess.run([NODE, DRIVER], input=json.dumps(question), capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def decode(inputs: Sequence[bytes], **options: Any) -> list[Answer]:
    """Each file decoded, with all weights of this tree at hand. An error outside the family fails."""
    answers = ask("decode", inputs, DECODERS, **options)
    strange = [answer["stack"] for answer in answers if answer.get("stack")]
    assert not strange, strange[0]
    return answers
