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
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["aecodec"]):
    from aecodec import api  # noqa: F401, so that it is instrumented

from .container import seal
from .driver import MEMORY
from .driver import find_in
from .driver import peak_memory
from .mutate import TINY
from .mutate import Mutant
from .mutate import golden_files
from .worker import decode

PIXELS = 1 << 16  # less than the seeded driver's, so that more files are tried in a second
LONGEST = 16_384  # bytes

GOLDEN = golden_files()


def reason_against(data: bytes) -> str:
    """Why the result of decoding a file is wrong; empty if it is right."""
    held = peak_memory(os.getpid())
    answer = decode(data, PIXELS)
    if (taken := peak_memory(os.getpid()) - held) > MEMORY:
        return f"memory: {taken} bytes"
    origins = tuple(golden for golden in GOLDEN if golden.data == data)
    return find_in(Mutant(0, data, seal(data) == data and not origins, origins, ""), answer)


def keep(folder: Path, data: bytes, reason: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"find-{hashlib.sha256(data).hexdigest()[:8]}.aec"
    path.write_bytes(data)
    path.with_suffix(".txt").write_text(f"coverage-guided\n\n{reason}\n", "utf-8")
    print(f"\nfind: {path}: {reason.strip().splitlines()[-1]}", file=sys.stderr)


def fuzz(seconds: int, seed: int, folder: Path) -> None:
    """Runs until the time is up or a find. Does not return: libFuzzer ends the process, with 0 if it found nothing."""

    def test_one_input(data: bytes) -> None:
        for tried in (data, seal(data, mend_length=True)):
            if reason := reason_against(tried):
                keep(folder, tried, reason)
                raise RuntimeError(reason)

    corpus = folder / "corpus"  # grows, and serves the next run too
    corpus.mkdir(parents=True, exist_ok=True)
    for golden in GOLDEN:
        if len(golden.data) <= LONGEST:
            (corpus / hashlib.sha256(golden.data).hexdigest()[:16]).write_bytes(golden.data)
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
        reason = reason_against(options.again.read_bytes())
        print(reason or "no find")
        return 1 if reason else 0
    fuzz(options.seconds, options.seed, options.keep.absolute())
    return 0


if __name__ == "__main__":
    sys.exit(main())
