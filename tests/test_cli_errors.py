"""For each error, one line that says what is wrong, and the exit code."""

from __future__ import annotations

import os
import re
import subprocess
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec.format.container import pack
from aecodec.format.container import unpack
from fuzz.container import head
from fuzz.container import plain
from helpers.commands import Refused
from helpers.commands import command
from helpers.commands import environment
from helpers.marks import needs_full
from helpers.marks import not_as_root
from helpers.marks import posix_only
from helpers.paths import PHOTOS
from helpers.paths import TINY_ID
from helpers.tiny import small_file

PHOTO = PHOTOS / "dog.jpg"
# In a folder with `files_to_refuse`: exit code, command line, and a pattern that the line on stderr has once.
ONE_AIM = "one of --quality, --target-size, --target-bpp and --target-psnr"
IS_NO_NUMBER = r"is not a valid.*number \(see"
REFUSED = (
    (1, "encode missing a.aec --model tiny", "missing: No such file"),
    (1, "decode missing a.png", "missing: No such file"),
    (1, "info missing", "missing: No such file"),
    (1, "verify missing", "missing"),
    (1, "encode folder.png a.aec --model tiny", "folder.png: is a folder; give --out-dir DIR to work on what it holds"),
    (1, "decode folder.png a.png", "folder.png: is a folder; give --out-dir DIR to work on what it holds"),
    # Pictures
    (1, "encode notes.txt a.aec --model tiny", "notes.txt: not a picture"),
    (1, "encode cut.jpg a.aec --model tiny", "cut.jpg: "),
    (1, "encode long.png a.aec --model tiny", "65535"),
    (1, "encode in.png a.aec --model tiny --max-pixels 959", r"limit of 959.*\(--max-pixels\)"),
    # Coded files
    (3, "decode notes.txt a.png", "notes.txt: not an .aec file"),
    (3, "info notes.txt", "notes.txt: not an .aec file"),
    (3, "decode cut.aec long.png", "cut.aec: "),
    (3, "decode longer.aec a.png", "longer.aec: "),
    (3, "verify unused.aec", "unused.aec: damaged, or made before aecodec 1.0 with other weights: "),
    (3, "decode in.aec a.png --max-pixels 959", r"limit is 959.*\(--max-pixels\)"),
    (4, "decode newer.aec a.png", "format version 2"),
    (4, "info newer.aec", "format version 2"),
    # Weights
    (2, "encode in.png a.aec --model enormous", "'enormous'.*tiny"),
    (2, "encode in.png --out-dir out --model enormous", "'enormous'.*tiny"),
    (4, "decode unknown.aec a.png", rf"unknown.aec: needs weights 01020304.*{TINY_ID.hex()} \(tiny\)"),
    (4, "encode in.png a.aec --weights missing.safetensors", "missing.safetensors: "),
    (4, "encode in.png a.aec --weights in.png", "in.png: "),
    # Outputs
    (1, "encode in.png nowhere/a.aec --model tiny", "nowhere"),
    (1, "decode in.aec nowhere/a.png", "nowhere"),
    (1, "encode in.png in.aec/a.aec --model tiny", "in.aec"),
    (1, "encode in.png folder.png --model tiny", "folder.png: is a folder; give --out-dir to write into it"),
    (1, "decode in.aec folder.png", "folder.png: is a folder; give --out-dir to write into it"),
    (1, "encode in.png in.aec --model tiny -n", "in.aec: exists"),
    (1, "encode in.png in.aec --model tiny --no-clobber", "in.aec: exists"),
    (1, "decode in.aec long.png -n", "long.png: exists"),
    (1, "decode in.aec long.png --no-clobber", "long.png: exists"),
    (1, "encode in.png in.png --model tiny", "is the input itself"),
    (1, "decode in.png in.png", "is the input itself"),
    pytest.param(1, "encode in.png link.aec --model tiny", "is the input itself", marks=posix_only),
    pytest.param(1, f"encode in.png {300 * 'x'} --model tiny", "File name too long", marks=posix_only, id="long name"),
    pytest.param(1, "encode in.png /dev/full --model tiny", "/dev/full: No space left", marks=needs_full),
    (2, "encode in.png new.jpg --model tiny", "named like a picture"),
    (1, "decode in.aec out.xyz", "out.xyz: "),
    (1, "decode in.aec out", "out: "),
    (1, "decode in.aec back.png --format xyz", r"picture\.xyz"),
    (2, "decode in.aec -", "--format png"),
    (2, "encode in.png b.aec -o a.aec", "Give IN and OUT"),
    (2, "encode in.png -o a.aec --out-dir .", "one of --output and --out-dir"),
    # Options
    (2, "encode in.png a.aec -q 50 --target-size 2000", ONE_AIM),
    (2, "encode in.png a.aec --target-bpp 1 --target-size 2000", ONE_AIM),
    (2, "encode in.png a.aec --target-psnr 30 --target-size 2000", ONE_AIM),
    (2, "encode in.png a.aec --model tiny --weights in.png", "Give one of --model and --weights"),
    (2, "encode in.png --out-dir out --model standard --weights in.png", "Give one of --model and --weights"),
    (2, "encode a.png a.aec -q=60", IS_NO_NUMBER),
    (2, "encode a.png a.aec -quality 60", IS_NO_NUMBER),
    (2, "encode a.png a.aec --target-size 2k", IS_NO_NUMBER),
    (2, "encode a.png a.aec --effort much", IS_NO_NUMBER),
    (1, "bench nowhere --model tiny", "nowhere"),
    (2, "bench . --model tiny --codecs gif", "'gif'"),
    (2, "bench . --model tiny --quality 101", "from 0 to 100"),
    (2, "bench . --model tiny --weights in.png", "give one of model and weights"),
    # What was meant
    (2, "encoed a b", "Did you mean.*'encode'"),
    (2, "enc a b", "Did you mean.*'encode'"),
    (2, "help", "Did you mean.*'--help'"),
    (2, "version", "Did you mean.*'--version'"),
    (2, "encode a.aec b.png", "Did you mean.*'aecodec decode'"),
    (2, "decode a.png b.aec", "Did you mean.*'aecodec encode'"),
    (2, "model lits", "Did you mean.*'list'"),
    (2, "encode --qualty 3 a b", "Did you mean.*'--quality'"),
    (2, "decode a b --fromat png", "Did you mean.*'--format'"),
    (2, "in.png a.aec", "Did you mean 'encode in.png'"),
    (2, "in.aec a.png", "Did you mean 'decode in.aec'"),
)


@pytest.fixture
def files_to_refuse(tmp_path: Path, picture: Path, encoded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded.read_bytes()
    header, (stream,), _ = unpack(data)
    for name, content in {
        "notes.txt": b"no picture\n",
        "out": b"precious",
        "out.xyz": b"precious",
        "cut.jpg": PHOTO.read_bytes()[:10_000],
        "cut.aec": data[:-1],
        "longer.aec": data + b"\0",
        "unused.aec": pack(header, [stream + b"\0"]),
        "newer.aec": plain(head(256, 256, version=2)),
        "unknown.aec": small_file(b"\1\2\3\4"),
    }.items():
        (tmp_path / name).write_bytes(content)
    Image.new("1", (65_536, 1)).save(tmp_path / "long.png")
    (tmp_path / "folder.png").mkdir()
    if os.name == "posix":
        (tmp_path / "link.aec").symlink_to(picture)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("files_to_refuse")
@pytest.mark.parametrize(("exit_code", "line", "said"), REFUSED)
def test_one_line_says_what_is_wrong(exit_code: int, line: str, said: str, refused: Refused) -> None:
    assert len(re.findall(said, refused(exit_code, *line.split()))) == 1


@posix_only
@not_as_root
def test_output_not_permitted(tmp_path: Path, picture: Path, refused: Refused) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o500)
    assert "Permission denied" in refused(1, "encode", picture, folder / "a.aec", "--model", "tiny")


@needs_full
def test_disk_full_behind_stdout(encoded: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command("info", encoded), env=environment(), stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert b"No space left" in done.stderr and done.stderr.count(b"\n") == 1


def test_picture_too_large_for_its_format(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "a.aec").write_bytes(aecodec.encode(np.zeros((1, 16_400), np.uint8), 0, model="tiny"))
    line = refused(1, "decode", tmp_path / "a.aec", tmp_path / "out.webp")
    assert "out.webp: " in line and "WEBP" in line


def test_enormous_header(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "a.aec").write_bytes(plain(head(100_000, 100_000)))
    tracemalloc.start()
    try:
        line = refused(3, "decode", tmp_path / "a.aec", tmp_path / "a.png")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "100000x100000" in line
    assert peak < 20_000_000


def test_a_failure_is_quick_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.aec").write_bytes(small_file()[:-2])
    decoding = command("decode", "a.aec", "a.png")
    done = subprocess.run(decoding, env=environment(), cwd=tmp_path, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr.startswith(b"aecodec: a.aec: ") and done.stderr.count(b"\n") == 1


@needs_full
def test_standard_output_full(picture: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command("encode", picture, "-", "--model", "tiny"), env=environment(), stdout=full, stderr=subprocess.PIPE
        )
    assert (done.returncode, done.stderr) == (1, b"aecodec: <stdout>: No space left on device\n")
