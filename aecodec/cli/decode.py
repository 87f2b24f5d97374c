"""`aecodec decode`."""

from __future__ import annotations

from pathlib import Path

import click

from aecodec.cli import PATH
from aecodec.cli.common import STANDARD
from aecodec.cli.common import check_ends
from aecodec.cli.common import device_option
from aecodec.cli.common import max_pixels_option
from aecodec.cli.common import open_source
from aecodec.cli.common import say
from aecodec.cli.common import write_target


@click.command(short_help="Decode the file IN to the picture OUT.")
@click.argument("source", metavar="IN", type=PATH)
@click.argument("target", metavar="OUT", type=PATH)
@click.option("--format", "extension", metavar="EXT", help="png, jpg, webp, ... Default: what OUT's name says.")
@device_option
@max_pixels_option
def decode(source: Path, target: Path, extension: str | None, device: str, max_pixels: int) -> None:
    """Decode the file IN to the picture OUT, in the format that its name says (.png, .jpg, .webp, ...).

    The file names its weights: bundled ones are found, others in the folders of the variable AECODEC_WEIGHTS.

    \b
    aecodec decode photo.aec photo.png
    aecodec decode - - --format png < photo.aec > photo.png

    OUT is replaced where it exists. `-` is standard input or output.
    """
    from aecodec.task import DecodeTask

    check_ends(source, target)
    if str(target) == STANDARD and extension is None:
        raise click.UsageError("Decoding to standard output needs --format, for example --format png.")
    task = DecodeTask(None if extension is None else extension.lstrip("."), device, max_pixels)
    product = task(open_source(source), "<stdout>" if str(target) == STANDARD else str(target))
    write_target(target, product.data)
    for line in (*product.notices, product.summary):
        say(line)
