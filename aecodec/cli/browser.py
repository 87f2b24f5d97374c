"""`aecodec browser`."""

from __future__ import annotations

import gzip
import html
import os
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from aecodec import __version__
from aecodec.cli import PATH
from aecodec.cli.common import UNUSUAL_NAMES
from aecodec.cli.common import say
from aecodec.errors import OutputError

if TYPE_CHECKING:
    import numpy as np

_PATTERNS = ("*.js", "*.d.ts", "aec.wasm", "example.*", "package.json", "README.md", "LICENSE", "decoder/*.js")
_COMPRESSED = (".js", ".wasm", ".css", ".html", ".safetensors")
_PAGE = "index.html"
_HEAD = "// aecodec "  # of every script in DIR
_SIDE = 256
_TITLE = "Hills under an evening sky"


@click.command()
@click.argument("folder", type=PATH, metavar="DIR")
@click.argument("pictures", nargs=-1, type=PATH, metavar="[PICTURE]...")
@click.option("--model", "models", multiple=True, metavar="NAME", help="Weights to put there. Default: standard.")
@click.option("--all-models", is_flag=True, help="Put the weights of every bundled model there.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
def browser(folder: Path, pictures: tuple[Path, ...], models: tuple[str, ...], all_models: bool, quiet: bool) -> None:
    """Write into DIR what a web site needs to show `.aec` pictures: code, weights and an example page.

    The element `<aec-img src="photo.aec">` then acts like `<img>`; DIR/README.md says more. Each PICTURE is encoded
    by the first model to DIR/NAME.aec, and the example page shows it. Beside each file stand copies in gzip and, if the
    package `brotli` is installed, in Brotli, for servers that send such copies.

    \b
    aecodec browser public/aecodec
    python -m http.server --directory public/aecodec

    Another run into DIR replaces these files, but keeps the weights of other models: older pictures may need them.
    """
    from aecodec.files import write_atomic

    names = models or ("standard",)
    files = dict(_code()) | dict(_weights(names, all_models))
    elements = []
    for name, data, element in _encoded(pictures, names[0]):
        files[name] = data
        elements.append(element)
    files[_PAGE] = _page(files[_PAGE], elements)
    _check(folder, files)
    for name, data in files.items():
        for suffix, copy in _copies(name, data):
            path = folder / f"{name}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, copy)
    if not quiet:
        _tell(folder, files)


def _check(folder: Path, names: Iterable[str]) -> None:
    """Raises OutputError if a file would be replaced in a folder that this command has not written."""
    there = [folder / name for name in names if (folder / name).exists()]
    ours = (path for path in there if path.suffix == ".js")
    if there and not any(path.read_bytes().startswith(_HEAD.encode()) for path in ours):
        raise OutputError(f"{there[0]}: exists, and is not what this command makes; give a folder of its own")


def _tell(folder: Path, files: dict[str, bytes]) -> None:
    say(f"{folder}: {len(files)} files; python -m http.server --directory {folder} shows the example page")
    weights = sorted((folder / "weights").glob("*.safetensors"))
    kept = [path.name for path in weights if f"weights/{path.name}" not in files]
    if kept:
        say(f"{folder / 'weights'}: kept {', '.join(kept)}; delete with their copies what no picture needs")


def _code() -> Iterator[tuple[str, bytes]]:
    """The files of the decoder by their names in DIR, scripts without comments."""
    from aecodec.web import web_folder
    from aecodec.web import without_comments

    root = web_folder()
    for pattern in _PATTERNS:
        for path in sorted(root.glob(pattern)):
            name, data = path.relative_to(root).as_posix(), path.read_bytes()
            if path.suffix == ".js":
                data = f"{_HEAD}{__version__}, MIT\n{without_comments(data.decode())}".encode()
            yield _PAGE if name == "example.html" else name, data


def _weights(names: Sequence[str], all_models: bool) -> Iterator[tuple[str, bytes]]:
    """The decoding halves of these models, or of all, by their names in DIR."""
    from aecodec.codec import manifest

    entries = [manifest.find_by_name(name) for name in names]
    if all_models:
        bundled = [entry for own in manifest.bundled_folders() for entry in manifest.entries_of(own)]
        entries += [entry for entry in bundled if entry not in entries]
    for entry in entries:
        manifest.check(entry)
        name = f"weights/{entry.weights_id.hex()}.safetensors"
        yield name, manifest.read_regular(entry.folder / entry.decoder_file)


def _encoded(pictures: Sequence[Path], model: str) -> Iterator[tuple[str, bytes, str]]:
    """Name, file and element of each picture; of one that is made here, if none is given."""
    from aecodec import api
    from aecodec.image.reading import open_picture

    if not pictures:
        yield "example.aec", api.encode(_example(), model=model), _element("example.aec", _TITLE, _SIDE, _SIDE)
    stems: set[str] = set()
    for path in pictures:
        name = f"{path.stem}.aec"
        if path.stem in stems:
            raise OutputError(f"{path}: another picture gives {name}")
        stems.add(path.stem)
        pixels = open_picture(path).pixels
        yield name, api.encode(pixels, model=model), _element(name, path.stem, *pixels.shape[1::-1])


def _element(name: str, title: str, width: int, height: int) -> str:
    src = quote(os.fsencode(name))
    return (
        f'<aec-img src="{src}" alt="{html.escape(title)}" width="{width}" height="{height}" loading="lazy"></aec-img>'
    )


def _page(page: bytes, elements: Sequence[str]) -> bytes:
    """The example page with these elements in place of its own, and the first of them as text."""
    example = _element("example.aec", _TITLE, _SIDE, _SIDE)
    shown = "\n        ".join(elements)
    told = html.escape(elements[0].removesuffix("</aec-img>"), quote=False)
    text = page.decode().replace(example, shown)
    text = text.replace(html.escape(example.removesuffix("</aec-img>"), quote=False), told)
    return text.encode(errors=UNUSUAL_NAMES)


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
