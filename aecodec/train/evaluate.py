"""Measures a model in training on fixed pictures, and draws its reconstructions.

Rates are the model's estimates, not bytes of files; nothing here draws a random number.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aecodec.files import write_atomic
from aecodec.geometry import HYPER_STRIDE
from aecodec.image.writing import png_of
from aecodec.train.model import AutoEncoder
from aecodec.train.model import Coded

QUALITIES = tuple(step / 6 for step in range(7))  # the knots of `standard`
MAX_CROP = 256
MAX_BATCH = 8

SHEET_QUALITY = 0.5
SHEET_BACKGROUND = 255


@dataclass(frozen=True)
class Point:
    """Means over pictures at one quality: estimated bits per pixel, PSNR in dB of 8-bit pixels."""

    quality: float
    bpp: float
    psnr: float


@dataclass(frozen=True)
class Measurement:
    """The points of `QUALITIES`, and the training loss as a mean over pictures and qualities."""

    points: tuple[Point, ...]
    loss: float


def central_crops(pictures: Sequence[np.ndarray], count: int) -> list[np.ndarray]:
    """Central crops of at most `count` pictures, evenly spread over them: uint8 [H, W, 3].

    Sides are at most 256 and cut to a multiple of 32, which the networks need.
    """
    count = min(count, len(pictures))
    return [_central_crop(pictures[index * len(pictures) // count]) for index in range(count)]


def _central_crop(picture: np.ndarray) -> np.ndarray:
    height, width = (min(side, MAX_CROP) // HYPER_STRIDE * HYPER_STRIDE for side in picture.shape[:2])
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return picture[top : top + height, left : left + width]


@torch.no_grad()
def measure(
    model: AutoEncoder,
    crops: Sequence[np.ndarray],
    device: torch.device,
    *,
    plain: bool = False,
    interrupted: Callable[[], bool] = lambda: False,
) -> Measurement | None:
    """The model on `crops` at every quality; None if interrupted."""
    batches = list(_batches(crops))
    losses: list[float] = []
    points: list[Point] = []
    for quality in QUALITIES:
        rates: list[float] = []
        ratios: list[float] = []
        for batch in batches:
            if interrupted():
                return None
            x = as_input(batch, device)
            coded, qualities = _code(model, x, quality, plain)
            losses += [float(model.loss(x, qualities, coded, 0.0 if plain else 1.0))] * len(x)
            rates += ((coded.bits + coded.hyper_bits) / x[0, 0].numel()).tolist()
            ratios += _psnr(x, coded.reconstruction).tolist()
        points.append(Point(quality, float(np.mean(rates)), float(np.mean(ratios))))
    return Measurement(tuple(points), float(np.mean(losses)))


@torch.no_grad()
def write_contact_sheet(
    path: Path, model: AutoEncoder, crops: Sequence[np.ndarray], device: torch.device, *, plain: bool = False
) -> None:
    """Write a PNG with the crops in a row and their reconstructions at the middle quality below."""
    height, width = (max(crop.shape[axis] for crop in crops) for axis in (0, 1))
    sheet = np.full((2 * height, width * len(crops), 3), SHEET_BACKGROUND, np.uint8)
    for column, crop in enumerate(crops):
        coded, _ = _code(model, as_input(crop[None], device), SHEET_QUALITY, plain)
        reconstruction = as_pixels(coded.reconstruction[0])
        for row, pixels in enumerate((crop, reconstruction)):
            top, left = row * height, column * width
            sheet[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    write_atomic(path, png_of(sheet))


def _batches(crops: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The crops stacked with others of their shape, at most MAX_BATCH together: uint8 [B, H, W, 3]."""
    by_shape: dict[tuple[int, ...], list[np.ndarray]] = {}
    for crop in crops:
        by_shape.setdefault(crop.shape, []).append(crop)
    return [
        np.stack(same[start : start + MAX_BATCH])
        for same in by_shape.values()
        for start in range(0, len(same), MAX_BATCH)
    ]


def as_input(pixels: np.ndarray, device: torch.device) -> Tensor:
    """From uint8 [B, H, W, 3] to float32 [B, 3, H, W] in 0..1, channels last."""
    x = torch.from_numpy(np.ascontiguousarray(pixels)).to(device)
    return (x.permute(0, 3, 1, 2).float() / 255).contiguous(memory_format=torch.channels_last)


def _code(model: AutoEncoder, x: Tensor, quality: float, plain: bool) -> tuple[Coded, Tensor]:
    """The model's result for `x` with rounded latents, and the quality as a tensor [B]."""
    qualities = torch.full((len(x),), quality, device=x.device)
    return model(x, qualities, noise=False, plain=plain), qualities


def as_pixels(x: Tensor) -> np.ndarray:
    """From about 0..1 [3, H, W] to uint8 [H, W, 3], clipped and rounded."""
    return _eight_bit(x).permute(1, 2, 0).byte().cpu().numpy()


def _eight_bit(x: Tensor) -> Tensor:
    return (x.clamp(0, 1) * 255).round()


def _psnr(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Of 8-bit pixels, in dB, [B]; equal pictures count as one squared step apart."""
    squares = (_eight_bit(x) - _eight_bit(reconstruction)).square().sum((1, 2, 3)).clamp_min(1)
    return 10 * torch.log10(255**2 * x[0].numel() / squares)
