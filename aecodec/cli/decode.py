"""`aecodec decode`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aecodec.cli.common import PLACE
from aecodec.cli.common import STANDARD
from aecodec.cli.common import options_of
from aecodec.cli.work import WorkOptions
from aecodec.cli.work import batch_options
from aecodec.cli.work import ends
from aecodec.cli.work import work_on_many
from aecodec.cli.work import work_on_one
from aecodec.cli.work import work_options
from aecodec.options import DecodeOptions


@click.command()
@click.argument("paths", metavar="IN OUT | IN... --out-dir DIR", nargs=-1, type=PLACE)
@click.option("--format", "extension", metavar="EXT", help="png, jpg, webp, ... Default: that of OUT; png for many.")
@options_of(DecodeOptions)
@click.option("--text", is_flag=True, help="IN is base64url text.")
@work_options
def decode(paths: tuple[Path | str, ...], extension: str | None, **values: Any) -> int:
    """Decode the file IN to the picture OUT, or many files and folders into DIR.

    The extension of OUT chooses its format: .png, .jpg, .webp, ..., or .npy for a NumPy array.

    The file names the weights it needs. Bundled weights are found; others are looked up in the folders of the
    environment variable AECODEC_WEIGHTS.

    \b
    aecodec decode photo.aec photo.png
    aecodec decode - - --format png < photo.aec > photo.png
    aecodec decode encoded/ --out-dir pictures/ --format webp
    aecodec decode large.aec part.png --crop 3000,2000,640,480
    aecodec decode received.aec preview.png --partial

    With --partial, a truncated file is decoded as far as it goes, and a notice says how much was there.

    An existing OUT is replaced. `-` is standard input or output.
    """
    from aecodec.batch.jobs import AEC_SUFFIXES
    from aecodec.batch.jobs import DecodeJob

    options = WorkOptions.taken_from(values)
    extension = None if extension is None else extension.lstrip(".")
    if options.out_dir is not None:
        job = DecodeJob(extension=extension or "png", **values)
        batch = batch_options(
            paths, options, options.out_dir, AEC_SUFFIXES, extension or "png", threads=job.thread_count
        )
        return work_on_many(job, options, batch)
    source, target = ends(paths, options)
    if target.suffix.lower() == ".aec" and extension is None:
        raise click.UsageError("OUT is named as an .aec file, but a picture is written. Did you mean 'aecodec encode'?")
    if str(target) == STANDARD and extension is None:
        raise click.UsageError("Decoding to standard output needs --format, for example --format png.")
    work_on_one(DecodeJob(extension=extension, **values), source, target, options)
    return 0
