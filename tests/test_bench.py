"""The bench with a stand-in for aecodec, on small pictures; the peers are the real ones."""

from __future__ import annotations

import io
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import AvifImagePlugin
from PIL import Image
from PIL import JpegImagePlugin

from aecodec import api
from aecodec.batch.progress import Bar
from aecodec.bench import PEER_NAMES
from aecodec.bench import BenchOptions
from aecodec.bench import format_table
from aecodec.bench import run_bench
from aecodec.bench.codecs import Aecodec
from aecodec.bench.measure import mean_bytes
from aecodec.bench.measure import measure
from aecodec.bench.measure import measure_at_bytes
from aecodec.bench.measure import measure_between
from aecodec.bench.metrics import l1
from aecodec.bench.metrics import psnr
from aecodec.bench.peers import PillowCodec
from aecodec.bench.peers import peers_named
from aecodec.bench.pictures import Pictures
from aecodec.errors import InputError
from aecodec.errors import MissingExtra
from helpers.codecs import Stepper
from helpers.codecs import peer
from helpers.paths import PACKAGE_PARENT
from helpers.paths import TINY
from helpers.pictures import photograph


@dataclass(frozen=True)
class PaddedJpeg(PillowCodec):
    """JPEG with files `factor` times as large: its BD-rate against JPEG is known."""

    factor: int = 1

    def encode(self, pixels: np.ndarray, quality: float) -> bytes:
        data = super().encode(pixels, quality)
        return data + bytes((self.factor - 1) * len(data))


def silent(text: str) -> None:
    pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.fromarray(photograph(96, 128, seed=1)).save(tmp_path / "b.png")
    Image.fromarray(photograph(120, 80, seed=2)).save(tmp_path / "a.PNG")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "._b.png").write_bytes(b"no picture either")
    return tmp_path


# Pictures


def test_a_folder_gives_its_pictures_by_name(folder: Path) -> None:
    pictures = Pictures(folder)
    assert [pixels.shape for pixels in pictures] == [(120, 80, 3), (96, 128, 3)]
    assert len(pictures) == 2
    assert np.array_equal(list(pictures)[1], photograph(96, 128, seed=1))


def test_reduction_takes_the_centre_square_of_a_lanczos_reduction(folder: Path) -> None:
    tall, wide = Pictures(folder, size=33)
    expected = Image.fromarray(photograph(96, 128, seed=1)).resize((44, 33), Image.Resampling.LANCZOS)
    assert np.array_equal(wide, np.asarray(expected)[:, 5:38])  # the odd column is lost on the right
    expected = Image.fromarray(photograph(120, 80, seed=2)).resize((33, 50), Image.Resampling.LANCZOS)
    assert np.array_equal(tall, np.asarray(expected)[8:41])


def test_everything_dropped_is_named_once(folder: Path) -> None:
    alpha = np.full((40, 40, 1), 128, np.uint8)
    Image.fromarray(np.concatenate([photograph(40, 40), alpha], axis=2)).save(folder / "c.png")
    pictures = Pictures(folder)
    assert [len(list(pictures)), len(list(pictures))] == [3, 3]
    assert len(pictures.notices) == 1
    assert pictures.notices[0].startswith("c.png: ")


def test_pictures_that_cannot_be_measured_are_counted(folder: Path) -> None:
    (folder / "c.jpg").write_bytes(b"no picture")
    Image.fromarray(photograph(32, 200)).save(folder / "d.png")
    pictures = Pictures(folder, size=33)
    assert [len(pictures), len(list(pictures)), pictures.left_out] == [2, 2, 2]
    assert [line.startswith("left out: ") for line in pictures.notices] == [True, True]
    assert "c.jpg: not a picture" in pictures.notices[0]
    assert "d.png: smaller than 33 pixels" in pictures.notices[1]
    assert len(Pictures(folder, size=32)) == 3
    result = run_bench(BenchOptions(folder, codecs=("jpeg",), size=33), own=Stepper())
    assert (result.pictures, result.left_out) == (2, 2)
    assert format_table(result).splitlines()[0].endswith(": 2 pictures, centre squares of 33x33, 2 left out")
    with pytest.raises(InputError, match=r"no picture in it; left out: .*smaller than 1000 pixels"):
        Pictures(folder, size=1000)


def test_no_folder_and_no_picture_are_input_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        Pictures(tmp_path / "missing")
    with pytest.raises(InputError, match="no picture"):
        Pictures(tmp_path)


# Peers


@pytest.mark.parametrize("name", PEER_NAMES)
@pytest.mark.parametrize("grey", [False, True])
def test_peers_give_the_picture_back(name: str, grey: bool) -> None:
    pixels = photograph(65, 91)
    pixels = pixels[:, :, 1].copy() if grey else pixels
    coarse, fine = (peer(name).encode(pixels, quality) for quality in (10, 90))
    qualities = list(peer(name).qualities)
    assert qualities == sorted(set(qualities)) and set(qualities) <= set(peer(name).steps)
    assert len(coarse) < len(fine)
    assert psnr(pixels, peer(name).decode(fine)) > 28
    assert psnr(pixels, peer(name).decode(coarse)) < psnr(pixels, peer(name).decode(fine))


def test_jpeg_is_optimised_and_4_2_0() -> None:
    data = peer("jpeg").encode(photograph(64, 64), 50)
    with Image.open(io.BytesIO(data)) as image:
        assert JpegImagePlugin.get_sampling(image) == 2
    plain = io.BytesIO()
    Image.fromarray(photograph(64, 64)).save(plain, "JPEG", quality=50)
    assert len(data) < len(plain.getvalue())


def av1_chroma(data: bytes) -> tuple[bool, bool, bool]:
    """Monochrome, subsampled across, subsampled down: from the AV1 configuration box."""
    flags = data[data.index(b"av1C") + 6]
    return bool(flags & 16), bool(flags & 8), bool(flags & 4)


def test_avif_settings() -> None:
    pixels = photograph(64, 64)
    assert av1_chroma(peer("avif").encode(pixels, 50)) == (False, True, True)
    assert av1_chroma(peer("avif-psnr").encode(pixels, 50)) == (False, False, False)
    assert av1_chroma(peer("avif-psnr").encode(pixels[:, :, 0].copy(), 50))[0]
    untuned = io.BytesIO()
    Image.fromarray(pixels).save(untuned, "AVIF", quality=50, subsampling="4:4:4", speed=6, max_threads=1)
    assert peer("avif-psnr").encode(pixels, 50) != untuned.getvalue()


@pytest.mark.parametrize("name", ["avif", "avif-psnr"])
def test_avif_does_not_depend_on_the_number_of_cores(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = photograph(256, 256)
    files = set()
    for threads in (1, 4):
        monkeypatch.setattr(AvifImagePlugin, "DEFAULT_MAX_THREADS", threads)
        files.add(peer(name).encode(pixels, 20))
    assert len(files) == 1


def test_a_picture_too_large_for_a_codec_is_an_input_error() -> None:
    with pytest.raises(InputError, match="webp"):
        peer("webp").encode(np.zeros((1, 16384, 3), np.uint8), 50)


def test_a_pillow_without_a_codec_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aecodec.bench.peers.features.check", lambda feature: feature != "avif")
    assert [codec.name for codec in peers_named(["webp", "jpeg", "webp"])] == ["webp", "jpeg"]
    with pytest.raises(MissingExtra, match="avif-psnr"):
        peers_named(["jpeg", "avif-psnr"])


# Measuring


def test_a_row_holds_means_over_pictures_of_real_files() -> None:
    pictures = [photograph(30, 40, seed=1), np.full((60, 40, 3), 77, np.uint8)]
    codec = Stepper()
    files = [codec.encode(pixels, 60.0) for pixels in pictures]
    decoded = [codec.decode(data) for data in files]
    row = measure(codec, 60.0, pictures, silent)
    assert (row.codec, row.quality) == ("stepper", 60.0)
    assert row.size_bytes == (len(files[0]) + len(files[1])) / 2
    assert row.bits_per_pixel == pytest.approx((len(files[0]) * 8 / 1200 + len(files[1]) * 8 / 2400) / 2)
    assert row.psnr == pytest.approx((psnr(pictures[0], decoded[0]) + psnr(pictures[1], decoded[1])) / 2)
    assert row.l1 == pytest.approx((l1(pictures[0], decoded[0]) + l1(pictures[1], decoded[1])) / 2)
    assert row.encode_seconds > 0
    assert row.decode_seconds > 0


def test_ms_ssim_only_where_every_picture_is_large_enough() -> None:
    large, small = photograph(161, 170), photograph(160, 170)
    assert measure(Stepper(), 80.0, [large, large], silent).ms_ssim == pytest.approx(1, abs=0.1)
    assert measure(Stepper(), 80.0, [large, small], silent).ms_ssim is None


def test_a_codec_that_changes_the_size_is_refused() -> None:
    class Cropping(Stepper):
        def decode(self, data: bytes) -> np.ndarray:
            return super().decode(data)[1:]

    with pytest.raises(ValueError, match="shape"):
        measure(Cropping(), 50.0, [photograph(20, 20)], silent)


@pytest.mark.parametrize("codec", [Stepper(), peer("jpeg"), peer("webp")], ids=lambda codec: codec.name)
def test_at_bytes_finds_the_largest_setting_within(codec) -> None:
    pictures = [photograph(64, 64, seed) for seed in range(2)]
    sizes = {step: mean_bytes(codec, step, pictures, silent) for step in codec.steps}
    for share in (0.02, 0.3, 0.8):
        target = round(min(sizes.values()) * (1 - share) + max(sizes.values()) * share)
        found = measure_at_bytes(codec, target, pictures, silent)
        within = found.row.quality
        assert found.smallest_bytes == sizes[codec.steps[0]]
        assert found.row.size_bytes == sizes[within] <= target < sizes[within + 1]
        above = measure(codec, within + 1, pictures, silent)
        values = [found.interpolated_psnr, found.interpolated_l1]
        ends = np.log([found.row.size_bytes, above.size_bytes])
        expected = [
            np.interp(math.log(target), ends, pair) for pair in ((found.row.psnr, above.psnr), (found.row.l1, above.l1))
        ]
        assert values == pytest.approx(expected)


def test_at_bytes_between_given_settings_is_what_a_search_finds() -> None:
    codec, pictures = peer("jpeg"), [photograph(64, 64, seed) for seed in range(2)]
    sought = measure_at_bytes(codec, 1500, pictures, silent)
    near = [step for step in codec.steps if abs(step - sought.row.quality) <= 1]
    found = measure_between(codec, near, 1500, pictures, silent)
    assert found.row.quality == sought.row.quality
    assert found.interpolated_psnr == pytest.approx(sought.interpolated_psnr)
    assert found.interpolated_l1 == pytest.approx(sought.interpolated_l1)
    for settings in (near[:1], codec.steps[-2:]):
        outside = measure_between(codec, settings, 1500, pictures, silent)
        assert outside.interpolated_psnr is None and (outside.row is None) == (settings != near[:1])


def test_at_bytes_beyond_both_ends() -> None:
    pictures = [photograph(64, 64)]
    below = measure_at_bytes(peer("jpeg"), 100, pictures, silent)
    assert below.row is None
    assert below.interpolated_psnr is None
    assert below.smallest_bytes == len(peer("jpeg").encode(pictures[0], 1))
    beyond = measure_at_bytes(peer("jpeg"), 10**6, pictures, silent)
    assert beyond.row.quality == 100
    assert beyond.interpolated_l1 is None


# The whole run


def test_a_run_measures_every_codec_at_its_settings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_bench(BenchOptions(folder, codecs=("webp", "jpeg"), qualities=(30.0, 10.0)), own=Stepper())
    settings = [(row.codec, row.quality) for row in result.rows]
    assert settings[:2] == [("stepper", 10.0), ("stepper", 30.0)]
    assert settings[2:] == [(name, q) for name in ("webp", "jpeg") for q in peer(name).qualities]
    assert [rate.peer for rate in result.bd_rates] == ["webp", "jpeg"]
    assert result.pictures == 2
    assert not result.at_bytes
    assert [rate.percent for rate in result.bd_rates] == [None, None]
    assert "fewer than 4 points" in format_table(result)
    assert capsys.readouterr() == ("", "")  # no terminal, no progress


@pytest.mark.parametrize("factor", [1, 2])
def test_bd_rate_in_a_run_has_the_right_sign_and_size(tmp_path: Path, factor: int) -> None:
    Image.fromarray(photograph(160, 480) // 4 + 80).save(tmp_path / "a.png")
    result = run_bench(
        BenchOptions(tmp_path, codecs=("jpeg",)),
        own=PaddedJpeg(**vars(peer("jpeg")) | {"name": "padded", "factor": factor}),
    )
    [rate] = result.bd_rates
    assert rate.percent == pytest.approx(100 * (factor - 1), abs=3)
    assert rate.overlap > 0.95


def test_a_run_at_bytes(folder: Path) -> None:
    options = BenchOptions(folder, codecs=("jpeg", "webp"), size=64, at_bytes=1500)
    result = run_bench(options, own=Stepper())
    assert [entry.codec for entry in result.at_bytes] == ["stepper", "jpeg", "webp"]
    assert not result.rows
    assert all(entry.row is None or entry.row.size_bytes <= 1500 for entry in result.at_bytes)
    table = format_table(result)
    assert "at most 1500 bytes" in table
    assert "interpolated" in table


def test_a_pause_of_the_machine_changes_no_speed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of one millisecond a look, with ten seconds more where the machine pauses."""
    now = 0.0

    def look() -> float:
        nonlocal now
        now += 0.001
        return now

    class Pausing(Stepper):
        def encode(self, pixels: np.ndarray, quality: float) -> bytes:
            nonlocal now
            if quality == self.qualities[-1]:
                now += 10
            return super().encode(pixels, quality)

    monkeypatch.setattr("aecodec.bench.measure.time.perf_counter", look)
    own, _ = run_bench(BenchOptions(folder, ("jpeg",)), own=Pausing()).speeds
    assert 9.59 < own.encode_megapixels < 12.29, "pictures of 9,600 and 12,288 pixels in a millisecond"


def test_the_table_shows_every_row_and_a_dash_for_no_ms_ssim(folder: Path) -> None:
    result = run_bench(BenchOptions(folder, codecs=("jpeg",)), own=Stepper())
    table = format_table(result)
    rows = [line.split() for line in table.splitlines() if line.startswith(("stepper ", "jpeg "))]
    measured = [cells for cells in rows if len(cells) == 9 and cells[1][0].isdigit()]
    assert len(measured) == len(result.rows)
    assert {cells[6] for cells in measured} == {"-"}
    assert f"{result.rows[0].psnr:.3f}" == measured[0][4]
    assert "overlap" in table
    assert max(map(len, table.splitlines())) <= 120


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codecs": ("jpeg", "heic")}, "heic"),
        ({"qualities": (50.0, 100.5)}, "0 to 100"),
        ({"qualities": ()}, "empty"),
        ({"qualities": (50.0,), "at_bytes": 1000}, "excludes one without"),
        ({"effort": 1, "at_bytes": 1000}, "needs a list of qualities with effort"),
        ({"size": 0}, "pixels"),
        ({"model": "standard", "weights": Path("w")}, "give one of model and weights"),
        ({"at_bytes": 0}, "bytes"),
    ],
)
def test_options_without_sense_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BenchOptions(Path("pictures"), **changes)


def test_aecodec_is_called_through_its_public_interface() -> None:
    pixels, weights = photograph(48, 40), TINY / "tiny.decoder.safetensors"
    for options in ({"model": "tiny"}, {"weights": weights}, {"model": "tiny", "effort": 1}):
        codec = Aecodec(**options)
        data = codec.encode(pixels, 12.5)
        assert data == api.encode(pixels, 12.5, **options)
        assert np.array_equal(codec.decode(data), api.decode_pixels(data))
    assert len(codec.steps) == 256
    assert (codec.steps[0], codec.steps[255]) == (0, 100)


def test_progress_is_one_line_on_a_terminal_and_cleared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Bar() as bar:
        bar.note("jpeg")
    out, err = capsys.readouterr()
    assert out == ""
    assert "jpeg" in err
    assert "\n" not in err
    assert err.endswith("\r\x1b[K")


def test_a_status_is_overwritten_and_what_is_said_stays(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = Bar()
    silent.note("step 99")
    silent.say("validation")
    assert not silent.visible and capsys.readouterr().err == "validation\n"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    terminal = Bar()
    assert terminal.visible
    terminal.note("step 100")
    terminal.say("validation")
    assert capsys.readouterr().err.replace("\r\x1b[K", "|") == "|step 100|validation\n"


def test_the_bench_imports_no_torch() -> None:
    command = "import sys, aecodec.bench; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], cwd=PACKAGE_PARENT, check=False).returncode == 0


def test_a_run_of_shrunk_pictures(tmp_path: Path) -> None:
    Image.fromarray(photograph(96, 128, seed=1)).save(tmp_path / "a.png")
    result = run_bench(BenchOptions(tmp_path, codecs=("webp",), size=96, at_bytes=60, shrink=True))
    own, webp = result.at_bytes
    assert own.row is not None and 40 < own.row.size_bytes <= 60
    assert webp.row is None, "it does not get there"
    assert "shrunk to 60 bytes" in result.codecs[0].description
    for wrong in ({"shrink": True}, {"shrink": True, "at_bytes": 60, "qualities": (3.0,)}):
        with pytest.raises(ValueError, match="shrinking is for a size in bytes"):
            BenchOptions(tmp_path, **wrong)  # type: ignore[arg-type]
