"""The figures of a run: its training curves, which need matplotlib, and Figure 1 of the paper."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont

from aecodec.errors import MissingExtra
from aecodec.files import write_atomic
from aecodec.paper.references import TITLES
from aecodec.paper.table import SYSTEMS
from aecodec.paper.table import Results

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # colour-blind readers can distinguish them too
LINE_STYLES = ("--", ":")

GAP = 6
LABEL_HEIGHT = 28
LABEL_SIZE = 18


def require_matplotlib() -> None:
    """Raises MissingExtra if it is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingExtra('the plot needs matplotlib: pip install "aecodec[bench]"') from error


def write_curves(path: Path, results: Results) -> None:
    """Write a PNG of the dev loss by epoch, logarithmic, with the paper's figures and the references as levels.

    Raises OutputError. Needs matplotlib.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="epoch", ylabel="dev L1 (0..1)", yscale="log")
    for system, colour in zip(SYSTEMS, COLOURS, strict=True):
        outcome = results.table3.get(system.name)
        if outcome is not None and outcome.curve:
            epochs, losses = zip(*((moment.epoch, moment.dev_l1) for moment in outcome.curve), strict=True)
            axes.plot(epochs, losses, color=colour, marker=".", markersize=3, linewidth=1.2, label=system.title)
            axes.axhline(system.paper_l1, color=colour, linewidth=0.8, alpha=0.6)
    for (name, level), style in zip(results.references.items(), LINE_STYLES, strict=False):
        axes.axhline(level.l1, color="black", linestyle=style, linewidth=0.8, label=TITLES[name])
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8, title="thin level of a colour: the paper's own figure", title_fontsize=8)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    write_atomic(path, stream.getvalue())


def write_figure1(path: Path, columns: Sequence[tuple[str, Sequence[np.ndarray]]]) -> None:
    """Write a JPEG of the same pictures after more and more epochs, beside the input. Raises OutputError.

    `columns` holds a label and one picture a row each, all uint8 [H, W, 3].
    """
    heights = [max(picture.shape[0] for picture in row) for row in zip(*(of for _, of in columns), strict=True)]
    width = max(picture.shape[1] for _, pictures in columns for picture in pictures)
    size = len(columns) * (width + GAP) - GAP, LABEL_HEIGHT + sum(heights) + GAP * (len(heights) - 1)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(LABEL_SIZE)
    for place, (label, pictures) in enumerate(columns):
        left, top = place * (width + GAP), LABEL_HEIGHT
        draw.text((left + width // 2, LABEL_HEIGHT // 2), label, "black", font, anchor="mm")
        for height, picture in zip(heights, pictures, strict=True):
            sheet.paste(Image.fromarray(picture), (left, top))
            top += height + GAP
    stream = io.BytesIO()
    sheet.save(stream, "JPEG", quality=90, subsampling="4:4:4", optimize=True)
    write_atomic(path, stream.getvalue())
