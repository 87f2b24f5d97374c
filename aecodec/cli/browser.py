"""`aecodec browser`."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aecodec import __version__
from aecodec.cli import PATH
from aecodec.cli.common import say
from aecodec.errors import OutputError

if TYPE_CHECKING:
    import numpy as np

_PATTERNS = ("*.js", "*.d.ts", "aec.wasm", "example.*", "package.json", "README.md", "LICENSE", "decoder/*.js")
_COMPRESSED = (".js", ".wasm", ".css", ".html", ".safetensors")
_PAGE = {"example.html": "index.html"}
_SIDE = 256


@click.command()
@click.argument("folder", type=PATH, metavar="DIR")
@click.argument("pictures", nargs=-1, type=PATH, metavar="[PICTURE]...")
@click.option("--model", "models", multiple=True, metavar="NAME", help="Weights to put there. Default: standard.")
@click.option("--all-models", is_flag=True, help="Put the weights of every bundled model there.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
def browser(folder: Path, pictures: tuple[Path, ...], models: tuple[str, ...], all_models: bool, quiet: bool) -> None:
    """Write into DIR what a web site needs to show `.aec` pictures: code, weights and an example page.

    The element `<aec-img src="photo.aec">` then acts like `<img>`; DIR/README.md says more. Each PICTURE is encoded
    by the first model to DIR/NAME.aec. Beside each file stand copies in gzip and, if the package `brotli` is installed,
    in Brotli, for servers that send such copies.

    \b
    aecodec browser public/aecodec
    python -m http.server --directory public/aecodec
    """
    from aecodec.codec import manifest
    from aecodec.codec.manifest import find_by_name
    from aecodec.codec.manifest import read_regular
    from aecodec.files import write_atomic

    names = models or ("standard",)
    entries = [find_by_name(name) for name in names]
    if all_models:
        bundled = [entry for own in manifest.bundled_folders() for entry in manifest.entries_of(own)]
        entries += [entry for entry in bundled if entry not in entries]
    files = dict(_code())
    for entry in entries:
        manifest.check(entry)
        files[f"weights/{entry.weights_id.hex()}.safetensors"] = read_regular(entry.folder / entry.decoder_file)
    files |= _encoded(pictures, names[0])
    for name, data in files.items():
        for suffix, copy in _copies(name, data):
            path = folder / f"{name}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, copy)
    if not quiet:
        say(f"{folder}: {len(files)} files; python -m http.server --directory {folder} shows the example page")


def _code() -> Iterator[tuple[str, bytes]]:
    """The files of the decoder by their names in DIR, scripts without comments."""
    from aecodec.web import web_folder
    from aecodec.web import without_comments

    root = web_folder()
    for pattern in _PATTERNS:
        for path in sorted(root.glob(pattern)):
            name, data = path.relative_to(root).as_posix(), path.read_bytes()
            if path.suffix == ".js":
                data = f"// aecodec {__version__}, MIT\n{without_comments(data.decode())}".encode()
            yield _PAGE.get(name, name), data


def _encoded(pictures: tuple[Path, ...], model: str) -> dict[str, bytes]:
    """`.aec` files of the pictures, and of one that is made here."""
    from aecodec import api
    from aecodec.image.reading import open_picture

    files = {"example.aec": api.encode(_example(), model=model)}
    for path in pictures:
        name = f"{path.stem}.aec"
        if name in files:
            raise OutputError(f"{path}: another picture gives {name}")
        files[name] = api.encode(open_picture(path).pixels, model=model)
    return files


def _example() -> np.ndarray:
    """Hills under an evening sky, uint8 [256, 256, 3]."""
    import numpy as np

    row, column = np.mgrid[:_SIDE, :_SIDE] / _SIDE
    pixels = np.stack([120 + 130 * row, 110 + 70 * row, 200 - 60 * row], axis=-1)
    pixels[(row - 0.45) ** 2 + (column - 0.7) ** 2 < 0.006] = 255, 236, 170
    for horizon, colour in ((0.55, (96, 92, 128)), (0.68, (66, 84, 92)), (0.82, (34, 58, 48))):
        line = horizon + 0.05 * np.sin(9 * column + 20 * horizon) + 0.02 * np.sin(23 * column + 7 * horizon)
        pixels = np.where((row > line)[..., None], np.array(colour) - 20 * (row - line)[..., None], pixels)
    return np.rint(pixels).astype(np.uint8)


def _copies(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """The suffix and the bytes of a file and of its compressed copies."""
    yield "", data
    if not name.endswith(_COMPRESSED):
        return
    yield ".gz", gzip.compress(data, 9, mtime=0)
    try:
        import brotli
    except ImportError:
        return
    yield ".br", brotli.compress(data, quality=11)
