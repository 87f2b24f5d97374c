"""Does memory stay flat over a long folder? What the command and its workers hold early on, and at the end.

    python benchmarks/flat.py [--pictures 20000] [--early 1000] [--jobs 2] [--side 256]

Encodes a folder of that many pictures, cut from the bundled photographs, and decodes what came of it, in a temporary
folder. Resident memory of the command's own process and of its largest worker is read every 50 ms: printed are the
peaks until EARLY pictures were done, and until the end. The exit code is 1 if either has grown by more than 20 MB.
Needs Linux, and 0.5 GB of disk for 20,000 pictures.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple
from typing import NoReturn

from PIL import Image

ROOT = Path(__file__).parents[1]
PHOTOS = ROOT / "examples" / "photos"
DISTINCT = 100  # pictures; the others are links to these
GROWTH = 20_000_000  # bytes
SAMPLE_SECONDS = 0.05


class Parser(argparse.ArgumentParser):
    """Answers a wrong argument with one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, not {text}")
    return int(text)


class Held(NamedTuple):
    """Peaks in bytes."""

    parent: int
    worker: int

    def with_sample(self, other: Held) -> Held:
        return Held(*map(max, self, other))


def make_pictures(folder: Path, count: int, side: int) -> None:
    """Crops of the photographs, as hard links to a few files."""
    photos = [Image.open(path).convert("RGB") for path in sorted(PHOTOS.iterdir()) if path.suffix in (".png", ".jpg")]
    for number in range(count):
        path = folder / f"{number // 1000:03}" / f"{number:06}.jpg"
        path.parent.mkdir(exist_ok=True)
        if number >= DISTINCT:
            os.link(folder / "000" / f"{number % DISTINCT:06}.jpg", path)
            continue
        photo = photos[number % len(photos)]
        left, top = (37 * number % max(1, length - side) for length in photo.size)
        photo.crop((left, top, left + side, top + side)).save(path, quality=90)


def resident(pid: int) -> int:
    """Bytes; 0 for a process that has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def sample(pid: int) -> Held:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        children = []
    return Held(resident(pid), max((resident(int(child)) for child in children), default=0))


def watch(verb: str, source: Path, out: Path, early: int, options: list[str]) -> tuple[int, float, Held, Held]:
    """Pictures, seconds, and the two peaks of one command. Raises SystemExit where it fails."""
    folders = [str(source), "--out-dir", str(out)]
    command = [sys.executable, "-m", "aecodec", verb, *folders, "--json", "--quiet", *options]
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    until_early = until_end = Held(0, 0)
    done, started = 0, time.perf_counter()
    with tempfile.NamedTemporaryFile() as said, open(said.name, "rb") as lines:
        with subprocess.Popen(command, stdout=said, env=environment) as process:
            while process.poll() is None:
                time.sleep(SAMPLE_SECONDS)
                done += lines.read().count(b"\n")
                until_end = until_end.with_sample(sample(process.pid))
                if done <= early:
                    until_early = until_end
        done += lines.read().count(b"\n")
    if process.returncode:
        raise SystemExit(f"{verb} failed with exit code {process.returncode}")
    return done, time.perf_counter() - started, until_early, until_end


def main() -> int:
    parser = Parser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pictures", type=positive, default=20_000)
    parser.add_argument("--early", type=positive, default=1_000)
    parser.add_argument("--jobs", type=positive, default=2)
    parser.add_argument("--side", type=positive, default=256)
    chosen = parser.parse_args()
    jobs, grown = ["--jobs", str(chosen.jobs)], False
    with tempfile.TemporaryDirectory() as scratch:
        photos, encoded, decoded = (Path(scratch, name) for name in ("photos", "encoded", "decoded"))
        photos.mkdir()
        make_pictures(photos, chosen.pictures, chosen.side)
        for verb, source, out, options in (
            ("encode", photos, encoded, jobs),
            ("decode", encoded, decoded, [*jobs, "--format", "jpg"]),
        ):
            done, seconds, early, end = watch(verb, source, out, chosen.early, options)
            grown |= any(late - before > GROWTH for late, before in zip(end, early, strict=True))
            figures = (
                f"{name} {a / 1e6:.0f} and {b / 1e6:.0f} MB"
                for name, a, b in zip(Held._fields, early, end, strict=True)
            )
            print(
                f"{verb} {done:,} pictures, {done / seconds:.1f} a second; peaks until {chosen.early:,} and until the "
                f"end: {', '.join(figures)}",
                flush=True,
            )
            grown |= done != chosen.pictures
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
