"""For programs frozen by PyInstaller: it calls `hook_folders` by an entry point, and then reads `hook-aecodec.py`."""

from __future__ import annotations

import os


def hook_folders() -> list[str]:
    """Where the hook is."""
    return [os.path.dirname(__file__)]
