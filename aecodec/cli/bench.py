"""`aecodec bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aecodec.cli import PATH
from aecodec.cli.common import STANDARD
from aecodec.cli.common import write_text


def _numbers(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter("a list of numbers separated by commas") from error


def _names(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(part.strip() for part in value.split(",") if part.strip())


@click.command()
@click.argument("folder", type=PATH)
@click.option(
    "--codecs",
    callback=_names,
    metavar="LIST",
    help="Of jpeg,webp,avif,avif-psnr,jxl. Default: all.",
)
@click.option("--model", metavar="NAME", help="A model of `aecodec model list`. Default: standard.")
@click.option("--weights", type=PATH, help="Your own weights file, instead of --model.")
@click.option(
    "-q", "--quality", "qualities", callback=_numbers, metavar="LIST", help="aecodec's qualities. Default: 0,10,..,100."
)
@click.option(
    "--effort",
    type=click.IntRange(0, 3),
    metavar="N",
    default=0,
    show_default=True,
    help="Effort of aecodec's encoder.",
)
@click.option("--size", type=click.IntRange(min=1), metavar="N", help="Reduce to N pixels, cut the centre square.")
@click.option(
    "--at-bytes",
    type=click.IntRange(min=1),
    metavar="N",
    help="Compare at the best quality whose files have a mean of at most N bytes.",
)
@click.option("--shrink", is_flag=True, help="With --at-bytes: code each picture reduced as far as suits N bytes.")
@click.option("--ssimulacra2", is_flag=True, help="Measure SSIMULACRA2 too: slow, needs aecodec[bench].")
@click.option("--html", "html_file", type=PATH, help="Write a report to look at: needs aecodec[bench].")
@click.option("--json", "json_file", type=PATH, help="Write all figures to a file; `-`: instead of the table.")
@click.option(
    "--csv", "csv_file", type=PATH, help="Write a line for each picture, codec and quality; `-`: instead of the table."
)
@click.option("--resume", type=PATH, help="Keep measurements here and resume from them. Default: beside the output.")
def bench(
    folder: Path,
    html_file: Path | None,
    json_file: Path | None,
    csv_file: Path | None,
    resume: Path | None,
    **values: Any,
) -> None:
    """Compare aecodec with JPEG, WebP, AVIF and, where installed, JPEG XL on the pictures of FOLDER.

    Every figure comes from whole files, encoded and decoded. The same command resumes an interrupted run that has an
    output file.

    \b
    aecodec bench photos/
    aecodec bench photos/ --html report.html
    aecodec bench photos/ -q 20,40,60,80 --csv figures.csv
    aecodec bench photos/ --size 256 --at-bytes 1966
    aecodec bench photos/ --size 256 --at-bytes 1966 --effort 2 -q 30,35,40
    aecodec bench photos/ --size 256 --at-bytes 200 --shrink
    """
    from aecodec.bench import BenchOptions
    from aecodec.bench import format_csv
    from aecodec.bench import format_json
    from aecodec.bench import format_table
    from aecodec.bench import run_bench
    from aecodec.bench.report import bench_page
    from aecodec.bench.report import check
    from aecodec.image.suffixes import PICTURE_SUFFIXES

    at_bytes = values["at_bytes"] is not None
    if at_bytes and csv_file is not None:
        raise click.UsageError("--csv is for the curves, not for --at-bytes")
    to_stdout = [output for output in (html_file, json_file, csv_file) if str(output) == STANDARD]
    if len(to_stdout) > 1:
        raise click.UsageError("only one of --html, --json and --csv can be standard output")
    for output in (html_file, json_file, csv_file):
        if output is not None and output.suffix.lower() in PICTURE_SUFFIXES:
            raise click.UsageError(f"{output} is named like a picture, which it would replace.")
    kept = resume or (None if at_bytes else _beside(html_file or json_file or csv_file))
    try:
        options = BenchOptions(folder, equal_bytes=html_file is not None, resume=kept, **values)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if html_file is not None:
        check()
    result = run_bench(options)
    if not to_stdout:
        click.echo(format_table(result))
    if html_file is not None:
        write_text(html_file, bench_page(result, options))
    if json_file is not None:
        write_text(json_file, format_json(result))
    if csv_file is not None:
        write_text(csv_file, format_csv(result))
    if kept is not None and resume is None:
        kept.unlink(missing_ok=True)


def _beside(output: Path | None) -> Path | None:
    """Where measurements are kept until the output is written: beside it, unless it is a pipe or a device."""
    if output is None or str(output) == STANDARD or (output.exists() and not output.is_file()):
        return None
    return output.with_name(output.name + ".resume")
