"""`python -m aecodec`: works in an uninstalled checkout, too."""

from __future__ import annotations

from aecodec.cli import main

if __name__ == "__main__":
    main()
