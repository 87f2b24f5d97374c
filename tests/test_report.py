"""The report as a file: its contents, its size, and that no data can break out of it."""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import asdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aecodec.batch.progress import CLEAR_LINE
from aecodec.bench import BenchOptions
from aecodec.bench import BenchResult
from aecodec.bench import format_json
from aecodec.bench import run_bench
from aecodec.bench.report import bench_page
from aecodec.bench.report import match_originals
from aecodec.bench.report import view_page
from aecodec.bench.report.choice import Compared
from aecodec.bench.report.choice import choose
from aecodec.bench.report.embedded import embed
from aecodec.bench.report.page import fill_page
from aecodec.bench.report.view import labels
from aecodec.bench.report.viewer import BUDGET_BYTES
from aecodec.bench.report.viewer import Version
from aecodec.bench.report.viewer import show
from aecodec.bench.result import Measurement
from aecodec.cli import run
from aecodec.codec.manifest import find_by_name
from aecodec.errors import InputError
from aecodec.forms import to_text
from helpers.codecs import HOSTILE
from helpers.codecs import OWN
from helpers.codecs import make_report
from helpers.commands import Refused
from helpers.marks import needs_bundled
from helpers.paths import GOLDEN
from helpers.paths import PHOTOS
from helpers.paths import TINY
from helpers.pictures import photograph

pytest.importorskip("matplotlib")


def data_of(page: str) -> dict:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text, parse_constant=pytest.fail)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[BenchResult, str]:
    return make_report(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def folder(report: tuple[BenchResult, str]) -> Path:
    return Path(report[0].folder)


def test_the_page_holds_the_figures_of_the_json(report: tuple[BenchResult, str]) -> None:
    result, page = report
    shown, whole = data_of(page)["result"], json.loads(format_json(result))
    for field in ("rows", "bd_rates", "speeds", "equal_bytes", "environment", "codecs", "pictures", "shown_quality"):
        assert shown[field] == whole[field], field
    at_shown = [each for each in whole["measurements"] if (each["codec"], each["quality"]) == ("aecodec", 50)]
    assert shown["measurements"] == at_shown
    assert len(at_shown) == 3


def test_the_viewer_has_the_files_that_were_measured(report: tuple[BenchResult, str]) -> None:
    data = data_of(report[1])
    assert {picture["name"] for picture in data["viewer"]} == {"lighthouse.png", "bay.png", HOSTILE}
    measured = {(each["picture"], each["codec"]): each for each in data["result"]["equal_bytes"]}
    for picture in data["viewer"]:
        assert [side["label"] for side in picture["sides"]] == ["original", "aecodec", "JPEG", "WebP"]
        for side in picture["sides"][2:]:
            figures = measured[picture["name"], side["codec"]]
            assert side["figures"]["size_bytes"] == figures["size_bytes"]
            assert side["src"].startswith(f"data:image/{side['codec']};base64,")
            assert len(side["src"].partition(",")[2]) == -(-figures["size_bytes"] // 3) * 4


def test_nothing_breaks_out_and_nothing_is_fetched(report: tuple[BenchResult, str]) -> None:
    page = report[1]
    assert "alert(1)<" not in page
    assert page.count("<script") == 2
    assert "default-src 'none'" in page
    addresses = set(re.findall(r"""(?:https?:)?//[\w.-]+\.\w+[^"'\s]*""", re.sub(r"base64,[\w+/=]*", "", page)))
    assert addresses == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}  # names, not addresses
    assert not re.search(r"@import|url\(\s*['\"]?(?!#)", page)


def test_each_chart_has_a_line_for_each_codec_and_numbered_points(report: tuple[BenchResult, str]) -> None:
    result, page = report
    charts = re.findall(r'<figure class="chart" data-metric="(\w+)">(.*?)</figure>', page, re.DOTALL)
    assert [metric for metric, _ in charts] == ["psnr", "ms_ssim", "l1"]
    for metric, svg in charts:
        assert set(re.findall(rf'id="curve-{metric}-([\w-]+)"', svg)) == {"aecodec", "jpeg", "webp"}
        numbers = [int(number) for number in re.findall(rf'id="point-{metric}-(\d+)"', svg)]
        assert {0, 1, 2, 3, 4} <= set(numbers) <= set(range(len(result.rows)))
        assert "var(--accent)" in svg
        assert not re.search(r"#0[1-4]0[1-4]0[1-4]", svg)
    ids = re.findall(r' id="([^"]+)"', "".join(svg for _, svg in charts))
    named = [name for name in ids if name.startswith(("curve-", "point-"))]
    assert len(named) == len(set(named))


@pytest.mark.parametrize("codecs", [("jpeg",), ()])
def test_a_report_of_a_single_quality_and_of_no_peer(folder: Path, codecs: tuple[str, ...]) -> None:
    options = BenchOptions(folder, codecs, qualities=(50.0,), size=64, equal_bytes=True)
    page = bench_page(run_bench(options, own=OWN), options, own=OWN)
    assert data_of(page)["result"]["shown_quality"] == 50


def measured(name: str, codec: str, size_bytes: int, psnr: float) -> Measurement:
    return Measurement(name, 8, 8, codec, 50, size_bytes, 1.0, psnr, 0.1, None, None, 1.0, 1.0)


def compared_pictures(count: int) -> list[Compared]:
    return [Compared(measured(f"{n:04}", "aecodec", 9, 30 + n), (measured("", "jpeg", 9, 30),)) for n in range(count)]


def test_the_best_the_worst_and_some_drawn_by_lot_are_shown() -> None:
    chosen = choose(compared_pictures(1000))
    names = [int(each.own.picture) for each, _ in chosen]
    assert len(set(names)) == 48
    assert names == sorted(names, reverse=True)
    assert names[:16] == list(range(999, 983, -1))
    assert names[-16:] == list(range(15, -1, -1))
    assert [reason for _, reason in chosen] == ["best"] * 16 + ["drawn"] * 16 + ["worst"] * 16
    assert chosen == choose(compared_pictures(1000)[::-1])
    assert {reason for _, reason in choose(compared_pictures(48))} == {"all"}


def test_gain_is_over_the_best_peer_that_is_no_larger() -> None:
    own = measured("a", "aecodec", 100, 30)
    peers = measured("a", "jpeg", 90, 25), measured("a", "webp", 100, 28), measured("a", "avif", 101, 33)
    assert Compared(own, peers).gain == 2


def test_a_picture_too_large_for_the_budget_shows_its_middle() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (700, 900, 3), np.uint8)
    original = Version("original", "", noise, b"", {})
    own = Version("aecodec", "aecodec", noise // 2, b"", {})
    peer = Version("JPEG", "jpeg", noise // 3, b"x" * 1000, {})
    whole = show("a", "all", [original, own, peer], 10_000_000)
    assert whole["window"] == {"left": 0, "top": 0, "width": 900, "height": 700}
    assert (whole["left"], whole["right"]) == (2, 1)
    cut = show("a", "all", [original, own, peer], 400_000)
    assert cut["window"] == {"left": 322, "top": 222, "width": 256, "height": 256}
    assert sum(len(side["src"]) for side in cut["sides"]) < 400_000 * 4 / 3
    assert (cut["sides"][0]["image_width"], cut["sides"][0]["left"]) == (256, 0)
    # The peer's own file is small: it is there as a whole, and the window looks at its middle.
    assert (cut["sides"][2]["image_width"], cut["sides"][2]["left"]) == (900, 322)


def test_the_strongest_peer_that_is_no_larger_is_seen_first() -> None:
    def version(codec: str, psnr: float, note: str | None = None) -> Version:
        return Version(codec, codec, np.zeros((8, 8, 3), np.uint8), b"", {"psnr": psnr, "note": note})

    own, larger = version("aecodec", 30.0), version("jxl", 31.0, "its smallest file: 9 % more bytes")
    peers = [version("jpeg", 20.0), version("webp", 25.0), larger]
    versions = [version("", 99.0), own, *peers]
    assert versions[show("a", "all", versions, 10_000)["left"]].codec == "webp"
    assert versions[show("a", "all", [versions[0], own, larger], 10_000)["left"] + 2].codec == "jxl"


def test_a_thousand_photographs_make_a_page_under_thirty_megabytes(report: tuple[BenchResult, str]) -> None:
    name, figure = "photograph-0001-of-a-long-name.jpg", 12.345678901234567
    each = Measurement(name, 4000, 3000, "avif-psnr", figure, 123456, *[figure] * 7)
    table = fill_page("", asdict(replace(report[0], measurements=(each,) * 1000, equal_bytes=(each,) * 5000)))
    charts = 4 * 100_000
    assert len(table) + charts + BUDGET_BYTES * 4 / 3 < 30_000_000


def test_the_command_writes_report_and_json_of_one_run(folder: Path, tmp_path: Path) -> None:
    html, figures = tmp_path / "report.html", tmp_path / "figures.json"
    options = ["--model", "tiny", "--codecs", "jpeg", "-q", "20,40,60", "--size", "64"]
    assert run(["bench", str(folder), *options, "--html", str(html), "--json", str(figures)]) == 0
    assert data_of(html.read_text("utf-8"))["result"]["rows"] == json.loads(figures.read_text())["rows"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures.json", "report.html"]


def test_a_missing_extra_is_one_line_before_anything_is_measured(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("aecodec.bench.run_bench", lambda options: pytest.fail("measured"))
    assert run(["bench", str(folder), "--model", "tiny", "--html", str(tmp_path / "report.html")]) == 1
    assert capsys.readouterr().err == 'aecodec: a report needs `pip install "aecodec[bench]"`\n'


# View


@pytest.fixture
def files(tmp_path: Path, folder: Path) -> list[Path]:
    for name in ("lighthouse", "bay"):
        assert run(["encode", str(folder / f"{name}.png"), str(tmp_path / f"{name}.aec"), "--model", "tiny"]) == 0
    return [tmp_path / "lighthouse.aec", tmp_path / "bay.aec"]


def test_view_shows_size_and_settings(files: list[Path], folder: Path) -> None:
    first, second = data_of(view_page(match_originals(files, [folder / "bay.png"])))["viewer"]
    assert [side["label"] for side in first["sides"]] == ["aecodec"]
    assert first["sides"][0]["figures"]["size_bytes"] == files[0].stat().st_size
    assert first["sides"][0]["figures"]["model"] == "tiny"
    assert [side["label"] for side in second["sides"]] == ["original", "aecodec"]
    assert 10 < second["sides"][1]["figures"]["psnr"] < 50


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_view_of_a_file_with_alpha_compares_its_colours(tmp_path: Path, mode: str) -> None:
    source, file = tmp_path / "a.png", tmp_path / "a.aec"
    image = Image.fromarray(photograph(64, 64)).convert(mode)
    image.putalpha(Image.linear_gradient("L").resize((64, 64)))
    image.save(source)
    assert run(["encode", str(source), str(file), "--model", "tiny"]) == 0
    [shown] = data_of(view_page(match_originals([file], [source])))["viewer"]
    assert 8 < shown["sides"][1]["figures"]["psnr"] < 50


def test_originals_are_matched_by_name_and_a_single_one_by_itself(folder: Path) -> None:
    assert match_originals([Path("a.aec")], [Path("b.png")]) == [(Path("a.aec"), Path("b.png"))]
    with pytest.raises(InputError, match=r"named c\.aec"):
        match_originals([Path("a.aec"), Path("b.aec")], [Path("c.png")])
    with pytest.raises(InputError, match=r"y/a\.png: x/a\.png has this name, too"):
        match_originals([Path("x/a.aec"), Path("y/a.aec")], [Path("x/a.png"), Path("y/a.png")])
    one = Path("a.png")
    assert match_originals([Path("x/a.aec"), Path("y/a.aec")], [one]) == [
        (Path("x/a.aec"), one),
        (Path("y/a.aec"), one),
    ]


def test_files_of_one_name_are_shown_with_the_folders_that_tell_them_apart(files: list[Path], tmp_path: Path) -> None:
    paths = [Path(name) for name in ("a/x/1.aec", "b/x/1.aec", "c/1.aec", "1.aec", "c/2.aec", "c/2.aec", "c/./3.aec")]
    assert labels(paths) == ["a/x/1.aec", "b/x/1.aec", "c/1.aec", "1.aec", "2.aec", "2.aec", "3.aec"]
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        shutil.copy(files[0], tmp_path / name / "same.aec")
    page = view_page([(tmp_path / name / "same.aec", None) for name in ("one", "other")])
    assert [picture["name"] for picture in data_of(page)["viewer"]] == ["one/same.aec", "other/same.aec"]
    assert "<title>aecodec: one/same.aec, other/same.aec</title>" in page


def test_view_never_writes_over_what_it_shows(files: list[Path], folder: Path, refused: Refused) -> None:
    source = folder / "lighthouse.png"
    for out in (files[0], source):
        assert f"{out}: is an input itself" in refused(1, "view", files[0], "--original", source, "--out", out)
    assert f"aecodec: {folder / 'gone.png'}: No such" in refused(1, "view", files[0], "--original", folder / "gone.png")


def test_view_of_text(files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, out = tmp_path / "a.txt", tmp_path / "page.html"
    text.write_bytes(to_text(files[0].read_bytes()))
    assert run(["view", str(text), "--text", "--out", str(out)]) == 0
    assert len(data_of(out.read_text("utf-8"))["viewer"]) == 1


def test_view_on_the_command_line(
    files: list[Path], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "page.html"
    assert run(["view", *map(str, files), "--out", str(out)]) == 0
    assert len(data_of(out.read_text("utf-8"))["viewer"]) == 2
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run(["view", str(files[0]), "--original", str(folder / "lighthouse.png")]) == 0
    assert opened[0].startswith("file://")
    assert opened[0].endswith("/view.html")
    capsys.readouterr()
    assert run(["view", str(files[0]), "--original", str(PHOTOS / "bay.png"), "--out", str(out)]) == 1
    error = f"aecodec: {PHOTOS / 'bay.png'}: 256x256 pixels, where {files[0]} has 176x176\n"
    assert capsys.readouterr().err == error
    assert run(["view", str(tmp_path / "missing.aec"), "--out", str(out)]) == 1


def test_view_leaves_out_what_it_cannot_show(
    files: list[Path], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged, missing, out = tmp_path / "damaged.aec", tmp_path / "missing.aec", tmp_path / "page.html"
    damaged.write_bytes(files[0].read_bytes()[:-1])
    lines = [
        f"aecodec: {missing}: No such file or directory",
        f"aecodec: {damaged}: damaged file: a checksum does not match",
    ]
    capsys.readouterr()
    assert run(["view", str(missing), str(files[0]), str(damaged), str(files[1]), "--out", str(out)]) == 3
    assert capsys.readouterr().err.splitlines() == lines
    assert [picture["name"] for picture in data_of(out.read_text("utf-8"))["viewer"]] == ["lighthouse.aec", "bay.aec"]
    out.unlink()
    assert run(["view", str(damaged), str(missing), "--out", str(out)]) == 1
    assert capsys.readouterr().err.splitlines() == lines[::-1]
    assert not out.exists()


def test_view_shows_its_progress_on_a_terminal(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged, out = tmp_path / "damaged.aec", tmp_path / "page.html"
    damaged.write_bytes(b"no file")
    paths = [str(path) for path in (damaged, *files)]
    capsys.readouterr()
    assert run(["view", *paths[1:], "--out", str(out)]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run(["view", *paths, "--out", str(out)]) == 3
    shown = capsys.readouterr().err
    assert f"{CLEAR_LINE}aecodec: {damaged}: not an .aec file\n" in shown
    assert "] 3/3, 0:00 left" in shown
    assert shown.endswith(CLEAR_LINE)


def viewed(*lengths: int) -> list[dict[str, Any]]:
    """Pictures of a viewer without an original, whose images take so many characters; all but 128x128 is cut off."""
    window = {"left": 64, "top": 64, "width": 128, "height": 128}
    return [
        {"width": 256, "height": 256, "window": dict(window), "right": 0, "sides": [{"src": "x" * length}]}
        for length in lengths
    ]


@needs_bundled
def test_a_page_holds_the_files_where_that_is_smaller() -> None:
    plain = (GOLDEN / "bundled" / "light-bay-default.aec").read_bytes()
    alpha = (TINY / "extras-60.aec").read_bytes()
    few, many = viewed(100_000, 100_000), viewed(*[100_000] * 6)
    assert embed(few, [plain, plain]) is None
    assert [picture["sides"][0].get("aec") for picture in few] == [None, None]
    decoder = embed(many, [*[plain] * 5, alpha])
    assert decoder is not None
    [weights] = decoder["weights"].items()
    assert weights[0] == find_by_name("light").weights_id.hex()
    assert all("src" not in picture["sides"][0] for picture in many[:5])
    assert many[0]["window"] == {"left": 0, "top": 0, "width": 256, "height": 256}  # whole, as it takes no more bytes
    assert many[5]["sides"][0] == {"src": "x" * 100_000}
    embedded = sum(len(picture["sides"][0]["aec"]) for picture in many[:5])
    assert embedded + len(decoder["script"]) + len(decoder["wasm"]) + len(weights[1]) < 500_000
