"""Goals of the whole program: memory, no network, no writing elsewhere, no pickles, damaged weights."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image
from PIL import features

from aecodec.codec.manifest import entries_of
from aecodec.codec.weights import load_decoder
from aecodec.codec.weights import load_encoder
from aecodec.errors import UnknownWeights
from helpers.marks import linux_only
from helpers.paths import PHOTOS
from helpers.paths import TINY

MEGABYTE = 1_000_000

# Runs a command and prints the peak memory of the process in bytes. An audit hook ends the process if it writes outside
# the folder, connects, starts a process or unpickles.
WATCHED = """
import os, sys
folder, *arguments = sys.argv[1:]
refused = ("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "pickle.")
def watch(event, given):
    if event.startswith(refused):
        os.write(2, f"refused: {event} {given}\\n".encode()); os._exit(99)
    if event == "open" and isinstance(given[0], (str, bytes)):
        path, mode, flags = os.path.abspath(os.fsdecode(given[0])), given[1] or "", given[2] or 0
        if (set(mode) & set("wax+") or flags & (os.O_WRONLY | os.O_RDWR)) and not path.startswith((folder, "/dev/")):
            os.write(2, f"refused: writing {path}\\n".encode()); os._exit(99)
sys.addaudithook(watch)
from aecodec.cli import run
code = run(arguments)
status = open("/proc/self/status").read()  # getrusage would give the peak of the parent if that is larger
print(1024 * int(status.split("VmHWM:")[1].split()[0]), file=sys.stderr)
sys.exit(code)
"""


def watched(folder: Path, *arguments: str | Path) -> int:
    """Runs a command that must succeed; its peak memory in bytes."""
    command = [sys.executable, "-B", "-c", WATCHED, str(folder), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.splitlines()[-1])


@linux_only
@pytest.mark.parametrize("model", ["tiny", pytest.param("standard", marks=pytest.mark.slow)])
def test_commands_write_only_their_output_and_do_not_connect(model: str, tmp_path: Path):
    """In under 200 MB for 256x256."""
    encoded, decoded = tmp_path / "out.aec", tmp_path / "out.png"
    peaks = [watched(tmp_path, "encode", PHOTOS / "bay.png", encoded, "--model", model)]
    peaks += [watched(tmp_path, "decode", encoded, decoded)]
    peaks += [watched(tmp_path, "verify", encoded), watched(tmp_path, "info", encoded)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.aec", "out.png"]
    assert max(peaks) < 200 * MEGABYTE
    print(f"256x256: encode {peaks[0] / 1e6:.0f} MB, decode {peaks[1] / 1e6:.0f} MB")


@linux_only
def test_the_audit_hook_works(tmp_path: Path):
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(AssertionError, match="refused: writing"):
        watched(inside, "encode", PHOTOS / "car.jpg", tmp_path / "out.aec", "--model", "tiny")
    assert list(tmp_path.iterdir()) == [inside]


@linux_only
@pytest.mark.slow
def test_memory_of_large_pictures(tmp_path: Path):
    """200 MB, and 18 bytes a pixel: 2 GB for 100 megapixels. The encoders of some formats take more."""
    side = 4000
    row, column = np.mgrid[:side, :side].astype(np.uint16)
    noise = np.random.default_rng(0).integers(0, 32, (side, side), np.uint8)
    pixels = np.stack([row * 223 // side + noise, column * 223 // side + noise, noise], -1).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "in.bmp")
    encode = watched(tmp_path, "encode", tmp_path / "in.bmp", tmp_path / "out.aec", "--model", "tiny")
    print(f"{side}x{side}: encode {encode / 1e6:.0f} MB")
    assert encode < 200 * MEGABYTE + 18 * side**2
    for suffix, bytes_per_pixel in {"bmp": 18, "npy": 18, "webp": 26, "jp2": 34, "avif": 34}.items():
        if suffix in ("webp", "avif") and not features.check(suffix):
            continue
        decode = watched(tmp_path, "decode", tmp_path / "out.aec", tmp_path / f"out.{suffix}")
        print(f"decode to {suffix} {decode / 1e6:.0f} MB")
        assert decode < 200 * MEGABYTE + bytes_per_pixel * side**2, suffix


@pytest.mark.parametrize(
    ("load", "name"), [(load_decoder, "tiny.decoder.safetensors"), (load_encoder, "tiny.encoder.safetensors")]
)
def test_five_hundred_flipped_bits_of_a_weights_file(load: Callable[..., object], name: str, tmp_path: Path):
    (entry,) = entries_of(Path(shutil.copytree(TINY, tmp_path / "copy")))
    path, rng = entry.folder / name, Random(0)
    whole = path.read_bytes()
    for _ in range(500):
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        with pytest.raises(UnknownWeights, match="damaged, its hash"):
            load(entry)
