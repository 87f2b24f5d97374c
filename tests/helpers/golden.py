"""The golden files: where they lie, and what is expected of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from helpers.paths import GOLDEN
from helpers.paths import TINY

BUNDLED = GOLDEN / "bundled"
RELEASES = sorted(path for path in GOLDEN.iterdir() if re.fullmatch(r"\d+\.\d+", path.name))
FOLDERS = [TINY, BUNDLED, *RELEASES]


def expected_of(folder: Path) -> dict[str, dict[str, Any]]:
    """What `expected.json` says of each file of a folder, by its name."""
    path = folder / "expected.json"
    return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else {}


def all_expected() -> dict[Path, dict[str, Any]]:
    """The same by path, for all folders."""
    return {folder / name: fields for folder in FOLDERS for name, fields in expected_of(folder).items()}
