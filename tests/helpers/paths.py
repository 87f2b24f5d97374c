"""Where things are in the tree, and the permanent test network."""

from __future__ import annotations

from pathlib import Path

import aecodec

ROOT = Path(__file__).parents[2]
PACKAGE_PARENT = Path(aecodec.__path__[0]).parent  # differs from ROOT when the tests run against an installed package
GOLDEN = ROOT / "tests" / "golden"
TINY = GOLDEN / "tiny"
TINY_ID = bytes.fromhex("11ddc256")  # permanent
PHOTOS = ROOT / "examples" / "photos"
WEIGHTS = ROOT / "weights"
