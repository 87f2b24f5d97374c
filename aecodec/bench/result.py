"""What a bench run returns: plain values, in the order in which they are printed."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Codec:
    """The codec behind a name in the tables."""

    name: str
    description: str


@dataclass(frozen=True)
class Environment:
    """Where the figures come from: machine, system, versions."""

    processor: str
    cores: int
    system: str
    python: str
    aecodec: str
    numpy: str


@dataclass(frozen=True)
class Measurement:
    """One picture by one codec at one setting: a whole file, encoded, decoded and compared.

    `psnr` in dB over RGB, infinite for a lossless file; `l1` on 0..1; `ms_ssim` is `None` if the picture is too small
    for it, `ssimulacra2` if it is not measured.
    """

    picture: str
    width: int
    height: int
    codec: str
    quality: float
    size_bytes: int
    bits_per_pixel: float
    psnr: float
    l1: float
    ms_ssim: float | None
    ssimulacra2: float | None
    encode_seconds: float
    decode_seconds: float


@dataclass(frozen=True)
class Row:
    """One codec at one setting: means over the pictures, all with the same weight.

    `psnr` is the mean of the pictures' PSNR (dB, RGB, 8 bits), where more than 60 dB, as of a picture without loss,
    counts as 60; `l1` is on 0..1, `ms_ssim` is `None` if a picture is too small for it; the times are medians for one
    picture.
    """

    codec: str
    quality: float
    size_bytes: float
    bits_per_pixel: float
    psnr: float
    l1: float
    ms_ssim: float | None
    encode_seconds: float
    decode_seconds: float
    ssimulacra2: float | None = None


@dataclass(frozen=True)
class BdRate:
    """Rate of aecodec against a peer at an equal value of `metric`, a field of Row.

    `percent` is negative if aecodec needs fewer bits, `None` if the curves allow no figure; `overlap` is the share,
    0..1, of aecodec's range that the peer covers.
    """

    peer: str
    percent: float | None
    overlap: float
    metric: str = "psnr"


@dataclass(frozen=True)
class Speed:
    """The medians of one codec over everything it coded for the curves, in megapixels per second."""

    codec: str
    encode_megapixels: float
    decode_megapixels: float


@dataclass(frozen=True)
class AtBytes:
    """One codec at a mean file size: the largest setting within it, and between settings at exactly that size.

    `row` is `None` if even the smallest files, of `smallest_bytes` on average, are too large; the interpolated values
    (linear in the logarithm of the bytes) are `None` if no setting exceeds the target.
    """

    codec: str
    target_bytes: int
    smallest_bytes: float
    row: Row | None
    interpolated_psnr: float | None = None
    interpolated_l1: float | None = None


@dataclass(frozen=True)
class BenchResult:
    """A whole run: the curves, or `at_bytes`.

    `rows` are the means of `measurements`. `equal_bytes`: each picture by each peer, at its largest setting whose file
    is no larger than aecodec's at `shown_quality`, or at its lowest if none is.
    """

    folder: str
    pictures: int  # measured
    size: int | None
    codecs: tuple[Codec, ...]
    rows: tuple[Row, ...] = ()
    bd_rates: tuple[BdRate, ...] = ()
    at_bytes: tuple[AtBytes, ...] = ()
    notices: tuple[str, ...] = ()
    left_out: int = 0  # pictures that cannot be read or are too small
    environment: Environment | None = None
    speeds: tuple[Speed, ...] = ()
    shown_quality: float | None = None
    measurements: tuple[Measurement, ...] = ()
    equal_bytes: tuple[Measurement, ...] = ()


def json_value(value: object) -> object:
    """JSON has no infinity (the PSNR of a lossless file): it becomes null."""
    if isinstance(value, dict):
        return {key: json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def format_json(result: BenchResult) -> str:
    """The result as JSON, field by field under the names above."""
    return json.dumps(json_value(dataclasses.asdict(result)), indent=2, allow_nan=False) + "\n"


def format_csv(result: BenchResult) -> str:
    """The measurements as CSV, one per line: picture, codec, quality, then the figures.

    A figure that is missing or infinite (the PSNR of a lossless file) is empty, as it is null in JSON.
    """
    file = io.StringIO()
    names = [field.name for field in dataclasses.fields(Measurement)]
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    for measurement in result.measurements:
        row = dataclasses.asdict(measurement) | {"picture": _plain_text(measurement.picture)}
        writer.writerow({name: json_value(value) for name, value in row.items()})
    return file.getvalue()


def _plain_text(name: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe before the characters that begin one."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name
