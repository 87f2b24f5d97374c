"""`aecodec paper`: reproduces the paper behind this project."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import click

from aecodec.cli import PATH
from aecodec.cli.common import STANDARD
from aecodec.cli.common import Number
from aecodec.cli.common import WholeNumber
from aecodec.cli.common import say
from aecodec.cli.common import write_text
from aecodec.cli.model import require_torch
from aecodec.cli.model import training_device

RESERVED = ("imagenet", "places", "lvis", "lfw")  # the public sets, whose layouts are known

Drawn = tuple[Path, int]


def _drawn(value: str) -> Drawn:
    """A set's folder or file, and the number of pictures to draw from it."""
    path, _, count = value.rpartition(":")
    if not path or not re.fullmatch(r"[1-9][0-9]{0,8}", count):
        raise click.BadParameter(f"{value!r} is not a folder, a colon and a number of pictures.")
    return Path(path), int(count)


def _named(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Drawn]:
    named: dict[str, Drawn] = {}
    for value in values:
        name, _, drawn = value.partition("=")
        if not re.fullmatch(r"[a-z0-9_-]{1,40}", name) or name in named or name in RESERVED:
            raise click.BadParameter(f"{name!r} is not a new name of the characters a-z, 0-9, _ and -.")
        named[name] = _drawn(drawn)
    return named


@click.group(invoke_without_command=True)
@click.pass_context
def paper(ctx: click.Context) -> None:
    """Reproduce the paper behind this project."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@paper.command(short_help="Build the data set of 256x256 pictures.")
@click.option(
    "--imagenet", type=_drawn, metavar="DIR:N", help="train/n01440764/*.JPEG, the class tars, or the tar of them."
)
@click.option(
    "--places", type=_drawn, metavar="DIR:N", help="data_256/a/airfield/*.jpg, or train_256_places365standard.tar."
)
@click.option("--lvis", type=_drawn, metavar="DIR:N", help="lvis_v1_train.json beside COCO's train2017 and val2017.")
@click.option("--lfw", type=_drawn, metavar="DIR:N", help="lfw/Aaron_Eckhart/*.jpg, or lfw.tgz.")
@click.option("--folder", multiple=True, metavar="NAME=DIR:N", callback=_named, help="Any other set; repeatable.")
@click.option(
    "--dev", type=click.IntRange(min=0), metavar="N", default=2500, show_default=True, help="Pictures of the dev set."
)
@click.option(
    "--seed",
    metavar="N",
    type=WholeNumber(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Seed of the draw and the split.",
)
@click.option("--out", type=PATH, required=True, metavar="DATA", help="An empty or new folder.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Processes. Default: one per core.")
def dataset(folder: dict[str, Drawn], dev: int, seed: int, out: Path, jobs: int | None, **public: Drawn | None) -> None:
    """Draw pictures from sets on this disk, make them 256x256, and split them into DATA/train and DATA/dev.

    \b
    aecodec paper dataset --imagenet ILSVRC:15000 --places data_256:15000 \\
        --lvis lvis:5000 --lfw lfw.tgz:2500 --dev 2500 --seed 0 --out DATA

    Nothing is downloaded. Pictures are drawn at random by the seed, none twice, turned upright, converted to RGB,
    reduced to a short side of 256 pixels (Lanczos), cut to the centre square and written as PNG: about 4.5 GB for
    37,500. Undecodable files and duplicates are counted and replaced by the next draw. DATA/manifest.csv lists the
    origin and hash of each picture.

    Run the same command again to continue an interrupted run or to replace missing pictures.
    """
    from aecodec.batch.workers import one_thread

    with one_thread():  # other threads of NumPy would get the interrupts held back while a process starts
        from aecodec.paper.dataset import DatasetOptions
        from aecodec.paper.dataset import build
        from aecodec.paper.sources import Source

    drawn = {name: value for name in RESERVED if (value := public[name]) is not None} | folder
    sources = tuple(Source(name, path, count) for name, (path, count) in drawn.items())
    try:
        options = DatasetOptions(sources, dev, seed, out, jobs)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error
    for line in build(options):
        say(line)


@paper.command(short_help="Train the four systems of Table 3, and report.")
@click.option("--data", type=PATH, required=True, metavar="DATA", help="From `paper dataset`, or a folder of pictures.")
@click.option("--dev", type=PATH, metavar="FOLDER", help="256x256 pictures. Default: DATA/dev, or a part of DATA.")
@click.option("--out", type=PATH, required=True, metavar="DIR", help="Report, figures, weights, and work to resume.")
@click.option("--epochs", type=Number(0, min_open=True), metavar="E", help="Epochs of each system. The paper: 200.")
@click.option(
    "--budget", type=Number(0.001), metavar="MINUTES", help="Instead of epochs, minutes in all: a quarter each."
)
@click.option(
    "--crop", type=click.IntRange(min=8), metavar="N", default=128, show_default=True, help="Side of a crop in pixels."
)
@click.option(
    "--batch-size", type=WholeNumber(1, 4096), metavar="N", default=8, show_default=True, help="Crops per step."
)
@click.option(
    "--shown",
    multiple=True,
    metavar="NAME",
    help="Dev picture of Figure 1, repeatable. Default: three that may be shown.",
)
@click.option("--threads", type=WholeNumber(1, 1024), metavar="N", help="CPU threads.")
@training_device
@click.option(
    "--seed",
    type=WholeNumber(0, 2**63 - 1),
    metavar="N",
    default=0,
    show_default=True,
    help="Seed of weights and crops.",
)
def table3(data: Path, out: Path, **fields: object) -> None:
    """Train the four auto-encoders of the paper's Table 3 on equal terms, and write the report.

    \b
    aecodec paper table3 --data DATA --epochs 200 --crop 256 --out table3
    aecodec paper table3 --data photos --dev dev256 --budget 60 --out table3

    Writes README.md (table, training curves, Figure 1), results.json and the weights of each system into DIR. The same
    command continues an interrupted run exactly; finished systems are not trained again. Your own DIR/remarks.md is
    copied into README.md, below the table.
    """
    require_torch()
    from aecodec.paper.table3 import Table3Options
    from aecodec.paper.table3 import run

    try:
        options = Table3Options(data, out, **fields)  # type: ignore[arg-type]
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error
    click.echo(run(options))


@paper.command(short_help="Check the claim of 99 % on whole files.")
@click.argument("folder", type=PATH)
@click.option("--model", "models", multiple=True, metavar="NAME", help="Default: paper, then standard.")
@click.option("--json", "json_file", type=PATH, help="Write all figures to a file; `-`: instead of the table.")
def claim(folder: Path, models: tuple[str, ...], json_file: Path | None) -> None:
    """Measure the bytes and the L1 error of the pictures of FOLDER at 1 % of raw.

    \b
    aecodec paper claim dev256/

    Each model codes all pictures at one quality, the largest whose mean file has at most 1 % of the raw bytes: 1966 at
    256x256. Prints mean, 5th and 95th percentile of bytes and of L1 (0..1).
    """
    from aecodec.paper.claim import MODELS
    from aecodec.paper.claim import format_claims
    from aecodec.paper.claim import measure_claims

    claims = measure_claims(folder, models or MODELS)
    for notice in claims.notices:
        say(notice)
    if str(json_file) != STANDARD:
        click.echo(format_claims(claims))
    if json_file is not None:
        write_text(json_file, json.dumps(asdict(claims), indent=1) + "\n")
