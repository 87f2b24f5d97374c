"""What an encoder effort gains: bytes saved at equal PSNR, PSNR at equal bytes, and seconds a picture.

    python benchmarks/effort.py FOLDER -q 30 34 38 [--effort 2] [--size 256] [--at-bytes 1966] [--resume FILE]

Every picture of the folder goes through whole files at effort 0, along the whole scale, and at the effort asked for, at
the qualities given. Each quality's mean size is set against the one that effort 0 takes for the same mean PSNR. A
refinement takes long: `--resume` keeps every measurement and resumes from there. NumPy's own number of threads is used.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aecodec.batch.progress import Bar
from aecodec.bench.bdrate import Curve
from aecodec.bench.bdrate import Pchip
from aecodec.bench.codecs import Aecodec
from aecodec.bench.curves import Plan
from aecodec.bench.curves import measure_curves
from aecodec.bench.environment import describe
from aecodec.bench.journal import Journal
from aecodec.bench.measure import mean_row
from aecodec.bench.pictures import Pictures
from aecodec.bench.result import Measurement
from aecodec.bench.result import Row


class Refined(Aecodec):
    name = "refined"


def rows(measurements: Sequence[Measurement], codec: str) -> list[Row]:
    """Means over the pictures, one row a quality, in ascending order."""
    own = [each for each in measurements if each.codec == codec]
    return [mean_row([each for each in own if each.quality == quality]) for quality in sorted({e.quality for e in own})]


def saved(row: Row, plain: Curve) -> float:
    """Percent of the bytes that effort 0 takes for the PSNR of `row`; NaN where it does not get there."""
    if not plain.psnr[0] <= row.psnr <= plain.psnr[-1]:
        return float("nan")
    equal = float(np.exp(Pchip(plain.psnr, plain.log_rate)(np.array([row.psnr]))[0]))
    return 100 * (1 - row.size_bytes / equal)


def at_bytes(found: Sequence[Row], target: float) -> str:
    """PSNR and L1 at a mean size, between two qualities, linear in the logarithm of the size."""
    sizes = np.log([row.size_bytes for row in found])
    if not sizes[0] <= np.log(target) <= sizes[-1]:
        return f"not between the qualities given, {np.exp(sizes[0]):.0f} to {np.exp(sizes[-1]):.0f} bytes"
    psnr, l1 = (np.interp(np.log(target), sizes, [getattr(row, name) for row in found]) for name in ("psnr", "l1"))
    return f"{psnr:.2f} dB, L1 {l1:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("-q", dest="qualities", type=float, nargs="+", required=True, help="of the refined files")
    parser.add_argument("--effort", type=int, choices=(1, 2, 3), default=2)
    parser.add_argument("--size", type=int, help="reduce each picture to a centre square of this side")
    parser.add_argument("--at-bytes", type=int, help="a mean size, too, to give PSNR and L1 at")
    parser.add_argument("--weights", type=Path, help="a weights file with its manifest beside it, not the bundled ones")
    parser.add_argument("--resume", type=Path, help="a file that keeps every measurement")
    options = parser.parse_args()

    plain = Aecodec(weights=options.weights)
    refined = Refined(weights=options.weights, effort=options.effort)
    plan = Plan([(plain, plain.qualities), (refined, sorted(set(options.qualities)))], None, False)
    environment = describe()
    with Bar() as bar, Journal(options.resume) as journal:
        pictures = Pictures(options.folder, options.size)
        found, _ = measure_curves(plan, pictures, journal, environment, bar)

    print(f"{environment.processor}, {environment.cores} cores, {len(pictures)} pictures, {refined.description}")
    before, after = rows(found, plain.name), rows(found, refined.name)
    curve = Curve.of((row.size_bytes, row.psnr) for row in before)
    for row in after:
        print(
            f"  -q {row.quality:<4g} {row.size_bytes:7.0f} bytes  {row.psnr:.2f} dB  {row.encode_seconds:5.1f} s"
            f"  {saved(row, curve):5.1f} % fewer bytes than effort 0 at equal PSNR"
        )
    print(f"  mean saving {statistics.fmean(saved(row, curve) for row in after):.1f} %")
    if options.at_bytes is not None:
        for name, own in (("effort 0", before), (f"effort {options.effort}", after)):
            print(f"  {name} at {options.at_bytes:,} bytes: {at_bytes(own, options.at_bytes)}")


if __name__ == "__main__":
    main()
