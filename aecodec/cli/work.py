"""What `encode` and `decode` share: the job on one picture or on many, and its reports."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from collections.abc import Generator
from collections.abc import Iterator
from contextlib import AbstractContextManager
from contextlib import closing
from contextlib import contextmanager
from contextlib import nullcontext
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import NamedTuple

import click

from aecodec.cli import PATH
from aecodec.cli import fail
from aecodec.cli import interrupted
from aecodec.cli.common import PLACE
from aecodec.cli.common import STANDARD
from aecodec.cli.common import Command
from aecodec.cli.common import WholeNumber
from aecodec.cli.common import check_ends
from aecodec.cli.common import say
from aecodec.cli.common import write_target
from aecodec.errors import InputError
from aecodec.errors import OutputError
from aecodec.files import write_new
from aecodec.inputs import is_descriptor

if TYPE_CHECKING:
    from aecodec.batch.jobs import DecodeJob
    from aecodec.batch.jobs import EncodeJob
    from aecodec.batch.plan import BatchOptions
    from aecodec.batch.plan import Existing
    from aecodec.batch.plan import Shard
    from aecodec.batch.results import Result
    from aecodec.batch.results import Summary

_REASONS = 10  # most frequent failures in the report of a Ray run

_OPTIONS = (
    click.option("-o", "--output", type=PATH, metavar="OUT", help="Another way to give OUT."),
    click.option(
        "--out-dir", type=PLACE, metavar="DIR", help="Many inputs, also URLs: write below DIR, keeping subfolders."
    ),
    click.option(
        "-j", "--jobs", type=WholeNumber(min=1), metavar="N", help="Pictures at once. Default: cores / threads."
    ),
    click.option("--shard", metavar="I/N", help="Only part I of N (1/N to N/N); lists its results in DIR."),
    click.option("--ray", metavar="WHERE", help="Run on a Ray cluster: auto, local or an address."),
    click.option("--shard-size", type=WholeNumber(min=1), metavar="N", help="Pictures per Ray task. Default: 2000."),
    click.option("--skip-existing", is_flag=True, help="Skip outputs that exist, whatever they were made from."),
    click.option("--force", is_flag=True, help="Write every output again. Default: those not up to date."),
    click.option("-n", "--no-clobber", is_flag=True, help="Never replace a file."),
    click.option("--strict", is_flag=True, help="A notice is an error: such a picture fails, and is not written."),
    click.option("--quiet", is_flag=True, help="Print errors only."),
    click.option("-v", "--verbose", count=True, help="Also print seconds and every file; twice: skipped files too."),
    click.option("--json", "as_json", is_flag=True, help="One JSON object per file on standard output."),
)


class WorkOptions(NamedTuple):
    """The options of encode and decode that say where outputs go and what to print."""

    output: Path | None
    out_dir: Path | str | None
    jobs: int | None
    shard: str | None
    ray: str | None
    shard_size: int | None
    skip_existing: bool
    force: bool
    no_clobber: bool
    quiet: bool
    verbose: int
    as_json: bool

    @classmethod
    def taken_from(cls, values: dict[str, Any]) -> WorkOptions:
        """Moves these options out of a command's `values`."""
        return cls(**{name: values.pop(name) for name in cls._fields})


def work_options(command: Command) -> Command:
    """Gives a command the options of WorkOptions."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def ends(paths: tuple[Path | str, ...], options: WorkOptions) -> tuple[Path, Path]:
    """IN and OUT of one picture. Raises UsageError if the arguments are for many, and as `check_ends`."""
    paths = paths if options.output is None else (*paths, options.output)
    if len(paths) != 2:
        raise click.UsageError("Give IN and OUT, or inputs and --out-dir DIR.")
    source, target = paths
    if isinstance(source, str) or isinstance(target, str):
        raise click.UsageError("URLs go with --out-dir.")
    if source.is_dir():
        raise InputError(f"{source}: is a folder; give --out-dir DIR to work on what it holds")
    if options.jobs or options.shard or options.skip_existing or options.force or options.ray or options.shard_size:
        raise click.UsageError("--jobs, --shard, --ray, --shard-size, --skip-existing and --force go with --out-dir.")
    if target.is_dir():
        raise OutputError(f"{target}: is a folder; give --out-dir to write into it")
    check_ends(source, target)
    return source, target


def work_on_one(job: EncodeJob | DecodeJob, source: Path, target: Path, options: WorkOptions) -> None:
    """IN to OUT, either of them `-`. Raises AecError or UsageError."""
    if str(target) == STANDARD and options.as_json:
        raise click.UsageError("--json and the output cannot both go to standard output.")
    kept = OutputError(f"{target}: exists; --no-clobber keeps it")
    only_new = options.no_clobber and str(target) != STANDARD
    if only_new and target.exists():
        raise kept
    started = time.perf_counter()
    stream = sys.stdin.buffer if str(source) == STANDARD else source
    with _threads_of(job):
        product = job(stream, "<stdout>" if str(target) == STANDARD else str(target))
    if not only_new:
        write_target(target, product.data)
    elif not write_new(target, product.data):  # another program may have written it meanwhile
        raise kept
    seconds = time.perf_counter() - started
    if options.as_json:
        from aecodec.batch.results import Result
        from aecodec.batch.results import to_json

        size = source.stat().st_size if source.is_file() else 0
        click.echo(to_json(Result(str(source), str(target), size, len(product.data), seconds, notices=product.notices)))
    elif not options.quiet:
        timed = f", {seconds:.3f} s" if options.verbose else ""
        for line in (*product.notices, product.summary + timed):
            say(line)


def _threads_of(job: EncodeJob | DecodeJob) -> AbstractContextManager[None]:
    """While NumPy is loaded: with --threads, its BLAS must not multiply them by its own. Without, it is left alone."""
    if job.threads is None:
        return nullcontext()
    from aecodec.batch.workers import one_thread

    return one_thread()


def work_on_many(job: EncodeJob | DecodeJob, options: WorkOptions, batch: BatchOptions) -> int:
    """Does the job on every input; returns the exit code. Raises InputError without input, and as the job's `check`."""
    from aecodec.batch.results import Summary
    from aecodec.batch.workers import one_thread

    mark = None if batch.shard is None else batch.shard.results_file(batch.out_dir)
    with one_thread():  # in this process too: its check may load NumPy
        job.check()
    summary, started, of_shard = Summary(), time.monotonic(), list["Result"]()
    try:
        with _progress(batch, options) as show, closing(_run(job, batch, options)) as results:
            for result in results:
                result = _strictly(result) if job.strict else result
                summary.add(result)
                show(result)
                of_shard += [] if mark is None else [result]
    except KeyboardInterrupt as error:
        with suppress(OSError):  # of a terminal that was closed
            _tell_summary(summary, started, options, batch)
        return interrupted(error)
    if mark is not None:
        if _mark(mark, of_shard) and not options.quiet:
            say(f"{mark}: this shard is complete; --force repeats it")
            return 0
    elif summary == Summary():
        inputs = ", ".join(map(str, batch.inputs))
        raise InputError(f"no input: {inputs} has no file with a known extension{_passed_over(batch)}")
    _tell_summary(summary, started, options, batch)
    return 1 if summary.failed else 0


def _strictly(result: Result) -> Result:
    """With its notices as its error, for those that no job has raised: of links, folders and the journal."""
    if not result.notices:
        return result
    return replace(result, skipped=False, left_out=False, notices=(), error="; ".join(result.notices))


def _mark(name: str, results: list[Result]) -> bool:
    """Writes a shard's results, unless nothing was left to do and they say so: then True."""
    from aecodec.batch.results import is_recorded
    from aecodec.batch.results import write_results

    if all(result.skipped for result in results) and is_recorded(results, name):
        return True
    write_results(name, results)
    return False


def _run(job: EncodeJob | DecodeJob, batch: BatchOptions, options: WorkOptions) -> Generator[Result, None, None]:
    """Results as they arrive, from this machine or a Ray cluster."""
    if options.ray is None:
        from aecodec.batch.run import run_batch

        return run_batch(job, batch)
    from aecodec.batch.ray import PICTURES_PER_SHARD
    from aecodec.batch.ray import run_on_ray

    return run_on_ray(job, batch, options.ray, options.shard_size or PICTURES_PER_SHARD)


def batch_options(
    paths: tuple[Path | str, ...],
    options: WorkOptions,
    out_dir: Path | str,
    suffixes: frozenset[str],
    extension: str,
    *,
    threads: int,
    keep_extension: bool = False,
) -> BatchOptions:
    """The batch. Raises UsageError if options contradict each other."""
    from aecodec.batch.plan import BatchOptions
    from aecodec.batch.workers import cores

    if options.output is not None:
        raise click.UsageError("Give one of --output and --out-dir.")
    if not paths:
        raise click.UsageError("Give files or folders to work on.")
    if any(str(path) == STANDARD or is_descriptor(path) for path in paths):
        raise click.UsageError("Standard input and other open descriptors do not go with --out-dir.")
    if options.ray is None and options.shard_size:
        raise click.UsageError("--shard-size goes with --ray.")
    if options.ray is not None and options.shard:
        raise click.UsageError("--ray makes its own shards; --shard is for runs without it.")
    keep = options.skip_existing or options.no_clobber
    if keep and options.force:
        raise click.UsageError("--force contradicts --skip-existing and --no-clobber.")
    many = any(isinstance(path, str) or path.is_dir() for path in paths)
    most = max(1, cores() // threads)
    jobs = options.jobs or (most if many else min(most, len(paths)))
    existing: Existing = "skip" if keep else "force" if options.force else "update"
    shard = _shard(options.shard)
    return BatchOptions(paths, out_dir, extension, suffixes, jobs, shard, existing, keep_extension)


def _shard(value: str | None) -> Shard | None:
    from aecodec.batch.plan import Shard

    if value is None:
        return None
    parts = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", value)
    if parts is None or not 1 <= int(parts[1]) <= int(parts[2]):
        raise click.UsageError(f"--shard {value!r} is not I/N with I from 1 to N.")
    return Shard(int(parts[1]), int(parts[2]))


@contextmanager
def _progress(batch: BatchOptions, options: WorkOptions) -> Iterator[Callable[[Result], None]]:
    """A function that reports a result: above a progress bar on a terminal, plainly elsewhere."""
    if options.quiet or options.verbose or not sys.stderr.isatty():
        yield lambda result: _tell(result, options)
        return
    from aecodec.batch.plan import plan
    from aecodec.batch.progress import Bar

    with Bar() as bar:
        bar.start("pictures", sum(1 for _ in plan(batch)))  # reads names only

        def show(result: Result) -> None:
            if result.error is not None or result.left_out:
                bar.note("")
            _tell(result, options)
            bar.step()

        yield show


def _tell(result: Result, options: WorkOptions) -> None:
    from aecodec.batch.results import to_json

    if result.left_out:
        for line in () if options.quiet else result.notices:
            say(line)
        return
    if options.as_json:
        click.echo(to_json(result))
    if result.error is not None:
        fail(result.error, 1)
    elif result.skipped:
        if options.verbose > 1:
            say(f"{result.target}: skipped")
    elif options.verbose:
        for line in (*result.notices, f"{result.summary}, {result.seconds:.3f} s"):
            say(line)


def _passed_over(batch: BatchOptions) -> str:
    """How many files of the folders were not taken, by extension; empty if there are none."""
    kinds = sum(batch.passed_over.values(), Counter[str]())
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return f"; passed over {told}" if told else ""


def _tell_summary(summary: Summary, started: float, options: WorkOptions, batch: BatchOptions) -> None:
    if options.quiet:
        return
    seconds = time.monotonic() - started
    counts = [f"{summary.done} done"]
    if summary.skipped:
        reason = "existing" if options.skip_existing or options.no_clobber else "up to date; --force writes them again"
        counts.append(f"{summary.skipped} skipped ({reason})")
    if summary.failed:
        counts.append(f"{summary.failed} failed")
    if summary.notices and not options.verbose:
        counts.append(f"{summary.notices} with a notice (-v shows them)")
    line = f"{', '.join(counts)} in {seconds:.1f} s"
    if summary.done:
        line += f": {summary.bytes_in} to {summary.bytes_out} bytes, {summary.done / seconds:.1f} pictures per second"
    line += _passed_over(batch)
    say(line)
    if options.ray is not None:
        for reason, count in summary.reasons.most_common(_REASONS):
            say(f"{count} failed: {reason}")
