"""An interrupted bench resumes where it was; what other programs read from it."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from aecodec.bench import BenchOptions
from aecodec.bench import BenchResult
from aecodec.bench import format_csv
from aecodec.bench import format_json
from aecodec.bench import format_table
from aecodec.bench import run_bench
from aecodec.bench.measure import quality_within
from aecodec.bench.metrics import ssimulacra2
from aecodec.bench.result import Measurement
from aecodec.cli import run
from aecodec.errors import InputError
from aecodec.errors import OutputError
from helpers.codecs import Stepper
from helpers.codecs import peer
from helpers.pictures import photograph


@dataclass(frozen=True)
class Counting(Stepper):
    """Notes what it encodes; after `patience` pictures, someone interrupts it."""

    patience: int = 10**6
    calls: list[float] = field(default_factory=list)

    def encode(self, pixels, quality: float) -> bytes:
        self.calls.append(quality)
        if len(self.calls) > self.patience:
            raise KeyboardInterrupt
        return super().encode(pixels, quality)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed, name in enumerate(("a.png", "b.png", "c.png")):
        Image.fromarray(photograph(40 + seed, 56, seed)).save(folder / name)
    return folder


@pytest.fixture
def options(folder: Path, tmp_path: Path) -> BenchOptions:
    resume = tmp_path / "kept"
    return BenchOptions(folder, ("jpeg",), qualities=(20.0, 40.0, 60.0), equal_bytes=True, resume=resume)


def untimed(measurements: tuple[Measurement, ...]) -> list[Measurement]:
    return [replace(each, encode_seconds=0, decode_seconds=0) for each in measurements]


def test_an_interrupted_run_resumes_and_ends_the_same(options: BenchOptions) -> None:
    whole = run_bench(replace(options, resume=None), own=Stepper())
    with pytest.raises(KeyboardInterrupt):
        run_bench(options, own=Counting(patience=5))
    rest = Counting()
    resumed = run_bench(options, own=rest)
    assert len(rest.calls) == 9 - 5
    assert untimed(resumed.measurements) == untimed(whole.measurements)
    assert untimed(resumed.equal_bytes) == untimed(whole.equal_bytes)
    again = Counting()
    assert run_bench(options, own=again) == resumed  # the times too
    assert again.calls == []


def test_another_list_of_qualities_reuses_what_it_shares(options: BenchOptions) -> None:
    run_bench(options, own=Stepper())
    codec = Counting()
    run_bench(replace(options, qualities=(30.0, 40.0)), own=codec)
    assert codec.calls == [30.0] * 3


def test_half_a_line_is_measured_again(options: BenchOptions) -> None:
    whole = run_bench(options, own=Stepper())
    options.resume.write_bytes(options.resume.read_bytes()[:-20])
    codec = Counting()
    assert untimed(run_bench(options, own=codec).measurements) == untimed(whole.measurements)
    lines = options.resume.read_bytes().splitlines()
    assert all(json.loads(line) for line in lines)
    assert len(lines) == 1 + 3 * (3 + len(peer("jpeg").qualities) + 1)


def test_changed_pixels_and_changed_codecs_are_measured_again(options: BenchOptions, folder: Path) -> None:
    run_bench(options, own=Stepper())
    Image.fromarray(photograph(40, 56, seed=9)).save(folder / "a.png")
    changed = Counting()
    run_bench(options, own=changed)
    assert len(changed.calls) == 3

    class Newer(Counting):
        description = "a stand-in, version 2"

    newer = Newer()
    run_bench(options, own=newer)
    assert len(newer.calls) == 9


@pytest.mark.parametrize("content", [b"a letter\nof two lines\n", b"a letter without end"])
def test_a_file_that_is_something_else_is_left_alone(options: BenchOptions, content: bytes) -> None:
    options.resume.write_bytes(content)
    with pytest.raises(InputError, match="another file"):
        run_bench(options, own=Stepper())
    assert options.resume.read_bytes() == content


def test_a_damaged_file_and_one_that_cannot_be_written_are_one_line(options: BenchOptions) -> None:
    run_bench(options, own=Stepper())
    options.resume.write_bytes(options.resume.read_bytes().replace(b'"psnr"', b'"pnsr"'))
    with pytest.raises(InputError, match="damaged"):
        run_bench(options, own=Stepper())
    with pytest.raises(OutputError, match="No such file"):
        run_bench(replace(options, resume=options.folder / "missing" / "kept"), own=Stepper())


def test_rows_are_means_and_equal_bytes_the_largest_quality_within(options: BenchOptions) -> None:
    result = run_bench(options, own=Stepper())
    assert result.shown_quality == 40
    own = {each.picture: each for each in result.measurements if each.codec == "stepper" and each.quality == 40}
    assert [each.picture for each in result.equal_bytes] == list(own)
    for number, each in enumerate(result.equal_bytes):
        pixels = photograph(40 + number, 56, number)
        assert each.size_bytes == len(peer("jpeg").encode(pixels, each.quality)) <= own[each.picture].size_bytes
        assert len(peer("jpeg").encode(pixels, each.quality + 1)) > own[each.picture].size_bytes
    for row in result.rows:
        of_row = [each for each in result.measurements if (each.codec, each.quality) == (row.codec, row.quality)]
        assert [each.picture for each in of_row] == ["a.png", "b.png", "c.png"]
        assert row.size_bytes == pytest.approx(sum(each.size_bytes for each in of_row) / 3)
        assert row.psnr == pytest.approx(sum(each.psnr for each in of_row) / 3)


def test_if_no_file_is_small_enough_the_smallest_is_taken() -> None:
    assert quality_within(peer("jpeg"), photograph(40, 56), 10) == 1


def result_of(folder: Path) -> BenchResult:
    return run_bench(BenchOptions(folder, ("jpeg",), qualities=(20.0, 100.0)), own=Stepper())


def test_csv_and_json_hold_every_measurement(folder: Path) -> None:
    result = result_of(folder)
    lines = list(csv.DictReader(io.StringIO(format_csv(result))))
    parsed = json.loads(format_json(result), parse_constant=pytest.fail)
    assert (parsed["pictures"], parsed["codecs"][0]) == (3, {"name": "stepper", "description": "a stand-in"})
    assert [row["size_bytes"] for row in parsed["rows"]] == [row.size_bytes for row in result.rows]
    assert [parsed["rows"][1][name] for name in ("psnr", "l1", "ms_ssim")] == [60.0, 0.0, None]  # lossless
    assert len(lines) == len(parsed["measurements"]) == len(result.measurements) == 3 * (2 + 17)
    for line, from_json, measured in zip(lines, parsed["measurements"], result.measurements, strict=True):
        assert (line["picture"], line["codec"]) == (from_json["picture"], from_json["codec"])
        assert line["psnr"] == "" if measured.psnr == float("inf") else float(line["psnr"]) == measured.psnr
        assert int(line["size_bytes"]) == from_json["size_bytes"] == measured.size_bytes
        assert line["ms_ssim"] == ""
    assert parsed["environment"]["cores"] >= 1
    assert parsed["environment"]["processor"]
    assert [speed["codec"] for speed in parsed["speeds"]] == ["stepper", "jpeg"]


def test_ssimulacra2_is_a_hundred_for_equal_pictures_and_falls() -> None:
    pytest.importorskip("ssimulacra2")
    pixels = photograph(96, 96)
    scores = [ssimulacra2(pixels, peer("jpeg").decode(peer("jpeg").encode(pixels, q))) for q in (90, 50, 10)]
    assert ssimulacra2(pixels, pixels) == pytest.approx(100)
    assert scores == sorted(scores, reverse=True)
    assert ssimulacra2(pixels[:7], pixels[:7]) is None


def test_ssimulacra2_is_measured_where_asked(folder: Path) -> None:
    pytest.importorskip("ssimulacra2")
    result = run_bench(BenchOptions(folder, (), qualities=(20.0, 90.0), ssimulacra2=True), own=Stepper())
    assert all(each.ssimulacra2 is not None for each in result.measurements)
    assert result.rows[0].ssimulacra2 < result.rows[1].ssimulacra2
    assert "SSIMULACRA2" not in format_table(result_of(folder))


def test_the_command_removes_its_journal_once_the_output_exists(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "figures.csv"
    command = ["bench", str(folder), "--model", "tiny", "--codecs", "jpeg", "-q", "50", "--csv", str(output)]
    assert run(command) == 0
    assert len(output.read_text().splitlines()) == 1 + 3 * (1 + 17)
    assert not output.with_name("figures.csv.resume").exists()
    kept = tmp_path / "kept"
    assert run([*command, "--resume", str(kept)]) == 0
    assert kept.is_file()


@pytest.mark.parametrize("option", ["--csv", "--resume", "--ssimulacra2"])
def test_options_of_curves_are_refused_with_at_bytes(folder: Path, tmp_path: Path, option: str) -> None:
    value = [] if option == "--ssimulacra2" else [str(tmp_path / "file")]
    assert run(["bench", str(folder), "--model", "tiny", "--at-bytes", "900", option, *value]) == 2
    assert not (tmp_path / "file").exists()
