"""Batches with the tiny network."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

import aecodec
from aecodec.batch.plan import BatchOptions
from aecodec.cli import run

TINY = ("--model", "tiny")


def options(*inputs: Path | str, out: Path | str = "out", **others: object) -> BatchOptions:
    return BatchOptions(inputs, out, "aec", **others)  # type: ignore[arg-type]


def encode(*arguments: str | Path) -> int:
    """In this process, unless the arguments ask for more jobs: those take a moment to start."""
    one_job = ["--jobs", "1"] if "--out-dir" in arguments and "--jobs" not in arguments else []
    return run(["encode", *map(str, arguments), *TINY, *one_job])


def pictures(folder: Path, **colours: int) -> Path:
    """A folder with a picture of 8x8 for each name; `a_bmp` is a.bmp."""
    for name, colour in colours.items():
        path = folder / name.replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), colour).save(path)
    return folder


def code(colour: int) -> bytes:
    """What `encode` makes of a picture of that colour."""
    return aecodec.encode(Image.new("L", (8, 8), colour), model="tiny")
