"""From a checkpoint to a weights folder: export, default quality, cost of rounding, manifest entry."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from aecodec.bench.measure import TARGET_BYTES
from aecodec.bench.metrics import psnr
from aecodec.codec.decoder import decode_picture
from aecodec.codec.encoder import PictureEncoder
from aecodec.codec.manifest import add_entry
from aecodec.errors import InputError
from aecodec.errors import OutputError
from aecodec.files import write_atomic
from aecodec.format.header import QUALITY_STEPS
from aecodec.network.numpy_runtime import NumpyRuntime
from aecodec.train.checkpoint import read_checkpoint
from aecodec.train.data import load_folders
from aecodec.train.evaluate import as_input
from aecodec.train.evaluate import central_crops
from aecodec.train.evaluate import measure
from aecodec.train.export import Halves
from aecodec.train.export import export
from aecodec.train.export import wide_layers
from aecodec.train.export import with_default_quality
from aecodec.train.last_layer import solve_last_layer
from aecodec.train.model import AutoEncoder
from aecodec.train.model import build
from aecodec.train.rounding import settle_on_grid

TABLE_PICTURES = 400
VALIDATION_PICTURES = 64
CALIBRATION_PICTURES = 64
LAST_LAYER_PICTURES = 800
LAST_LAYER_MINIMUM = 200

Say = Callable[[str], None]


def release(checkpoint: Path, data: Sequence[Path], out: Path, name: str | None, recipe: str | None, say: Say) -> None:
    """Writes the weights of `checkpoint` to the folder `out`. Raises InputError or OutputError.

    The float weights beside them, to continue training from, are those before rounding, if the checkpoint has them.
    """
    content = read_checkpoint(checkpoint)
    model = build(content["config"])
    model.load_state_dict(content["model"])
    dataset = load_folders(data, 256)
    training = central_crops(dataset.training, TABLE_PICTURES)
    validation = central_crops(dataset.validation or dataset.training, VALIDATION_PICTURES)
    unrounded = content["unrounded"]
    if not content["counters"]["calibrated"]:
        unrounded = {name: weight.detach().clone() for name, weight in model.named_parameters()}
        say("never trained with rounding: scales are chosen and weights rounded now")
        pictures = training[:CALIBRATION_PICTURES]
        quality = (torch.arange(len(pictures)) + 0.5) / len(pictures)
        settle_on_grid(model, as_input(np.stack(pictures), torch.device("cpu")), quality)
    model.mode.rounding = True
    if len(dataset.training) >= LAST_LAYER_MINIMUM:
        say("solving the last layer of the synthesis")
        solve_last_layer(model, central_crops(dataset.training, LAST_LAYER_PICTURES))
    halves = export(model, training)
    for layer in wide_layers(*halves.parsed()):
        say(f"runs in float64: {layer}")
    default = _default_quality(halves, validation)
    halves = with_default_quality(model, halves, default)
    rounding = _rounding_cost(model, halves, validation, say)
    name = name or model.config.name
    details = {
        "config": content["config"],
        "default_quality": default,
        "pixels": content["counters"]["pixels"],
        "recipe": recipe or "",
        "rounding": rounding,
    }
    _write(out, name, model.state_dict() | unrounded, halves, details)
    say(f"{out}: {name}, weights id {halves.weights_id.hex()}, default quality {default}/255")


def _default_quality(halves: Halves, pictures: Sequence[np.ndarray]) -> int:
    """The highest quality step whose mean file takes at most TARGET_BYTES over the pictures."""
    runtime = NumpyRuntime()
    encoder, decoder = halves.parsed()
    analysed = [PictureEncoder(picture, encoder, decoder, runtime) for picture in pictures]

    def total_bytes(step: int) -> int:
        return sum(len(picture.encode(step).data) for picture in analysed)

    return bisect_right(range(QUALITY_STEPS), TARGET_BYTES * len(analysed), lo=1, key=total_bytes) - 1


def _rounding_cost(
    model: AutoEncoder, halves: Halves, pictures: Sequence[np.ndarray], say: Say
) -> list[dict[str, float]]:
    """Bytes and PSNR per quality: the float network's estimates and the real files of the integers."""
    model.mode.rounding = False
    estimated = measure(model, pictures, torch.device("cpu"))
    assert estimated is not None, "nothing interrupts it"
    runtime = NumpyRuntime()
    encoder, decoder = halves.parsed()
    rows = []
    say(f"float network (estimated bits) against integers (real files), {len(pictures)} validation pictures")
    for point in estimated.points:
        step = round(point.quality * (QUALITY_STEPS - 1))
        files = [PictureEncoder(picture, encoder, decoder, runtime).encode(step).data for picture in pictures]
        decoded = [decode_picture(data, runtime, lambda _: decoder).array for data in files]
        estimate = point.bpp * np.mean([picture[..., 0].size for picture in pictures]) / 8
        row = {
            "quality": point.quality,
            "float_bytes": round(float(estimate), 1),
            "bytes": round(float(np.mean([len(data) for data in files])), 1),
            "float_psnr": round(point.psnr, 3),
            "psnr": round(float(np.mean([psnr(a, b) for a, b in zip(pictures, decoded, strict=True)])), 3),
        }
        rows.append(row)
        say(
            f"quality {100 * point.quality:3.0f}: {row['float_bytes']:7.1f} -> {row['bytes']:7.1f} bytes, "
            f"{row['float_psnr']:.3f} -> {row['psnr']:.3f} dB"
        )
    return rows


def _write(out: Path, name: str, state: dict[str, torch.Tensor], halves: Halves, details: dict[str, Any]) -> None:
    """`state`: the float weights, stored in half precision."""
    if not name.replace("-", "").replace("_", "").isalnum():
        raise InputError(f"{name!r} is no name for a model: letters, digits, - and _")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: {error.strerror}") from error
    tensors = {key: tensor.half().contiguous() for key, tensor in state.items()}
    floats = save(tensors, {"config": details["config"], "pixels": str(details["pixels"])})
    files = {"decoder": halves.decoder, "encoder": halves.encoder, "float16": floats}
    entry: dict[str, Any] = {"name": name, "id": halves.weights_id.hex()}
    for part, data in files.items():
        file = f"{name}.{part}.safetensors"
        write_atomic(out / file, data)
        entry[part] = {"file": file, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    add_entry(out, entry | details)
