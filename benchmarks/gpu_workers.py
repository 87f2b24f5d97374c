"""Pictures per second of a batch whose networks one process runs on the GPU for all workers, beside the NumPy engine.

    python benchmarks/gpu_workers.py FOLDER [--device cuda] [--jobs 16,32,64] [--model standard]

Encodes the folder, then decodes what came of it, into a temporary folder: with NumPy in one worker a core, then on the
GPU with each number of workers; more of them make larger batches. Two rates: of the whole, and of what comes after the
first quarter, when all processes run. Exit code 1 where files or pixels differ from NumPy's. `--device cpu` is torch's
CPU device, to try it. Whole commands: `benchmarks/bulk.py --device cuda`.
"""

from __future__ import annotations

import argparse
import filecmp
import sys
import tempfile
import time
from pathlib import Path

from aecodec.batch.jobs import AEC_SUFFIXES
from aecodec.batch.jobs import PICTURE_SUFFIXES
from aecodec.batch.jobs import DecodeJob
from aecodec.batch.jobs import EncodeJob
from aecodec.batch.plan import BatchOptions
from aecodec.batch.run import run_batch
from aecodec.batch.workers import cores


def measure(name: str, task: EncodeJob | DecodeJob, options: BatchOptions, torch_device: str) -> None:
    """Raises SystemExit where a picture fails."""
    started, times = time.perf_counter(), []
    for result in run_batch(task, options, torch_device):
        if result.error is not None:
            raise SystemExit(result.error)
        times.append(time.perf_counter())
    begun = len(times) // 4
    whole = len(times) / (times[-1] - started)
    later = (len(times) - 1 - begun) / (times[-1] - times[begun])
    print(f"{name}: {len(times)} pictures, {whole:.1f} a second, {later:.1f} once all run", flush=True)


def differences(one: Path, other: Path) -> int:
    files = [path.relative_to(one) for path in one.rglob("*") if path.is_file()]
    return sum(not filecmp.cmp(one / file, other / file, shallow=False) for file in files)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="torch's")
    parser.add_argument("--jobs", default="16,32,64", help="numbers of workers")
    parser.add_argument("--model", default="standard")
    arguments = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as temporary:
        plain = Path(temporary, "numpy")
        for jobs in (None, *map(int, arguments.jobs.split(","))):
            device, count = ("auto", cores()) if jobs is None else ("cuda", jobs)
            folder = plain if jobs is None else Path(temporary, str(jobs))
            tasks = (
                ("encode", EncodeJob(model=arguments.model, device=device), arguments.folder, "aec", PICTURE_SUFFIXES),
                ("decode", DecodeJob(extension="bmp", device=device), folder / "encode", "bmp", AEC_SUFFIXES),
            )
            for verb, task, source, extension, suffixes in tasks:
                name = f"{verb}, {count} workers, {'NumPy' if jobs is None else arguments.device}"
                options = BatchOptions((source,), folder / verb, extension, suffixes, count)
                measure(name, task, options, arguments.device)
            wrong += 0 if jobs is None else differences(plain, folder)
    print(f"{wrong} files differ from NumPy's")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
