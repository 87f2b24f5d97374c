"""Bits at equal PSNR on the Kodak pictures at 768x512: learned and classical codecs against JPEG, aecodec against each.

    python benchmarks/anchors.py [--page docs/compare.md]

It measures nothing. The curves of aecodec, JPEG, WebP and AVIF are those of `weights/manifest.json` and
`weights/peers.json`, which landing weights measures. `benchmarks/published.csv` has the points of the others, each with
its source. A BD-rate covers what a codec does between 0.1 and 0.5 bits a pixel. `--page` also writes the table between
the two marks of the page.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import NamedTuple

from aecodec.bench.bdrate import Curve
from aecodec.bench.bdrate import bd_rate
from aecodec.codec import manifest

ROOT = Path(__file__).parents[1]
PUBLISHED = Path(__file__).with_name("published.csv")
START, END = "<!-- anchors: begin -->", "<!-- anchors: end -->"
LOW_RATE, HIGH_RATE = 0.1, 0.5  # bits a pixel, as in the README
OWN = ("standard", "light")
TITLES = {"jpeg": "JPEG", "webp": "WebP", "avif": "AVIF", "avif-psnr": "AVIF, 4:4:4, tuned for PSNR"}


class Codec(NamedTuple):
    name: str
    curve: Curve
    source: str


def curve(rows: Sequence[dict[str, Any]]) -> Curve:
    return Curve.of((row["bits_per_pixel"], row["psnr"]) for row in rows)


def measured() -> tuple[list[Codec], list[dict[str, Any]]]:
    """aecodec's models and Pillow's codecs; and the points of the default model."""
    entries = {entry.name: entry for entry in manifest.entries_of(ROOT / "weights")}
    points = {name: entries[name].details["scores"]["kodak_curve"] for name in OWN}
    own = [Codec(f"**aecodec** `{name}`", curve(rows), "measured") for name, rows in points.items()]
    peers = json.loads((ROOT / "weights" / "peers.json").read_text("utf-8"))
    others = [Codec(TITLES[name], curve(scores["kodak_curve"]), "measured") for name, scores in peers.items()]
    return own + others, points[OWN[0]]


def published() -> list[Codec]:
    points: dict[tuple[str, str], list[dict[str, Any]]] = {}
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            point = {"bits_per_pixel": float(row["bpp"]), "psnr": float(row["psnr"])}
            points.setdefault((row["codec"], row["source"]), []).append(point)
    return [Codec(name, curve(rows), source.partition(":")[0]) for (name, source), rows in points.items()]


def rate(test: Curve, reference: Curve) -> str:
    found = bd_rate(test.cut(LOW_RATE, HIGH_RATE), reference)
    return "-" if found is None else f"{found:+.1f} %"


def table(codecs: Sequence[Codec]) -> str:
    """The codec that takes the fewest bits first."""
    (jpeg,) = [codec.curve for codec in codecs if codec.name == TITLES["jpeg"]]
    own = codecs[0].curve
    lines = [f"| codec | bits against JPEG | bits of `{OWN[0]}` against it | its points |", "|---|---|---|---|"]
    rows = [(rate(codec.curve, jpeg), codec) for codec in codecs if codec.curve is not jpeg]
    for against_jpeg, codec in sorted(rows, key=lambda row: float(row[0].split()[0])):
        against_it = "" if codec.curve is own else rate(own, codec.curve)
        lines.append(f"| {codec.name} | {against_jpeg} | {against_it} | {codec.source} |")
    return "\n".join([*lines, f"| JPEG | | {rate(own, jpeg)} | measured |"])


def upper_end(points: Sequence[dict[str, Any]]) -> str:
    """What the highest quality reaches, and what the last quarter of its bytes gains."""
    best = max(points, key=lambda row: row["bits_per_pixel"])
    own = curve(points)
    before = own.cut(LOW_RATE, 0.75 * best["bits_per_pixel"]).psnr[-1]
    return (
        f"`-q 100` of `{OWN[0]}` reaches {best['psnr']:.1f} dB at {best['bits_per_pixel']:.2f} bits a pixel; the last "
        f"quarter of the bytes gains {best['psnr'] - before:.2f} dB."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--page", type=Path, help="write the table between its marks")
    options = parser.parse_args()
    codecs, points = measured()
    block = table([*codecs, *published()])
    print(f"{block}\n{upper_end(points)}")
    if options.page is not None:
        text = options.page.read_text("utf-8")
        before, after = text.split(START)[0], text.split(END)[1]
        options.page.write_text(f"{before}{START}\n{block}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
