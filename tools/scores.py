"""The scores of bundled models and of the peers: whole files of the test sets, each at its size in bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import replace
from pathlib import Path
from typing import Any
from typing import NamedTuple

from aecodec.bench.codecs import BenchCodec
from aecodec.bench.measure import TARGET_BYTES
from aecodec.bench.peers import PEERS
from aecodec.bench.run import BenchOptions
from aecodec.bench.run import run_bench
from aecodec.files import write_atomic

Say = Callable[[str], None]
Scores = dict[str, Any]


class PictureSet(NamedTuple):
    """Pictures of a folder, `kodak` or `dev`, reduced to centre squares of a side, at a mean file size."""

    folder: str
    side: int | None  # None: as they are
    size_bytes: int


SETS = {
    "kodak256": PictureSet("kodak", 256, TARGET_BYTES),
    "dev256": PictureSet("dev", None, TARGET_BYTES),
    "kodak128": PictureSet("kodak", 128, 700),
    "kodak64": PictureSet("kodak", 64, 250),
    "dev128": PictureSet("dev", 128, 700),
    "dev64": PictureSet("dev", 64, 250),
}
CURVE = "kodak_curve"
PEER = BenchOptions(Path(), codecs=())


def measured(
    options: BenchOptions,
    folders: Mapping[str, Path],
    known: Scores,
    with_curve: bool,
    say: Say,
    own: BenchCodec | None = None,
) -> Scores:
    """The scores of one codec on every set, `with_curve` also its curve on Kodak as it is; those in `known` are kept.

    The codec is aecodec with these options, or `own`.
    """
    scores: Scores = {}
    for name, (folder, side, size_bytes) in SETS.items():
        if name in known:
            scores[name] = known[name]
            continue
        say(f"  {name} at {size_bytes} bytes")
        settings = replace(options, folder=folders[folder], size=side, at_bytes=size_bytes)
        row = run_bench(settings, own).at_bytes[0].row
        scores[name] = _row(asdict(row)) if row is not None else None
    if with_curve and CURVE not in known:
        say("  kodak, the curve")
        rows = run_bench(replace(options, folder=folders["kodak"]), own).rows
        scores[CURVE] = [_row(asdict(row)) for row in rows]
    elif with_curve:
        scores[CURVE] = known[CURVE]
    return scores


def peers_measured(path: Path, folders: Mapping[str, Path], say: Say) -> dict[str, Scores]:
    """The scores of the peers in the file `path`; it gains those that are missing."""
    before = dict(json.loads(path.read_text("utf-8"))) if path.is_file() else {}
    peers: dict[str, Scores] = {}
    for codec in PEERS:
        if codec.plugin is not None:  # the README compares with what Pillow has itself
            continue
        say(f"scores of {codec.name}")
        known = before.get(codec.name, {})
        peers[codec.name] = {"description": codec.description} | measured(PEER, folders, known, True, say, codec)
    if peers != before:
        write_atomic(path, (json.dumps(peers, indent=2) + "\n").encode())
    return peers


def _row(fields: Mapping[str, Any]) -> Scores:
    """A bench row without its times, which belong to a machine and not to weights."""
    kept = ("quality", "size_bytes", "bits_per_pixel", "psnr", "l1", "ms_ssim")
    return {name: round(fields[name], 5) if fields[name] is not None else None for name in kept}
