"""The fuzz driver finds nothing in the codec, and would find errors."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from aecodec.format import header as file_header
from aecodec.format.container import pack
from aecodec.format.container import unpack
from aecodec.format.header import Header
from fuzz import driver
from fuzz import worker as fuzz_worker
from fuzz.__main__ import main
from fuzz.container import EXTRAS
from fuzz.container import GREY
from fuzz.container import head
from fuzz.container import plain
from fuzz.container import read_head
from fuzz.container import seal
from fuzz.container import varint
from fuzz.driver import Report
from fuzz.driver import Worker
from fuzz.driver import run
from fuzz.mutate import EDITS
from fuzz.mutate import FIRST_SEALED
from fuzz.mutate import Mutant
from fuzz.mutate import golden_files
from fuzz.mutate import mutant
from helpers.paths import ROOT

FILES = golden_files()


def test_no_find_in_two_hundred_mutants(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--mutants", "200", "--seed", "1", "--keep", str(tmp_path / "finds")]) == 0
    assert capsys.readouterr().out.startswith("200 mutants of seed 1 in ")
    assert not (tmp_path / "finds").exists()


@pytest.mark.slow
def test_no_find_in_5000_mutants():
    assert main(["--mutants", "5000", "--seed", "2"]) == 0


def test_it_is_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--mutants", "10"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("10 mutants of seed 0 in ") and done.stdout.endswith("; 0 finds\n")


def test_the_same_seed_makes_the_same_mutants():
    first, again, other = ([mutant(FILES, seed, number) for number in range(50)] for seed in (1, 1, 2))
    assert first == again
    assert sum(a.data == b.data for a, b in zip(first, other, strict=True)) < 5


def test_every_edit_occurs_and_nearly_every_mutant_differs_from_its_origin():
    mutants = [mutant(FILES, 3, number) for number in range(1000)]
    for edit in {*EDITS, *FIRST_SEALED}:
        assert any(edit.__name__ in made.story for made in mutants)
    unchanged = sum(made.data in {origin.data for origin in made.origins} for made in mutants)
    assert unchanged < 50


def test_half_of_the_mutants_have_right_checksums():
    mutants = [mutant(FILES, 4, number) for number in range(400)]
    assert sum(made.sealed for made in mutants) == 200
    assert all(seal(made.data) == made.data for made in mutants if made.sealed)
    wrong = sum(seal(made.data) != made.data for made in mutants if not made.sealed)
    assert wrong > 150


def test_the_container_accepts_a_sealed_file():
    for header, parts in ((Header(5, 7, 1, b"abcd"), [b"stream"]), (Header(1025, 7, 1, b"abcd"), [b"one", b"two"])):
        data = pack(header, parts)
        assert seal(data) == data
        damaged = data[:-1] + b"?"
        assert unpack(seal(damaged)) == (header, [*parts[:-1], parts[-1][:-1] + b"?"], True)
        longer = seal(data + b"!", mend_length=True)
        assert unpack(longer) == (header, [*parts[:-1], parts[-1] + b"!"], True)


def test_the_container_is_read_without_checks():
    fields = head(0, varint(2**35, padding=3), flags=GREY | EXTRAS, kinds=0x99)
    found = read_head(plain(fields))
    assert found is not None
    assert (found.flags, found.width, found.height, found.crc_at) == (3, 0, 2**35, len(fields))
    assert (found.kinds, found.shape) == (0x99, (2**35, 0, 2))
    assert read_head(fields + b"123") is None
    assert varint(300) == b"\xac\x02" and varint(300, padding=2) == b"\xac\x82\x80\x00"


def serve_abort(pipe: Connection) -> None:
    pipe.send(None)
    pipe.recv_bytes()
    os.abort()


def serve_hang(pipe: Connection) -> None:
    pipe.send(None)
    pipe.recv_bytes()
    time.sleep(600)


def serve_greed(pipe: Connection) -> None:
    pipe.send(None)
    pipe.recv_bytes()
    held = np.ones(200_000_000, np.uint8)
    time.sleep(600)
    pipe.send(held)


def serve_without_checksums(pipe: Connection) -> None:
    """Checksums are corrected first."""
    decode = fuzz_worker.decode
    fuzz_worker.decode = lambda data: decode(seal(data))
    fuzz_worker.serve(pipe)


def serve_without_limits(pipe: Connection) -> None:
    file_header.check_sides = lambda width, height, max_pixels: None
    fuzz_worker.serve(pipe)


def finds_of(serve: object, mutants: list[Mutant]) -> list[tuple[Mutant, str]]:
    finds: list[tuple[Mutant, str]] = []
    report = Report()
    with Worker(serve) as worker:  # type: ignore[arg-type]
        run(mutants, worker, report, found=lambda made, reason: finds.append((made, reason)))
    assert report.finds == len(finds) and report.mutants == len(mutants)
    return finds


@pytest.mark.parametrize(
    ("serve", "reason"),
    [
        pytest.param(serve_abort, "abort", marks=pytest.mark.skipif(os.name != "posix", reason="needs signals")),
        (serve_hang, "hang"),
        pytest.param(serve_greed, "memory", marks=pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")),
    ],
)
def test_a_process_that_dies_is_a_find_and_another_starts(serve: object, reason: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(driver, "PATIENCE", 0.5 if reason == "hang" else 60.0)
    monkeypatch.setattr(driver, "MEMORY", 200_000_000)
    mutants = [mutant(FILES, 5, number) for number in range(2 if reason == "abort" else 1)]
    finds = finds_of(serve, mutants)
    assert [made for made, _ in finds] == mutants
    assert all(why.startswith(reason) for _, why in finds)


def test_a_reader_without_checksums_is_caught():
    finds = finds_of(serve_without_checksums, [mutant(FILES, 6, number) for number in range(0, 100, 2)])
    assert any("with the checksum as it fell" in why for _, why in finds)


def test_a_reader_without_limits_is_caught():
    finds = finds_of(serve_without_limits, [mutant(FILES, 7, number) for number in range(1, 100, 2)])
    assert any("ZeroDivisionError" in why or "ValueError" in why for _, why in finds)


def test_a_picture_of_another_size_is_a_find():
    made = Mutant(1, FILES[0].data, True, (FILES[0],), "")
    right = driver.Answer(0.1, shape=FILES[0].shape)
    assert driver.find_in(made, right) == ""
    assert "wrong picture" in driver.find_in(made, driver.Answer(0.1, shape=(1, 1, 3)))
    assert "slow" in driver.find_in(made, driver.Answer(driver.SECONDS + 1, refusal="CorruptFile"))


def test_a_find_is_kept_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--mutants", "2", "--seed", "8", "--slower", "-1", "--keep", str(tmp_path)]) == 1  # all are slow
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"seed-8-number-{number}.{kind}" for number in range(2) for kind in ("aec", "txt")
    ]
    made = mutant(FILES, 8, 1)
    assert (tmp_path / "seed-8-number-1.aec").read_bytes() == made.data
    assert made.story in (tmp_path / "seed-8-number-1.txt").read_text("utf-8")
    printed = capsys.readouterr()
    assert printed.out.endswith("; 2 finds\n") and "slow" in printed.err
