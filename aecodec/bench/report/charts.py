"""Rate-distortion curves as SVG, by matplotlib.

Colours are variables of the page's style sheet, so that one drawing serves light and dark; the id of each point holds
the number of its row, by which the page finds its figures.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from aecodec.bench.peers import TITLES
from aecodec.bench.result import BenchResult
from aecodec.bench.result import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE_INCHES = (5.3, 4.0)

# Stand-ins for colours, replaced in the SVG by the style sheet's.
INK, MUTED, GRID, ACCENT = "#010101", "#020202", "#030303", "#040404"
COLOURS = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--rule)", ACCENT: "var(--accent)"}

DASHES = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (7, 2, 1.5, 2)), (0, (3, 1.5)))  # of the peers, in order
LABEL_GAP = 0.066  # least distance of labels at the right edge, as a share of the height


@dataclass(frozen=True)
class Metric:
    """A metric of Row and the heading of its chart; `falling`: less is better.

    `ticks`: of a scale of -10 log10(1 - x), which spreads values close to 1; without them the axis is linear.
    """

    field: str
    title: str
    axis: str
    falling: bool = False
    ticks: tuple[float, ...] = ()

    def height(self, row: Row) -> float:
        """Where the row stands on the axis."""
        value: float = getattr(row, self.field)
        return _spread(value) if self.ticks else value


def _spread(value: float) -> float:
    return -10 * math.log10(max(1 - value, 1e-6))


METRICS = (
    Metric("psnr", "PSNR", "dB"),
    Metric("ms_ssim", "MS-SSIM", "", ticks=(0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)),
    Metric("l1", "L1", "mean error, the smaller the higher", falling=True),
    Metric("ssimulacra2", "SSIMULACRA2", ""),
)


def draw_charts(result: BenchResult) -> list[str]:
    """A `figure` element for each metric that every row has."""
    return [
        _figure(metric, _draw(result, metric))
        for metric in METRICS
        if result.rows and all(getattr(row, metric.field) is not None for row in result.rows)
    ]


def _figure(metric: Metric, svg: str) -> str:
    unit = f" <small>{metric.axis}</small>" if metric.axis else ""
    caption = f"<figcaption>{metric.title}{unit}</figcaption>"
    return f'<figure class="chart" data-metric="{metric.field}">{caption}{svg}</figure>'


def _draw(result: BenchResult, metric: Metric) -> str:
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = {  # matplotlib types the keys as literals
        "svg.fonttype": "none",  # text stays text, in the page's type
        "svg.hashsalt": f"aecodec {metric.field}",  # ids that stay the same, but differ between charts
        "font.size": 11.5,
        "axes.edgecolor": GRID,
        "text.color": INK,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=SIZE_INCHES)
        axes = figure.add_axes((0.105, 0.125, 0.69, 0.855))
        _frame(axes, result, metric)
        _curves(axes, result, metric)
        file = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    return _for_page(file.getvalue(), f"{metric.title} against bits per pixel")


def _for_page(svg: str, label: str) -> str:
    """The element alone, as wide as the page allows, in its colours."""
    svg = svg[svg.index("<svg") :]
    head, rest = svg.split(">", 1)
    box = head.split('viewBox="', 1)[1].split('"', 1)[0]
    for stand_in, colour in COLOURS.items():
        rest = rest.replace(stand_in, colour)
    links = 'xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {links} viewBox="{box}" role="img" aria-label="{label}">{rest}'


def _frame(axes: Axes, result: BenchResult, metric: Metric) -> None:
    """Scales that show aecodec's rates, and the rates at which peers reach its quality."""
    from matplotlib.ticker import NullLocator

    own = _rows(result, result.codecs[0].name)
    low, high = own[0].bits_per_pixel * 0.85, own[-1].bits_per_pixel * 1.8
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    ticks = [tick for tick in (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0) if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    worst, best = _span([metric.height(row) for row in own], metric)
    ends = [_height_at(high, _rows(result, codec.name), metric) for codec in result.codecs]
    _, top = _span([*ends, best], metric)
    axes.set_ylim(worst - 0.35 * (best - worst), top + 0.05 * (top - worst))
    if metric.ticks:
        bottom, top = axes.get_ylim()
        shown = [tick for tick in metric.ticks if bottom <= _spread(tick) <= top]
        axes.set_yticks([_spread(tick) for tick in shown], [f"{tick:g}" for tick in shown])
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.tick_params(length=0, pad=6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel("bits per pixel, logarithmic", color=MUTED, labelpad=4)


def _span(heights: Sequence[float], metric: Metric) -> tuple[float, float]:
    """The worst and the best of them; never equal, so that a single point has a scale too."""
    low, high = min(heights), max(heights)
    high += (high == low) * (abs(high) or 1) * 0.1
    return (high, low) if metric.falling else (low, high)


def _height_at(rate: float, rows: Sequence[Row], metric: Metric) -> float:
    """On the curve at that rate, or at its nearer end."""
    rates = np.log([row.bits_per_pixel for row in rows])
    return float(np.interp(math.log(rate), rates, [metric.height(row) for row in rows]))


def _curves(axes: Axes, result: BenchResult, metric: Metric) -> None:
    names = [codec.name for codec in result.codecs]
    ends: list[tuple[float, str]] = []
    for number, name in reversed(list(enumerate(names))):
        rows = _rows(result, name)
        rates, values = [row.bits_per_pixel for row in rows], [metric.height(row) for row in rows]
        own = number == 0
        axes.plot(
            rates,
            values,
            color=ACCENT if own else MUTED,
            linewidth=2.6 if own else 1.4,
            linestyle="solid" if own else DASHES[(number - 1) % len(DASHES)],
            gid=f"curve-{metric.field}-{name}",
        )
        _points(axes, result, rows, metric, ACCENT if own else MUTED, 5 if own else 3.2)
        right = axes.get_xlim()[1]
        if own:
            middle = rates[len(rates) // 2], values[len(rates) // 2]
            place: Any = {"xytext": (-8, 5), "textcoords": "offset points", "ha": "right", "va": "bottom"}
            axes.annotate(name, middle, color=ACCENT, fontweight="bold", fontsize=12, **place)
        elif rates[0] < right:
            ends.append((_height_at(right, rows, metric), name))
    _labels(axes, ends)


def _points(axes: Axes, result: BenchResult, rows: Sequence[Row], metric: Metric, colour: str, size: float) -> None:
    low, high = axes.get_xlim()
    for row in rows:
        if low <= row.bits_per_pixel <= high:
            point = ([row.bits_per_pixel], [metric.height(row)])
            gid = f"point-{metric.field}-{result.rows.index(row)}"
            axes.plot(*point, marker="o", markersize=size, color=colour, markeredgewidth=0, gid=gid)


def _labels(axes: Axes, ends: Sequence[tuple[float, str]]) -> None:
    """Each peer's name where its curve leaves the chart; names that would touch are pushed apart."""
    to_share = axes.transData + axes.transAxes.inverted()
    right = axes.get_xlim()[1]
    wanted = sorted(((float(to_share.transform((right, value))[1]), name) for value, name in ends), reverse=True)
    ceiling = 0.98
    for share, name in wanted:
        height = min(share, ceiling)
        ceiling = height - LABEL_GAP
        label = axes.text(1.015, height, TITLES.get(name, name), transform=axes.transAxes, color=MUTED, va="center")
        label.set_gid(f"name-{name}")


def _rows(result: BenchResult, codec: str) -> list[Row]:
    return sorted((row for row in result.rows if row.codec == codec), key=lambda row: row.bits_per_pixel)
