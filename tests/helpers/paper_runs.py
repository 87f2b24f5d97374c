"""Pictures that the systems of Table 3 are trained on in tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from helpers.pictures import photograph


def save_pictures(folder: Path, seeds: range, side: int = 48) -> Path:
    folder.mkdir(parents=True)
    for seed in seeds:
        Image.fromarray(photograph(side, side, seed)).save(folder / f"{seed:03}.png")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like the output of `aecodec paper dataset`; two of the dev pictures may be shown."""
    root = tmp_path_factory.mktemp("data")
    save_pictures(root / "train", range(7, 16))  # none of them falls to validation
    save_pictures(root / "dev", range(100, 104), side=64)
    rows = ["file,author,original,licence", "dev/101.png,A. N. Author,https://example.org/1,CC BY 2.0"]
    rows += ["dev/102.png,Nobody,https://example.org/2,unknown", "dev/103.png,An Other,https://example.org/3,CC0 1.0"]
    (root / "ATTRIBUTION.csv").write_text("\n".join(rows), "utf-8")
    return root
