"""The paper's claim of 99 %, checked on whole files: the distributions of their bytes and of the error."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import numpy as np

from aecodec.batch.progress import Bar
from aecodec.bench.measure import last_fitting
from aecodec.bench.metrics import as_rgb
from aecodec.bench.metrics import l1
from aecodec.bench.pictures import Pictures
from aecodec.codec.decoder import decode_picture
from aecodec.codec.encoder import PictureEncoder
from aecodec.codec.manifest import find_by_name
from aecodec.codec.weights import load_decoder
from aecodec.codec.weights import load_encoder
from aecodec.errors import AecError
from aecodec.format.header import QUALITY_STEPS
from aecodec.network.numpy_runtime import NumpyRuntime
from aecodec.options import quality_of_step
from aecodec.paper.table import markdown_table

Item = TypeVar("Item")
Result = TypeVar("Result")

MODELS = ("paper", "standard")
SHARE_OF_RAW = 0.01
PERCENTILES = (5, 95)
HEADINGS = ("model", "quality", "bytes", "5 %", "95 %", "of raw", "L1", "5 %", "95 %")


@dataclass(frozen=True)
class Distribution:
    """Over the pictures: the mean, the 5th and the 95th percentile."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Claim:
    """One model at its largest quality whose files have at most 1 % of the raw bytes on average."""

    model: str
    quality: float  # 0..100
    size_bytes: Distribution
    l1: Distribution  # on 0..1


@dataclass(frozen=True)
class Claims:
    """The measurements on a folder of pictures."""

    folder: str
    pictures: int
    raw_bytes: float  # mean per picture, 3 bytes per pixel
    claims: tuple[Claim, ...]
    notices: tuple[str, ...]  # pictures left out, and losses in reading others


def measure_claims(folder: Path, models: Sequence[str] = MODELS) -> Claims:
    """Encode and decode every picture of a folder with each model.

    Raises InputError without a picture, UnknownWeights, and AecError if even the lowest quality takes over 1 %.
    """
    found = Pictures(folder)
    pictures = list(found)
    raw_bytes = fmean(as_rgb(picture).size for picture in pictures)
    with Bar() as bar:
        claims = tuple(_claim(model, pictures, SHARE_OF_RAW * raw_bytes, bar) for model in models)
    return Claims(folder.resolve().name, len(pictures), raw_bytes, claims, tuple(found.notices))


def _claim(model: str, pictures: Sequence[np.ndarray], target: float, bar: Bar) -> Claim:
    entry, runtime = find_by_name(model), NumpyRuntime()
    encoder, decoder = load_encoder(entry), load_decoder(entry)

    def analyse(picture: np.ndarray) -> PictureEncoder:
        return PictureEncoder(picture, encoder, decoder, runtime)

    def loss(pair: tuple[np.ndarray, bytes]) -> float:
        picture, data = pair
        return l1(picture, decode_picture(data, runtime, lambda _: decoder).array)

    @cache
    def files(step: int) -> list[bytes]:
        task = f"{model}, quality {quality_of_step(step):.1f}"
        return _each(bar, task, lambda picture: picture.encode(step).data, analysed)

    def mean_bytes(step: float) -> float:
        return fmean(map(len, files(int(step))))

    analysed = _each(bar, f"{model}, analysis", analyse, pictures)
    if mean_bytes(0) > target:
        raise AecError(f"{model}: the lowest quality takes {mean_bytes(0):.0f} bytes, more than {target:.0f}")
    step = last_fitting(range(QUALITY_STEPS), lambda step: mean_bytes(step) <= target)
    losses = _each(bar, f"{model}, decoding", loss, list(zip(pictures, files(step), strict=True)))
    return Claim(model, quality_of_step(step), _distribution(list(map(len, files(step)))), _distribution(losses))


def _each(bar: Bar, task: str, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """`map` with a progress bar."""
    bar.start(task, len(items))
    results = []
    for item in items:
        results.append(function(item))
        bar.step()
    return results


def _distribution(values: Sequence[float]) -> Distribution:
    low, high = np.percentile(values, PERCENTILES)
    return Distribution(fmean(values), float(low), float(high))


def format_claims(claims: Claims) -> str:
    """A table with its explanation."""
    rows = [HEADINGS]
    for claim in claims.claims:
        size, loss = claim.size_bytes, claim.l1
        sizes = f"{size.mean:,.1f}", f"{size.low:,.0f}", f"{size.high:,.0f}", f"{size.mean / claims.raw_bytes:.2%}"
        losses = f"{loss.mean:.4f}", f"{loss.low:.4f}", f"{loss.high:.4f}"
        rows.append((f"`{claim.model}`", f"{claim.quality:.1f}", *sizes, *losses))
    return (
        f"{claims.folder}: {claims.pictures} pictures, {claims.raw_bytes:,.0f} raw bytes each on average. Whole files\n"
        "at the largest quality whose mean has at most 1 % of that: mean, 5th and 95th percentile over the pictures.\n"
        "\n" + markdown_table(rows)
    )
