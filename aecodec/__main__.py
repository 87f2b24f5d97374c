"""`aecodec` and `python -m aecodec`; the latter works in an uninstalled checkout, too."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Runs the command line. An interrupt while it is still being imported ends as any other does."""
    try:
        from aecodec import cli
    except KeyboardInterrupt:
        os.write(2, b"aecodec: interrupted\n")
        sys.exit(130)
    cli.main()


if __name__ == "__main__":
    main()
