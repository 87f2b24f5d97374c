"""`aecodec encode`, `decode` and `info`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import click

from aecodec.cli import PATH
from aecodec.errors import AecError
from aecodec.errors import OutputError
from aecodec.limits import MAX_PIXELS

PICTURE_NAMES = frozenset({".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
REACHED = 0.97  # a target size counts as reached from this share on


_device = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="cuda needs a GPU and the torch extra.",
)


def _number(ctx: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and math.isnan(value):  # FloatRange lets it pass
        raise click.BadParameter("nan is not in the range 0<=x<=100.")
    return value


@click.command()
@click.argument("source", metavar="IN", type=PATH)
@click.argument("target", metavar="OUT", type=PATH)
@click.option(
    "-q",
    "--quality",
    metavar="Q",
    type=click.FloatRange(0, 100),
    callback=_number,
    help="0 (smallest file) to 100 (this model's best). Default: the model's own.",
)
@click.option("--target-size", metavar="BYTES", type=click.IntRange(min=1), help="Best quality within so many bytes.")
@click.option("--model", metavar="NAME", default="standard", show_default=True, help="standard or paper.")
@click.option("--weights", type=PATH, help="A weights file of your own, instead of --model.")
@_device
def encode(
    source: Path,
    target: Path,
    quality: float | None,
    target_size: int | None,
    model: str,
    weights: Path | None,
    device: str,
) -> None:
    """Encode the picture IN to the file OUT.

    \b
    aecodec encode photo.jpg photo.aec
    aecodec encode photo.jpg photo.aec -q 60
    aecodec encode photo.jpg photo.aec --target-size 2000

    IN is any picture that Pillow opens. It is coded upright, as 8-bit sRGB or grey, without its metadata. OUT is
    replaced where it exists.

    The quality is a scale of its own, not that of JPEG. Near 0 is a rough preview (about 25 dB). The default, near
    50, takes about 1 % of the raw size for a photograph of 256x256. 100 is the best that the model gives (about 30 dB
    at twice the bytes of the default), which is not visually lossless.
    """
    if quality is not None and target_size is not None:
        raise click.UsageError("Give --quality or --target-size, not both.")
    from aecodec import api
    from aecodec.files import write_atomic
    from aecodec.info import read_info
    from aecodec.picture import open_picture

    refuse_same(source, target)
    if target.suffix.lower() in PICTURE_NAMES and not target.is_dir():
        raise click.UsageError(f"OUT is named like a picture ({target.suffix}), but an .aec file is written.")
    picture = open_picture(source)
    for notice in picture.notices:
        say(f"{source}: {notice}")
    data = api.encode(picture.pixels, quality, model=model, weights=weights, target_size=target_size, device=device)
    write_atomic(target, data)
    info = read_info(data)
    if target_size is not None and len(data) < REACHED * target_size:
        reason = "the best of this model" if info.quality == 100 else "the next quality takes more than that"
        say(f"{target}: {len(data)} bytes instead of {target_size}: {reason}")
    if weights is not None and info.model is None:
        say(f"{target}: decodes where {weights.parent.absolute()} is in AECODEC_WEIGHTS")
    say(f"{target}: {len(data)} bytes, {info.bits_per_pixel:.3f} bits per pixel, quality {info.quality:g}")


@click.command(short_help="Decode the file IN to the picture OUT.")
@click.argument("source", metavar="IN", type=PATH)
@click.argument("target", metavar="OUT", type=PATH)
@_device
@click.option(
    "--max-pixels",
    metavar="N",
    type=click.IntRange(min=1),
    default=MAX_PIXELS,
    show_default=True,
    help="Refuse larger pictures.",
)
def decode(source: Path, target: Path, device: str, max_pixels: int) -> None:
    """Decode the file IN to the picture OUT, in the format that its name says (.png, .jpg, .webp, ...).

    The file names its weights: bundled ones are found, others in the folders of the variable AECODEC_WEIGHTS.

    \b
    aecodec decode photo.aec photo.png
    """
    from aecodec import api
    from aecodec.files import read_bytes
    from aecodec.files import write_atomic
    from aecodec.picture import format_of
    from aecodec.picture import write_image

    refuse_same(source, target)
    file_format = format_of(target)
    data = read_bytes(source)
    with naming(source):
        image = api.decode(data, device=device, max_pixels=max_pixels)
    stream = BytesIO()
    with naming(target):
        write_image(image, stream, file_format)
    write_atomic(target, stream.getvalue())
    say(f"{target}: {image.width}x{image.height} {image.mode}")


@click.command()
@click.argument("source", metavar="FILE", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def info(source: Path, as_json: bool) -> None:
    """Show what the header of FILE says. Pixels and their checksum stay unread."""
    from dataclasses import asdict

    from aecodec.files import read_bytes
    from aecodec.info import read_info

    data = read_bytes(source)
    with naming(source):
        fields = asdict(read_info(data))
    if as_json:
        import json

        click.echo(json.dumps({"file": str(source)} | fields))
        return
    model = fields["model"] or "unknown"
    click.echo(f"{click.format_filename(source)}: {fields['width']}x{fields['height']} {fields['mode']}")
    bits = f"{fields['bits_per_pixel']:.3f} bits per pixel"
    click.echo(f"  {fields['size_bytes']} bytes, {bits}, {fields['tiles']} tile(s)")
    click.echo(f"  quality {fields['quality']:g} (step {fields['quality_index']} of 0..255)")
    click.echo(f"  weights {fields['weights_id']} ({model}), format version {fields['version']}")


def say(line: str) -> None:
    """A remark for the user: always on stderr."""
    click.echo(line, err=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Puts the file's name before the message of an AecError that does not know it."""
    try:
        yield
    except AecError as error:
        message = f"{path}: {error}"
        raise type(error)(message) from error


def refuse_same(source: Path, target: Path) -> None:
    """Raises OutputError where the output is the input itself, UsageError for `-`."""
    if "-" in (str(source), str(target)):
        raise click.UsageError("Standard input and output are not supported; name a file.")
    if source.exists() and target.exists() and source.samefile(target) and target.is_file():
        message = f"{target}: is the input itself"
        raise OutputError(message)
