"""What a test needs of the system and of the tree."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from helpers.paths import WEIGHTS

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files and signals")
linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
not_as_root = pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
needs_bundled = pytest.mark.skipif(not (WEIGHTS / "manifest.json").is_file(), reason="no bundled weights in this tree")
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
