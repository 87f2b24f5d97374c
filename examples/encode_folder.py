"""Encode every picture of a folder on several threads; what is no picture is left out, with the reason.

python examples/encode_folder.py examples/photos encoded
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from PIL import Image

import aecodec


def encode(path: Path, out: Path, model: str) -> str:
    try:
        with Image.open(path) as image:
            data = aecodec.encode(image, model=model)
    except (OSError, aecodec.AecError) as error:  # Pillow's errors are OSErrors
        return f"{path.name}: left out, {error}"
    (out / f"{path.name}.aec").write_bytes(data)
    return f"{path.name}: {len(data)} bytes"


def main(folder: str, out: str, model: str = "standard") -> None:
    Path(out).mkdir(exist_ok=True)
    paths = sorted(path for path in Path(folder).iterdir() if path.is_file())
    with ThreadPoolExecutor(2) as pool:
        for line in pool.map(partial(encode, out=Path(out), model=model), paths):
            print(line)


if __name__ == "__main__":
    main(*sys.argv[1:])
