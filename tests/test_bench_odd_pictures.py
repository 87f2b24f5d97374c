"""The bench with pictures without loss, pictures that a peer cannot hold, special files and odd names."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sys
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aecodec.bench import BenchOptions
from aecodec.bench import format_csv
from aecodec.bench import format_json
from aecodec.bench import run_bench
from aecodec.bench.peers import PillowCodec
from aecodec.bench.report import bench_page
from aecodec.cli import run
from aecodec.errors import InputError
from helpers.codecs import Stepper
from helpers.commands import Refused
from helpers.pictures import photograph


@dataclass(frozen=True)
class Narrow(PillowCodec):
    """JPEG that holds up to 100 columns."""

    def encode(self, pixels: np.ndarray, quality: float) -> bytes:
        if pixels.shape[1] > 100:
            raise InputError(f"{self.name}: more than 100 columns")
        return super().encode(pixels, quality)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = Narrow("jpeg", "jpg", "libjpeg_turbo", "", (20, 40, 60, 80), "JPEG", {})
    monkeypatch.setattr("aecodec.bench.peers.PEERS", [codec])


def save(folder: Path, name: str, height: int = 48, width: int = 64) -> None:
    Image.fromarray(photograph(height, width)).save(folder / name, "PNG")


def test_a_picture_without_loss_leaves_means_charts_and_json_finite(tmp_path: Path, narrow: None):
    save(tmp_path, "photo.png", 176, 96)
    Image.new("RGB", (96, 176), "white").save(tmp_path / "blank.png")
    options = BenchOptions(tmp_path, ("jpeg",), equal_bytes=True)
    result = run_bench(options, own=Stepper())
    lossless = [each for each in result.measurements if each.picture == "blank.png" and each.psnr == np.inf]
    assert lossless
    for row in result.rows:
        of_row = [m for m in result.measurements if (m.codec, m.quality) == (row.codec, row.quality)]
        assert row.psnr == pytest.approx(np.mean([min(m.psnr, 60) for m in of_row]))
    assert any("60 dB" in notice for notice in result.notices)
    assert {rate.metric for rate in result.bd_rates} >= {"psnr"}
    json.loads(format_json(result), parse_constant=pytest.fail)
    pytest.importorskip("matplotlib")
    assert "<svg" in bench_page(result, options, own=Stepper())


@pytest.mark.parametrize("at_bytes", [None, 2000])
def test_a_picture_that_a_peer_cannot_hold_is_left_out_for_all_and_named(
    tmp_path: Path, narrow: None, at_bytes: int | None
):
    save(tmp_path, "a.png")
    save(tmp_path, "panorama.png", 20, 101)
    save(tmp_path, "z.png")
    result = run_bench(BenchOptions(tmp_path, ("jpeg",), at_bytes=at_bytes), own=Stepper())
    assert (result.pictures, result.left_out) == (2, 1)
    assert result.notices[0] == "left out: panorama.png: jpeg: more than 100 columns"
    assert {each.picture for each in result.measurements} <= {"a.png", "z.png"}
    os.unlink(tmp_path / "a.png")
    os.unlink(tmp_path / "z.png")
    with pytest.raises(InputError, match=r"no picture that every codec can hold; .*panorama\.png: jpeg: more than"):
        run_bench(BenchOptions(tmp_path, ("jpeg",), at_bytes=at_bytes), own=Stepper())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_among_the_pictures_is_left_out_and_named(tmp_path: Path, narrow: None):
    save(tmp_path, "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    result = run_bench(BenchOptions(tmp_path, ("jpeg",)), own=Stepper())
    assert (result.pictures, result.left_out) == (1, 1)
    assert result.notices[0] == f"left out: {tmp_path / 'pipe.png'}: not a regular file"


def test_a_figure_without_a_value_is_empty(tmp_path: Path, narrow: None) -> None:
    save(tmp_path, "a.png")
    result = run_bench(BenchOptions(tmp_path, ("jpeg",)), own=Stepper())
    lossless = [replace(measurement, psnr=math.inf, ms_ssim=None) for measurement in result.measurements]
    rows = list(csv.DictReader(io.StringIO(format_csv(replace(result, measurements=lossless)))))
    assert {(row["psnr"], row["ms_ssim"]) for row in rows} == {("", "")}


def test_no_output_replaces_a_picture(tmp_path: Path, refused: Refused) -> None:
    save(tmp_path, "a.png")
    for option in ("--csv", "--json", "--html"):
        assert "named like a picture" in refused(2, "bench", tmp_path, option, tmp_path / "a.png")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="these names are for Linux")
def test_odd_names_reach_page_and_csv_and_no_cell_is_a_formula(
    tmp_path: Path, narrow: None, monkeypatch: pytest.MonkeyPatch
):
    names = ["=cmd|' -C calc'!A0.png", "+1.png", "-1.png", "@SUM(A1).png", "\t=1.png", "\udcff.png", "plain.png"]
    folder = tmp_path / "in"
    folder.mkdir()
    for name in names:
        save(folder, name)
    result = run_bench(BenchOptions(folder, ("jpeg",)), own=Stepper())
    cells = {row["picture"] for row in csv.DictReader(io.StringIO(format_csv(result)))}
    assert cells == {name if name[0] in "\udcffp" else f"'{name}" for name in names}
    table, figures = tmp_path / "out.csv", tmp_path / "out.json"
    command = ["bench", str(folder), "--codecs", "jpeg", "--model", "tiny", "-q", "50"]
    assert run([*command, "--csv", str(table), "--json", str(figures)]) == 0
    assert "\\udcff.png" in table.read_text("utf-8")
    json.loads(figures.read_text("utf-8"))
