"""What several commands share: options, remarks, and the ends of a command's data."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import IO
from typing import Any

import click

from aecodec.errors import OutputError
from aecodec.files import read_bytes
from aecodec.files import write_atomic
from aecodec.limits import MAX_PIXELS

STANDARD = "-"  # standard input or output
INPUT_IS_TERMINAL = "Standard input is a terminal: give a file, or pipe one in."


class Number(click.FloatRange):
    """A range without NaN and infinity, called what people call it."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        converted = super().convert(value, param, ctx)
        if not math.isfinite(converted):
            self.fail(f"{converted} is not in the range.", param, ctx)
        return converted


class WholeNumber(click.IntRange):
    """The same of whole numbers."""

    name = "whole number"


class _Place(click.Path):
    """A path, or a URL, which stays a string; `file://` URLs are paths."""

    def convert(self, value: Any, parameter: click.Parameter | None, ctx: click.Context | None) -> Path | str:
        if isinstance(value, str) and "://" in value:
            from aecodec.batch.storage import place

            value = place(value)
            if isinstance(value, str):
                return value
        path = super().convert(value, parameter, ctx)
        assert isinstance(path, Path)
        return path


PLACE = _Place(path_type=Path, readable=False)

device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="cuda needs a GPU and the torch extra.",
)
max_pixels_option = click.option(
    "--max-pixels",
    metavar="N",
    type=WholeNumber(min=1),
    default=MAX_PIXELS,
    show_default=True,
    help="Refuse larger pictures.",
)


def say(line: str) -> None:
    """A remark for the user: always on stderr."""
    click.echo(line, err=True)


def check_ends(source: Path, target: Path) -> None:
    """Raises OutputError where the output is the input itself, UsageError where binary data would meet a terminal."""
    if str(source) == STANDARD and sys.stdin.isatty():
        raise click.UsageError(INPUT_IS_TERMINAL)
    if str(target) == STANDARD:
        if sys.stdout.isatty():
            raise click.UsageError("Standard output is a terminal: binary data is not written to one.")
    elif source.exists() and target.exists() and source.samefile(target) and target.is_file():
        raise OutputError(f"{target}: is the input itself")


def open_source(path: Path) -> Path | IO[bytes]:
    """What a task reads: the file, or standard input for `-`."""
    return sys.stdin.buffer if str(path) == STANDARD else path


def read_source(path: Path) -> tuple[str, bytes]:
    """Name and bytes of a whole file, or of standard input for `-`. Raises InputError."""
    if str(path) != STANDARD:
        return str(path), read_bytes(path)
    if sys.stdin.isatty():
        raise click.UsageError(INPUT_IS_TERMINAL)
    return "<stdin>", sys.stdin.buffer.read()


def write_target(path: Path, data: bytes) -> None:
    """Writes a whole file, or to standard output for `-`. Raises OutputError; BrokenPipeError where nobody reads."""
    if str(path) != STANDARD:
        write_atomic(path, data)
        return
    try:
        # A stream of its own, since what the shared one could not write it would try again at exit.
        with open(sys.stdout.fileno(), "wb", closefd=False) as stream:
            stream.write(data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"<stdout>: {error.strerror or error}") from error
