"""`aecodec verify`."""

from __future__ import annotations

from pathlib import Path

import click

from aecodec.cli import PATH
from aecodec.cli import fail
from aecodec.cli.common import read_source
from aecodec.errors import AecError
from aecodec.errors import CorruptFile


@click.command()
@click.argument("sources", metavar="FILE...", nargs=-1, required=True, type=PATH)
@click.option("--text", is_flag=True, help="FILE is base64url text.")
@click.option("--partial", is_flag=True, help="A file that ends early is no error; say how much is there.")
@click.option("--against", metavar="ORIGINAL", type=PATH, help="Also print PSNR and L1 to this picture (one FILE).")
def verify(sources: tuple[Path, ...], text: bool, partial: bool, against: Path | None) -> int:
    """Check each FILE: checksums, weights, and that its streams decode to the last byte. Writes nothing.

    \b
    aecodec verify *.aec
    aecodec verify photo.aec --against photo.jpg

    ORIGINAL is compared as it is coded, upright and as sRGB; transparent pictures as seen on a white page.

    `-` is standard input. The exit code is that of the last FILE that fails, else 0.
    """
    from aecodec.batch.jobs import naming

    if against is not None and len(sources) > 1:
        raise click.UsageError("--against goes with one FILE.")
    exit_code = 0
    for source in sources:
        try:
            name, data = read_source(source, text)
            with naming(name):
                said = _checked(data, partial)
            figures = "" if against is None else _figures(data, name, against, partial)
            click.echo(f"{click.format_filename(name)}: {said}{figures}")
        except AecError as error:
            exit_code = fail(str(error), error.exit_code)
    return exit_code


def _checked(data: bytes, partial: bool) -> str:
    """What is said of a sound file, or of what there is of one. Raises AecError for others."""
    from aecodec import api
    from aecodec.batch.jobs import what_is_there

    try:
        api.verify(data)
    except CorruptFile:
        if not partial:
            raise
        image = api.decode(data, partial=True)
        return what_is_there(data, image.info["share"])
    return "ok"


def _figures(data: bytes, name: str, against: Path, partial: bool) -> str:
    from aecodec.bench.against import decoded_beside
    from aecodec.bench.metrics import l1
    from aecodec.bench.metrics import psnr

    original, decoded = decoded_beside(data, name, against, partial)
    return f", PSNR {psnr(original, decoded):.3f} dB, L1 {l1(original, decoded):.5f}"
