"""`aecodec bench`."""

from __future__ import annotations

from pathlib import Path

import click

from aecodec.cli import PATH


def _numbers(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter("a list of numbers separated by commas") from error


def _names(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(part.strip() for part in value.split(",") if part.strip())


@click.command(short_help="Compare with JPEG, WebP and AVIF on a folder of pictures.")
@click.argument("folder", type=PATH)
@click.option("--codecs", callback=_names, metavar="LIST", help="Peers, of jpeg,webp,avif,avif-psnr. Default: all.")
@click.option("--model", metavar="NAME", default="standard", show_default=True, help="standard or paper.")
@click.option("--weights", type=PATH, help="A weights file of your own, instead of --model.")
@click.option("--quality", callback=_numbers, metavar="LIST", help="aecodec's qualities. Default: 0,10,..,100.")
@click.option("--size", type=click.IntRange(min=1), metavar="N", help="Reduce to N pixels, cut the centre square.")
@click.option("--at-bytes", type=click.IntRange(min=1), metavar="N", help="The quality whose mean file is at most N.")
@click.option("--json", "json_file", type=PATH, help="Write all figures to a file.")
def bench(
    folder: Path,
    codecs: tuple[str, ...] | None,
    model: str,
    weights: Path | None,
    quality: tuple[float, ...] | None,
    size: int | None,
    at_bytes: int | None,
    json_file: Path | None,
) -> None:
    """Compare aecodec with JPEG, WebP and AVIF on the pictures of FOLDER.

    Every figure is from whole files, really encoded and decoded.

    \b
    aecodec bench photos/
    aecodec bench photos/ --size 256 --at-bytes 1966
    """
    from aecodec.bench import PEER_NAMES
    from aecodec.bench import BenchOptions
    from aecodec.bench import format_json
    from aecodec.bench import format_table
    from aecodec.bench import run_bench
    from aecodec.files import write_atomic

    try:
        chosen = PEER_NAMES if codecs is None else codecs
        options = BenchOptions(folder, chosen, model, weights, quality, size, at_bytes)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    result = run_bench(options)
    click.echo(format_table(result))
    if json_file is not None:
        write_atomic(json_file, format_json(result).encode())
