"""A bench result as text for a terminal of 100 columns."""

from __future__ import annotations

from collections.abc import Sequence

from aecodec.bench.bdrate import HIGH_RATE
from aecodec.bench.bdrate import LOW_RATE
from aecodec.bench.bdrate import MIN_POINTS
from aecodec.bench.result import AtBytes
from aecodec.bench.result import BdRate
from aecodec.bench.result import BenchResult
from aecodec.bench.result import Row

NOTHING = "-"
METRICS = {"psnr": "PSNR", "ms_ssim": "MS-SSIM", "ssimulacra2": "SSIMULACRA2"}
HEADINGS = ("codec", "quality", "bytes", "bpp", "PSNR", "L1", "MS-SSIM", "encode", "decode")


def format_table(result: BenchResult) -> str:
    """Everything in `result`, with the meaning of the columns; ends without a newline."""
    blocks = [_heading(result)]
    if result.rows:
        blocks.append(_align([HEADINGS, *map(_cells, result.rows)]))
    if result.bd_rates:
        blocks.append(_bd_rates(result.bd_rates))
    if result.at_bytes:
        blocks.append(_at_bytes(result.at_bytes))
    if result.notices:
        blocks.append("\n".join(result.notices))
    return "\n\n".join(blocks)


def _heading(result: BenchResult) -> str:
    cut = f", centre squares of {result.size}x{result.size}" if result.size is not None else ""
    plural = "" if result.pictures == 1 else "s"
    others = f", {result.left_out} left out" if result.left_out else ""
    width = max(len(codec.name) for codec in result.codecs)
    return "\n".join(
        [
            f"{result.folder}: {result.pictures} picture{plural}{cut}{others}",
            "Means per picture, whole files; PSNR in dB over RGB, L1 on 0..1; median seconds a picture",
            *(f"{codec.name:<{width}}  {codec.description}" for codec in result.codecs),
        ]
    )


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.codec,
        f"{row.quality:.4g}",
        f"{row.size_bytes:.1f}",
        f"{row.bits_per_pixel:.4f}",
        f"{row.psnr:.3f}",
        f"{row.l1:.5f}",
        _decimals(row.ms_ssim, 4),
        f"{row.encode_seconds:.4f}",
        f"{row.decode_seconds:.4f}",
    )


def _bd_rates(rates: Sequence[BdRate]) -> str:
    metrics = list(dict.fromkeys(rate.metric for rate in rates))
    lines: list[tuple[str, ...]] = [("against", *(cell for m in metrics for cell in (METRICS[m], "overlap")))]
    for peer in dict.fromkeys(rate.peer for rate in rates):
        of_peer = {rate.metric: _rate(rate) for rate in rates if rate.peer == peer}
        lines.append((peer, *(cell for m in metrics for cell in of_peer.get(m, (NOTHING, NOTHING)))))
    unknown = any(rate.percent is None for rate in rates)
    footnote = f"\n{NOTHING} fewer than {MIN_POINTS} points on a curve, or no range in common" if unknown else ""
    return (
        f"BD-rate: bits of aecodec at an equal metric, its curve cut at {LOW_RATE} and {HIGH_RATE} bpp, the peer's\n"
        "whole (MS-SSIM in dB); overlap: the part of aecodec's range that the peer, and so the figure, covers\n"
        + _align(lines)
        + footnote
    )


def _rate(rate: BdRate) -> tuple[str, str]:
    percent = NOTHING if rate.percent is None else f"{rate.percent:+.1f} %"
    return percent, f"{100 * rate.overlap:.0f} %"


def _at_bytes(found: Sequence[AtBytes]) -> str:
    target = found[0].target_bytes
    lines: list[tuple[str, ...]] = [(*HEADINGS, "PSNR*", "L1*")]
    notes: list[str] = []
    for entry in found:
        cells = (entry.codec, *[NOTHING] * (len(HEADINGS) - 1)) if entry.row is None else _cells(entry.row)
        lines.append((*cells, _decimals(entry.interpolated_psnr, 3), _decimals(entry.interpolated_l1, 5)))
        if entry.row is None:
            notes.append(f"{entry.codec}: its smallest files have {entry.smallest_bytes:.1f} bytes on average")
    caption = f"Per codec the one quality, the largest, whose mean file has at most {target} bytes"
    footnote = f"* interpolated between this quality and the next at exactly {target} bytes, linear in log bytes"
    return "\n".join([caption, _align(lines), footnote, *notes])


def _decimals(value: float | None, digits: int) -> str:
    return NOTHING if value is None else f"{value:.{digits}f}"


def _align(lines: Sequence[Sequence[str]]) -> str:
    """Columns two spaces apart, the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join([first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])]) for first, *rest in lines)
