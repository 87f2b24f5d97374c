"""The viewer for given `.aec` files, beside their originals, if given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aecodec.batch.jobs import naming
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
from aecodec.errors import InputError
from aecodec.forms import read_file
from aecodec.info import read_info


def view_page(pairs: Sequence[tuple[Path, Path | None]], text: bool = False) -> str:
    """A page that shows `.aec` files, one or more, beside their originals. Raises AecError if one cannot be read.

    With enough pictures, the page holds the files and decodes them. `text`: the files are base64url text.
    """
    files, shown = [], []
    for file, source in pairs:
        with naming(file):
            files.append(read_file(file, text=text))
        shown.append(_shown(file, files[-1], source, BUDGET_BYTES // len(pairs)))
    decoder = embed(shown, files)
    title = ", ".join(file.name for file, _ in pairs[:3]) + (" and others" if len(pairs) > 3 else "")
    return fill_page(f"aecodec: {title}", {"viewer": shown} | ({"decoder": decoder} if decoder else {}))


def match_originals(files: Sequence[Path], originals: Sequence[Path]) -> list[tuple[Path, Path | None]]:
    """Each file with the original that has its name without extension; one file and one original belong together.

    Raises InputError for an original that fits no file.
    """
    if len(files) == len(originals) == 1:
        return [(files[0], originals[0])]
    by_stem = {path.stem: path for path in originals}
    for path in originals:
        if path.stem not in {file.stem for file in files}:
            raise InputError(f"{path}: no file here is named {path.stem}.aec")
    return [(file, by_stem.get(file.stem)) for file in files]


def _shown(file: Path, data: bytes, source: Path | None, budget_bytes: int) -> dict[str, Any]:
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
    return show(file.name, "all", versions, budget_bytes)


def _pictures(data: bytes, file: Path, source: Path | None) -> tuple[np.ndarray | None, np.ndarray]:
    """The original, if there is one, and what the file decodes to."""
    if source is not None:
        return decoded_beside(data, file, source)
    with naming(file):
        return None, decoded_alone(data)
