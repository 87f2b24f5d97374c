"""`aecodec bench`: aecodec and its peers on one folder of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path

from aecodec.bench.bdrate import HIGH_RATE
from aecodec.bench.bdrate import LOW_RATE
from aecodec.bench.bdrate import Curve
from aecodec.bench.bdrate import bd_rate
from aecodec.bench.bdrate import overlap
from aecodec.bench.codecs import Aecodec
from aecodec.bench.codecs import BenchCodec
from aecodec.bench.measure import Report
from aecodec.bench.measure import measure
from aecodec.bench.measure import measure_at_bytes
from aecodec.bench.peers import PEERS
from aecodec.bench.peers import peers_named
from aecodec.bench.pictures import Pictures
from aecodec.bench.progress import StatusLine
from aecodec.bench.result import BdRate
from aecodec.bench.result import BenchResult
from aecodec.bench.result import Codec
from aecodec.bench.result import Row

PEER_NAMES = tuple(codec.name for codec in PEERS)


@dataclass(frozen=True)
class BenchOptions:
    """What to measure. Raises ValueError, in one line for the user, on values that make no sense.

    codecs: peers, of `PEER_NAMES`; aecodec itself is always measured.
    qualities: aecodec's settings, 0..100, instead of 0, 10, .. 100; the peers keep their own lists.
    size: reduce each picture to a centre square of this side.
    at_bytes: measure at this mean file size instead of along a list of qualities.
    """

    folder: Path
    codecs: tuple[str, ...] = PEER_NAMES
    model: str = "standard"
    weights: Path | None = None
    qualities: tuple[float, ...] | None = None
    size: int | None = None
    at_bytes: int | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.codecs if name not in PEER_NAMES]
        if unknown:
            raise ValueError(f"unknown codec {unknown[0]!r}: there are {', '.join(PEER_NAMES)}")
        if self.qualities is not None and self.at_bytes is not None:
            raise ValueError("a list of qualities and a size in bytes exclude each other")
        if self.qualities is not None and not self.qualities:
            raise ValueError("the list of qualities is empty")
        if any(not 0 <= quality <= 100 for quality in self.qualities or ()):
            raise ValueError("a quality is a number from 0 to 100")
        if self.size is not None and self.size < 1:
            raise ValueError("the size in pixels must be at least 1")
        if self.at_bytes is not None and self.at_bytes < 1:
            raise ValueError("the size in bytes must be at least 1")


def run_bench(options: BenchOptions, own: BenchCodec | None = None) -> BenchResult:
    """Measure aecodec (or `own` in its place) and the peers; progress goes to stderr where that is a terminal.

    Raises InputError for a missing folder or an unreadable picture, MissingExtra where Pillow lacks a codec, and what
    `aecodec.encode` raises.
    """
    if own is None:
        own = Aecodec(options.model, options.weights)
    peers = peers_named(options.codecs)
    pictures = Pictures(options.folder, options.size)
    codecs: list[BenchCodec] = [own, *peers]
    result = BenchResult(
        folder=str(options.folder),
        pictures=len(pictures),
        size=options.size,
        codecs=tuple(Codec(codec.name, codec.description) for codec in codecs),
    )
    with StatusLine() as status:
        if options.at_bytes is not None:
            at_bytes = tuple(measure_at_bytes(codec, options.at_bytes, pictures, status.show) for codec in codecs)
            return replace(result, at_bytes=at_bytes, notices=tuple(pictures.notices))
        own_rows = _curve_rows(own, options.qualities or own.qualities, pictures, status.show)
        peer_rows = [_curve_rows(peer, peer.qualities, pictures, status.show) for peer in peers]
    return replace(
        result,
        rows=tuple(row for rows in [own_rows, *peer_rows] for row in rows),
        bd_rates=tuple(_bd_rate(own_rows, rows) for rows in peer_rows),
        notices=tuple(pictures.notices),
    )


def _curve_rows(codec: BenchCodec, qualities: Sequence[float], pictures: Pictures, report: Report) -> list[Row]:
    return [measure(codec, quality, pictures, report) for quality in sorted(set(qualities))]


def _curve(rows: Sequence[Row]) -> Curve:
    return Curve.of((row.bits_per_pixel, row.psnr) for row in rows)


def _bd_rate(own_rows: Sequence[Row], peer_rows: Sequence[Row]) -> BdRate:
    """aecodec's curve within the rates it is made for; the peer's whole, to cover as much of that as it can."""
    own, peer = _curve(own_rows).cut(LOW_RATE, HIGH_RATE), _curve(peer_rows)
    return BdRate(peer_rows[0].codec, bd_rate(own, peer), overlap(own, peer))
