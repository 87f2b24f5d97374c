"""Pictures of 25 to 1,000 bytes, and prefixes of files: PSNR at 256x256 beside WebP, AVIF, ThumbHash and BlurHash.

    python benchmarks/tiny.py kodak/ dev256/ [--every 1 10] [--bytes 25 50 100 200 400 800] [--effort 0] [--peers]
    python benchmarks/tiny.py kodak/ --prefixes
    python benchmarks/tiny.py photos/ --sheet sheet.png --peers

Of every folder, every n-th picture is taken, its centre square reduced to 256x256, coded to each number of bytes by the
options of `encode --compact --shrink --target-size`, and decoded to 256x256; up to 32 bytes with `--effort 2`.
WebP and AVIF get the same: each reduced to several sides, at the best quality that fits, and the best of these by
PSNR. The parts of their containers that are the same in every file (24 and 285 bytes) are not counted. ThumbHash and
BlurHash have one size each; they need the packages thumbhash-python and blurhash. Figures are means of dB over the
pictures.
"""

from __future__ import annotations

import argparse
import io
import statistics
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from PIL import ImageDraw

import aecodec
from aecodec.batch.progress import Bar
from aecodec.bench.metrics import psnr
from aecodec.bench.pictures import Pictures

SIDE = 256
FEW_BYTES = 32  # files up to this size need effort
CELL = 152  # of a sheet, in pixels
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
SIDES = (24, 32, 48, 64, 96, 128, 192, 256)  # of WebP and AVIF
FIXED = {"WEBP": 24, "AVIF": 285}  # bytes

Coder = Callable[[Image.Image, int], tuple[int, Image.Image] | None]  # bytes and picture within a number of bytes


def own(effort: int, model: str) -> Coder:
    def code(image: Image.Image, size: int) -> tuple[int, Image.Image] | None:
        tried = max(effort, 2) if size <= FEW_BYTES else effort
        try:
            data = aecodec.encode(image, target_size=size, shrink=True, compact=True, effort=tried, model=model)
        except aecodec.UnreachableTarget:
            return None
        return len(data), aecodec.decode(data)

    return code


def peer(name: str) -> Coder:
    def code(image: Image.Image, size: int) -> tuple[int, Image.Image] | None:
        found = [each for side in SIDES if (each := _best_quality(image, name, side, size + FIXED[name])) is not None]
        if not found:
            return None
        count, picture = max(found, key=lambda each: psnr(np.asarray(image), np.asarray(each[1])))
        return count - FIXED[name], picture

    return code


def _best_quality(image: Image.Image, name: str, side: int, size: int) -> tuple[int, Image.Image] | None:
    """Bytes and decoded picture at the highest quality that fits, by bisection."""
    small = image.resize((side, side), Image.Resampling.LANCZOS)
    low, high, best = 0, 100, None
    while low <= high:
        quality = (low + high) // 2
        stream = io.BytesIO()
        small.save(stream, name, quality=quality, **({"method": 6} if name == "WEBP" else {"speed": 6}))
        if len(stream.getvalue()) <= size:
            best, low = stream, quality + 1
        else:
            high = quality - 1
    if best is None:
        return None
    decoded = Image.open(best).convert("RGB").resize(image.size, Image.Resampling.LANCZOS)
    return len(best.getvalue()), decoded


def thumbhash(image: Image.Image, size: int) -> tuple[int, Image.Image] | None:
    from thumbhash import image_to_thumbhash
    from thumbhash import thumbhash_to_image

    stream = io.BytesIO()
    image.resize((100, 100), Image.Resampling.LANCZOS).save(stream, "PNG")
    text = image_to_thumbhash(stream)
    decoded: Image.Image = thumbhash_to_image(text, SIDE)
    return len(text) * 3 // 4, decoded.convert("RGB").resize(image.size, Image.Resampling.LANCZOS)


def blurhash(image: Image.Image, size: int) -> tuple[int, Image.Image] | None:
    from blurhash import decode
    from blurhash import encode

    text = encode(np.asarray(image.resize((64, 64), Image.Resampling.LANCZOS)).tolist(), 4, 3)
    return len(text), Image.fromarray(np.array(decode(text, SIDE, SIDE)).astype(np.uint8))


def hashes(image: Image.Image, size: int) -> tuple[int, Image.Image] | None:
    """For a sheet: ThumbHash in the column of 25 bytes, BlurHash in that of 50."""
    coder = {25: thumbhash, 50: blurhash}.get(size)
    return None if coder is None else coder(image, size)


def pictures(folders: Sequence[Path], every: Sequence[int]) -> Iterator[tuple[str, Image.Image]]:
    for folder, step in zip(folders, every, strict=True):
        for number, (name, pixels) in enumerate(Pictures(folder, SIDE).named()):
            if number % step == 0:
                yield name, Image.fromarray(pixels)


def compare(images: Sequence[tuple[str, Image.Image]], coders: dict[str, Coder], sizes: Sequence[int]) -> None:
    rows: dict[str, list[str]] = {name: [] for name in coders}
    with Bar() as bar:
        for size in sizes:
            for name, code in coders.items():
                bar.note(f"{name}, {size} bytes")
                found = [(image, coded) for _, image in images if (coded := code(image, size)) is not None]
                fitted = [psnr(np.asarray(image), np.asarray(coded[1])) for image, coded in found]
                mean = f"{statistics.fmean(fitted):.2f}" if fitted else "-"
                rows[name].append(mean if len(fitted) == len(images) else f"{mean} ({len(fitted)})")
    print(f"{len(images)} pictures; in brackets: how many fit")
    print("bytes      " + "".join(f"{size:>13}" for size in sizes))
    for name, cells in rows.items():
        print(f"{name:<11}" + "".join(f"{cell:>13}" for cell in cells))


def prefixes(images: Sequence[tuple[str, Image.Image]], model: str) -> None:
    found = []
    for _, image in images:
        data = aecodec.encode(image, model=model)
        parts = [data[: int(share * len(data))] for share in SHARES]
        decoded = [aecodec.decode(part, partial=True) for part in parts] + [aecodec.decode(data)]
        found.append([psnr(np.asarray(image), np.asarray(each)) for each in decoded])
    shares = [f"{share:.0%}" for share in SHARES] + ["all"]
    print(
        f"{len(images)} pictures, default quality: "
        + ", ".join(f"{share} {value:.2f} dB" for share, value in zip(shares, np.mean(found, axis=0), strict=True))
    )


def sheet(images: Sequence[tuple[str, Image.Image]], coders: dict[str, Coder], sizes: Sequence[int]) -> Image.Image:
    """A row for each picture and coder, a column for each size; the original comes first."""
    step, title = CELL + 4, 14
    page = Image.new("RGB", ((len(sizes) + 1) * step, len(images) * len(coders) * step + title), "white")
    draw = ImageDraw.Draw(page)
    for column, size in enumerate(sizes, 1):
        draw.text((column * step, 1), f"{size} bytes", fill="black")
    for row, (image, name) in enumerate((image, name) for _, image in images for name in coders):
        top = title + row * step
        page.paste(image.resize((CELL, CELL), Image.Resampling.LANCZOS), (0, top))
        for column, size in enumerate(sizes, 1):
            coded = coders[name](image, size)
            if coded is not None:
                page.paste(coded[1].resize((CELL, CELL), Image.Resampling.LANCZOS), (column * step, top))
                draw.text((column * step + 3, top + 2), f"{name} {coded[0]}", fill="white")
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--every", type=int, nargs="+", help="of each folder, every n-th picture")
    parser.add_argument("--bytes", dest="sizes", type=int, nargs="+", default=[25, 50, 100, 200, 400, 800])
    parser.add_argument("--effort", type=int, default=0)
    parser.add_argument("--model", default="standard")
    parser.add_argument("--peers", action="store_true", help="also WebP, AVIF, ThumbHash and BlurHash")
    parser.add_argument("--prefixes", action="store_true", help="decode files cut short instead")
    parser.add_argument("--sheet", type=Path, help="also draw the pictures of every size")
    options = parser.parse_args()

    images = list(pictures(options.folders, options.every or [1] * len(options.folders)))
    if options.prefixes:
        prefixes(images, options.model)
        return
    coders: dict[str, Coder] = {"aecodec": own(options.effort, options.model)}
    if options.peers:
        coders |= {"WebP": peer("WEBP"), "AVIF": peer("AVIF")}
    compare(images, coders, options.sizes)
    if options.peers:
        for name, code in (("ThumbHash", thumbhash), ("BlurHash", blurhash)):
            coded = [code(image, 0) or (0, image) for _, image in images]
            values = [
                psnr(np.asarray(image), np.asarray(each[1])) for (_, image), each in zip(images, coded, strict=True)
            ]
            print(
                f"{name}: {statistics.fmean(values):.2f} dB at {statistics.fmean(each[0] for each in coded):.1f} bytes"
            )
    if options.sheet is not None:
        sheet(images, coders | ({"hash": hashes} if options.peers else {}), options.sizes).save(options.sheet)


if __name__ == "__main__":
    main()
