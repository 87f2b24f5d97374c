"""Train a small classifier on the latents of `.aec` files, and the same one on pixels: what does that save?

    python examples/train_on_latents.py pictures/        # a sub-folder of pictures for each class
    python examples/train_on_latents.py                  # demo: from which of examples/photos is a crop?

Pictures are cut to their centre square, reduced, and written as `.aec` and as JPEG; every fourth is held out. In the
demo the held-out crops come from the right part of each photograph, of which no training crop has seen a pixel. Each is
trained three times, from other random starts. Needs torch. The demo, with OMP_NUM_THREADS=1 and weights e218a9a4:

    336 pictures of 64x64 pixels, model standard
                        bytes a    processor seconds an epoch         share named right
    learning from       picture         to read      to train      mean   of 3 starts
    latents of .aec         160            0.89          0.08     61.1%   58.3% to 63.1%
    pixels of .aec          160            1.79          0.23     67.9%   65.5% to 72.6%
    pixels of JPEG        1,434            0.06          0.19     70.6%   60.7% to 78.6%

So latents take half the reading and a third of the training of pixels from `.aec`, for some accuracy; JPEG, at nine
times the bytes, is read far faster than either.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL import ImageOps
from torch import Tensor
from torch import nn

import aecodec
from aecodec.torch_dataset import AecFolder

PHOTOS = Path(__file__).parent / "photos"
JPEG_QUALITY = 75
HOLD_OUT = 4
SEEDS = 3

Labelled = tuple[Tensor, Tensor]  # what to learn from [N, ...] and its classes [N]


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        written = write(options, Path(folder))
        print(f"{written} pictures of {options.side}x{options.side} pixels, model {options.model}")
        print(f"{'':<18}{'bytes a':>9}{'processor seconds an epoch':>30}{'share named right':>26}")
        print(f"{'learning from':<18}{'picture':>9}{'to read':>16}{'to train':>14}{'mean':>10}   of {SEEDS} starts")
        for name, kind in (("latents of .aec", "latent"), ("pixels of .aec", "pixels"), ("pixels of JPEG", "jpeg")):
            compare(name, kind, Path(folder), options.epochs)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path, nargs="?", help="a sub-folder of pictures for each class; or the demo")
    parser.add_argument("--side", type=int, default=64, help="pixels a side")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--quality", type=float, help="by default the model's own")
    parser.add_argument("--model", default="standard")
    parser.add_argument("--crops", type=int, default=48, help="per photograph of the demo")
    return parser.parse_args()


# Pictures to files.


def write(options: argparse.Namespace, folder: Path) -> int:
    """Writes `folder`/{aec,jpeg}/{train,test}/CLASS/NUMBER; returns how many pictures there are."""
    source = demo(options.side, options.crops) if options.pictures is None else own(options.pictures, options.side)
    number = -1
    for number, (image, name, part) in enumerate(source):
        for kind in ("aec", "jpeg"):
            (folder / kind / part / name).mkdir(parents=True, exist_ok=True)
        data = aecodec.encode(image, options.quality, model=options.model)
        (folder / "aec" / part / name / f"{number:06}.aec").write_bytes(data)
        image.save(folder / "jpeg" / part / name / f"{number:06}.jpg", quality=JPEG_QUALITY)
    return number + 1


def own(pictures: Path, side: int) -> Iterator[tuple[Image.Image, str, str]]:
    """(picture, class, part) of every picture that Pillow opens in the sub-folders of a folder."""
    for folder in sorted(path for path in pictures.iterdir() if path.is_dir()):
        readable = 0
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            try:
                with Image.open(path) as image:
                    square = ImageOps.fit(ImageOps.exif_transpose(image).convert("RGB"), (side, side))
            except OSError:
                continue
            readable += 1
            yield square, folder.name, "train" if readable % HOLD_OUT else "test"


def demo(side: int, crops: int) -> Iterator[tuple[Image.Image, str, str]]:
    """Crops at random places: of the left 160 columns of a photograph to train on, of the rest to test."""
    random = np.random.default_rng(1)
    for path in sorted(PHOTOS.glob("*.[jp][pn]g")):
        with Image.open(path) as photo:
            for number in range(crops):
                part, left, right = ("train", 0, 160) if number % HOLD_OUT else ("test", 160, photo.width)
                x, y = random.integers(left, right - side + 1), random.integers(photo.height - side + 1)
                yield photo.convert("RGB").crop((x, y, x + side, y + side)), path.stem, part


# Files to tensors, and on to an accuracy.


def compare(name: str, kind: str, folder: Path, epochs: int) -> None:
    """Prints a row of the table."""
    test, _ = read(kind, folder, "test")  # first, so that the time of what follows is not that of loading weights
    start = time.process_time()
    train, size = read(kind, folder, "train")
    reading = time.process_time() - start
    start = time.process_time()
    accuracies = [accuracy(train, test, epochs, seed) for seed in range(SEEDS)]
    learning = (time.process_time() - start) / SEEDS / epochs
    mean, low, high = np.mean(accuracies), min(accuracies), max(accuracies)
    print(f"{name:<18}{size:>9,.0f}{reading:>16.2f}{learning:>14.2f}{mean:>10.1%}   {low:.1%} to {high:.1%}")


def read(kind: str, folder: Path, part: str) -> tuple[Labelled, float]:
    """All of one part in memory, and the mean size of its files in bytes."""
    if kind == "jpeg":
        paths = sorted((folder / "jpeg" / part).rglob("*.jpg"))
        pictures = [torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1) for path in paths]
        names = sorted({path.parent.name for path in paths})
        classes = [names.index(path.parent.name) for path in paths]
    else:
        found = AecFolder(folder / "aec" / part, "latent" if kind == "latent" else "pixels")
        paths, classes = [path for path, _ in found.samples], found.targets
        pictures = [picture for picture, _ in found]
    size = float(np.mean([path.stat().st_size for path in paths]))
    return (torch.stack(pictures).float(), torch.tensor(classes)), size


def network(channels: int, classes: int) -> nn.Module:
    """For pixels three layers come first that reduce them to the 16 channels and the size of the latent."""

    def layer(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs), nn.ReLU())

    stem = [layer(3, 16, 2), layer(16, 16, 2), layer(16, 16, 2)] if channels == 3 else []
    trunk = [layer(16, 64), layer(64, 64, 2), layer(64, 64)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, classes)]
    return nn.Sequential(nn.BatchNorm2d(channels), *stem, *trunk, *head)


def accuracy(train: Labelled, test: Labelled, epochs: int, seed: int) -> float:
    """Share of the held-out pictures whose class a network names that was trained on the others."""
    torch.manual_seed(seed)
    model = network(train[0].shape[1], int(train[1].max()) + 1)
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    for _ in range(epochs):
        for batch in torch.randperm(len(train[0])).split(32):
            loss = nn.functional.cross_entropy(model(train[0][batch]), train[1][batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        right = [model(x).argmax(1) == y for x, y in zip(test[0].split(64), test[1].split(64), strict=True)]
    return float(torch.cat(right).float().mean())


if __name__ == "__main__":
    main()
