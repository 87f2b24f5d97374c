"""A real Ray cluster, two machines on one: workers killed, a machine stopped, objects in a local S3 server.

Slow, and left out with the reason where Ray (or moto) is not installed: `pip install "aecodec[ray]" "moto[server]"`.
AECODEC_RAY_PICTURES is the number of pictures of the first test, 300 by default.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aecodec.batch.jobs import EncodeJob
from aecodec.batch.plan import BatchOptions
from aecodec.batch.ray import run_on_ray
from aecodec.batch.run import run_batch
from helpers.commands import command
from helpers.commands import environment
from helpers.folders import contents
from helpers.folders import wait_for
from helpers.paths import GOLDEN
from helpers.paths import PACKAGE_PARENT
from helpers.paths import PHOTOS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds workers in /proc"),
    pytest.mark.filterwarnings("default"),  # Ray's own
]
ray = pytest.importorskip("ray", reason="needs the extra ray", exc_type=ImportError)

JOB = EncodeJob(model="tiny", quality=30)
PICTURES = int(os.environ.get("AECODEC_RAY_PICTURES", "300"))
PATIENCE = 120.0


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without processors, and two machines with one each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", str(PACKAGE_PARENT))
    monkeypatch.setenv("AECODEC_WEIGHTS", str(GOLDEN / "tiny"))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # 15 by default: on a busy machine, workers would hardly run
    memory = {"object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **memory})
    try:
        cluster.machines = [cluster.add_node(num_cpus=1, **memory) for _ in range(2)]
        cluster.wait_for_nodes(PATIENCE)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def crops(folder: Path, count: int) -> Path:
    """Different pictures of 16x16, in ten folders."""
    where = np.random.default_rng(20261125)
    with Image.open(PHOTOS / "dog.jpg") as image:
        for n in range(count):
            x, y = int(where.integers(image.width - 16)), int(where.integers(image.height - 16))
            path = folder / str(n % 10) / f"{n:05}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.crop((x, y, x + 16, y + 16)).save(path)
    return folder


def outputs(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in contents(folder).items() if name.endswith(".aec")}


def recorded(folder: Path) -> list[str]:
    """The outputs in the results of all shards."""
    marks = [path.read_text().splitlines() for path in sorted(folder.glob("shard-*.jsonl"))]
    return sorted(json.loads(line)["output"] for lines in marks for line in lines)


def at_work() -> list[int]:
    """Process ids of the workers that are doing a shard, by the title that Ray gives them."""
    found = []
    for words in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if words.read_bytes().startswith(b"ray::do_part"):
                found.append(int(words.parent.name))
        except OSError:
            continue
    return found


class _Trouble(threading.Thread):
    """Calls each function once that number of outputs exists; `done` has what they returned."""

    def __init__(self, folder: Path, troubles: list[tuple[int, Callable[[], object]]]) -> None:
        super().__init__(daemon=True)
        self.folder, self.troubles, self.done = folder, troubles, list[object]()

    def run(self) -> None:
        for count, trouble in self.troubles:
            wait_for(lambda count=count: sum(1 for _ in self.folder.rglob("*.aec")) >= count, 10 * PATIENCE)
            self.done.append(trouble())


def kill_a_worker() -> None:
    found: list[int] = []
    wait_for(lambda: found or found.extend(at_work()), PATIENCE)
    os.kill(found[0], signal.SIGKILL)


def test_a_killed_worker_and_a_stopped_machine_lose_and_double_nothing(cluster: Any, tmp_path: Path) -> None:
    photos, out = crops(tmp_path / "photos", PICTURES), tmp_path / "out"
    options, size = BatchOptions((photos,), out, "aec"), max(16, PICTURES // 16)

    def stop_a_machine() -> int:
        cluster.remove_node(cluster.machines[0], allow_graceful=False)
        return sum(1 for _ in out.rglob("*.aec"))

    trouble = _Trouble(out, [(PICTURES // 10, kill_a_worker), (PICTURES // 2, stop_a_machine)])
    trouble.start()
    started = time.monotonic()
    results = list(run_on_ray(JOB, options, cluster.address, size))
    seconds = time.monotonic() - started
    trouble.join(PATIENCE)
    assert len(trouble.done) == 2, "worker killed and machine stopped"
    assert PICTURES // 2 <= int(str(trouble.done[1])) < PICTURES, "in the middle"

    assert [result.error for result in results if result.error is not None] == []
    names = sorted(str(out / path.relative_to(photos).with_suffix(".aec")) for path in photos.rglob("*.png"))
    assert sorted(result.target for result in results) == names
    assert recorded(out) == names
    assert [path for path in out.rglob(".*") if path.is_file() and not path.name.endswith(".aec-tmp")] == []
    alone = tmp_path / "alone"
    sample = sorted(photos.rglob("*.png"))[:: max(1, PICTURES // 100)]
    for _ in run_batch(JOB, BatchOptions(tuple(sample), alone, "aec")):
        pass
    there = outputs(out)
    assert {Path(name).name: there[f"{int(Path(name).stem) % 10}/{name}"] for name in outputs(alone)} == outputs(alone)

    redone = sum(result.skipped for result in results)
    print(f"\n{PICTURES} pictures of 16x16, two machines of one core: {seconds:.0f} s, {redone} by lost attempts")
    missing = [Path(name) for name in names[:: PICTURES // 10]]
    stamps = {name: Path(name).stat().st_mtime_ns for name in names}
    for path in missing:
        path.unlink()
    for mark in out.glob("shard-*.jsonl"):
        mark.unlink()
    again = list(run_on_ray(JOB, options, cluster.address, size))
    assert sorted(result.target for result in again if not result.skipped) == sorted(map(str, missing))
    assert {name for name in names if Path(name).stat().st_mtime_ns != stamps[name]} == set(map(str, missing))
    assert outputs(out) == there
    assert all(result.skipped for result in run_on_ray(JOB, options, cluster.address, size))


def test_the_whole_command_on_a_cluster_of_its_own(tmp_path: Path) -> None:
    photos = crops(tmp_path / "photos", 40)
    (photos / "0" / "bad.png").write_bytes(b"no picture")
    variables = environment() | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "AECODEC_WEIGHTS": "tiny"}
    (tmp_path / "tiny").symlink_to(GOLDEN / "tiny")
    encode = command("encode", "photos", "--out-dir", "out", "--model", "tiny", "-q", "30", "--ray", "local")
    encode += ["--jobs", "2", "--shard-size", "8"]
    done = subprocess.run(encode, cwd=tmp_path, env=variables, capture_output=True, text=True)
    error, summary, reason = done.stderr.splitlines()
    assert error.startswith("aecodec: ")
    assert "bad.png" in error
    assert summary.startswith("40 done, 1 failed in ")
    assert reason.startswith("1 failed: not a picture")
    assert len(outputs(tmp_path / "out")) == 40
    without = subprocess.run([*encode, "--ray", "auto"], cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert without.returncode == 1
    assert without.stderr.startswith("aecodec: --ray auto: no cluster answers (")
    assert without.stderr.count("\n") == 1


LISTENING = """
import os
from pathlib import Path

from aecodec.batch.plan import BatchOptions
from aecodec.batch.ray import run_on_ray
from aecodec.batch.jobs import EncodeJob

def ours(process):
    try:
        return b"AECODEC_TEST=listening" in (process / "environ").read_bytes()
    except OSError:
        return False

def links(process):
    try:  # a process may end meanwhile
        names = os.listdir(process / "fd")
    except OSError:
        names = []
    for name in names:
        try:
            yield os.readlink(process / "fd" / name)
        except OSError:
            pass

if __name__ == "__main__":
    options = BatchOptions(("photos",), "out", "aec", jobs=1)
    for result in run_on_ray(EncodeJob(model="tiny"), options, "local"):
        sockets = {link for process in Path("/proc").glob("[0-9]*") if ours(process) for link in links(process)}
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                    print(fields[1].partition(":")[0])
"""


def test_a_cluster_of_this_machine_listens_on_loopback_alone(tmp_path: Path) -> None:
    crops(tmp_path / "photos", 1)
    (tmp_path / "listening.py").write_text(LISTENING)
    variables = environment() | {"AECODEC_TEST": "listening", "AECODEC_WEIGHTS": str(GOLDEN / "tiny")}
    done = subprocess.run([sys.executable, "listening.py"], cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    addresses = done.stdout.split()
    assert len(addresses) > 3
    assert set(addresses) <= {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket of a local S3 server, found by the environment that workers inherit."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0)
    pytest.importorskip("s3fs")
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    import s3fs

    s3fs.S3FileSystem(skip_instance_cache=True).mkdir("pictures")
    yield "s3://pictures"
    server.stop()


def test_objects_of_s3_there_and_back(bucket: str, cluster: Any, tmp_path: Path) -> None:
    import fsspec

    photos = crops(tmp_path / "photos", 60)
    store = fsspec.filesystem("s3", use_listings_cache=False)
    store.put(str(photos), f"{bucket}/photos", recursive=True)
    store.pipe_file(f"{bucket}/photos/bad.png", b"no picture")
    options = BatchOptions((f"{bucket}/photos",), f"{bucket}/out", "aec")
    results = list(run_on_ray(JOB, options, cluster.address, 16))
    assert [result.source for result in results if result.error is not None] == [f"{bucket}/photos/bad.png"]
    local = tmp_path / "local"
    for _ in run_batch(JOB, BatchOptions((photos,), local, "aec")):
        pass
    names = [name for name in store.find(f"{bucket}/out") if name.endswith(".aec")]
    assert {name.removeprefix("pictures/out/"): store.cat_file(name) for name in names} == outputs(local)

    store.rm_file(f"{bucket}/photos/bad.png")
    store.rm_file(names[7])
    for mark in store.glob(f"{bucket}/out/shard-*"):
        store.rm_file(mark)
    again = list(run_on_ray(JOB, options, cluster.address, 16))
    assert [result.target for result in again if not result.skipped] == [f"s3://{names[7]}"]
    assert sorted(name for name in store.find(f"{bucket}/out") if name.endswith(".aec")) == sorted(names)
    assert all(result.skipped for result in run_on_ray(JOB, options, cluster.address, 16))
