"""The viewer for given `.aec` files, beside their originals, if given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aecodec.batch.jobs import naming
from aecodec.batch.progress import Bar
from aecodec.bench.against import decoded_alone
from aecodec.bench.against import decoded_beside
from aecodec.bench.metrics import l1
from aecodec.bench.metrics import ms_ssim
from aecodec.bench.metrics import psnr
from aecodec.bench.report.embedded import embed
from aecodec.bench.report.page import fill_page
from aecodec.bench.report.viewer import BUDGET_BYTES
from aecodec.bench.report.viewer import Version
from aecodec.bench.report.viewer import original
from aecodec.bench.report.viewer import show
from aecodec.errors import AecError
from aecodec.errors import InputError
from aecodec.forms import read_file
from aecodec.info import read_info


def view_page(
    pairs: Sequence[tuple[Path, Path | None]], text: bool = False, left_out: Callable[[AecError], None] | None = None
) -> str:
    """A page that shows `.aec` files, one or more, beside their originals.

    With enough pictures, the page holds the files and decodes them. `text`: the files are base64url text. Reports
    progress on a terminal. A file that cannot be shown raises AecError, or is told to `left_out` and left out; the
    page is empty if all are.
    """
    files, shown = [], []
    names = labels([file for file, _ in pairs])
    with Bar() as bar:
        bar.start("pictures", len(pairs))
        for name, (file, source) in zip(names, pairs, strict=True):
            try:
                with naming(file):
                    data = read_file(file, text=text)
                shown.append(_shown(name, file, data, source, BUDGET_BYTES // len(pairs)))
                files.append(data)
            except AecError as error:
                if left_out is None:
                    raise
                bar.note("")
                left_out(error)
            bar.step()
    if not shown:
        return ""
    decoder = embed(shown, files)
    title = ", ".join(picture["name"] for picture in shown[:3]) + (" and others" if len(shown) > 3 else "")
    return fill_page(f"aecodec: {title}", {"viewer": shown} | ({"decoder": decoder} if decoder else {}))


def labels(paths: Sequence[Path]) -> list[str]:
    """Each path by its name, after as many of its folders as tell it from the others."""
    endings = Counter(parts[-n:] for parts in {path.parts for path in paths} for n in range(1, len(parts) + 1))
    return [_shortest(path, endings) for path in paths]


def _shortest(path: Path, endings: Counter[tuple[str, ...]]) -> str:
    """The shortest ending of a path that no other has, or all of it."""
    own = (path.parts[-n:] for n in range(1, len(path.parts)))
    return str(Path(*next((ending for ending in own if endings[ending] == 1), path.parts)))


def match_originals(files: Sequence[Path], originals: Sequence[Path]) -> list[tuple[Path, Path | None]]:
    """Each file with the original that has its name without extension; one file and one original belong together.

    Raises InputError for an original that fits no file, or that has the name of another.
    """
    if len(files) == len(originals) == 1:
        return [(files[0], originals[0])]
    stems = {file.stem for file in files}
    by_stem: dict[str, Path] = {}
    for path in originals:
        if path.stem not in stems:
            raise InputError(f"{path}: no file here is named {path.stem}.aec")
        if by_stem.setdefault(path.stem, path) != path:
            raise InputError(f"{path}: {by_stem[path.stem]} has this name, too; view such files one at a time")
    return [(file, by_stem.get(file.stem)) for file in files]


def _shown(name: str, file: Path, data: bytes, source: Path | None, budget_bytes: int) -> dict[str, Any]:
    with naming(file):
        info = read_info(data)
    before, pixels = _pictures(data, file, source)
    figures: dict[str, object] = {
        "size_bytes": info.size_bytes,
        "bits_per_pixel": info.bits_per_pixel,
        "quality": info.quality,
        "model": info.model or info.weights_id,
        "weights": info.weights_id,
        "pixels": f"{info.width} \u00d7 {info.height}",
    }
    versions = [Version("aecodec", "aecodec", pixels, data, figures)]
    if before is not None:
        figures |= {"psnr": psnr(before, pixels), "ms_ssim": ms_ssim(before, pixels), "l1": l1(before, pixels)}
        versions.insert(0, original(before))
    return show(name, "all", versions, budget_bytes)


def _pictures(data: bytes, file: Path, source: Path | None) -> tuple[np.ndarray | None, np.ndarray]:
    """The original, if there is one, and what the file decodes to."""
    if source is not None:
        return decoded_beside(data, file, source)
    with naming(file):
        return None, decoded_alone(data)
