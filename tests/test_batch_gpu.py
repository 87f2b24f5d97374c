"""One process runs the networks of all workers: the same integers in groups, and who is killed, fails or is stopped.

It runs on torch's CPU device here: what is CUDA's own, memory and transfers, is not seen.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.folders import contents
from helpers.folders import options
from helpers.folders import tree
from helpers.folders import wait_for
from helpers.marks import linux_only
from helpers.paths import GOLDEN
from helpers.paths import PACKAGE_PARENT
from helpers.paths import PHOTOS

torch = pytest.importorskip("torch")

from aecodec.batch import remote
from aecodec.batch import run as batch_run
from aecodec.batch.gpu import GpuProcess
from aecodec.batch.jobs import DecodeJob
from aecodec.batch.jobs import EncodeJob
from aecodec.batch.plan import BatchOptions
from aecodec.batch.run import run_batch
from aecodec.cli import run
from aecodec.codec.manifest import entries_of
from aecodec.codec.weights import DecoderHalf
from aecodec.codec.weights import EncoderHalf
from aecodec.codec.weights import parse_decoder
from aecodec.errors import AecError
from aecodec.errors import MissingExtra
from aecodec.geometry import Box
from aecodec.network.numpy_runtime import NumpyRuntime
from aecodec.network.quantized import Network
from aecodec.network.torch_runtime import TorchRuntime

Halves = tuple[EncoderHalf, DecoderHalf]
Asked = tuple[Network, np.ndarray, np.ndarray | None, Box | None]
ENCODE = EncodeJob(model="tiny", device="cuda")
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")


# Requests and groups.


class Watched:
    """Notes the sizes of groups. What holds a 77 fails, and so does a group of more than `most`."""

    def __init__(self, most: int = 1000) -> None:
        self._runtime, self._most = TorchRuntime("cpu"), most
        self.groups: list[int] = []

    def run_together(
        self, network: Network, xs: Sequence[np.ndarray], sides: Sequence[np.ndarray] | None, wanted: Box | None
    ) -> np.ndarray:
        self.groups.append(len(xs))
        if len(xs) > self._most:
            raise MemoryError
        if any((x == 77).all() for x in xs):
            raise RuntimeError("CUDA error: of 77\nFor debugging consider this and that.")
        return self._runtime.run_together(network, xs, sides, wanted)


def answers(runtime: Watched, asked: Sequence[Asked]) -> list[np.ndarray | BaseException]:
    """Of as many workers, who all have asked before the first request is run."""
    server = remote.Server(Pipe()[0], runtime)
    pipes = [Pipe() for _ in asked]
    with ThreadPoolExecutor(len(asked)) as pool:
        futures = [
            pool.submit(remote.RemoteRuntime(ours).run, *one) for (ours, _), one in zip(pipes, asked, strict=False)
        ]
        for _, theirs in pipes:
            assert theirs.poll(60)
            server._take(theirs)
        while server._waiting:
            server._run_first()
        return [future.exception(60) or future.result() for future in futures]


def integers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 1000, shape).astype(np.int32)


def assert_right(given: Sequence[np.ndarray | BaseException], asked: Sequence[Asked]) -> None:
    for answer, one in zip(given, asked, strict=True):
        assert isinstance(answer, np.ndarray) and answer.dtype == np.float32 and answer.flags.writeable
        np.testing.assert_array_equal(answer, NumpyRuntime().run(*one))


def assorted(tiny: Halves) -> list[Asked]:
    """Two networks, two shapes, two areas and none, one and several pictures to a request."""
    analysis, synthesis = tiny[0].analysis, tiny[1].synthesis
    wide, area = (8, 12), Box(1, 2, 5, 7)
    asked: list[Asked] = []
    for seed in range(3):
        pixels = (2 * np.random.default_rng(seed).integers(0, 256, (1, 32, 48, 3)) - 255).astype(np.float32)
        latent, features = integers(seed, 1 + seed, *wide, 16), integers(~seed & 7, 1 + seed, *wide, 32)
        asked += [
            (analysis, pixels, None, None),
            (synthesis, latent, features, None),
            (analysis, pixels[:, :, :32], None, None),
            (synthesis, latent, features, area),
            (analysis, pixels, None, Box(0, 0, 2, 3)),
        ]
    return asked


def test_groups_give_what_single_runs_give(tiny: Halves):
    runtime, asked = Watched(), assorted(tiny)
    assert_right(answers(runtime, asked), asked)
    assert runtime.groups == [3, 3, 3, 3, 3]


def test_a_group_is_of_so_many_positions_and_of_one_request_at_least(tiny: Halves, monkeypatch: pytest.MonkeyPatch):
    runtime, asked = Watched(), [one for one in assorted(tiny) if one[0] is tiny[0].analysis and one[3] is None]
    monkeypatch.setattr(remote, "MOST_POSITIONS", 2 * 4 * 6 - 1)  # of 4x6 not two, of 4x4 two
    assert_right(answers(runtime, asked), asked)
    assert runtime.groups == [1, 1, 1, 2, 1]


def test_what_fails_together_is_run_one_by_one(tiny: Halves):
    runtime, asked = Watched(most=1), assorted(tiny)[:3] * 2
    assert_right(answers(runtime, asked), asked)
    assert runtime.groups == [2, 1, 1] * 3


def test_what_fails_fails_alone_and_in_one_line(tiny: Halves):
    runtime, asked = Watched(), [one for one in assorted(tiny) if one[3] is None and one[2] is None][:1] * 3
    bad = (asked[0][0], np.full_like(asked[0][1], 77), None, None)
    *given, failed = answers(runtime, [*asked, bad])
    assert_right(given, asked)
    assert isinstance(failed, AecError) and str(failed) == "--device cuda: CUDA error: of 77"


def test_a_network_goes_once_and_in_small_integers(tiny: Halves):
    ours, theirs = Pipe()
    network, x, side, _ = assorted(tiny)[1]
    assert side is not None
    with ThreadPoolExecutor(1) as pool:
        runtime = remote.RemoteRuntime(ours)
        for first in (True, False):
            answer = pool.submit(runtime.run, network, x, side)
            request = theirs.recv()
            assert (request.pickled is not None) == first
            assert (request.x.dtype, request.side.dtype) == (np.int16, np.int16)
            theirs.send(np.ones(3, np.int8))
            np.testing.assert_array_equal(answer.result(60), np.ones(3, np.float32))


def test_networks_are_known_by_what_they_hold(tiny: Halves):
    (entry,) = entries_of(GOLDEN / "tiny")
    again = parse_decoder((entry.folder / entry.decoder_file).read_bytes(), entry.weights_id, "")
    assert remote.digest_of(again.synthesis) == remote.digest_of(tiny[1].synthesis)
    assert remote.digest_of(pickle.loads(pickle.dumps(again.synthesis))) == remote.digest_of(again.synthesis)
    assert len({remote.digest_of(network) for network in again.entropy.context}) == 4
    again.synthesis.parameters["0"].bias[0] += 1
    assert remote.digest_of(again.synthesis) != remote.digest_of(tiny[1].synthesis)


def test_a_worker_without_a_server_ends(tiny: Halves):
    ours, theirs = Pipe()
    theirs.close()
    with pytest.raises(SystemExit):
        remote.RemoteRuntime(ours).run(*assorted(tiny)[0])


def test_a_client_that_has_gone_is_forgotten(tiny: Halves):
    server = remote.Server(Pipe()[0], Watched())
    ours, theirs = Pipe()
    server._clients.append(theirs)
    network, x, side, wanted = assorted(tiny)[0]
    ours.send(remote.Request(b"1", pickle.dumps(network), x.astype(np.int16), side, wanted))
    server._take(theirs)
    ours.close()
    server._run_first()
    server._take(theirs)
    assert server._clients == [] and not server._waiting


# Batches.


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


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Enough pictures to be still at work when somebody is killed."""
    folder = tmp_path / "many"
    folder.mkdir()
    for n in range(300):
        (folder / f"{n:03}.jpg").write_bytes((PHOTOS / "dog.jpg").read_bytes())
    return folder


def test_a_batch_gives_the_files_and_pixels_of_the_numpy_engine(photos: Path, tmp_path: Path):
    aec = frozenset({".aec"})
    for name, device, jobs in (("here", "auto", 1), ("there", "cuda", 3)):
        out, back = tmp_path / name, tmp_path / f"{name}-back"
        encode = replace(ENCODE, device=device, weights=GOLDEN / "tiny" / "tiny.decoder.safetensors")
        results = [*run_batch(encode, options(photos, out=out, jobs=jobs), "cpu")]
        results += run_batch(
            DecodeJob(extension="png", device=device), BatchOptions((out,), back, "png", aec, jobs), "cpu"
        )
        assert len(results) == 20 and {result.error for result in results} == {None}
    assert contents(tmp_path / "here") == contents(tmp_path / "there")
    assert contents(tmp_path / "here-back") == contents(tmp_path / "there-back")
    assert multiprocessing.active_children() == []


class OnCpu(GpuProcess):
    """What the commands, which know "cuda" only, are given instead."""

    last: OnCpu

    def __init__(self, device: str) -> None:
        super().__init__("cpu")
        OnCpu.last = self

    @property
    def pid(self) -> int:
        assert self._process is not None and self._process.pid is not None
        return self._process.pid


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_run, "GpuProcess", OnCpu)


@pytest.mark.usefixtures("on_cpu")
def test_one_bad_picture_and_one_job(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (photos / "0.png").write_bytes(b"no picture")
    command = ["encode", str(photos), "--model", "tiny", "--device", "cuda", "--out-dir"]
    assert run([*command, str(tmp_path / "two"), "--jobs", "2"]) == 1
    assert capsys.readouterr().err.splitlines()[1].startswith("9 done, 1 failed in ")
    if not torch.cuda.is_available():
        assert run([*command, str(tmp_path / "one"), "--jobs", "1"]) == 1
        assert OnCpu.last._process is None
        assert capsys.readouterr().err.count("torch finds no CUDA device") == 9


@pytest.mark.usefixtures("on_cpu")
@linux_only
def test_a_killed_worker_loses_nothing(many: Path, tmp_path: Path):
    for path in sorted(many.iterdir())[40:]:
        path.unlink()
    results = run_batch(ENCODE, options(many, out=tmp_path / "out", jobs=3))
    found = [next(results) for _ in range(5)]
    victims = [child.pid for child in multiprocessing.active_children() if child.pid != OnCpu.last.pid][:2]
    for pid in victims:  # none of which has taken over what the other lost
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        found += [next(results) for _ in range(5)]
    found += results
    assert len(found) == 40 and {result.error for result in found} == {None}
    assert len(set(contents(tmp_path / "out").values())) == 1
    assert multiprocessing.active_children() == []


@pytest.mark.usefixtures("on_cpu")
@linux_only
def test_the_process_killed_ends_the_command_in_one_line(
    many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "out"
    with ThreadPoolExecutor(1) as pool:

        def kill() -> None:
            wait_for(lambda: len(list(out.glob("*.aec"))) >= 5)
            os.kill(OnCpu.last.pid, signal.SIGKILL)

        killed = pool.submit(kill)
        code = run(["encode", str(many), "--model", "tiny", "--device", "cuda", "--jobs", "3", "--out-dir", str(out)])
        killed.result()
    assert code == 1
    assert capsys.readouterr().err == (
        "aecodec: --device cpu: the process that ran networks is no more; out of memory perhaps\n"
    )
    assert 5 <= len(tree(out)) < 300 and all(name.endswith(".aec") for name in tree(out))
    assert multiprocessing.active_children() == []


@without_cuda
def test_without_cuda_there_is_one_line_before_any_work(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    assert run(["encode", str(photos), "--device", "cuda", "--jobs", "2", "--out-dir", str(out)]) == 1
    assert capsys.readouterr().err == "aecodec: --device cuda: torch finds no CUDA device on this machine\n"
    assert not out.exists() and multiprocessing.active_children() == []


@pytest.mark.parametrize(
    ("device", "error"),
    [("cuda", MissingExtra), ("meta", AecError)],  # meta: of no numbers, which torch itself refuses
)
@without_cuda
def test_a_device_that_cannot_be_used(photos: Path, tmp_path: Path, device: str, error: type[AecError]):
    with pytest.raises(error, match=f"^--device {device}: .*$"):
        list(run_batch(ENCODE, options(photos, out=tmp_path / "out", jobs=2), device))
    assert multiprocessing.active_children() == []


# Whole programs that are stopped.

PROGRAM = """
import sys
from aecodec.batch import run as batch_run
from aecodec.batch.gpu import GpuProcess
from aecodec.cli import main

if __name__ == "__main__":
    batch_run.GpuProcess = lambda device: GpuProcess("cpu")
    main(["encode", sys.argv[1], "--out-dir", sys.argv[2], "--model", "tiny", "--device", "cuda", "--jobs", "2"])
"""


def descendants(pid: int) -> list[int]:
    found = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return found + [below for child in found for below in descendants(child)]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@linux_only
@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nobody_is_left_behind(number: signal.Signals, begun: bool, many: Path, tmp_path: Path):
    """Also where the process that has the device is still being started."""
    program, out = tmp_path / "program.py", tmp_path / "out"
    program.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)}
    process = subprocess.Popen(
        [sys.executable, program, many, out], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    if begun:
        wait_for(lambda: len(list(out.glob("*.aec"))) >= 3)
    else:
        wait_for(lambda: len(descendants(process.pid)) >= 2)  # with the helper that multiprocessing keeps
        time.sleep(0.3)
    below = descendants(process.pid)
    if number is signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does it
    else:
        process.send_signal(number)
    _, said = process.communicate(timeout=60)
    if number is signal.SIGINT:
        assert (process.returncode, said.splitlines()[-1]) == (130, "aecodec: interrupted")
        assert len(said.splitlines()) == 2
    else:
        assert (process.returncode, said) == (-number, "")
    wait_for(lambda: not any(map(is_running, below)))
    assert all(name.endswith(".aec") for name in tree(out))
