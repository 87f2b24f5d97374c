"""From a bench's result to its page."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np

from aecodec.batch.progress import Bar
from aecodec.bench.codecs import BenchCodec
from aecodec.bench.peers import TITLES
from aecodec.bench.pictures import Pictures
from aecodec.bench.report.charts import draw_charts
from aecodec.bench.report.choice import Compared
from aecodec.bench.report.choice import choose
from aecodec.bench.report.choice import compared
from aecodec.bench.report.page import fill_page
from aecodec.bench.report.viewer import BUDGET_BYTES
from aecodec.bench.report.viewer import Version
from aecodec.bench.report.viewer import original
from aecodec.bench.report.viewer import show
from aecodec.bench.result import BenchResult
from aecodec.bench.result import Measurement
from aecodec.bench.run import BenchOptions
from aecodec.bench.run import codecs_of
from aecodec.errors import MissingExtra

FIGURES = ("size_bytes", "bits_per_pixel", "quality", "psnr", "ms_ssim", "l1", "ssimulacra2")


def check() -> None:
    """Raises MissingExtra if a report cannot be drawn here: before hours of measuring, not after."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtra('a report needs `pip install "aecodec[bench]"`')


def bench_page(result: BenchResult, options: BenchOptions, own: BenchCodec | None = None) -> str:
    """The page for what `run_bench` returned for the same arguments, with `equal_bytes`. Raises AecError as it does."""
    table = compared(result)
    shown = _shown(choose(table), codecs_of(options, own), Pictures(options.folder, options.size))
    # The page holds only the measurements that it shows; --json and --csv have them all.
    brief = dataclasses.replace(result, measurements=tuple(each.own for each in table))
    data: dict[str, object] = {
        "date": datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat(),
        "result": dataclasses.asdict(brief),
        "names": TITLES,
        "viewer": shown,
    }
    return fill_page(f"aecodec bench: {result.folder}", data, draw_charts(result))


def _shown(
    chosen: Sequence[tuple[Compared, str]], codecs: Sequence[BenchCodec], pictures: Pictures
) -> list[dict[str, Any]]:
    """In the order of choice; codes the chosen pictures once more, as they were measured."""
    choices = {pair.own.picture: (pair, reason) for pair, reason in chosen}
    by_name = {codec.name: codec for codec in codecs}
    shown: dict[str, dict[str, Any]] = {}
    with Bar() as bar:
        for name, pixels in pictures.named(choices):
            bar.note(f"report: picture {len(shown) + 1} of {len(choices)}")
            pair, reason = choices[name]
            versions = [original(pixels), _version(by_name[pair.own.codec], "aecodec", pair.own, pair.own, pixels)]
            versions += [_version(by_name[peer.codec], peer.codec, peer, pair.own, pixels) for peer in pair.peers]
            shown[name] = show(name, reason, versions, BUDGET_BYTES // len(choices))
    return [shown[name] for name in choices]


def _version(codec: BenchCodec, name: str, measured: Measurement, own: Measurement, pixels: np.ndarray) -> Version:
    data = codec.encode(pixels, measured.quality)
    return Version(TITLES.get(name, name), name, codec.decode(data), data, _figures(measured, own))


def _figures(measured: Measurement, own: Measurement) -> dict[str, object]:
    """The figures below a version; fields of Measurement keep their names."""
    more = measured.size_bytes - own.size_bytes
    note = f"its smallest file: {100 * more / own.size_bytes:.0f} % more bytes" if more > 0 else None
    return {name: getattr(measured, name) for name in FIGURES} | {"note": note}
