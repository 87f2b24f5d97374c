"""`aecodec encode`."""

from __future__ import annotations

from pathlib import Path

import click

from aecodec.cli import PATH
from aecodec.cli.common import STANDARD
from aecodec.cli.common import check_ends
from aecodec.cli.common import device_option
from aecodec.cli.common import max_pixels_option
from aecodec.cli.common import number
from aecodec.cli.common import open_source
from aecodec.cli.common import say
from aecodec.cli.common import write_target

PICTURE_NAMES = frozenset({".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


@click.command()
@click.argument("source", metavar="IN", type=PATH)
@click.argument("target", metavar="OUT", type=PATH)
@click.option(
    "-q",
    "--quality",
    metavar="Q",
    type=click.FloatRange(0, 100),
    callback=number,
    help="0 (smallest file) to 100 (this model's best). Default: the model's own.",
)
@click.option("--target-size", metavar="BYTES", type=click.IntRange(min=1), help="Best quality within so many bytes.")
@click.option(
    "--target-bpp",
    metavar="BITS",
    type=click.FloatRange(min=0, min_open=True),
    callback=number,
    help="The same in bits of the whole file per pixel.",
)
@click.option(
    "--target-psnr",
    metavar="DB",
    type=click.FloatRange(min=0, min_open=True),
    callback=number,
    help="Smallest file that decodes with so many dB.",
)
@click.option("--model", metavar="NAME", default="standard", show_default=True, help="standard or paper.")
@click.option("--weights", type=PATH, help="A weights file of your own, instead of --model.")
@device_option
@max_pixels_option
def encode(
    source: Path,
    target: Path,
    quality: float | None,
    target_size: int | None,
    target_bpp: float | None,
    target_psnr: float | None,
    model: str,
    weights: Path | None,
    device: str,
    max_pixels: int,
) -> None:
    """Encode the picture IN to the file OUT.

    \b
    aecodec encode photo.jpg photo.aec
    aecodec encode photo.jpg photo.aec -q 60
    aecodec encode photo.jpg photo.aec --target-size 2000
    aecodec encode - - < photo.jpg > photo.aec

    IN is any picture that Pillow opens. It is coded upright, as 8-bit sRGB or grey, without its metadata. OUT is
    replaced where it exists. `-` is standard input or output.

    The quality is a scale of its own, not that of JPEG. Near 0 is a rough preview (about 25 dB). The default, near
    50, takes about 1 % of the raw size for a photograph of 256x256. 100 is the best that the model gives (about 30 dB
    at twice the bytes of the default), which is not visually lossless.
    """
    if sum(value is not None for value in (quality, target_size, target_bpp, target_psnr)) > 1:
        raise click.UsageError("Give one of --quality, --target-size, --target-bpp and --target-psnr.")
    from aecodec.task import EncodeTask

    check_ends(source, target)
    if target.suffix.lower() in PICTURE_NAMES and not target.is_dir():
        raise click.UsageError(f"OUT is named like a picture ({target.suffix}), but an .aec file is written.")
    task = EncodeTask(quality, target_size, target_bpp, target_psnr, model, weights, device, max_pixels)
    product = task(open_source(source), "<stdout>" if str(target) == STANDARD else str(target))
    write_target(target, product.data)
    for line in (*product.notices, product.summary):
        say(line)
