"""Runs a batch on a Ray cluster (extra `ray`): a task of the cluster is a shard, of some thousand pictures.

    for result in run_on_ray(EncodeJob(quality=40), BatchOptions(("s3://b/photos",), "s3://b/encoded", "aec"), "auto"):
        ...

This process lists the inputs and hands out shards; scheduling, retries and the transfer of names and results are Ray's.
A worker does its shard item by item with `work.process` and then writes the shard's results beside the outputs. A shard
that has them is not done again, and within one, neither is an output that is up to date: so a task may be run any
number of times, by Ray after a lost worker or machine, or by the next command. Every output is written whole or not at
all, and two attempts write the same bytes. What an attempt did that was lost counts as skipped with the next one.

A shard whose workers die again and again is halved until the item is found that kills them, which then has failed.

Every machine needs aecodec, the same weights, and the same view of the folders: a shared file system, or URLs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO
from typing import Any

from aecodec.batch import storage
from aecodec.batch.jobs import DecodeJob
from aecodec.batch.jobs import EncodeJob
from aecodec.batch.plan import BatchOptions
from aecodec.batch.plan import plan_shards
from aecodec.batch.results import recorded
from aecodec.batch.results import results_file
from aecodec.batch.results import write_results
from aecodec.batch.work import Existing
from aecodec.batch.work import Item
from aecodec.batch.work import Result
from aecodec.batch.work import Task
from aecodec.batch.work import failure
from aecodec.batch.work import process
from aecodec.batch.workers import THREADS
from aecodec.codec.manifest import SEARCH_PATH
from aecodec.codec.manifest import added_folders
from aecodec.errors import InputError
from aecodec.errors import MissingExtra

PICTURES_PER_SHARD = 2000

_RETRIES = 3  # by Ray, of a task whose worker or machine was lost
_TRANSFERS = 8  # objects that a worker reads, works on and writes at the same time; the codec has one of them


@dataclass(frozen=True)
class Part:
    """A shard, or a piece of one, for which no results are written (`mark` is None)."""

    task: Task
    existing: Existing
    entries: tuple[Item | Result, ...]
    mark: str | None

    def halves(self) -> tuple[Part, Part]:
        middle = len(self.entries) // 2
        return (
            replace(self, entries=self.entries[:middle], mark=None),
            replace(self, entries=self.entries[middle:], mark=None),
        )


def parts(task: Task, options: BatchOptions, size: int) -> Iterator[Part]:
    """The parts of a batch, each with the place of its results."""
    for shard, entries in plan_shards(options, size):
        yield Part(task, options.existing, tuple(entries), results_file(options.out_dir, shard))


def do_part(part: Part) -> list[Result]:
    """Works on one part in the calling process; safe to repeat after an interruption at any point.

    Raises OutputError where the results cannot be written.
    """
    done = None if part.mark is None or part.existing == "force" else recorded(part.entries, part.mark)
    if done is not None:
        return done
    do = partial(_do, _OneAtATime(part.task), part.existing)
    with ThreadPoolExecutor(_transfers(part)) as pool:
        results = list(pool.map(do, part.entries))
    if part.mark is not None:
        write_results(part.mark, results)
    return results


def _transfers(part: Part) -> int:
    """Objects are waited for; files are there at once, and threads would only take the processor from each other."""
    items = [entry for entry in part.entries if isinstance(entry, Item)]
    return _TRANSFERS if any(storage.is_url(item.source) or storage.is_url(item.target) for item in items) else 1


def _do(task: Task, existing: Existing, entry: Item | Result) -> Result:
    return process(task, existing, entry) if isinstance(entry, Item) else entry


class _OneAtATime:
    """A task for several threads: while one has the processor, the others read and write."""

    def __init__(self, task: Task) -> None:
        self._task, self._lock = task, threading.Lock()

    def __call__(self, source: Path | IO[bytes], target: str) -> Any:
        with self._lock:
            return self._task(source, target)


def run_on_ray(
    task: EncodeJob | DecodeJob, options: BatchOptions, address: str, size: int = PICTURES_PER_SHARD
) -> Generator[Result, None, None]:
    """Does what `plan` lists, in shards of about `size` pictures; results come shard by shard, in any order.

    address: "local" for `options.jobs` workers on this machine, "auto" for the cluster that this machine is of (or that
    RAY_ADDRESS names), or where a cluster's head is ("host:6379", "ray://host:10001"). Where this process is connected
    to a cluster already, that one is taken. Raises MissingExtra without Ray, InputError where no cluster answers, and
    AecError for what would fail with every shard.
    """
    ray = _library()
    task = replace(task, weights=task.weights.absolute()) if isinstance(task, EncodeJob) and task.weights else task
    ours = _connect(ray, address, options.jobs)
    try:
        if task.device == "cuda" and not ray.cluster_resources().get("GPU"):
            raise InputError("--device cuda: the Ray cluster has no GPU")
        remote = ray.remote(**_needs(task.device))(do_part)
        yield from _gather(ray, remote, list(parts(task, _absolute(options), size)))
    finally:
        if ours:
            ray.shutdown()


def _library() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingExtra('--ray needs Ray: pip install "aecodec[ray]"') from error
    return ray


def _connect(ray: Any, address: str, jobs: int) -> bool:
    """Whether a connection was made that is to be closed again."""
    if ray.is_initialized():
        return False
    local = {"num_cpus": jobs, "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **local)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(f"--ray {address}: no cluster answers ({str(error).strip().splitlines()[0]})") from error
    return True


def _absolute(options: BatchOptions) -> BatchOptions:
    """Workers have a working folder of their own."""
    inputs = tuple(path if storage.is_url(path) else Path(path).absolute() for path in options.inputs)
    out_dir = options.out_dir if storage.is_url(options.out_dir) else Path(options.out_dir).absolute()
    return replace(options, inputs=inputs, out_dir=out_dir)


def _needs(device: str) -> dict[str, Any]:
    """Of a task: one core and its thread; a process is kept for the next task with the weights it has loaded."""
    variables = dict.fromkeys(THREADS, "1")
    if added_folders():
        variables[SEARCH_PATH] = os.pathsep.join(str(folder.absolute()) for folder in added_folders())
    return {
        "num_cpus": 1,
        "num_gpus": int(device == "cuda"),
        "max_retries": _RETRIES,
        "max_calls": 0,  # a process with a GPU would otherwise end with its task
        "runtime_env": {"env_vars": variables},
    }


def _gather(ray: Any, remote: Any, waiting: list[Part]) -> Iterator[Result]:
    running = {remote.remote(part): part for part in waiting}
    while running:
        (ready,), _ = ray.wait(list(running), num_returns=1)
        part = running.pop(ready)
        try:
            results = ray.get(ready)
        except ray.exceptions.RayTaskError as error:  # an exception in the task, which another attempt would meet, too
            cause = str(error.cause or error).strip().splitlines()[-1]
            raise InputError(f"a worker could not do its shard: {cause}") from error
        except ray.exceptions.RayError as error:
            if len(part.entries) > 1:
                running |= {remote.remote(half): half for half in part.halves()}
                continue
            results = [_lost(entry, error) for entry in part.entries]
        yield from results


def _lost(entry: Item | Result, error: Exception) -> Result:
    attempts = f"the processes that worked on it were lost, {_RETRIES + 1} times"
    return failure(entry, f"{attempts} ({type(error).__name__})") if isinstance(entry, Item) else entry
