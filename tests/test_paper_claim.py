"""The claim of 99 %: the quality that fits, the distribution, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from aecodec import api
from aecodec.bench.metrics import l1
from aecodec.cli import run
from aecodec.image.reading import open_picture
from aecodec.paper.claim import measure_claims
from helpers.marks import needs_bundled
from helpers.paths import PHOTOS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("aqueduct.png", "bay.png", "lighthouse.png"):
        (tmp_path / name).symlink_to(PHOTOS / name)
    return tmp_path


@needs_bundled
def test_the_distribution_is_that_of_real_files(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "claims.json"
    (folder / "broken.png").write_bytes(b"no picture")
    assert run(["paper", "claim", str(folder), "--model", "paper", "--json", str(out)]) == 0
    told = capsys.readouterr()
    assert "broken.png" in told.err
    content = json.loads(out.read_text("utf-8"))
    assert [notice in told.err for notice in content["notices"]] == [True]
    (found,) = content["claims"]
    (folder / "broken.png").unlink()
    pictures = [open_picture(path).pixels for path in sorted(folder.glob("*.png"))]
    files = [api.encode(picture, found["quality"], model="paper") for picture in pictures]
    sizes = [len(data) for data in files]
    losses = [l1(picture, api.decode_pixels(data)) for picture, data in zip(pictures, files, strict=True)]
    assert found["size_bytes"]["mean"] == pytest.approx(np.mean(sizes))
    assert found["size_bytes"]["mean"] <= 1966.08
    assert found["size_bytes"]["high"] == pytest.approx(np.percentile(sizes, 95))
    assert found["l1"] == {
        "mean": pytest.approx(np.mean(losses)),
        "low": pytest.approx(np.percentile(losses, 5)),
        "high": pytest.approx(np.percentile(losses, 95)),
    }
    step = round(found["quality"] * 255 / 100)
    larger = [len(api.encode(picture, (step + 1) * 100 / 255, model="paper")) for picture in pictures]
    assert np.mean(larger) > 1966, "the largest quality that fits"
    row = told.out.splitlines()[-1]
    assert f"{found['l1']['mean']:.4f}" in row


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["nowhere"], 1, "nowhere: No such file or directory"),
        (["."], 1, ".: no picture in it"),
        ([str(PHOTOS), "--model", "none"], 2, "none"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str],
    exit_code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["paper", "claim", *arguments]) == exit_code
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_files_that_are_all_too_large_are_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aecodec.errors import AecError
    from aecodec.paper import claim

    monkeypatch.setattr(claim, "SHARE_OF_RAW", 0.0001)
    with pytest.raises(AecError, match="tiny: the lowest quality takes"):
        measure_claims(folder, ["tiny"])
