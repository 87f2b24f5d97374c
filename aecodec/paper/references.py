"""References that show what the networks add: a linear transform, and JPEG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aecodec.bench.measure import quality_within
from aecodec.bench.metrics import l1
from aecodec.bench.peers import peers_named
from aecodec.codec.architectures import LATENT_CHANNELS
from aecodec.paper.table import Reference

PRINCIPAL_COMPONENTS = "principal components"
JPEG = "JPEG"

TITLES = {
    PRINCIPAL_COMPONENTS: f"principal components of 8x8 blocks, {LATENT_CHANNELS} float coefficients",
    JPEG: "JPEG, the largest quality within 1 % of raw",
}

BLOCK = 8
FITTED_PICTURES = 1000


def principal_components(training: Sequence[np.ndarray], dev: Sequence[np.ndarray]) -> Reference:
    """Mean L1 on 0..1 of the linear auto-encoder with the networks' latent, fitted on training pictures.

    Pictures are uint8 [H, W, 3]. It is fitted on at most 1000, evenly spread over all. Reconstructions are clipped and
    rounded to 8 bits, as the networks' are.
    """
    count = min(len(training), FITTED_PICTURES)
    total, second, blocks = np.zeros(3 * BLOCK**2), np.zeros((3 * BLOCK**2, 3 * BLOCK**2)), 0
    for index in range(count):
        rows = _blocks(training[index * len(training) // count])
        total += rows.sum(0)
        second += rows.T @ rows
        blocks += len(rows)
    mean = total / blocks
    _, vectors = np.linalg.eigh(second / blocks - np.outer(mean, mean))
    basis = vectors[:, -LATENT_CHANNELS:]  # [192, 16], of the largest eigenvalues
    return Reference(float(np.mean([l1(picture, _projected(picture, mean, basis)) for picture in dev])))


def _blocks(pixels: np.ndarray) -> np.ndarray:
    """float64 [N, 192] of the whole 8x8 blocks."""
    rows, columns = (side // BLOCK for side in pixels.shape[:2])
    whole = pixels[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK, 3)
    return whole.transpose(0, 2, 1, 3, 4).reshape(rows * columns, -1).astype(np.float64)


def _projected(pixels: np.ndarray, mean: np.ndarray, basis: np.ndarray) -> np.ndarray:
    back = (_blocks(pixels) - mean) @ basis @ basis.T + mean
    rows, columns = (side // BLOCK for side in pixels.shape[:2])
    arranged = back.reshape(rows, columns, BLOCK, BLOCK, 3).transpose(0, 2, 1, 3, 4).reshape(pixels.shape)
    return arranged.round().clip(0, 255).astype(np.uint8)


def jpeg(dev: Sequence[np.ndarray]) -> Reference:
    """Mean L1 on 0..1 of JPEG, each picture within 1 % of its raw bytes, or at its lowest quality if none is."""
    (peer,) = peers_named(["jpeg"])
    losses, beyond = [], 0
    for picture in dev:
        limit = picture.nbytes // 100
        file = peer.encode(picture, quality_within(peer, picture, limit))
        losses.append(l1(picture, peer.decode(file)))
        beyond += len(file) > limit
    return Reference(float(np.mean(losses)), beyond)
