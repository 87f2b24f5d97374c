"""`aecodec pack`, `aecodec unpack` and `aecodec cut`: from one form of a file to another, without decoding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from typing import TypeVar

import click

from aecodec.cli import PATH
from aecodec.cli.common import check_ends
from aecodec.cli.common import read_source
from aecodec.cli.common import say
from aecodec.cli.common import write_target
from aecodec.options import CHECKS

Command = TypeVar("Command", bound=Callable[..., Any])


def _ends(command: Command) -> Command:
    """Gives a command the arguments IN and OUT, and --quiet."""
    for decorate in (
        click.option("--quiet", is_flag=True, help="Print errors only."),
        click.argument("target", metavar="OUT", type=PATH),
        click.argument("source", metavar="IN", type=PATH),
    ):
        command = decorate(command)
    return command


@click.command()
@_ends
@click.option(
    "--checksum", type=click.Choice(list(CHECKS)), default="crc-8", show_default=True, help="Checksum of OUT."
)
@click.option("--text", is_flag=True, help="Write base64url text.")
def pack(source: Path, target: Path, checksum: str, text: bool, quiet: bool) -> None:
    """Write the file IN in its compact form: the same picture with a header of a few bytes.

    \b
    aecodec pack photo.aec compact.aec
    aecodec pack photo.aec - --text

    For pictures of up to 1024x1024 pixels without alpha and metadata. Every command reads either form, and `unpack`
    restores the full one byte for byte. `-` is standard input or output.
    """
    from aecodec import forms

    def packed(data: bytes) -> bytes:
        compact = forms.pack(data, checksum=checksum)
        return forms.to_text(compact) + b"\n" if text else compact

    _convert(source, target, packed, quiet, to_text=text)


@click.command()
@_ends
@click.option("--text", is_flag=True, help="IN is base64url text.")
def unpack(source: Path, target: Path, text: bool, quiet: bool) -> None:
    """Write the file IN in its full form.

    \b
    aecodec unpack compact.aec photo.aec

    `-` is standard input or output.
    """
    from aecodec import forms

    _convert(source, target, forms.unpack, quiet, from_text=text)


@click.command()
@_ends
@click.option("--bytes", "size", required=True, type=click.IntRange(min=1), metavar="N", help="Size of OUT, at most.")
@click.option("--text", is_flag=True, help="IN and OUT are base64url text, N counts the bytes before.")
def cut(source: Path, target: Path, size: int, text: bool, quiet: bool) -> None:
    """Cut the file IN to at most N bytes: a coarser picture of the same size, without encoding again.

    \b
    aecodec cut photo.aec preview.aec --bytes 500

    OUT is a complete file in its own right. Alpha and metadata stay whole. Encoding the original to N bytes gives a
    better picture. `-` is standard input or output.
    """
    from aecodec import forms

    def cut_down(data: bytes) -> bytes:
        short = forms.cut(data, size)
        return forms.to_text(short) + b"\n" if text else short

    _convert(source, target, cut_down, quiet, from_text=text, to_text=text)


def _convert(
    source: Path,
    target: Path,
    conversion: Callable[[bytes], bytes],
    quiet: bool,
    from_text: bool = False,
    to_text: bool = False,
) -> None:
    """IN to OUT, by way of a conversion."""
    from aecodec.batch.jobs import naming

    check_ends(source, target, to_text=to_text)
    name, data = read_source(source, from_text)
    with naming(name):
        converted = conversion(data)
    write_target(target, converted)
    if not quiet:
        say(f"{target}: {len(converted)} bytes, from {len(data)}")
