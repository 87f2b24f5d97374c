"""What your own weights gain: fine-tunes `standard` on a folder and compares on pictures that were held back.

    python benchmarks/fine_tune.py FOLDER [--minutes 20] [--out fine-tune] [--page docs/training.md]

Every fifth picture of FOLDER, by the checksum of its name, is held back: pictures cut from one photograph should share
a sub-folder of FOLDER, as the folders are dealt out where there are any. On the others it trains for MINUTES, a quarter
of them as decay branch, on one thread, so that minutes are processor minutes on a quiet machine. Then both weights
encode the centre squares of 256x256 of the pictures held back. Prints a table; with --page puts it between the marks on
that page. Needs torch; pictures are at least 256x256.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

from aecodec.bench import BenchOptions
from aecodec.bench import run_bench
from aecodec.bench.bdrate import Curve
from aecodec.bench.bdrate import bd_rate
from aecodec.bench.measure import TARGET_BYTES
from aecodec.bench.result import BenchResult
from aecodec.codec.manifest import entries_of
from aecodec.codec.manifest import find_by_name
from aecodec.image.suffixes import PICTURE_SUFFIXES

HELD_BACK = 5  # one picture in five
DECAY_SHARE = 0.25
BEGIN, END = "<!-- fine-tune: begin -->", "<!-- fine-tune: end -->"


def divide(folder: Path, out: Path) -> tuple[int, int]:
    """Links the pictures into out/train and out/held-back, and counts them. Raises SystemExit where one is empty."""
    pictures = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
    groups = sorted({group(path, folder) for path in pictures}, key=lambda name: (zlib.crc32(name.encode()), name))
    counts = {"train": 0, "held-back": 0}
    for part in counts:
        shutil.rmtree(out / part, ignore_errors=True)
        (out / part).mkdir(parents=True)
    held_back = set(groups[::HELD_BACK])
    for number, path in enumerate(pictures):
        part = "held-back" if group(path, folder) in held_back else "train"
        (out / part / f"{number:06}-{path.name}").symlink_to(path.resolve())
        counts[part] += 1
    if not all(counts.values()):
        raise SystemExit(f"{folder}: {len(pictures)} pictures in {len(groups)} groups are too few to divide")
    return counts["train"], counts["held-back"]


def group(path: Path, folder: Path) -> str:
    """What stays together: the first sub-folder, or the picture by itself."""
    return path.relative_to(folder).parts[0]


def aecodec(*arguments: object) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "aecodec", *map(str, arguments)], check=True, env=environment)


def train(out: Path, amount: tuple[str, float], learning_rate: float) -> Path:
    """Constant rate, decay, export. Returns the new decoding half."""
    unit, number = amount
    start = find_by_name("standard")
    shutil.rmtree(out / "run", ignore_errors=True)
    common = ("model", "train", "--config", "standard", "--data", out / "train", "--out", out / "run", "--threads", 1)
    floats = start.folder / str(start.details["float16"]["file"])
    constant, decay = number * (1 - DECAY_SHARE), number * DECAY_SHARE
    if unit == "--steps":
        constant, decay = int(constant), int(decay)
    aecodec(*common, unit, constant, "--init", floats, "--learning-rate", learning_rate)
    aecodec(*common, unit, decay, "--decay")
    checkpoint, weights = out / "run" / "decayed.pt", out / "weights"
    aecodec("model", "export", checkpoint, "--data", out / "train", "--out", weights, "--name", "fine-tuned")
    (entry,) = entries_of(weights)
    return weights / entry.decoder_file


def measure(folder: Path, weights: Path | None) -> tuple[BenchResult, BenchResult]:
    """Along the qualities, and at the size that is 1 % of raw."""
    options = BenchOptions(folder=folder, codecs=(), weights=weights, size=256)
    return run_bench(options), run_bench(replace(options, at_bytes=TARGET_BYTES))


def table(before: tuple[BenchResult, BenchResult], after: tuple[BenchResult, BenchResult]) -> str:
    lines = [f"| weights | PSNR at {TARGET_BYTES:,} bytes | L1 | MS-SSIM |", "|---|---|---|---|"]
    for name, (_, at) in (("`standard`", before), ("fine-tuned", after)):
        row = at.at_bytes[0].row
        cells = "- | - | -" if row is None else f"{row.psnr:.2f} | {row.l1:.4f} | {row.ms_ssim or 0:.4f}"
        lines.append(f"| {name} | {cells} |")
    old, new = (Curve.of((row.bits_per_pixel, row.psnr) for row in curves.rows) for curves, _ in (before, after))
    rate = bd_rate(new, old)
    lines += ["", "The curves share no PSNR." if rate is None else f"Bits at equal PSNR (BD-rate): {rate:+.1f} %."]
    return "\n".join(lines)


def put_on(page: Path, text: str) -> None:
    whole = page.read_text("utf-8")
    marks = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    if not marks.search(whole):
        raise SystemExit(f"{page}: lacks the marks {BEGIN} and {END}")
    page.write_text(marks.sub(lambda _: f"{BEGIN}\n{text}\n{END}", whole), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--steps", type=int, help="instead of minutes, for a trial of this script")
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--out", type=Path, default=Path("fine-tune"))
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    trained, held_back = divide(options.folder, options.out)
    amount = ("--minutes", options.minutes) if options.steps is None else ("--steps", options.steps)
    weights = train(options.out, amount, options.learning_rate)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    minutes = (used.ru_utime + used.ru_stime) / 60
    held = options.out / "held-back"
    text = (
        f"`{options.folder.name}`: trained on {trained} pictures in {minutes:.1f} processor minutes, export included; "
        f"measured on {held_back} others.\n\n{table(measure(held, None), measure(held, weights))}"
    )
    print(text)
    if options.page is not None:
        put_on(options.page, text)


if __name__ == "__main__":
    main()
