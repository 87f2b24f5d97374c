"""The classical codecs to compare with: whole files without metadata, by Pillow, and by its plugin for JPEG XL.

`avif` is Pillow's default, tuned for the eye; `avif-psnr` is the strongest setting for PSNR at the same speed, so it
is the fair one for claims in PSNR.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from importlib import metadata

import numpy as np
import PIL
from PIL import Image
from PIL import features

from aecodec.errors import InputError
from aecodec.errors import MissingExtra


@dataclass(frozen=True)
class PillowCodec:
    """A codec of Pillow, which must be built with `feature`; `options` are those of `Image.save`.

    `library` is the library behind it. `plugin`: the module that adds the format to Pillow, instead of a feature;
    `library` is then its distribution. `grey`: options for a grey picture.
    """

    name: str
    feature: str
    library: str
    settings: str
    qualities: tuple[float, ...]
    file_format: str
    options: Mapping[str, object]
    grey: Mapping[str, object] = field(default_factory=dict)
    lowest: int = 0
    plugin: str | None = None

    @property
    def available(self) -> bool:
        """Whether it can be used here."""
        if self.plugin is not None:
            return importlib.util.find_spec(self.plugin) is not None
        return bool(features.check(self.feature))

    @property
    def steps(self) -> Sequence[float]:
        return range(self.lowest, 101)

    @property
    def description(self) -> str:
        version = metadata.version(self.library) if self.plugin is not None else features.version(self.library)
        return f"Pillow {PIL.__version__}, {self.library} {version}, {self.settings}"

    def encode(self, pixels: np.ndarray, quality: float) -> bytes:
        """A file at integer quality, grey if the picture is and the codec can; InputError if it cannot hold it."""
        file = io.BytesIO()
        try:
            options = {**self.options, **(self.grey if pixels.ndim == 2 else {})}
            Image.fromarray(pixels).save(file, self.file_format, quality=int(quality), **options)
        except Exception as error:  # plugins raise what they like
            raise InputError(f"{self.name}: {error}") from error
        return file.getvalue()

    def decode(self, data: bytes) -> np.ndarray:
        """Raises InputError, as for a picture over Pillow's limit."""
        try:
            with Image.open(io.BytesIO(data)) as image:
                return np.asarray(image if image.mode == "L" else image.convert("RGB"))
        except Exception as error:
            raise InputError(f"{self.name}: {error}") from error


# Qualities from about 0.08 to 1.5 bits per pixel on photographs of 768x512. One thread: libavif writes other files with
# more, and a figure must not depend on the machine.
PEERS = (
    PillowCodec(
        name="jpeg",
        feature="jpg",
        library="libjpeg_turbo",
        settings="4:2:0, optimised",
        qualities=(1, 3, 5, 7, 9, 11, 14, 17, 20, 25, 30, 35, 40, 50, 60, 70, 80),
        file_format="JPEG",
        options={"optimize": True, "subsampling": "4:2:0"},
        lowest=1,
    ),
    PillowCodec(
        name="webp",
        feature="webp",
        library="webp",
        settings="4:2:0, method 6",
        qualities=(0, 1, 2, 4, 7, 10, 15, 20, 30, 45, 60, 75, 85),
        file_format="WEBP",
        options={"method": 6},
    ),
    PillowCodec(
        name="avif",
        feature="avif",
        library="avif",
        settings="default: 4:2:0, speed 6; one thread",
        qualities=(4, 10, 16, 22, 28, 34, 42, 50, 60, 70),
        file_format="AVIF",
        options={"max_threads": 1},
    ),
    PillowCodec(
        name="avif-psnr",
        feature="avif",
        library="avif",
        settings="4:4:4, speed 6, tune=psnr; one thread",
        qualities=(4, 10, 16, 22, 28, 34, 42, 50, 60, 70),
        file_format="AVIF",
        options={"speed": 6, "subsampling": "4:4:4", "max_threads": 1, "advanced": {"tune": "psnr"}},
        grey={"subsampling": "4:0:0"},
    ),
    PillowCodec(
        name="jxl",
        feature="",
        library="pillow-jxl-plugin",
        settings="effort 7; one thread",
        qualities=(0, 4, 8, 12, 18, 24, 30, 40, 50, 60, 70, 80),
        file_format="JXL",
        options={"effort": 7, "num_threads": 1},
        plugin="pillow_jxl",
    ),
)


# How a reader knows them.
TITLES = {"jpeg": "JPEG", "webp": "WebP", "avif": "AVIF", "avif-psnr": "AVIF (PSNR)", "jxl": "JPEG XL"}


def peers_named(names: Sequence[str]) -> list[PillowCodec]:
    """The codecs of these names, each once, in this order; raises MissingExtra if one cannot be used here."""
    known = {codec.name: codec for codec in PEERS}
    chosen = [known[name] for name in dict.fromkeys(names)]
    for codec in chosen:
        if not codec.available:
            missing = 'needs `pip install "aecodec[bench]"`, or' if codec.plugin else "this Pillow is built without it;"
            raise MissingExtra(f"{codec.name}: {missing} leave it out with --codecs")
        if codec.plugin is not None:
            importlib.import_module(codec.plugin)  # registers the format
    return chosen
