"""Lands exported weights in this checkout: files, manifest with scores, golden files, pictures, the README's table.

    python -m tools.land my-weights --kodak kodak/ --dev dev256/
    python -m tools.land weights --kodak kodak/ --dev dev256/ --missing

The second command measures what the manifest lacks after a new test set. The scores of the peers are measured once and
kept in `weights/peers.json`.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import click

from aecodec import api
from aecodec.bench.bdrate import HIGH_RATE
from aecodec.bench.bdrate import LOW_RATE
from aecodec.bench.bdrate import Curve
from aecodec.bench.bdrate import bd_rate
from aecodec.bench.measure import TARGET_BYTES
from aecodec.bench.run import BenchOptions
from aecodec.cli import PATH
from aecodec.cli.common import say
from aecodec.codec.manifest import Entry
from aecodec.codec.manifest import add_entry
from aecodec.codec.manifest import entries_of
from aecodec.errors import AecError
from aecodec.errors import InputError
from aecodec.files import write_atomic
from aecodec.format.header import QUALITY_STEPS
from aecodec.image.reading import open_picture
from tools.browser import write_models
from tools.figure import write_figure
from tools.samples import write_samples
from tools.scores import CURVE
from tools.scores import SETS
from tools.scores import Say
from tools.scores import Scores
from tools.scores import measured
from tools.scores import peers_measured

DEFAULT_MODEL = "standard"
WITH_CURVE = ("standard", "light")  # the models for pictures of any size
GOLDEN_QUALITIES = (15.0, None, 90.0)  # None: the model's default
START, END = "<!-- figures: begin -->", "<!-- figures: end -->"
SCALE = "<!-- figures: scale -->"
LARGE = [name for name, test_set in SETS.items() if test_set.size_bytes == TARGET_BYTES]
SMALL = [name for name in SETS if name not in LARGE]


def land(exported: Path, project: Path, kodak: Path, dev: Path, missing: bool, say: Say) -> None:
    """Takes every model of the folder `exported` into `project`, or measures those that are there. Raises AecError.

    `missing`: keep the scores that an entry of `exported` has.
    """
    found = entries_of(exported)
    if not found:
        raise InputError(f"{exported}: no weights manifest; `aecodec model export` makes one")
    folders = {"kodak": kodak, "dev": dev}
    weights = project / "weights"
    for entry in found:
        say(f"landing {entry.name} {entry.weights_id.hex()}")
        if exported.resolve() != weights.resolve():
            for part in ("decoder", "encoder", "float16"):
                file = str(entry.details[part]["file"])
                shutil.copyfile(exported / file, weights / file)
            add_entry(weights, dict(entry.details) | _number(entry.name, entries_of(weights)))
        own = BenchOptions(kodak, codecs=(), weights=weights / entry.decoder_file)
        known = entry.details.get("scores", {}) if missing else {}
        scores = measured(own, folders, known, entry.name in WITH_CURVE, say)
        add_entry(weights, dict(entry.details) | {"scores": scores})
    peers = peers_measured(weights / "peers.json", folders, say)
    bundled = entries_of(weights)
    _write_golden_files(project, bundled)
    if any(entry.name == DEFAULT_MODEL for entry in bundled):
        write_figure(project / "examples" / "comparison.png", project / "examples" / "photos", weights)
        write_samples(project / "docs", project / "examples" / "photos", weights)
    _write_table(project / "README.md", bundled, peers)
    write_models(project / "browser", weights)
    say("files, manifest, golden files, pictures and README table are in place: look at them, then commit")


def _number(name: str, bundled: Sequence[Entry]) -> dict[str, int]:
    """The next free number for a model that is not bundled yet; `add_entry` keeps that of the others."""
    taken = {entry.name: int(entry.details["number"]) for entry in bundled}
    return {"number": taken.get(name, max(taken.values(), default=-1) + 1)}


def _write_golden_files(project: Path, bundled: Sequence[Entry]) -> None:
    """The example photographs at three qualities by each bundled model, and the hashes of what they decode to."""
    folder = project / "tests" / "golden" / "bundled"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    expected = {}
    photos = sorted((project / "examples" / "photos").glob("*.png"))  # PNG: every decoder gives the same pixels
    for entry, photo, quality in product(bundled, photos, GOLDEN_QUALITIES):
        weights = entry.folder / entry.decoder_file
        data = api.encode(open_picture(photo).pixels, quality, weights=weights)
        name = f"{entry.name}-{photo.stem}-{'default' if quality is None else round(quality)}.aec"
        write_atomic(folder / name, data)
        expected[name] = {
            "source": photo.name,
            "model": entry.name,
            "quality": quality,
            "pixels_sha256": hashlib.sha256(api.decode_pixels(data, weights=weights).tobytes()).hexdigest(),
        }
    write_atomic(folder / "expected.json", (json.dumps(expected, indent=2) + "\n").encode())


def _write_table(readme: Path, bundled: Sequence[Entry], peers: Mapping[str, Scores]) -> None:
    """The figures between their two marks in the README, and the size of all weights in its opening.

    Raises InputError where a mark is missing.
    """
    size = sum(int(entry.details[half]["bytes"]) for entry in bundled for half in ("decoder", "encoder"))
    text = re.sub(r"weights \([\d.]+ MB\)", f"weights ({size / 1e6:.1f} MB)", readme.read_text("utf-8"))
    if START not in text or END not in text:
        raise InputError(f"{readme}: lacks the marks {START} and {END}")
    before, after = text.split(START)[0], text.split(END)[1]
    write_atomic(readme, f"{before}{START}\n{figures(bundled, peers)}\n{END}{after}".encode())


def figures(bundled: Sequence[Entry], peers: Mapping[str, Scores]) -> str:
    """The README's figures, in Markdown."""
    rows = [(f"**aecodec** `{entry.name}`", entry.details.get("scores", {})) for entry in _default_first(bundled)]
    rows += [(f"`{name}`", scores) for name, scores in reversed(list(peers.items()))]
    lines = [
        f"| at {TARGET_BYTES:,} bytes (1 % of raw) | kodak256: PSNR | L1 | MS-SSIM | dev256: PSNR | L1 | MS-SSIM |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, scores in rows:
        cells = [_cell(scores.get(of), metric) for of in LARGE for metric in ("psnr", "l1", "ms_ssim")]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    headings = [f"{name} at {SETS[name].size_bytes} bytes" for name in SMALL]
    lines += ["", "| PSNR | " + " | ".join(headings) + " |", "|---" * (1 + len(SMALL)) + "|"]
    lines += [
        f"| {name} | " + " | ".join(_cell(scores.get(of), "psnr") for of in SMALL) + " |" for name, scores in rows
    ]
    for entry in _default_first(bundled):
        if entry.name in WITH_CURVE:
            lines += ["", _rates(entry, peers)]
    for entry in bundled:
        if entry.name == DEFAULT_MODEL:
            lines += ["", SCALE, _scale(entry)]
    return "\n".join(lines)


def _default_first(bundled: Sequence[Entry]) -> list[Entry]:
    return sorted(bundled, key=lambda entry: (entry.name != DEFAULT_MODEL, entry.name))


def _cell(row: Scores | None, metric: str) -> str:
    if row is None or row[metric] is None:
        return "-"
    return f"{row[metric]:.2f}" if metric == "psnr" else f"{row[metric]:.4f}"


def _scale(entry: Entry) -> str:
    """What the quality scale means, from the export's validation photographs."""
    points = [
        f"{100 * point['quality']:.0f}: {point['bytes']:,.0f} bytes, {point['psnr']:.1f} dB"
        for point in entry.details["rounding"]
    ]
    default = entry.details["default_quality"] * 100 / (QUALITY_STEPS - 1)
    return f"`-q` of `{entry.name}` on validation photographs of 256x256 (default {default:.1f}): {'; '.join(points)}."


def _rates(entry: Entry, peers: Mapping[str, Scores]) -> str:
    def curve(scores: Scores) -> Curve:
        return Curve.of((row["bits_per_pixel"], row["psnr"]) for row in scores[CURVE])

    own = curve(dict(entry.details["scores"])).cut(LOW_RATE, HIGH_RATE)
    rates = {name: bd_rate(own, curve(scores)) for name, scores in peers.items()}
    listed = ", ".join(f"{rate:+.1f} % against `{name}`" for name, rate in rates.items() if rate is not None)
    return f"Kodak at 768x512, bits of `{entry.name}` at equal PSNR (BD-rate, {LOW_RATE} to {HIGH_RATE} bpp): {listed}."


@click.command()
@click.argument("exported", type=PATH)
@click.option("--project", type=PATH, default=Path(), help="A checkout of aecodec. Default: the current folder.")
@click.option("--kodak", type=PATH, required=True, metavar="FOLDER", help="The 24 Kodak pictures.")
@click.option("--dev", type=PATH, required=True, metavar="FOLDER", help="256x256 pictures never trained on.")
@click.option("--missing", is_flag=True, help="Keep the scores in the manifest of EXPORTED; measure the others.")
def main(exported: Path, project: Path, kodak: Path, dev: Path, missing: bool) -> None:
    """Put the weights in EXPORTED into the project: files, manifest with scores, golden files, README table."""
    try:
        land(exported, project, kodak, dev, missing, say)
    except AecError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
