"""The training curves of a run as a plot. Needs matplotlib."""

from __future__ import annotations

import io
from pathlib import Path

from aecodec.errors import MissingExtra
from aecodec.files import write_atomic
from aecodec.paper.references import TITLES
from aecodec.paper.table import SYSTEMS
from aecodec.paper.table import Results

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # told apart by colour-blind readers too
LINE_STYLES = ("--", ":")


def require_matplotlib() -> None:
    """Raises MissingExtra where it is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingExtra('the plot needs matplotlib: pip install "aecodec[bench]"') from error


def write_curves(path: Path, results: Results) -> None:
    """Write a PNG of the dev loss by epoch, logarithmic, with the paper's figures and the references as levels.

    Raises OutputError, and MissingExtra without matplotlib.
    """
    require_matplotlib()
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
