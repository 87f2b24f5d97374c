"""One configuration: decodes every golden file and encodes its source, and prints the hashes as JSON."""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import importlib.util
import json
import os
import platform
import sys
from collections.abc import Iterable
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from aecodec.codec import decoder
from aecodec.codec import encoder
from aecodec.codec import manifest
from aecodec.codec import transforms
from aecodec.codec.latent_coding import analyse_hyper
from aecodec.codec.latent_coding import decode_latent
from aecodec.codec.latent_coding import encode_latent
from aecodec.codec.weights import load_decoder
from aecodec.codec.weights import load_encoder
from aecodec.format.container import pack
from aecodec.format.container import read_header
from aecodec.format.container import unpack
from aecodec.format.header import Header
from aecodec.format.symbol_coding import open_reader
from aecodec.format.symbol_coding import open_writer
from aecodec.geometry import latent_shape
from aecodec.image.reading import open_picture
from aecodec.native import library
from aecodec.network.choice import cpu_runtime
from aecodec.network.numpy_runtime import NumpyRuntime
from aecodec.network.quantized import Runtime

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
PHOTOS = ROOT / "examples" / "photos"

sys.path.insert(0, str(ROOT / "tests"))
from golden.make_files import file_of
from golden.make_files import source


def picture_of(fields: dict[str, Any]) -> np.ndarray | None:
    """None for a file of a release: later encoders may write other bytes."""
    if "source" in fields:
        return open_picture(PHOTOS / fields["source"]).pixels
    return None if "model" in fields else source(fields)


class Golden:
    """A golden file, what `expected.json` says of it, and what it was made of."""

    def __init__(self, folder: str, name: str, fields: dict[str, Any]) -> None:
        self.name = f"{folder}/{name}"
        self.data = (GOLDEN / folder / name).read_bytes()
        self.header = read_header(self.data)
        self.entry = manifest.find_by_weights(self.header.weights)
        self.fields = fields
        self.parts = unpack(self.data, lambda _: self.entry.weights_id).parts
        self.picture = picture_of(fields)

    @property
    def kind(self) -> tuple[Any, ...]:
        """Pictures of one kind go through the networks together."""
        return self.header.weights, self.header.width, self.header.height, self.header.grey


def golden_files(folders: Iterable[str]) -> Iterator[Golden]:
    for folder in folders:
        path = GOLDEN / folder / "expected.json"
        for name, fields in json.loads(path.read_text("utf-8")).items() if path.is_file() else ():
            yield Golden(folder, name, fields)


def decode_one(golden: Golden, runtime: Runtime) -> np.ndarray:
    return decoder.decode_picture(golden.data, runtime, lambda _: load_decoder(golden.entry)).array


def encode_one(golden: Golden, runtime: Runtime) -> bytes:
    assert golden.picture is not None
    return file_of(golden.fields | {"quality": golden.header.quality}, golden.picture, golden.entry, runtime)


def decode_batch(batch: list[Golden], runtime: Runtime) -> list[np.ndarray]:
    """Pictures of one kind and one tile."""
    half, header = load_decoder(batch[0].entry), batch[0].header
    quality = np.array([golden.header.quality for golden in batch])
    readers = [open_reader(half.entropy.tables, golden.parts[0]) for golden in batch]
    shape = latent_shape(header.width, header.height)
    latent, features = decode_latent(half.entropy, runtime, readers, shape, quality)
    pixels = decoder.synthesise(half, runtime, latent, features, quality)[:, : header.height, : header.width]
    return [decoder.luma(own) if header.grey else own for own in pixels]


def encode_batch(batch: list[Golden], runtime: Runtime) -> list[bytes]:
    """Likewise."""
    encoding, decoding = load_encoder(batch[0].entry), load_decoder(batch[0].entry)
    quality = np.array([golden.header.quality for golden in batch])
    pictures = [golden.picture for golden in batch if golden.picture is not None]
    colour = [np.stack([own] * 3, -1) if own.ndim == 2 else own for own in pictures]
    raw = encoder.analyse(encoding.analysis, runtime, np.stack(colour))
    writers = [open_writer(decoding.entropy.tables) for _ in batch]
    latent = transforms.apply_gain(encoding, raw, quality)
    hyper = analyse_hyper(encoding.hyper_analysis, runtime, latent)
    encode_latent(decoding.entropy, runtime, latent, hyper, quality, writers)
    return [pack(golden.header, [writer.finish()]) for golden, writer in zip(batch, writers, strict=True)]


def batches(files: list[Golden]) -> list[list[Golden]]:
    by_kind: dict[tuple[Any, ...], list[Golden]] = {}
    for golden in (golden for golden in files if golden.picture is not None and is_plain(golden.header)):
        by_kind.setdefault(golden.kind, []).append(golden)
    return [batch for batch in by_kind.values() if len(batch) > 1]


def is_plain(header: Header) -> bool:
    """Whether a file of this header is made without further ado: one tile, and nothing that is not always there."""
    unusual = header.extras or header.display or header.cut or header.compact is not None
    return header.tiles == 1 and min(header.size) >= 32 and not unusual


def spec_decoder() -> Any:
    """The one-file decoder as a module."""
    found = importlib.util.spec_from_file_location("decode_from_spec", ROOT / "examples" / "decode_from_spec.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # dataclasses look there
    found.loader.exec_module(module)
    return module


def runtime_of(options: argparse.Namespace) -> Runtime:
    if options.runtime == "native":
        return cpu_runtime()
    if options.runtime in ("numpy", "float64"):
        return NumpyRuntime(np.float64 if options.runtime == "float64" else None)
    import torch

    from aecodec.network.torch_runtime import TorchRuntime

    if options.without_onednn:
        torch.backends.mkldnn.enabled = False
    if options.reduced_precision:
        torch.set_float32_matmul_precision("medium")
        torch.backends.cudnn.allow_tf32 = True
    return TorchRuntime("cuda" if options.runtime == "cuda" else "cpu")


def blas_kernel() -> str:
    """The kernel that OpenBLAS in NumPy's wheel took, or nothing where it is another library."""
    for path in Path(np.__file__).parents[1].glob("numpy.libs/*openblas*"):
        for name in ("scipy_openblas_get_corename64_", "openblas_get_corename64_", "openblas_get_corename"):
            if function := getattr(ctypes.CDLL(str(path)), name, None):
                function.restype = ctypes.c_char_p
                return str(function().decode())
    return ""


def sha256(data: bytes | np.ndarray) -> str:
    return hashlib.sha256(data if isinstance(data, bytes) else data.tobytes()).hexdigest()


def hashes(files: list[Golden], options: argparse.Namespace) -> tuple[dict[str, str], dict[str, str]]:
    """Of pixels, and of files, by name."""
    if options.runtime == "spec":
        decode = spec_decoder().decode  # alpha needs zstd, which its Python may not have
        plain = [golden for golden in files if not golden.header.extras]
        return {golden.name: sha256(decode(golden.data, [golden.entry.folder])[0]) for golden in plain}, {}
    runtime = runtime_of(options)
    pixels, made = {}, {}
    for batch in batches(files) if options.batch else ():
        names = [golden.name for golden in batch]
        pixels |= dict(zip(names, map(sha256, decode_batch(batch, runtime)), strict=True))
        made |= dict(zip(names, map(sha256, encode_batch(batch, runtime)), strict=True))
    for golden in files:
        if golden.name not in pixels:
            pixels[golden.name] = sha256(decode_one(golden, runtime))
            if golden.picture is not None and not golden.header.extras:  # the bytes of those are zstd's affair
                made[golden.name] = sha256(encode_one(golden, runtime))
    return pixels, made


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix.worker", description=__doc__)
    parser.add_argument("--runtime", choices=["native", "numpy", "float64", "torch", "cuda", "spec"], default="native")
    parser.add_argument("--block", type=int, default=transforms.BLOCK, help="side in latent positions")
    parser.add_argument("--batch", action="store_true", help="pictures of one size together")
    parser.add_argument("--without-onednn", action="store_true")
    parser.add_argument("--reduced-precision", action="store_true", help="as a caller of torch may have set it")
    parser.add_argument("--folders", nargs="+", required=True, help="of golden files")
    options = parser.parse_args()
    os.environ["AECODEC_WEIGHTS"] = str(GOLDEN / "tiny")
    decoder.synthesise = partial(transforms.synthesise, block=options.block)  # type: ignore[assignment]
    encoder.analyse = partial(transforms.analyse, block=options.block)  # type: ignore[assignment]
    pixels, made = hashes(list(golden_files(options.folders)), options)
    machine = f"{platform.machine()}, NumPy {np.__version__}"
    about = ", ".join(filter(None, [machine, blas_kernel(), library.describe()]))
    print(json.dumps({"about": about, "pixels": pixels, "files": made}))


if __name__ == "__main__":
    main()
