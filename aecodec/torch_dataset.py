"""A torch `Dataset` over folders of `.aec` files: latents to train on without making pixels, or pixels.

    from aecodec.torch_dataset import AecFolder
    from torch.utils.data import DataLoader

    folder = AecFolder("train", what="latent")
    for latents, classes in DataLoader(folder, batch_size=64, shuffle=True, num_workers=2):
        loss = criterion(model(latents), classes)

Folders and classes are those of torchvision's ImageFolder; torchvision is not needed.

Set OMP_NUM_THREADS=1 before Python starts: without the native kernels, workers run NumPy, and each should have one
thread. It also keeps workers from hanging that are forked (the default of Linux before Python 3.14) while another
thread multiplies with NumPy; `DataLoader(..., multiprocessing_context="forkserver")` does so, too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from typing import Literal

import numpy as np
import torch
from torch.utils.data import Dataset

from aecodec import api
from aecodec.errors import AecError
from aecodec.errors import InputError
from aecodec.files import walk
from aecodec.forms import read_file
from aecodec.limits import MAX_PIXELS
from aecodec.options import DecodeOptions

SUFFIX = ".aec"


class AecFolder(Dataset[tuple[Any, int]]):
    """Every `.aec` file under `root`, with the index of the sub-folder of `root` that it is in.

        folder = AecFolder("train", what="latent")
        latent, number = folder[0]             # float32 [16, 32, 32] at 256x256
        name = folder.classes[number]

    `what`: "latent" gives a float32 tensor [16, ceil(H/8), ceil(W/8)] with the integers of `aecodec.decode_latent`,
    -2048..2047; "pixels" a uint8 tensor [3, H, W], grey repeated and alpha left out. `transform` is applied to that
    tensor: pictures of different sizes have to leave it alike to make a batch. `classes` are the names of the
    sub-folders in order, `class_to_idx` their numbers, `samples` the pairs of path and number, `targets` the numbers.

    Hidden folders and files, whose names begin with a dot, are passed over. Links to folders are followed; no folder of
    a class is read twice.

    Raises InputError where `root` has no sub-folder, or one of them no file. Reading raises what decoding does, with
    the path in its message.
    """

    def __init__(
        self,
        root: str | Path,
        what: Literal["latent", "pixels"] = "latent",
        transform: Callable[[torch.Tensor], Any] | None = None,
        *,
        weights: str | Path | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        if not isinstance(what, str) or what not in ("latent", "pixels"):
            raise InputError(f"what must be 'latent' or 'pixels', not {what!r}")
        self.what, self.transform = what, transform
        self._weights, self._max_pixels = weights, DecodeOptions(max_pixels=max_pixels).max_pixels
        try:
            self.classes = _classes(Path(root))
        except (TypeError, ValueError) as error:  # ValueError: a NUL in the name
            raise InputError(f"{root!r} is not the path of a folder") from error
        self.class_to_idx = {name: number for number, name in enumerate(self.classes)}
        self.samples = [(path, number) for name, number in self.class_to_idx.items() for path in _files(root, name)]
        self.targets = [number for _, number in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        path, number = self.samples[index]
        try:
            tensor = self._read(path)
        except AecError as error:
            raise type(error)(f"{path}: {error}") from error
        return (tensor if self.transform is None else self.transform(tensor)), number

    def _read(self, path: Path) -> torch.Tensor:
        data = read_file(path, max_pixels=self._max_pixels)
        if self.what == "latent":
            latent = api.decode_latent(data, weights=self._weights, max_pixels=self._max_pixels)
            return torch.from_numpy(latent.astype(np.float32))
        image = api.decode(data, weights=self._weights, max_pixels=self._max_pixels).convert("RGB")
        return torch.from_numpy(np.moveaxis(np.array(image), -1, 0).copy())


def _classes(root: Path) -> list[str]:
    try:
        names = sorted(path.name for path in root.iterdir() if path.is_dir() and not _is_hidden(path))
    except OSError as error:
        raise InputError(f"{root}: {error.strerror}") from error
    if not names:
        raise InputError(f"{root}: no sub-folder, which would be a class")
    return names


def _is_hidden(path: Path) -> bool:
    """Such as `.git`, `.ipynb_checkpoints` and the `._` files of macOS, which `encode` passes over, too."""
    return path.name.startswith(".")


def _files(root: str | Path, name: str) -> list[Path]:
    folder = Path(root) / name
    paths = sorted(folder / below for below in walk(folder))
    found = [path for path in paths if path.suffix.lower() == SUFFIX and path.is_file()]
    if not found:
        raise InputError(f"{folder}: no {SUFFIX} file")
    return found
