"""`aecodec encode`."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from aecodec.batch.progress import CLEAR_LINE
from aecodec.cli.common import PLACE
from aecodec.cli.common import options_of
from aecodec.cli.common import usage_errors
from aecodec.cli.work import WorkOptions
from aecodec.cli.work import batch_options
from aecodec.cli.work import ends
from aecodec.cli.work import work_on_many
from aecodec.cli.work import work_on_one
from aecodec.cli.work import work_options
from aecodec.codec import manifest
from aecodec.errors import UnknownWeights
from aecodec.options import EncodeOptions
from aecodec.options import quality_of_step


class EncodeCommand(click.Command):
    """The command whose help takes its figures from the manifest when it is shown."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        scale = ""
        with suppress(UnknownWeights):
            scale = quality_scale(manifest.DEFAULT_MODEL)
        self.help = str(self.help).replace("{scale}", scale)
        super().format_help_text(ctx, formatter)


def quality_scale(model: str) -> str:
    """The quality scale of a model, from lowest to highest, in a sentence or two."""
    details = manifest.find_by_name(model).details
    low, *_, high = details["rounding"]
    default = quality_of_step(details["default_quality"])
    return (
        f"The scale differs from that of JPEG. On photographs of 256x256, the model {model} gives a rough preview at 0"
        f" ({low['psnr']:.1f} dB, {low['bytes']:,.0f} bytes), takes 1 % of the raw size at its default ({default:.0f}),"
        f" and does its best at 100 ({high['psnr']:.1f} dB, {high['bytes']:,.0f} bytes). Even that is not visually"
        " lossless."
    )


@click.command(cls=EncodeCommand)
@click.argument("paths", metavar="IN OUT | IN... --out-dir DIR", nargs=-1, type=PLACE)
@options_of(EncodeOptions)
@click.option("--text", is_flag=True, help="Write base64url text.")
@click.option("--keep-extension", is_flag=True, help="With --out-dir: x.jpg becomes x.jpg.aec, not x.aec.")
@work_options
def encode(paths: tuple[Path | str, ...], keep_extension: bool, **values: Any) -> int:
    """Encode the picture IN to the file OUT, or many pictures and folders into DIR.

    \b
    aecodec encode photo.jpg photo.aec
    aecodec encode photo.jpg photo.aec -q 60
    aecodec encode photo.jpg photo.aec --target-size 2000
    aecodec encode - - < photo.jpg > photo.aec
    aecodec encode photos/ more.jpg --out-dir encoded/

    IN is any picture that Pillow opens. It is coded upright, in 8 bits, as sRGB or grey; with --metadata icc, in the
    colour space of its profile, which is stored too. An existing OUT is replaced. `-` is standard input or output.

    Into DIR, photos/a/x.jpg becomes DIR/a/x.aec, or DIR/a/x.jpg.aec with --keep-extension. A picture that fails is
    reported and the others continue. Outputs that are up to date are skipped, so a second run finishes what an
    interrupted one left.

    {scale}

    Previews of some 25 to 1,000 bytes: --target-size 100 --shrink --compact. The picture is coded smaller than it is
    and decodes to its own size.

    --effort 1, 2 and 3 search for a better encoding in 40, 150 or 800 steps, and several times for a target. At equal
    PSNR the file is smaller. Decoding takes no longer.
    """
    from aecodec.batch.jobs import EncodeJob
    from aecodec.image.suffixes import PICTURE_SUFFIXES

    options = WorkOptions.taken_from(values)
    with usage_errors(EncodeOptions):
        job = EncodeJob(**values)
    if options.out_dir is not None:
        batch = batch_options(
            paths,
            options,
            options.out_dir,
            PICTURE_SUFFIXES,
            "aec",
            threads=job.thread_count,
            keep_extension=keep_extension,
        )
        return work_on_many(job, options, batch)
    if keep_extension:
        raise click.UsageError("--keep-extension goes with --out-dir.")
    source, target = ends(paths, options)
    if target.suffix.lower() in PICTURE_SUFFIXES:
        meant = " Did you mean 'aecodec decode'?" if source.suffix.lower() == ".aec" else ""
        raise click.UsageError(f"OUT is named like a picture ({target.suffix}), but an .aec file is written.{meant}")
    if job.effort and not options.quiet and sys.stderr.isatty():
        job = replace(job, progress=tell_progress)
    work_on_one(job, source, target, options)
    return 0


def tell_progress(share: float) -> None:
    """Shows the share done of a refinement on one line, and clears it at the end."""
    click.echo(CLEAR_LINE + (f"refining: {share:.0%}" if share < 1 else ""), err=True, nl=False)
