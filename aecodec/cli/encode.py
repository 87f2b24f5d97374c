"""`aecodec encode`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from aecodec.cli.common import PLACE
from aecodec.cli.common import options_of
from aecodec.cli.common import usage_errors
from aecodec.cli.work import CLEAR_LINE
from aecodec.cli.work import WorkOptions
from aecodec.cli.work import batch_options
from aecodec.cli.work import ends
from aecodec.cli.work import work_on_many
from aecodec.cli.work import work_on_one
from aecodec.cli.work import work_options
from aecodec.options import EncodeOptions


@click.command()
@click.argument("paths", metavar="IN OUT | IN... --out-dir DIR", nargs=-1, type=PLACE)
@options_of(EncodeOptions)
@work_options
def encode(paths: tuple[Path | str, ...], **values: Any) -> int:
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
    from aecodec.batch.jobs import PICTURE_SUFFIXES
    from aecodec.batch.jobs import EncodeJob

    options = WorkOptions.taken_from(values)
    with usage_errors(EncodeOptions):
        task = EncodeJob(**values)
    if options.out_dir is not None:
        return work_on_many(task, options, batch_options(paths, options, options.out_dir, PICTURE_SUFFIXES, "aec"))
    source, target = ends(paths, options)
    if target.suffix.lower() in PICTURE_SUFFIXES:
        meant = " Did you mean 'aecodec decode'?" if source.suffix.lower() == ".aec" else ""
        raise click.UsageError(f"OUT is named like a picture ({target.suffix}), but an .aec file is written.{meant}")
    if task.effort and not options.quiet and sys.stderr.isatty():
        task = replace(task, progress=tell_progress)
    work_on_one(task, source, target, options)
    return 0


def tell_progress(share: float) -> None:
    """The share done of a refinement, on a line of its own that is gone when it is complete."""
    click.echo(CLEAR_LINE + (f"refining: {share:.0%}" if share < 1 else ""), err=True, nl=False)
