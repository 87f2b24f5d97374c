"""Objects by URL, and shards as Ray gets them: listings, results, second attempts. Ray itself is a double."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from types import SimpleNamespace
from typing import IO
from typing import Any

import pytest
from PIL import Image

from aecodec.batch import storage
from aecodec.batch.jobs import DecodeJob
from aecodec.batch.jobs import EncodeJob
from aecodec.batch.jobs import Product
from aecodec.batch.made import recording
from aecodec.batch.plan import plan
from aecodec.batch.plan import plan_shards
from aecodec.batch.ray import Part
from aecodec.batch.ray import do_part
from aecodec.batch.ray import parts
from aecodec.batch.ray import run_on_ray
from aecodec.batch.results import Item
from aecodec.batch.results import Result
from aecodec.batch.results import Summary
from aecodec.batch.results import is_recorded
from aecodec.batch.results import reason_of
from aecodec.batch.run import do_item
from aecodec.cli import run
from aecodec.errors import AecError
from aecodec.errors import InputError
from helpers.batch import options
from helpers.paths import PHOTOS

NAMES = ["a.png", "b.PNG", "deep/c.v2.png", "deep/er/d.png"]
JOB = EncodeJob(model="tiny", quality=30)


@pytest.fixture
def bucket() -> Iterator[str]:
    """Four pictures, a text and hidden objects in fsspec's memory."""
    fsspec = pytest.importorskip("fsspec")
    filesystem = fsspec.filesystem("memory")
    with Image.open(PHOTOS / "dog.jpg") as image:
        for n, name in enumerate(NAMES):
            with filesystem.open(f"/bucket/photos/{name}", "wb") as file:
                image.crop((16 * n, 0, 16 * n + 16, 16)).save(file, "PNG")
    for name in ("notes.txt", ".hidden.png", ".thumbnails/a.png"):
        filesystem.pipe_file(f"/bucket/photos/{name}", b"no picture")
    yield "memory://bucket"
    filesystem.rm("/bucket", recursive=True)


# Places.


def test_urls_are_recognised() -> None:
    assert all(storage.is_url(name) for name in ("s3://b/a", "gs://b"))
    assert not any(storage.is_url(name) for name in ("a/b", "C://a", "/a://b"))
    assert not storage.is_url(Path("s3://b/a"))
    assert storage.place("file:///a/b.jpg") == storage.place("file://localhost/a/b.jpg") == Path("/a/b.jpg")
    assert storage.place("file:///a%20b/%C3%A9%25%23.jpg") == Path("/a b/é%#.jpg")
    assert storage.place("file:///a/100%?#.jpg") == Path("/a/100%?#.jpg"), "as it is"
    with pytest.raises(InputError, match="^file:///a%00.jpg: no file has a zero byte in its name$"):
        storage.place("file:///a%00.jpg")
    assert storage.place("a/b.jpg") == Path("a/b.jpg")
    assert storage.place("s3://b/a.jpg") == "s3://b/a.jpg"


@pytest.mark.parametrize("kind", ["file", "object"])
def test_what_is_written_is_read(kind: str, bucket: str, tmp_path: Path) -> None:
    name = storage.join(bucket if kind == "object" else tmp_path, "new/er/a.bin")
    assert storage.status(name) is None
    with pytest.raises(InputError, match="a.bin: No such file"):
        storage.read(name)
    for data in (b"one", b"other"):
        storage.write(name, data)
        assert storage.read(name) == data
    status = storage.status(name)
    assert status is not None and status.size == 5
    time.sleep(0.01)
    storage.write(name, b"equal")
    other = storage.status(name)
    assert other is not None and (other.size, other.stamp != status.stamp) == (5, True)
    assert storage.status(name.removesuffix("/a.bin")) is None, "a folder is no object"


def test_an_unknown_store_is_one_line() -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(InputError, match="^nowhere://a/b: Protocol not known"):
        storage.read("nowhere://a/b")


@pytest.mark.parametrize(
    ("missing", "arguments", "wanted"),
    [
        ("fsspec.core", ["s3://bucket/photos", "--out-dir", "s3://bucket/out"], "URLs need fsspec"),
        ("ray", ["photos", "--out-dir", "out", "--ray", "local"], "--ray needs Ray"),
    ],
)
def test_a_missing_extra_is_named(
    missing: str,
    arguments: list[str],
    wanted: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    assert run(["encode", *arguments, "--model", "tiny"]) == 1
    assert capsys.readouterr().err == f'aecodec: {wanted}: pip install "aecodec[ray]"\n'


# Plans.


def test_a_plan_of_objects_is_that_of_a_folder(bucket: str, tmp_path: Path) -> None:
    items = list(plan(options(f"{bucket}/photos", out=f"{bucket}/out")))
    assert [item.source for item in items] == [f"{bucket}/photos/{name}" for name in NAMES]
    assert [item.target for item in items] == [
        f"{bucket}/out/{name}.aec" for name in ("a", "b", "deep/c.v2", "deep/er/d")
    ]
    for name in NAMES:
        storage.write(str(tmp_path / "photos" / name), storage.read(f"{bucket}/photos/{name}"))
    for count in (1, 2, 4):
        there = plan_shards(options(f"{bucket}/photos", out=f"{bucket}/out"), -(-len(NAMES) // count))
        here = plan_shards(options(tmp_path / "photos", out=tmp_path / "out"), -(-len(NAMES) // count))
        assert [(shard, [Path(item.source).name for item in items]) for shard, items in there] == [
            (shard, [Path(item.source).name for item in items]) for shard, items in here
        ]


def test_an_object_given_by_name_is_taken_with_any_extension(bucket: str) -> None:
    (item,) = plan(options(f"{bucket}/photos/notes.txt", out="out"))
    assert item == Item(f"{bucket}/photos/notes.txt", str(Path("out", "notes.aec")))


def test_shards_are_those_of_the_option_and_their_number_a_power_of_two(tmp_path: Path) -> None:
    for n in range(100):
        (tmp_path / f"{n:03}.png").touch()
    whole = options(tmp_path, out="out")
    for size, count in ((1, 128), (30, 4), (50, 2), (99, 2), (100, 1), (5000, 1)):
        shards = plan_shards(whole, size)
        assert {shard.count for shard, _ in shards} == {count}
        for shard, entries in shards:
            assert entries == list(plan(options(tmp_path, out="out", shard=shard)))
        assert sum(len(entries) for _, entries in shards) == 100
    assert plan_shards(options(tmp_path / "none", out="out", suffixes=frozenset()), 10)[0][0].count == 1


# One part, and again.


def failing(bucket: str) -> str:
    storage.write(f"{bucket}/photos/deep/bad.png", b"no picture")
    return f"{bucket}/photos/deep/bad.png"


def done(part: Part, bucket: str) -> list[Result]:
    return list(recording((result for result in do_part(part)), f"{bucket}/out"))


def the_part(bucket: str, **others: Any) -> Part:
    (part,) = parts(JOB, options(f"{bucket}/photos", out=f"{bucket}/out", **others), 100)
    return part


def test_a_part_is_done_once_and_its_mark_is_that_of_a_shard(bucket: str, tmp_path: Path) -> None:
    part = the_part(bucket)
    assert part.mark == f"{bucket}/out/shard-00001-of-00001.jsonl"
    results = done(part, bucket)
    assert [(result.error, result.skipped) for result in results] == [(None, False)] * 4
    mark = storage.read(part.mark)
    lines = [json.loads(line) for line in mark.splitlines()]
    assert [fields["output"] for fields in lines] == [result.target for result in results]
    assert [fields["bytes"] for fields in lines] == [len(storage.read(result.target)) for result in results]
    alone = do_item(JOB, "force", Item(f"{bucket}/photos/a.png", str(tmp_path / "a.aec")))
    assert Path(alone.target).read_bytes() == storage.read(f"{bucket}/out/a.aec")
    again = done(the_part(bucket), bucket)
    assert [result.skipped for result in again] == [True] * 4
    assert [result.bytes_out for result in again] == [result.bytes_out for result in results]
    assert storage.read(part.mark) == mark
    assert [result.skipped for result in do_part(the_part(bucket, existing="force"))] == [False] * 4


def test_a_second_attempt_does_what_is_missing(bucket: str) -> None:
    part = the_part(bucket)
    first = part.halves()[0]
    assert first.mark is None and not done(first, bucket)[0].skipped
    assert storage.status(str(part.mark)) is None, "a piece of a shard does not mark it"
    assert [result.skipped for result in done(the_part(bucket), bucket)] == [True, True, False, False]
    storage.write(f"{bucket}/photos/e.png", storage.read(f"{bucket}/photos/a.png"))
    with_more = the_part(bucket)
    assert with_more.mark == part.mark
    assert [result.skipped for result in done(with_more, bucket)] == [True, True, True, True, False]
    storage.write(str(part.mark), b"{")
    assert not is_recorded(with_more.entries, str(part.mark)) and len(done(with_more, bucket)) == 5
    assert is_recorded(with_more.entries, str(part.mark))
    assert not is_recorded(with_more.entries[1:], str(part.mark))
    storage.write(f"{bucket}/photos/b.PNG", storage.read(f"{bucket}/photos/a.png"))
    storage._filesystem(bucket).rm_file(f"{bucket}/out/a.aec")
    assert [result.skipped for result in done(the_part(bucket), bucket)] == [False, False, True, True, True]


def test_a_damaged_object_of_the_same_size_is_written_again(bucket: str) -> None:
    done(the_part(bucket), bucket)
    name = f"{bucket}/out/a.aec"
    data = storage.read(name)
    time.sleep(0.01)
    storage.write(name, bytes(len(data)))
    assert [result.skipped for result in done(the_part(bucket), bucket)] == [False, True, True, True]
    assert storage.read(name) == data, "what is damaged is made again"
    storage.write(name, data)
    assert [result.skipped for result in done(the_part(bucket), bucket)] == [False, True, True, True]
    assert all(result.skipped for result in done(the_part(bucket), bucket)), "made again and found equal"


def test_a_part_with_a_failure_is_tried_again_and_counted_by_reason(bucket: str) -> None:
    bad = failing(bucket)
    storage.write(f"{bucket}/photos/worse.png", b"no picture either")
    results = do_part(the_part(bucket))
    failed = [result for result in results if result.error is not None]
    assert [result.source for result in failed] == [bad, f"{bucket}/photos/worse.png"]
    assert all(str(result.error).startswith(result.source) for result in failed)
    summary = Summary()
    for result in results:
        summary.add(result)
    assert (summary.done, summary.failed, sum(summary.reasons.values()), len(summary.reasons)) == (4, 2, 2, 1)
    error = "a/7.png: 4000x3000 pixels exceed the limit of 100 in all"
    assert reason_of(Result("a/7.png", "out/7.aec", error=error)) == "NxN pixels exceed the limit of N in all"
    storage.write(bad, storage.read(f"{bucket}/photos/a.png"))
    assert sum(result.error is not None for result in do_part(the_part(bucket))) == 1


def test_one_picture_at_a_time_is_worked_on_while_others_are_read(bucket: str) -> None:
    at_work: list[int] = []
    threads: set[int] = set()

    def job(source: Path | IO[bytes], target: str) -> Product:
        at_work.append(1)
        assert len(at_work) == 1
        threads.add(threading.get_ident())
        time.sleep(0.02)
        at_work.pop()
        return Product(b"x", target)

    part = the_part(bucket)
    assert all(result.error is None for result in do_part(Part(job, "force", part.entries, None)))
    assert len(threads) > 1


# The driver, with a double of Ray that works in this process.


class RayError(Exception):
    pass


class RayTaskError(RayError):
    cause: Exception | None = None


Ref = tuple[Callable[[Part], list[Result]], Part]


class FakeRay(ModuleType):
    """Does a part when it is asked for its result; `accident` may raise before or after."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, accident: Callable[[Part], None]) -> None:
        super().__init__("ray")
        self.accident, self.asked, self.connected = accident, list[Part](), False
        self.wanted: dict[str, Any] = {}
        self.gpus = 0.0
        self.many: str | None = None

    def init(self, address: str, **others: object) -> None:
        if address == "nobody:6379":
            raise ConnectionError("Could not find any running Ray instance.\nAnd more.")
        self.connected, self.many = True, os.environ.get("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER")

    def is_initialized(self) -> bool:
        return self.connected

    def shutdown(self) -> None:
        self.connected = False

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0, "GPU": self.gpus}

    def remote(self, **wanted: Any) -> Any:
        def remote_function(function: Callable[[Part], list[Result]]) -> SimpleNamespace:
            def submit(part: Part) -> object:
                self.asked.append(part)
                return function, part

            return SimpleNamespace(remote=submit)

        self.wanted = wanted
        return remote_function

    def wait(self, refs: list[Ref], num_returns: int) -> tuple[list[Ref], list[Ref]]:
        return refs[-1:], refs[:-1]

    def get(self, ref: Ref) -> list[Result]:
        function, part = ref
        self.accident(part)
        return function(part)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    module = FakeRay(lambda part: None)
    monkeypatch.setitem(sys.modules, "ray", module)
    return module


def test_the_command_on_ray_is_that_of_one_machine(
    fake: FakeRay, bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(bucket)
    arguments = ["encode", f"{bucket}/photos", "--model", "tiny", "-q", "30"]
    ray = ["--out-dir", f"{bucket}/out", "--ray", "auto", "--shard-size", "2"]
    assert run([*arguments, *ray]) == 1
    error, summary, reason = capsys.readouterr().err.splitlines()
    assert error.startswith(f"aecodec: {bucket}/photos/deep/bad.png: ")
    assert summary.startswith("4 done, 1 failed in ")
    assert reason.startswith("1 failed: not a picture")
    assert not fake.connected and fake.many is None
    assert (fake.wanted["num_gpus"], fake.wanted["max_retries"]) == (0, 3)
    assert fake.wanted["runtime_env"]["env_vars"]["OPENBLAS_NUM_THREADS"] == "1"
    assert run([*arguments, "--out-dir", str(tmp_path / "out"), "--jobs", "1"]) == 1
    for name in ("a.aec", "deep/er/d.aec"):
        assert (tmp_path / "out" / name).read_bytes() == storage.read(f"{bucket}/out/{name}")
    capsys.readouterr()
    assert run([*arguments, *ray]) == 1
    assert "0 done, 4 skipped" in capsys.readouterr().err
    back = ["decode", f"{bucket}/out", "--out-dir", f"file://{tmp_path}/back", "--ray", "local"]
    assert run(back) == 0
    assert fake.many == "0" and "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in os.environ
    assert (tmp_path / "back" / "deep" / "c.v2.png").is_file()


def test_an_item_that_kills_its_workers_is_found_and_lost_alone(fake: FakeRay, bucket: str) -> None:
    def die(part: Part) -> None:
        if any(isinstance(entry, Item) and entry.source.endswith("b.PNG") for entry in part.entries):
            raise RayError("The worker died unexpectedly")

    fake.accident = die
    results = list(run_on_ray(JOB, options(f"{bucket}/photos", out=f"{bucket}/out"), "auto"))
    assert sorted(result.source for result in results) == [f"{bucket}/photos/{name}" for name in NAMES]
    (lost,) = (result for result in results if result.error is not None)
    assert lost.source == f"{bucket}/photos/b.PNG"
    assert "were lost, 4 times (RayError)" in str(lost.error)
    assert storage.status(f"{bucket}/out/shard-00001-of-00001.jsonl") is None


def test_an_exception_in_a_worker_is_one_line_and_ends_the_run(fake: FakeRay, bucket: str) -> None:
    def fail(part: Part) -> None:
        raise RayTaskError("ray::do_part() failed\n  Traceback\nModuleNotFoundError: No module named 'aecodec'")

    fake.accident = fail
    with pytest.raises(AecError, match="^a worker could not do its shard: ModuleNotFoundError: No module named"):
        list(run_on_ray(JOB, options(f"{bucket}/photos", out=f"{bucket}/out"), "auto"))
    assert not fake.connected


def test_paths_are_absolute_for_workers(
    fake: FakeRay, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    storage.write("photos/a.png", storage.read(f"{bucket}/photos/a.png"))
    weights = Path("tiny.decoder.safetensors")
    asked = list(run_on_ray(EncodeJob(weights=weights), options(Path("photos"), out=Path("out")), "auto"))
    assert [result.target for result in asked] == [str(tmp_path / "out" / "a.aec")]
    (part,) = fake.asked
    assert part.job == EncodeJob(weights=tmp_path / weights)


def test_a_usage_or_input_error_is_one_line(fake: FakeRay, bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
    url, out = f"{bucket}/photos", ["--out-dir", f"{bucket}/out", "--model", "tiny"]
    for arguments, code, wanted in (
        ([url, *out, "--ray", "nobody:6379"], 1, "--ray nobody:6379: no cluster answers (Could not find any"),
        ([url, *out, "--ray", "auto", "--device", "cuda"], 1, "the Ray cluster has no GPU"),
        ([url, *out, "--ray", "auto", "--shard", "1/2"], 2, "--ray makes its own shards"),
        ([url, *out, "--shard-size", "5"], 2, "--shard-size goes with --ray"),
        ([url, "a.aec"], 2, "URLs go with --out-dir"),
        (["a.png", "a.aec", "--ray", "auto"], 2, "go with --out-dir"),
        ([f"{bucket}/none", *out, "--quiet"], 1, f"{bucket}/none: No such file or directory"),
        ([f"{bucket}/none", *out, "--quiet", "--ray", "auto"], 1, f"{bucket}/none: No such file or directory"),
    ):
        assert run(["encode", *arguments]) == code
        err = capsys.readouterr().err
        assert wanted in err and err.count("\n") == 1, err


def test_missing_objects_are_an_error_among_others(
    bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["encode", f"{bucket}/photos", f"{bucket}/none", "--out-dir", str(tmp_path), "--model", "tiny"]
    assert run([*arguments, "--jobs", "1"]) == 1
    error, summary = capsys.readouterr().err.splitlines()
    assert error == f"aecodec: {bucket}/none: No such file or directory"
    assert summary.startswith("4 done, 1 failed in ")


def test_a_gpu_is_asked_for_with_cuda(fake: FakeRay, bucket: str) -> None:
    fake.gpus = 1.0
    list(run_on_ray(EncodeJob(device="cuda"), options(f"{bucket}/none", out=f"{bucket}/out"), "auto"))
    assert [fake.wanted[name] for name in ("num_cpus", "num_gpus", "max_calls")] == [1, 1, 0]


def test_decoding_names_its_objects(bucket: str) -> None:
    storage.write(f"{bucket}/a.aec", b"no aec")
    result = do_item(DecodeJob(extension="png"), "force", Item(f"{bucket}/a.aec", f"{bucket}/a.png"))
    assert str(result.error).startswith(f"{bucket}/a.aec: ")
    same = do_item(DecodeJob(extension="png"), "force", Item(f"{bucket}/a.aec", f"{bucket}/a.aec"))
    assert same.error is not None
