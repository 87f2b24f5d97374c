"""Runs a batch on a Ray cluster (extra `ray`): each task of the cluster is a shard of some thousand pictures.

    for result in run_on_ray(EncodeJob(quality=40), BatchOptions(("s3://b/photos",), "s3://b/encoded", "aec"), "auto"):
        ...

This process lists the inputs and hands out shards; Ray schedules and retries them, and moves names and results. A
worker does the items of its shard with `run.do_item`, then writes the shard's results beside the outputs; this process
adds them to the journal (`made.py`). An output that is up to date is not made again, so a task may run any number of
times: by Ray after it lost a worker or machine, or by the next command. Every output is written whole or not at all,
and two attempts write the same bytes. What a lost attempt wrote is made again and compared.

A shard whose workers keep dying is halved until the item that kills them is found and reported as failed.

Every machine needs aecodec, the same weights, and the same view of the folders: a shared file system, or URLs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any

from aecodec.batch import storage
from aecodec.batch.jobs import DecodeJob
from aecodec.batch.jobs import EncodeJob
from aecodec.batch.made import recording
from aecodec.batch.plan import BatchOptions
from aecodec.batch.plan import Existing
from aecodec.batch.plan import plan_shards
from aecodec.batch.results import Item
from aecodec.batch.results import Result
from aecodec.batch.results import failure
from aecodec.batch.results import is_recorded
from aecodec.batch.results import write_results
from aecodec.batch.run import Job
from aecodec.batch.run import do_item
from aecodec.batch.workers import THREADS
from aecodec.codec.manifest import SEARCH_PATH
from aecodec.codec.manifest import added_folders
from aecodec.errors import InputError
from aecodec.errors import MissingExtra

PICTURES_PER_SHARD = 2000

_RETRIES = 3  # by Ray, of a task whose worker or machine was lost
_CLUSTERS = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
_TRANSFERS = 8  # objects that a worker reads, codes and writes at the same time, one of them in the codec


@dataclass(frozen=True)
class Part:
    """A shard, or a piece of one, for which no results are written (`mark` is None)."""

    job: Job
    existing: Existing
    entries: tuple[Item | Result, ...]
    mark: str | None

    def halves(self) -> tuple[Part, Part]:
        middle = len(self.entries) // 2
        pieces = self.entries[:middle], self.entries[middle:]
        return replace(self, entries=pieces[0], mark=None), replace(self, entries=pieces[1], mark=None)


def parts(job: Job, options: BatchOptions, size: int) -> list[Part]:
    """The shards of a batch, each with the place of its results."""
    return [
        Part(job, options.existing, tuple(entries), shard.results_file(options.out_dir))
        for shard, entries in plan_shards(options, size)
    ]


def do_part(part: Part) -> list[Result]:
    """Does one part in the calling process; safe to repeat after an interruption at any point.

    Raises OutputError if the results cannot be written.
    """
    turn = threading.Lock()  # one picture in the codec, while the other threads read and write
    with ThreadPoolExecutor(_transfers(part)) as pool:
        results = list(pool.map(lambda entry: do_item(part.job, part.existing, entry, turn=turn), part.entries))
    if part.mark is not None and not (
        all(result.skipped for result in results) and is_recorded(part.entries, part.mark)
    ):
        write_results(part.mark, results)
    return results


def _transfers(part: Part) -> int:
    """Objects take time to arrive; files do not, and threads would only compete for the processor."""
    items = [entry for entry in part.entries if isinstance(entry, Item)]
    return _TRANSFERS if any(storage.is_url(item.source) or storage.is_url(item.target) for item in items) else 1


def run_on_ray(
    job: EncodeJob | DecodeJob, options: BatchOptions, address: str, size: int = PICTURES_PER_SHARD
) -> Generator[Result, None, None]:
    """Does what `plan` lists, in shards of about `size` pictures; yields results shard by shard, in any order.

    address: "local" for `options.jobs` workers on this machine, whose ports nothing outside it reaches unless the
    program has imported Ray before; "auto" for the cluster that this machine belongs to (or
    that RAY_ADDRESS names), or the address of a cluster's head ("host:6379", "ray://host:10001"). A connection that
    this process already has is used instead. Raises MissingExtra without Ray, InputError if no cluster answers, and
    AecError for what would fail with every shard.
    """
    job = replace(job, weights=job.weights.absolute()) if isinstance(job, EncodeJob) and job.weights else job
    with _within_this_machine(address):
        try:
            import ray
        except ImportError as error:
            raise MissingExtra('--ray needs Ray: pip install "aecodec[ray]"') from error
        ours = _connect(ray, address, options.jobs * job.thread_count)
    try:
        if job.device == "cuda" and not ray.cluster_resources().get("GPU"):
            raise InputError("--device cuda: the Ray cluster has no GPU")
        remote = ray.remote(**_needs(job))(do_part)
        options = _absolute(options)
        yield from recording(_gather(ray, remote, parts(job, options, size)), options.out_dir)
    finally:
        if ours:
            ray.shutdown()


@contextmanager
def _within_this_machine(address: str) -> Iterator[None]:
    """While Ray is imported and starts: a local cluster listens on the loopback interface, not on all.

    Ray does so where it makes no clusters of several machines, which this variable says (by default of macOS, Windows).
    """
    given = address != "local" or _CLUSTERS in os.environ
    if not given:
        os.environ[_CLUSTERS] = "0"
    try:
        yield
    finally:
        if not given:
            del os.environ[_CLUSTERS]


def _connect(ray: Any, address: str, cores: int) -> bool:
    """Whether this made a connection, which the caller must then close."""
    if ray.is_initialized():
        return False
    local = {"num_cpus": cores, "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **local)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(f"--ray {address}: no cluster answers ({str(error).strip().splitlines()[0]})") from error
    return True


def _absolute(options: BatchOptions) -> BatchOptions:
    """With absolute paths, since a worker runs in another folder."""
    inputs = tuple(path if storage.is_url(path) else Path(path).absolute() for path in options.inputs)
    out_dir = options.out_dir if storage.is_url(options.out_dir) else Path(options.out_dir).absolute()
    return replace(options, inputs=inputs, out_dir=out_dir)


def _needs(job: EncodeJob | DecodeJob) -> dict[str, Any]:
    """What a task needs: a core for each thread. Its process is kept for the next task, with the weights loaded."""
    variables = dict.fromkeys(THREADS, "1")
    if added_folders():
        variables[SEARCH_PATH] = os.pathsep.join(str(folder.absolute()) for folder in added_folders())
    return {
        "num_cpus": job.thread_count,
        "num_gpus": int(job.device == "cuda"),
        "max_retries": _RETRIES,
        "max_calls": 0,  # a process with a GPU would otherwise end with its task
        "runtime_env": {"env_vars": variables},
    }


def _gather(ray: Any, remote: Any, waiting: list[Part]) -> Generator[Result, None, None]:
    running = {remote.remote(part): part for part in waiting}
    while running:
        (ready,), _ = ray.wait(list(running), num_returns=1)
        part = running.pop(ready)
        try:
            results = ray.get(ready)
        except ray.exceptions.RayTaskError as error:  # raised in the task, so another attempt would raise it too
            cause = str(error.cause or error).strip().splitlines()[-1]
            raise InputError(f"a worker could not do its shard: {cause}") from error
        except ray.exceptions.RayError as error:
            if len(part.entries) > 1:
                running |= {remote.remote(half): half for half in part.halves()}
                continue
            lost = f"the processes that worked on it were lost, {_RETRIES + 1} times ({type(error).__name__})"
            results = [failure(entry, lost) if isinstance(entry, Item) else entry for entry in part.entries]
        yield from results
