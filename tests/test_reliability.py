"""Goals that no single part answers for: memory, no network, no writing elsewhere, no pickles, damaged weights."""

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
from conftest import GOLDEN
from conftest import PHOTOS
from PIL import Image

from aecodec.errors import UnknownWeights
from aecodec.manifest import entries_of
from aecodec.weights import _load_decoder
from aecodec.weights import _load_encoder
from aecodec.weights import load_decoder
from aecodec.weights import load_encoder

TINY = GOLDEN / "tiny"
MEGABYTE = 1_000_000

# Runs commands and answers with the peak memory of the process in bytes. Outside the folder given nothing is written,
# nothing connects, starts a process or takes a pickle apart: Python tells of each before it happens.
WATCHED = """
import os, resource, sys
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
scale = 1 if sys.platform == "darwin" else 1024
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale, file=sys.stderr)
sys.exit(code)
"""

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs getrusage")


def watched(folder: Path, *arguments: str | Path) -> int:
    """Runs a command that must succeed; its peak memory in bytes."""
    command = [sys.executable, "-B", "-c", WATCHED, str(folder), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.splitlines()[-1])


@posix_only
def test_commands_only_write_their_output_and_keep_to_themselves(tmp_path: Path):
    """Under 700 MB for 256x256, by the model that people use."""
    encoded, decoded = tmp_path / "out.aec", tmp_path / "out.png"
    peaks = [watched(tmp_path, "encode", PHOTOS / "bay.png", encoded), watched(tmp_path, "decode", encoded, decoded)]
    peaks += [watched(tmp_path, "verify", encoded), watched(tmp_path, "info", encoded)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.aec", "out.png"]
    assert max(peaks) < 700 * MEGABYTE
    print(f"256x256: encode {peaks[0] / 1e6:.0f} MB, decode {peaks[1] / 1e6:.0f} MB")


@posix_only
def test_the_watch_sees_what_it_is_for(tmp_path: Path):
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(AssertionError, match="refused: writing"):
        watched(inside, "encode", PHOTOS / "car.jpg", tmp_path / "out.aec", "--model", "tiny")
    assert list(tmp_path.iterdir()) == [inside]


@posix_only
@pytest.mark.slow
def test_memory_of_a_hundred_megapixels(tmp_path: Path):
    """Under 2 GB either way, by the tiny network: the wider ones only take more for a work piece of 512x512."""
    side = 10_000
    row, column = np.mgrid[:side, :side].astype(np.uint16)
    noise = np.random.default_rng(0).integers(0, 32, (side, side), np.uint8)
    pixels = np.stack([row * 223 // side + noise, column * 223 // side + noise, noise], -1).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "in.bmp")
    del row, column, noise, pixels
    peaks = [
        watched(tmp_path, "encode", tmp_path / "in.bmp", tmp_path / "out.aec", "--model", "tiny"),
        watched(tmp_path, "decode", tmp_path / "out.aec", tmp_path / "out.bmp"),
    ]
    print(f"{side}x{side}: encode {peaks[0] / 1e6:.0f} MB, decode {peaks[1] / 1e6:.0f} MB")
    assert max(peaks) < 2000 * MEGABYTE


@pytest.mark.parametrize(
    ("load", "clear", "name"),
    [
        (load_decoder, _load_decoder.cache_clear, "tiny.decoder.safetensors"),
        (load_encoder, _load_encoder.cache_clear, "tiny.encoder.safetensors"),
    ],
    ids=["decoder", "encoder"],
)
def test_five_hundred_flipped_bits_of_a_weights_file(
    load: Callable[..., object], clear: Callable[[], None], name: str, tmp_path: Path
):
    (entry,) = entries_of(Path(shutil.copytree(TINY, tmp_path / "copy")))
    path, rng = entry.folder / name, Random(0)
    whole = path.read_bytes()
    for _ in range(500):
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        clear()
        with pytest.raises(UnknownWeights, match="damaged, its hash"):
            load(entry)
