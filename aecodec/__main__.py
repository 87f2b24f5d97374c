"""`aecodec` and `python -m aecodec`; the latter works in an uninstalled checkout, too."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Runs the command line. An interrupt while it is still being imported ends as any other does."""
    if getattr(sys, "frozen", False):  # the program is its own interpreter: a worker starts as the program does
        import multiprocessing

        multiprocessing.freeze_support()
    gc.set_threshold(50_000)  # importing leaves no garbage: to look for it every 700 objects is 5 % of a cold start
    try:
        from aecodec import cli
    except KeyboardInterrupt:
        os.write(2, b"aecodec: interrupted\n")
        sys.exit(130)
    cli.main()


if __name__ == "__main__":
    main()
