"""Coverage-guided fuzzing of the whole decode, by atheris (`pip install atheris`), which drives libFuzzer.

    python -m tests.fuzz.guided --seconds 1800 --keep finds
    python -m tests.fuzz.guided --try finds/find-0123abcd.aec

The corpus starts from the permanent golden files. Every input is decoded twice, as it is and with correct checksums,
since the fuzzer would not learn CRC-32. A find is the same as for the seeded driver (`python -m tests.fuzz`): its file
is kept with the reason, and the run ends.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
import traceback
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["aecodec"]):
    from aecodec import api
    from aecodec import errors

from .container import read_head
from .container import seal
from .driver import MEMORY
from .driver import SECONDS
from .driver import peak_memory
from .mutate import TINY
from .mutate import golden_files

PIXELS = 1 << 16  # less than the seeded driver's, so that more files are tried in a second
LONGEST = 16_384  # bytes

GOLDEN = {golden.data: golden.sha256 for golden in golden_files()}


def reason_against(data: bytes, *, sealed: bool) -> str:
    """Why the result of decoding a file is wrong; empty if it is right."""
    start, held = time.process_time(), peak_memory(os.getpid())
    try:
        pixels = api.decode_pixels(data, max_pixels=PIXELS)
    except errors.AecError:
        pixels = None
    except BaseException:  # a panic of constriction is no Exception
        return traceback.format_exc()
    seconds, taken = time.process_time() - start, peak_memory(os.getpid()) - held
    if seconds > SECONDS:
        return f"slow: {seconds:.1f} s"
    if taken > MEMORY:
        return f"memory: {taken} bytes"
    if pixels is None:
        return ""
    declared = read_head(data)
    if declared is None or pixels.shape != declared.shape:
        return f"wrong picture: {pixels.shape} where the header says {declared}"
    if not sealed and seal(data) != data:
        return "accepted with a wrong checksum"
    if data in GOLDEN and hashlib.sha256(pixels.tobytes()).hexdigest() != GOLDEN[data]:
        return "wrong picture: other pixels of a golden file"
    return ""


def keep(folder: Path, data: bytes, reason: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"find-{hashlib.sha256(data).hexdigest()[:8]}.aec"
    path.write_bytes(data)
    path.with_suffix(".txt").write_text(f"coverage-guided\n\n{reason}\n", "utf-8")
    print(f"\nfind: {path}: {reason.strip().splitlines()[-1]}", file=sys.stderr)


def fuzz(seconds: int, seed: int, folder: Path) -> None:
    """Runs until the time is up or a find. Does not return: libFuzzer ends the process, with 0 if it found nothing."""

    def test_one_input(data: bytes) -> None:
        for tried, sealed in ((data, False), (seal(data, mend_length=True), True)):
            if reason := reason_against(tried, sealed=sealed):
                keep(folder, tried, reason)
                raise RuntimeError(reason)

    corpus = folder / "corpus"  # grows, and serves the next run too
    corpus.mkdir(parents=True, exist_ok=True)
    for data in GOLDEN:
        if len(data) <= LONGEST:
            (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    limits = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=30"]
    # No limit on the process's memory, which grows with every input from atheris.
    others = ["-rss_limit_mb=0", f"-seed={seed}", f"-artifact_prefix={folder}/", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *limits, *others, str(corpus)], test_one_input)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided", description=__doc__)
    parser.add_argument("--seconds", type=int, default=1800, help="how long (default: 1800)")
    parser.add_argument("--seed", type=int, default=1, help="of libFuzzer (default: 1)")
    parser.add_argument("--keep", type=Path, default=Path("finds"), metavar="DIR", help="where finds are written")
    parser.add_argument("--try", dest="again", type=Path, metavar="FILE", help="decode this one file instead")
    options = parser.parse_args()
    os.environ["AECODEC_WEIGHTS"] = str(TINY)
    if options.again:
        data = options.again.read_bytes()
        reason = reason_against(data, sealed=seal(data) == data)
        print(reason or "no find")
        return 1 if reason else 0
    fuzz(options.seconds, options.seed, options.keep.absolute())
    return 0


if __name__ == "__main__":
    sys.exit(main())
