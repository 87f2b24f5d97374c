"""`aecodec bench`: aecodec and its peers on one folder of pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from statistics import median

from aecodec.batch.progress import Bar
from aecodec.bench.bdrate import HIGH_RATE
from aecodec.bench.bdrate import LOW_RATE
from aecodec.bench.bdrate import Curve
from aecodec.bench.bdrate import bd_rate
from aecodec.bench.bdrate import overlap
from aecodec.bench.codecs import Aecodec
from aecodec.bench.codecs import BenchCodec
from aecodec.bench.codecs import ShrunkAecodec
from aecodec.bench.curves import Plan
from aecodec.bench.curves import measure_curves
from aecodec.bench.environment import describe
from aecodec.bench.journal import Journal
from aecodec.bench.measure import LOSSLESS_PSNR
from aecodec.bench.measure import Report
from aecodec.bench.measure import mean_row
from aecodec.bench.measure import measure_at_bytes
from aecodec.bench.measure import measure_between
from aecodec.bench.metrics import has_ssimulacra2
from aecodec.bench.peers import PEERS
from aecodec.bench.peers import peers_named
from aecodec.bench.pictures import Pictures
from aecodec.bench.result import AtBytes
from aecodec.bench.result import BdRate
from aecodec.bench.result import BenchResult
from aecodec.bench.result import Codec
from aecodec.bench.result import Measurement
from aecodec.bench.result import Row
from aecodec.bench.result import Speed
from aecodec.errors import InputError
from aecodec.errors import MissingExtra

PEER_NAMES = tuple(codec.name for codec in PEERS)
METRICS = ("psnr", "ms_ssim", "ssimulacra2")  # of the BD-rates


@dataclass(frozen=True)
class BenchOptions:
    """What to measure. Raises ValueError, with a line for the user, for values that make no sense.

    codecs: peers, of `PEER_NAMES`, by default all that can be used here; aecodec itself is always measured.
    qualities: aecodec's settings, 0..100, instead of 0, 10, .. 100; the peers keep their own lists.
    size: reduce each picture to a centre square of this side.
    at_bytes: measure at this mean file size instead of along a list of qualities.
    effort: of aecodec's encoder. Above 0, `at_bytes` interpolates between the `qualities` given, since a search for the
    one quality would take too long.
    equal_bytes: also measure each peer at the bytes that aecodec takes for each picture at its middle quality.
    ssimulacra2: measure that too; it takes longer than all the rest.
    shrink: with `at_bytes`, give each of aecodec's files this many bytes, its picture reduced as far as suits it.
    resume: a file that keeps each measurement as soon as it is known; an interrupted run resumes from it.
    """

    folder: Path
    codecs: tuple[str, ...] | None = None
    model: str | None = None
    weights: Path | None = None
    qualities: tuple[float, ...] | None = None
    size: int | None = None
    at_bytes: int | None = None
    equal_bytes: bool = False
    ssimulacra2: bool = False
    resume: Path | None = None
    effort: int = 0
    shrink: bool = False

    def __post_init__(self) -> None:
        unknown = [name for name in self.codecs or () if name not in PEER_NAMES]
        if unknown:
            raise ValueError(f"unknown codec {unknown[0]!r}: there are {', '.join(PEER_NAMES)}")
        if self.model is not None and self.weights is not None:
            raise ValueError("give one of model and weights")
        if self.shrink and (self.at_bytes is None or self.qualities is not None):
            raise ValueError("shrinking is for a size in bytes, and takes no list of qualities")
        if self.at_bytes is not None and not self.shrink and (self.qualities is None) != (self.effort == 0):
            raise ValueError("a size in bytes needs a list of qualities with effort, and excludes one without")
        if self.at_bytes is not None and (self.equal_bytes or self.ssimulacra2 or self.resume is not None):
            raise ValueError("a report, SSIMULACRA2 and resuming are for the curves, not for a size in bytes")
        if self.qualities is not None and not self.qualities:
            raise ValueError("the list of qualities is empty")
        if any(not 0 <= quality <= 100 for quality in self.qualities or ()):
            raise ValueError("a quality is a number from 0 to 100")
        if self.size is not None and self.size < 1:
            raise ValueError("the size in pixels must be at least 1")
        if self.at_bytes is not None and self.at_bytes < 1:
            raise ValueError("the size in bytes must be at least 1")


def run_bench(options: BenchOptions, own: BenchCodec | None = None) -> BenchResult:
    """Measures aecodec (or `own` in its place) and the peers; shows progress on stderr if that is a terminal.

    Raises InputError for a folder without a readable picture, MissingExtra if a codec or metric cannot be used here,
    OutputError if the file to resume from cannot be written, and what `aecodec.encode` raises.
    """
    if options.ssimulacra2 and not has_ssimulacra2():
        raise MissingExtra('SSIMULACRA2 needs `pip install "aecodec[bench]"`')
    codecs = codecs_of(options, own)
    pictures = Pictures(options.folder, options.size)
    result = BenchResult(
        folder=str(options.folder),
        pictures=0,  # known at the end
        size=options.size,
        codecs=tuple(Codec(codec.name, codec.description) for codec in codecs),
        environment=describe(),
    )
    with Bar() as bar:
        if options.at_bytes is None:
            result = _with_curves(result, options, codecs, pictures, bar)
        else:
            _leave_out_misfits(codecs, pictures)
            found = _at_bytes(options.at_bytes, options.qualities, codecs, pictures, bar.note)
            result = replace(result, at_bytes=tuple(found))
    return replace(result, pictures=len(pictures), left_out=pictures.left_out, notices=tuple(pictures.notices))


def _leave_out_misfits(codecs: Sequence[BenchCodec], pictures: Pictures) -> None:
    """Leaves out the pictures that a peer cannot hold, before anything is measured at a size in bytes."""
    for name, pixels in pictures.named():
        try:
            for peer in codecs[1:]:
                peer.encode(pixels, peer.steps[0])
        except InputError as error:
            pictures.leave_out(name, error)


def codecs_of(options: BenchOptions, own: BenchCodec | None = None) -> list[BenchCodec]:
    """aecodec, or `own` in its place, then the peers. Raises MissingExtra if one cannot be used here."""
    names = options.codecs
    if names is None:
        names = tuple(codec.name for codec in PEERS if codec.available)
    ours: Aecodec = Aecodec(options.model, options.weights, effort=options.effort)
    if options.shrink and options.at_bytes is not None:
        ours = ShrunkAecodec(options.model, options.weights, effort=options.effort, target_bytes=options.at_bytes)
    return [own or ours, *peers_named(names)]


def _at_bytes(
    target_bytes: int,
    qualities: Sequence[float] | None,
    codecs: Sequence[BenchCodec],
    pictures: Pictures,
    report: Report,
) -> Iterator[AtBytes]:
    own, *peers = codecs
    if qualities is None:
        yield measure_at_bytes(own, target_bytes, pictures, report)
    else:
        yield measure_between(own, sorted(set(qualities)), target_bytes, pictures, report)
    for peer in peers:
        yield measure_at_bytes(peer, target_bytes, pictures, report)


def _with_curves(
    result: BenchResult, options: BenchOptions, codecs: Sequence[BenchCodec], pictures: Pictures, bar: Bar
) -> BenchResult:
    qualities = sorted(set(options.qualities or codecs[0].qualities))
    plan = Plan(
        settings=[(codecs[0], qualities), *((peer, peer.qualities) for peer in codecs[1:])],
        shown_quality=qualities[len(qualities) // 2] if options.equal_bytes else None,
        perceptual=options.ssimulacra2,
    )
    with Journal(options.resume) as journal:
        measurements, equal_bytes = measure_curves(plan, pictures, journal, describe(), bar)
    settings: dict[tuple[str, float], list[Measurement]] = {}
    for each in measurements:
        settings.setdefault((each.codec, each.quality), []).append(each)
    rows = {codec.name: [mean_row(settings[codec.name, at]) for at in qualities] for codec, qualities in plan.settings}
    own, *peers = rows.values()
    if any(each.psnr > LOSSLESS_PSNR for each in measurements):
        pictures.notices.append(f"a PSNR over {LOSSLESS_PSNR:.0f} dB, as without any loss, counts as that in the means")
    return replace(
        result,
        rows=tuple(row for of_codec in rows.values() for row in of_codec),
        bd_rates=tuple(rate for metric in METRICS for rate in _bd_rates(own, peers, metric)),
        speeds=tuple(_speed(measurements, name) for name in rows),
        shown_quality=plan.shown_quality,
        measurements=tuple(measurements),
        equal_bytes=tuple(equal_bytes),
    )


def _speed(measurements: Sequence[Measurement], codec: str) -> Speed:
    """Medians, as in `mean_row`: a sum would count every pause of a busy machine."""
    own = [each for each in measurements if each.codec == codec]
    return Speed(
        codec=codec,
        encode_megapixels=median(each.width * each.height / each.encode_seconds for each in own) / 1e6,
        decode_megapixels=median(each.width * each.height / each.decode_seconds for each in own) / 1e6,
    )


def _bd_rates(own: Sequence[Row], peers: Sequence[Sequence[Row]], metric: str) -> list[BdRate]:
    """aecodec's curve within the rates it is made for; a peer's whole curve, to cover as much of that as it can."""
    rates = []
    for rows in peers:
        if all(_value(row, metric) is not None for row in [*own, *rows]):
            test, reference = _curve(own, metric).cut(LOW_RATE, HIGH_RATE), _curve(rows, metric)
            rates.append(BdRate(rows[0].codec, bd_rate(test, reference), overlap(test, reference), metric))
    return rates


def _curve(rows: Sequence[Row], metric: str) -> Curve:
    return Curve.of((row.bits_per_pixel, _value(row, metric) or 0.0) for row in rows)


def _value(row: Row, metric: str) -> float | None:
    """The metric on a scale that is roughly even along a curve: MS-SSIM in dB, as -10 log10(1 - x)."""
    value: float | None = getattr(row, metric)
    if metric != "ms_ssim" or value is None:
        return value
    return -10 * math.log10(1 - value) if value < 1 else math.inf
