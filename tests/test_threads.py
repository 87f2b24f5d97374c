"""`--threads`: the blocks of one picture on several threads, and the same file and pixels for every number of them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec.cli import run
from aecodec.codec.architectures import FEATURES
from aecodec.codec.architectures import LATENT_CHANNELS
from aecodec.codec.threads import on_threads
from aecodec.codec.transforms import analyse
from aecodec.codec.transforms import synthesise
from aecodec.geometry import Box
from aecodec.network.numpy_runtime import NumpyRuntime
from aecodec.network.quantized import Network
from aecodec.network.quantized import Runtime
from aecodec.network.torch_runtime import TorchRuntime
from helpers.native import native_runtimes
from helpers.paths import PHOTOS
from helpers.pictures import photograph
from helpers.tiny import Tiny

COUNTS = (2, 3, 16)
PATIENCE = 60


class Meeting:
    """Runs networks with NumPy, once as many threads as wanted are in `run` at the same time."""

    def __init__(self, threads: int) -> None:
        self._runtime, self._barrier = NumpyRuntime(), threading.Barrier(threads)

    def run(
        self, network: Network, x: np.ndarray, side: np.ndarray | None = None, wanted: Box | None = None
    ) -> np.ndarray:
        self._barrier.wait(PATIENCE)
        return self._runtime.run(network, x, side, wanted)


RUNTIMES: dict[str, Runtime] = {"numpy": NumpyRuntime(), "torch": TorchRuntime("cpu"), **native_runtimes()}


@pytest.mark.parametrize("name", RUNTIMES)
def test_the_integers_are_those_of_one_thread(tiny: Tiny, name: str) -> None:
    runtime = RUNTIMES[name]
    encoder, decoder = tiny
    pixels = photograph(72, 104)[None]
    latent = analyse(encoder.analysis, runtime, pixels, block=3)
    features = np.random.default_rng(1).integers(-1024, 1024, (*latent.shape[:3], FEATURES), dtype=np.int16)
    shown = synthesise(decoder, runtime, latent, features, np.array([90]), block=3)
    assert latent.shape[3] == LATENT_CHANNELS and latent.any() and shown.std() > 5
    for threads in COUNTS:
        assert np.array_equal(analyse(encoder.analysis, runtime, pixels, 3, threads), latent)
        assert np.array_equal(synthesise(decoder, runtime, latent, features, np.array([90]), 3, threads), shown)


def test_blocks_are_worked_on_at_the_same_time(tiny: Tiny) -> None:
    pixels = photograph(32, 96)[None]  # three blocks of four positions
    expected = analyse(tiny[0].analysis, NumpyRuntime(), pixels, block=4)
    assert np.array_equal(analyse(tiny[0].analysis, Meeting(3), pixels, block=4, threads=3), expected)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_ends_the_work(threads: int) -> None:
    begun = []

    def work(number: int) -> None:
        begun.append(number)
        raise ValueError(f"number {number}")

    before = threading.active_count()
    with pytest.raises(ValueError, match="number 0"):
        on_threads(work, range(1000), threads)
    assert len(begun) < 1000 and threading.active_count() == before


def test_the_file_and_its_pixels_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = photograph(40, 1100)  # three blocks, two coded tiles
    data = aecodec.encode(pixels, 30, model="tiny")
    shown = aecodec.decode_pixels(data)
    assert aecodec.encode(pixels, 30, model="tiny", threads=2) == data
    assert np.array_equal(aecodec.decode_pixels(data, threads=3), shown)
    assert np.array_equal(np.asarray(aecodec.decode(data, threads=2)), shown)
    for stage in aecodec.decode_stages(data, threads=2):
        last = stage
    assert np.array_equal(np.asarray(last), shown)
    monkeypatch.setenv("AECODEC_THREADS", "2")
    assert aecodec.encode(pixels, 30, model="tiny") == data


def test_the_environment_gives_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert aecodec.EncodeOptions().thread_count == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert aecodec.DecodeOptions().thread_count == 1, "that is of BLAS and OpenMP"
    monkeypatch.setenv("AECODEC_THREADS", "3")
    assert aecodec.EncodeOptions().thread_count == aecodec.DecodeOptions().thread_count == 3
    assert aecodec.DecodeOptions(threads=2).thread_count == 2
    for wrong in ("0", "-1", "two", "1.5", "²", "9" * 5000):
        monkeypatch.setenv("AECODEC_THREADS", wrong)
        with pytest.raises(aecodec.InvalidOption, match="^AECODEC_THREADS '.*' is not a whole number of at least 1$"):
            aecodec.DecodeOptions()
    with pytest.raises(aecodec.InvalidOption, match="threads 0 is not a whole number of at least 1"):
        aecodec.DecodeOptions(threads=0)


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(photograph(40, 600)).save(tmp_path / "in.png")
    encode = ["encode", str(tmp_path / "in.png"), "--model", "tiny"]
    assert run([*encode, str(tmp_path / "one.aec")]) == 0
    assert run([*encode, str(tmp_path / "two.aec"), "--threads", "2"]) == 0
    assert (tmp_path / "one.aec").read_bytes() == (tmp_path / "two.aec").read_bytes()
    assert run(["decode", str(tmp_path / "two.aec"), str(tmp_path / "two.png"), "--threads", "2"]) == 0
    assert run([*encode, str(tmp_path / "out.aec"), "--threads", "0"]) == 2
    monkeypatch.setenv("AECODEC_THREADS", "no")
    assert run([*encode, str(tmp_path / "out.aec")]) == 2
    assert "AECODEC_THREADS 'no' is not a whole number" in capsys.readouterr().err


def test_outputs_are_up_to_date_with_any_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encode = ["encode", str(PHOTOS / "dog.jpg"), "--out-dir", str(tmp_path), "--model", "tiny", "--jobs", "1"]
    assert run([*encode, "--threads", "1"]) == 0
    assert run([*encode, "--threads", "2"]) == 0
    assert "1 skipped" in capsys.readouterr().err.splitlines()[-1]


def test_jobs_times_threads_are_the_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = []
    monkeypatch.setattr("aecodec.batch.workers.cores", lambda: 8)
    monkeypatch.setattr("aecodec.cli.encode.work_on_many", lambda job, options, batch: found.append(batch.jobs) or 0)
    for threads in ("1", "3", "100"):
        assert run(["encode", str(tmp_path), "--out-dir", "out", "--model", "tiny", "--threads", threads]) == 0
    assert found == [8, 2, 1]


def test_with_threads_the_products_have_one_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy, which a command loads with its first picture, would take all cores for each of them."""
    seen = []

    def encode(*_: object) -> object:
        seen.append(os.environ.get("OPENBLAS_NUM_THREADS"))
        raise aecodec.InputError("enough")

    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.setattr("aecodec.api.encode_picture", encode)
    for options in ((), ("--threads", "2")):
        assert run(["encode", str(PHOTOS / "dog.jpg"), str(tmp_path / "a.aec"), "--model", "tiny", *options]) == 1
    assert seen == [None, "1"]
