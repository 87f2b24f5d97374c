"""What several commands share: options, remarks, sources and targets of data."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import Field
from dataclasses import fields
from pathlib import Path
from typing import IO
from typing import Any
from typing import TypeVar

import click

from aecodec.cli import PATH
from aecodec.cli import NamedPath
from aecodec.errors import AecError
from aecodec.errors import InputError
from aecodec.errors import InvalidOption
from aecodec.errors import OutputError
from aecodec.files import write_atomic
from aecodec.forms import read_file
from aecodec.options import CHECKS
from aecodec.options import DEVICES
from aecodec.options import METADATA
from aecodec.options import CommonOptions
from aecodec.options import Crop
from aecodec.options import Option
from aecodec.options import metadata_kinds
from aecodec.options import option_of

STANDARD = "-"  # standard input or output
UNUSUAL_NAMES = "backslashreplace"  # how pages and tables hold file names that are not UTF-8
Command = TypeVar("Command", bound=Callable[..., Any])
INPUT_IS_TERMINAL = "Standard input is a terminal: give a file, or pipe one in."


class Number(click.FloatRange):
    """A range without NaN and infinity, called a number in messages."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        converted = super().convert(value, param, ctx)
        if not math.isfinite(converted):
            self.fail(f"{converted} is not in the range.", param, ctx)
        return converted


class WholeNumber(click.IntRange):
    """A range of whole numbers, with that name in messages."""

    name = "whole number"


class _Place(NamedPath):
    """A path or a URL; a URL stays a string, but `file://` gives a path."""

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


def options_of(record: type[CommonOptions]) -> Callable[[Command], Command]:
    """Gives a command the options that the fields of a record declare, those common to all records last."""
    common = {own.name for own in fields(CommonOptions)}
    offered = sorted(fields(record), key=lambda own: own.name in common)

    def decorate(command: Command) -> Command:
        for own in reversed(offered):
            option = option_of(own)
            if option is not None:
                command = _click_option(own, option)(command)
        return command

    return decorate


def _click_option(own: Field[Any], option: Option) -> Callable[[Command], Command]:
    kinds: dict[str, dict[str, Any]] = {
        "crop": {"callback": parse_crop},
        "metadata": {"multiple": True, "callback": parse_metadata, "default": ()},
        "weights": {"type": PATH},
        "device": {"type": click.Choice(DEVICES)},
        "checksum": {"type": click.Choice(list(CHECKS))},
    }
    if own.default is False:
        return click.option(*option.flags, own.name, is_flag=True, help=option.help)
    settings: dict[str, Any] = {"metavar": option.metavar, "default": own.default, "help": option.help}
    if option.low is not None:
        kind: Any = WholeNumber if option.whole else Number
        settings["type"] = kind(option.low, None if option.high == math.inf else option.high, min_open=option.above)
    settings["show_default"] = own.default is not None
    return click.option(*option.flags, own.name, **settings | kinds.get(own.name, {}))


def parse_crop(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Crop | None:
    """The region that X,Y,W,H names."""
    if value is None:
        return None
    parts = re.fullmatch(r"(\d{1,9}),(\d{1,9}),(\d{1,9}),(\d{1,9})", value, re.ASCII)
    if parts is None:
        raise click.BadParameter(f"{value!r} is not X,Y,W,H, four whole numbers.")
    x, y, width, height = map(int, parts.groups())
    return x, y, width, height


def parse_metadata(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> frozenset[str]:
    """The kinds of metadata asked for, of icc, exif and xmp."""
    asked = {name.strip() for value in values for name in value.lower().split(",")}
    try:
        return frozenset() if asked == {"none"} else metadata_kinds(asked)
    except AecError as error:
        given = ", ".join(values)
        raise click.BadParameter(f"{given!r} is not none, all, or some of {', '.join(METADATA)}.") from error


@contextmanager
def usage_errors(record: type[CommonOptions]) -> Iterator[None]:
    """Reports an invalid option of a record as a usage error, with the flags that the user typed."""
    try:
        yield
    except InvalidOption as error:
        flags = {own.name: option.flags[-1] for own in fields(record) if (option := option_of(own))}
        message = re.sub(r"\w+", lambda word: flags.get(word[0], word[0]), str(error))
        raise click.UsageError(f"{message[0].upper()}{message[1:]}.") from error


def say(line: str) -> None:
    """Prints a remark for the user, always on stderr."""
    click.echo(line, err=True)


def check_ends(source: Path, target: Path, to_text: bool = False) -> None:
    """Raises OutputError if the output is the input, UsageError if binary data would go to or from a terminal."""
    if str(source) == STANDARD:
        standard_input()
    if str(target) == STANDARD:
        if sys.stdout is None:
            raise OutputError("<stdout>: is closed")
        if sys.stdout.isatty() and not to_text:
            raise click.UsageError("Standard output is a terminal: binary data is not written to one.")
    elif source.exists() and target.exists() and source.samefile(target) and target.is_file():
        raise OutputError(f"{target}: is the input itself")


def read_source(path: Path, text: bool = False) -> tuple[str, bytes]:
    """Name and bytes of an `.aec` file, or of standard input for `-`; from base64url if `text`. Raises AecError."""
    from aecodec.batch.jobs import naming

    name, source = ("<stdin>", standard_input()) if str(path) == STANDARD else (str(path), path)
    with naming(name):
        return name, read_file(source, text=text)


def standard_input() -> IO[bytes]:
    """Standard input as bytes. Raises InputError if it is closed, UsageError if it is a terminal."""
    if sys.stdin is None:  # descriptor 0 was closed when Python started
        raise InputError("<stdin>: is closed")
    if sys.stdin.isatty():
        raise click.UsageError(INPUT_IS_TERMINAL)
    return sys.stdin.buffer


def write_target(path: Path, data: bytes) -> None:
    """Writes a whole file, or to standard output for `-`. Raises OutputError; BrokenPipeError if the reader is gone."""
    if str(path) != STANDARD:
        write_atomic(path, data)
        return
    try:
        # A separate stream, since sys.stdout would retry a failed write at exit.
        with open(sys.stdout.fileno(), "wb", closefd=False) as stream:
            stream.write(data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"<stdout>: {error.strerror or error}") from error


def write_text(path: Path, text: str) -> None:
    """Writes a page, a table or JSON to a file or, if `path` is `-`, to standard output."""
    data = text.encode(errors=UNUSUAL_NAMES)
    if str(path) == STANDARD:
        click.echo(data, nl=False)
    else:
        write_atomic(path, data)
