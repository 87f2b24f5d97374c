"""`aecodec model`: makes and lists weights. `train`, `average` and `export` need torch."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aecodec.cli import PATH
from aecodec.cli import Group
from aecodec.cli import fail
from aecodec.cli.common import say
from aecodec.errors import MissingExtra
from aecodec.errors import UnknownWeights

if TYPE_CHECKING:
    from aecodec.codec.manifest import Entry


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def model(ctx: click.Context) -> None:
    """Train, export and list weights."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def require_torch() -> None:
    """Raises MissingExtra if torch is not installed."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtra('this needs torch: pip install "aecodec[torch]"') from error


training_device = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="auto takes a GPU if there is one.",
)


@model.command()
@click.option(
    "--config",
    type=click.Choice(["standard", "light", "paper"]),
    default="standard",
    show_default=True,
    help="Architecture.",
)
@click.option(
    "--data", type=PATH, multiple=True, required=True, metavar="FOLDER", help="Pictures to train on; repeatable."
)
@click.option("--out", type=PATH, required=True, metavar="DIR", help="Checkpoints, log and contact sheets.")
@click.option("--minutes", type=float, help="Stop after N minutes of training.", metavar="N")
@click.option("--steps", type=int, help="Stop after N steps.", metavar="N")
@click.option("--resume", is_flag=True, help="Continue exactly from the checkpoint in DIR.")
@click.option("--init", type=PATH, metavar="WEIGHTS", help="Start from float weights (.safetensors).")
@click.option("--decay", is_flag=True, help="Branch off the state in DIR with a falling rate and rounding, for export.")
@click.option(
    "--rounding/--no-rounding", default=None, help="Round to integers in the loop. Default: late in a branch."
)
@click.option("--bfloat16", is_flag=True, help="Large products in bfloat16: twice as fast if the processor has it.")
@training_device
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads.")
@click.option(
    "--batch-size", type=click.IntRange(min=1), metavar="N", default=8, show_default=True, help="Crops per step."
)
@click.option(
    "--crop", type=click.IntRange(min=32), metavar="N", default=128, show_default=True, help="Side of a crop in pixels."
)
@click.option(
    "--small",
    type=click.FloatRange(0, 1),
    default=0.0,
    metavar="SHARE",
    help="Share of the batches made of whole photographs, reduced to 32 to 160 pixels. Default: 0.",
)
@click.option(
    "--drawn",
    type=click.FloatRange(0, 1),
    default=0.0,
    metavar="SHARE",
    help="Share of the crops replaced by drawings: text, interfaces, plots, saturated colours. Default: 0.",
)
@click.option(
    "--optimizer",
    type=click.Choice(["adam", "soap"]),
    help="Default: that of the run, at first adam. soap: better from scratch, needs aecodec[train].",
)
@click.option(
    "--learning-rate", type=float, metavar="RATE", help="Default: that of the config; three times as high with soap."
)
@click.option("--seed", type=int, metavar="N", default=0, show_default=True, help="Seed of weights, crops and noise.")
def train(data: tuple[Path, ...], **fields: object) -> None:
    """Train a model on folders of pictures.

    \b
    aecodec model train --config standard --data photos/ --out run --minutes 60
    aecodec model train --config standard --data photos/ --out run --decay --minutes 15
    aecodec model export run/decayed.pt --data photos/ --out my-weights
    """
    require_torch()
    from aecodec.train.loop import train as run
    from aecodec.train.schedule import TrainOptions

    try:
        options = TrainOptions(data=data, **fields)  # type: ignore[arg-type]
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    run(options)


@model.command(short_help="Write the mean of several checkpoints.")
@click.argument("checkpoints", type=PATH, nargs=-1, required=True)
@click.option(
    "--out", type=PATH, required=True, metavar="CHECKPOINT", help="The mean; resume, branch off or export it."
)
def average(checkpoints: tuple[Path, ...], out: Path) -> None:
    """Write the mean of the weights of CHECKPOINTS with a common start: it is better than each of them.

    \b
    aecodec model average run-a/decayed.pt run-b/decayed.pt --out mean/decayed.pt
    """
    require_torch()
    from aecodec.train.checkpoint import average as run

    run(checkpoints, out)


@model.command(short_help="Make a weights file from a checkpoint.")
@click.argument("checkpoint", type=PATH)
@click.option("--data", type=PATH, multiple=True, required=True, metavar="FOLDER", help="The training pictures.")
@click.option("--out", type=PATH, required=True, metavar="DIR", help="Weights folder; its manifest gains an entry.")
@click.option("--name", help="Name of the model. Default: that of its config.")
@click.option("--recipe", help="How it was trained; kept in the manifest.")
def export(checkpoint: Path, data: tuple[Path, ...], out: Path, name: str | None, recipe: str | None) -> None:
    """Make weights from CHECKPOINT: integer networks, probability tables, manifest entry.

    \b
    aecodec model export run/decayed.pt --data photos/ --out my-weights

    Prints what rounding to integers costs on the validation part of the data.
    """
    require_torch()
    from aecodec.train.release import release

    release(checkpoint, data, out, name, recipe, say)


@model.command(name="list", short_help="List the models on the search path.")
def list_models() -> int:
    """Check and list the models on the search path: bundled, then the folders in AECODEC_WEIGHTS.

    \b
    aecodec model list

    Files name a model by its number, or one without a number by its id. Sizes are those of the decoding and the
    encoding half, `-` for one that is not there. The PSNR is the mean over the Kodak photographs at 256x256 in files of
    1,966 bytes, 1 % of raw, where the manifest has it.

    Exits with 4 if a decoding half is missing or a file is damaged.
    """
    from aecodec.codec import manifest

    entries = list(manifest.known())
    if not entries:
        say("no models: none are bundled, and AECODEC_WEIGHTS names no folder with a manifest.json")
    else:
        click.echo(_ROW.format("model", "no.", "id", "decoder", "encoder", "PSNR", "trained on", "folder"))
    exit_code = 0
    for entry in entries:
        try:
            manifest.check(entry)
        except UnknownWeights as error:
            exit_code = fail(str(error), error.exit_code)
            continue
        click.echo(_row(entry))
    return exit_code


_ROW = "{:<12} {:>3}  {:<8}  {:>9}  {:>9}  {:>8}  {:>14}  {}"


def _row(entry: Entry) -> str:
    halves = [entry.folder / file for file in (entry.decoder_file, entry.encoder_file)]
    sizes = [f"{half.stat().st_size:,}" if half.exists() else "-" for half in halves]
    pixels = entry.details.get("pixels")
    trained = f"{pixels / 1e9:.2f} gigapixels" if pixels else "-"
    number = "-" if entry.number is None else entry.number
    return _ROW.format(entry.name, number, entry.weights_id.hex(), *sizes, _kodak(entry), trained, entry.folder)


def _kodak(entry: Entry) -> str:
    """The PSNR at 1,966 bytes by a manifest that anybody may have written."""
    with suppress(KeyError, TypeError, ValueError, OverflowError):
        return f"{float(entry.details['scores']['kodak256']['psnr']):.2f} dB"
    return "-"
