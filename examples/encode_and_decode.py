"""Encode a picture, look at the file, decode it again.

python examples/encode_and_decode.py examples/photos/dog.jpg dog.aec dog.png
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

import aecodec


def main(source: str, file: str, back: str, model: str = "standard") -> None:
    with Image.open(source) as image:
        data = aecodec.encode(image, model=model)  # quality=40 or target_size=2000 choose another size
    Path(file).write_bytes(data)

    info = aecodec.read_info(data)
    print(f"{info.width}x{info.height}, {info.size_bytes} bytes, {info.bits_per_pixel:.3f} bits per pixel")

    aecodec.decode(data).save(back)


if __name__ == "__main__":
    main(*sys.argv[1:])
