"""`aecodec info`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from aecodec.cli import PATH
from aecodec.cli import fail
from aecodec.cli.common import read_source
from aecodec.errors import AecError


@click.command()
@click.argument("sources", metavar="FILE...", nargs=-1, required=True, type=PATH)
@click.option("--text", is_flag=True, help="FILE is base64url text.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each FILE, each on a line.")
def info(sources: tuple[Path, ...], text: bool, as_json: bool) -> int:
    """Show the header of each FILE: size, quality, model, bytes. Pixels and metadata are not read.

    \b
    aecodec info photo.aec
    aecodec info *.aec --json

    `-` is standard input. The exit code is that of the last FILE that fails, else 0.
    """
    exit_code = 0
    for source in sources:
        try:
            _tell(source, text, as_json)
        except AecError as error:
            exit_code = fail(str(error), error.exit_code)
    return exit_code


def _tell(source: Path, text: bool, as_json: bool) -> None:
    """Prints what one file says of itself. Raises AecError."""
    from dataclasses import asdict

    from aecodec.batch.jobs import naming
    from aecodec.info import read_info
    from aecodec.options import METADATA

    name, data = read_source(source, text)
    with naming(name):
        fields = asdict(read_info(data))
    if as_json:
        import json

        click.echo(json.dumps({"file": name} | fields))
        return
    number = "unknown" if fields["weights_id"] else f"model number {fields['model_number']}"
    model = fields["model"] or number
    click.echo(f"{click.format_filename(name)}: {fields['width']}x{fields['height']} {fields['mode']}")
    bits = f"{fields['bits_per_pixel']:.3f} bits per pixel"
    tiles = "1 tile" if fields["tiles"] == 1 else f"{fields['tiles']} tiles"
    click.echo(f"  {fields['size_bytes']} bytes, {bits}, {tiles}")
    extras = [f"{kind} {size}" for kind in ("alpha", *METADATA) if (size := fields[f"{kind}_bytes"])]
    if extras:
        click.echo(f"  including {', '.join(extras)} bytes")
    click.echo(f"  quality {fields['quality']:g} (step {fields['quality_index']} of 0..255)")
    click.echo(f"  weights {fields['weights_id'] or 'unknown'} ({model}), format version {fields['version']}")
    for line in _particulars(fields):
        click.echo(f"  {line}")


def _particulars(fields: dict[str, Any]) -> Iterator[str]:
    """What only some files have to tell."""
    if (fields["coded_width"], fields["coded_height"]) != (fields["width"], fields["height"]):
        yield f"reduced to {fields['coded_width']}x{fields['coded_height']}, enlarged when it is shown"
    if fields["compact"]:
        yield f"compact form, checksum {fields['checksum']}"
    if fields["cut"]:
        yield "cut to fewer bytes than it was encoded to"
    if fields["complete"] is False:
        yield "its checksum does not match: it is truncated, damaged, or no .aec file"
