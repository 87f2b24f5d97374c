"""`aecodec encode`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from aecodec.cli import PATH
from aecodec.cli.common import PLACE
from aecodec.cli.common import Number
from aecodec.cli.common import WholeNumber
from aecodec.cli.common import device_option
from aecodec.cli.common import max_pixels_option
from aecodec.cli.work import CLEAR_LINE
from aecodec.cli.work import WorkOptions
from aecodec.cli.work import batch_options
from aecodec.cli.work import ends
from aecodec.cli.work import work_on_many
from aecodec.cli.work import work_on_one
from aecodec.cli.work import work_options
from aecodec.errors import AecError
from aecodec.info import METADATA
from aecodec.info import metadata_kinds


def _metadata(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> frozenset[str]:
    """The kinds that a user asks for, of icc, exif and xmp."""
    asked = {name.strip() for value in values for name in value.lower().split(",")}
    try:
        return frozenset() if asked == {"none"} else metadata_kinds(asked)
    except AecError as error:
        raise click.BadParameter(
            f"{', '.join(values)!r} is not none, all, or some of {', '.join(METADATA)}."
        ) from error


@click.command()
@click.argument("paths", metavar="IN OUT | IN... --out-dir DIR", nargs=-1, type=PLACE)
@click.option(
    "-q",
    "--quality",
    metavar="Q",
    type=Number(0, 100),
    help="0 (smallest file) to 100 (this model's best). Default: the model's own.",
)
@click.option("--target-size", metavar="BYTES", type=WholeNumber(min=1), help="Best quality within so many bytes.")
@click.option(
    "--target-bpp",
    metavar="BITS",
    type=Number(min=0, min_open=True),
    help="The same in bits of the whole file per pixel.",
)
@click.option(
    "--target-psnr",
    metavar="DB",
    type=Number(min=0, min_open=True),
    help="Smallest file that decodes with so many dB.",
)
@click.option("--model", metavar="NAME", default="standard", show_default=True, help="standard or paper.")
@click.option("--weights", type=PATH, help="A weights file of your own, instead of --model.")
@click.option(
    "--effort", metavar="N", type=WholeNumber(0, 3), default=0, show_default=True, help="Smaller files for more time."
)
@click.option("--no-alpha", is_flag=True, help="Leave alpha out. Default: kept losslessly where there is any.")
@click.option(
    "--metadata",
    metavar="WHAT",
    multiple=True,
    callback=_metadata,
    help="Store icc, exif, xmp (a list with commas), all or none.  [default: none]",
)
@device_option
@max_pixels_option
@work_options
def encode(
    paths: tuple[Path | str, ...],
    quality: float | None,
    target_size: int | None,
    target_bpp: float | None,
    target_psnr: float | None,
    model: str,
    weights: Path | None,
    effort: int,
    no_alpha: bool,
    metadata: frozenset[str],
    device: str,
    max_pixels: int,
    **shared: Any,
) -> int:
    """Encode the picture IN to the file OUT, or many pictures and folders into DIR.

    \b
    aecodec encode photo.jpg photo.aec
    aecodec encode photo.jpg photo.aec -q 60
    aecodec encode photo.jpg photo.aec --target-size 2000
    aecodec encode - - < photo.jpg > photo.aec
    aecodec encode photos/ more.jpg --out-dir encoded/

    IN is any picture that Pillow opens. It is coded upright, in 8 bits, as sRGB or grey; with --metadata icc in the
    colour space of its profile, which is stored with it. OUT is replaced where it exists. `-` is standard input or
    output.

    Into DIR, photos/a/x.jpg becomes DIR/a/x.aec. A picture that fails is told and the others go on; outputs that are
    newer than their picture are left as they are, so that a run that was cut goes on where it was.

    The quality is a scale of its own, not that of JPEG. Near 0 is a rough preview (about 25 dB). The default, near
    50, takes about 1 % of the raw size for a photograph of 256x256. 100 is the best that the model gives (about 30 dB
    at twice the bytes of the default), which is not visually lossless.

    With --effort 1, 2 or 3 the encoder looks for better latents in 40, 150 or 800 steps: less error at about as many
    bytes, and fewer bytes at equal PSNR, for some 3, 6 or 40 seconds at 256x256. Decoding takes no longer.
    """
    if sum(value is not None for value in (quality, target_size, target_bpp, target_psnr)) > 1:
        raise click.UsageError("Give one of --quality, --target-size, --target-bpp and --target-psnr.")
    from aecodec.batch.jobs import PICTURE_SUFFIXES
    from aecodec.batch.jobs import EncodeJob

    options = WorkOptions(**shared)
    task = EncodeJob(
        quality=quality,
        target_size=target_size,
        target_bpp=target_bpp,
        target_psnr=target_psnr,
        model=model,
        weights=weights,
        device=device,
        max_pixels=max_pixels,
        effort=effort,
        alpha=not no_alpha,
        metadata=metadata,
    )
    if options.out_dir is not None:
        return work_on_many(task, options, batch_options(paths, options, options.out_dir, PICTURE_SUFFIXES, "aec"))
    source, target = ends(paths, options)
    if target.suffix.lower() in PICTURE_SUFFIXES:
        meant = " Did you mean 'aecodec decode'?" if source.suffix.lower() == ".aec" else ""
        raise click.UsageError(f"OUT is named like a picture ({target.suffix}), but an .aec file is written.{meant}")
    if effort and not options.quiet and sys.stderr.isatty():
        task = replace(task, progress=tell_progress)
    work_on_one(task, source, target, options)
    return 0


def tell_progress(share: float) -> None:
    """The share done of a refinement, on a line of its own that is gone when it is complete."""
    click.echo(CLEAR_LINE + (f"refining: {share:.0%}" if share < 1 else ""), err=True, nl=False)
