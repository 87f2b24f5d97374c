"""Threads share a GPU: NumPy's files and pixels, one failing picture. torch's CPU device stands in."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

torch = pytest.importorskip("torch")

import numpy as np

from aecodec import api
from aecodec.batch.jobs import DecodeJob
from aecodec.batch.jobs import EncodeJob
from aecodec.batch.plan import BatchOptions
from aecodec.batch.run import run_batch
from aecodec.batch.workers import in_threads
from aecodec.cli import run
from aecodec.codec.manifest import entries_of
from aecodec.codec.weights import load_encoder
from aecodec.network.numpy_runtime import NumpyRuntime
from aecodec.network.torch_runtime import TorchRuntime
from helpers.batch import options
from helpers.folders import contents
from helpers.folders import tree
from helpers.paths import PHOTOS
from helpers.paths import TINY

ENCODE = EncodeJob(weights=TINY / "tiny.decoder.safetensors", device="cuda")
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    shared, by_name = TorchRuntime("cpu"), api.runtime
    monkeypatch.setattr(api, "runtime", lambda device: shared if device == "cuda" else by_name(device))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pictures of three sizes, one in grey."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    with Image.open(PHOTOS / "dog.jpg") as image:
        for n in range(9):
            image.crop((8 * n, 0, 8 * n + 40 + 24 * (n % 3), 32)).save(folder / f"{n}.png")
        image.convert("L").save(folder / "more" / "grey.png")
    return folder


@pytest.mark.usefixtures("on_cpu")
@pytest.mark.parametrize("jobs", [1, 4])
def test_files_and_pixels_equal_those_of_numpy(photos: Path, tmp_path: Path, jobs: int):
    for device, count in (("cpu", 1), ("cuda", jobs)):
        out, back = tmp_path / device, tmp_path / f"{device}-back"
        results = [*run_batch(replace(ENCODE, device=device), options(photos, out=out, jobs=count))]
        decode = BatchOptions((out,), back, "png", frozenset({".aec"}), count)
        results += run_batch(DecodeJob(extension="png", device=device), decode)
        assert len(results) == 20 and {result.error for result in results} == {None}
    assert contents(tmp_path / "cpu") == contents(tmp_path / "cuda")
    assert contents(tmp_path / "cpu-back") == contents(tmp_path / "cuda-back")


def test_one_runtime_serves_threads_and_restores_the_precision():
    (entry,) = entries_of(TINY)
    network, runtime = load_encoder(entry).analysis, TorchRuntime("cpu")
    rng = np.random.default_rng(0)
    inputs = [2 * rng.integers(0, 256, (1, 32, 32 + 8 * (n % 3), 3)) - 255.0 for n in range(60)]
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda x: runtime.run(network, x), inputs))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    for x, out in zip(inputs, found, strict=True):
        np.testing.assert_array_equal(out, NumpyRuntime().run(network, x))


@pytest.mark.usefixtures("on_cpu")
def test_a_failing_picture_does_not_stop_the_others(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (photos / "0.png").write_bytes(b"no picture")
    command = ["encode", str(photos), "--model", "tiny", "--device", "cuda", "--jobs", "2", "--out-dir"]
    assert run([*command, str(tmp_path / "out")]) == 1
    error, summary = capsys.readouterr().err.splitlines()
    assert error.startswith(f"aecodec: {photos / '0.png'}: not a picture") and summary.startswith(
        "9 done, 1 failed in "
    )
    assert len(tree(tmp_path / "out")) == 9


@without_cuda
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_without_cuda_the_command_ends_in_one_line(
    jobs: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    assert run(["encode", str(photos), "--device", "cuda", "--jobs", jobs, "--out-dir", str(out)]) == 1
    assert capsys.readouterr().err == "aecodec: --device cuda: torch finds no CUDA device on this machine\n"
    assert not out.exists()


def test_threads_work_at_the_same_time_and_take_items_as_they_are_free():
    taken: list[int] = []
    together = threading.Barrier(3, timeout=60)

    def work(number: int, retried: bool) -> int:
        if 0 < number < 4:
            together.wait()
        return number * number

    results = in_threads(work, (taken.append(n) or n for n in range(1000)), 3)
    assert {next(results) for _ in range(4)} <= {n * n for n in range(8)} and len(taken) <= 12
    results.close()
    assert sorted(in_threads(work, range(50), 3)) == [n * n for n in range(50)]
    assert list(in_threads(work, (), 3)) == []
