"""Teaches Pillow to open and save `.aec` files. Importing this module is enough:

    import aecodec.pillow_plugin
    from PIL import Image

    with Image.open("in.aec") as image:      # reads the header; the pixels at load()
        image.thumbnail((128, 128))
    image.save("out.aec", quality=60)

Everything built on Pillow (imageio, Django's ImageField) then reads them too. `save` has the options of
`aecodec.encode`, and icc_profile=, exif= and xmp= for metadata to store, as for JPEG; metadata="all" stores
that of `info`.

Opening raises UnidentifiedImageError if the header is damaged or of a newer format, and DecompressionBombError if it
asks for more pixels than Pillow or this package allows. Loading, verifying and saving raise OSError. The error of this
package is the `__cause__` of each.
"""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import fields
from typing import IO
from typing import TYPE_CHECKING

from PIL import Image
from PIL import ImageFile
from PIL import UnidentifiedImageError

from aecodec import api
from aecodec.codec.decoder import decode_metadata
from aecodec.errors import AecError
from aecodec.errors import CorruptFile
from aecodec.errors import HeaderLimitExceeded
from aecodec.format.compact import is_compact
from aecodec.format.container import read_header
from aecodec.format.container import unpack
from aecodec.format.header import MAGIC
from aecodec.format.header import MAX_HEADER_BYTES
from aecodec.format.header import Check
from aecodec.format.header import Extra
from aecodec.format.header import Header
from aecodec.forms import read_file
from aecodec.image.writing import info_of
from aecodec.info import entry_of
from aecodec.info import id_in_hex
from aecodec.info import id_of
from aecodec.options import EncodeOptions
from aecodec.options import metadata_kinds
from aecodec.options import quality_of_step

if TYPE_CHECKING:
    from PIL._imaging import PixelAccess

FORMAT = "AEC"
EXTENSION = ".aec"
MIME = "image/x-aec"

# `save` passes these on, the options of `encode`, and ignores others, as Pillow does for every format.
_SAVE_OPTIONS = tuple(own.name for own in fields(EncodeOptions))

# Metadata by the names that `encode` and Pillow have for it.
_METADATA = {"icc": "icc_profile", "exif": "exif", "xmp": "xmp"}


class AecImageFile(ImageFile.ImageFile):
    """An `.aec` file. `info` has "quality" (0..100), "model" (None if not known here) and "weights_id" (in hex).

    Stored metadata is there too, by Pillow's names: "icc_profile", "exif" and "xmp".
    """

    format = FORMAT
    format_description = "aecodec learned image codec"

    def _open(self) -> None:
        assert self.fp is not None
        start = self.fp.read(MAX_HEADER_BYTES)
        try:
            header = read_header(start)
            if header.compact is not None:
                self._check_compact(header)
        except AecError as error:
            if is_compact(start):
                raise SyntaxError(f"not an .aec file: {error}") from error  # so that Pillow tries other formats
            if isinstance(error, HeaderLimitExceeded):
                raise Image.DecompressionBombError(str(error)) from error
            name = self.filename or self.fp
            raise UnidentifiedImageError(f"cannot identify image file {name!r}: {error}") from error
        self._mode, self._size = header.mode, header.shown
        entry = entry_of(header.weights)
        self.info |= {
            "quality": quality_of_step(header.quality),
            "model": None if entry is None else entry.name,
            "weights_id": id_in_hex(header.weights),
        }
        if header.extras & ~Extra.ALPHA:
            with suppress(AecError):  # load() will raise it
                self.info.update(dict(info_of(decode_metadata(self._read()))))
        self.tile = [ImageFile._Tile("raw", (0, 0, *self.size), 0, self.mode)]

    def _check_compact(self, header: Header) -> None:
        """Raises CorruptFile if a file that begins like a compact one is none: its first byte alone says little."""
        assert self.fp is not None
        if header.compact is Check.NONE and not str(self.filename).lower().endswith(EXTENSION):
            raise CorruptFile("a compact file without a checksum is known by its extension only")
        unpack(self._read(), id_of)

    def load(self) -> PixelAccess | None:
        """Decodes the file unless that is done. Raises OSError."""
        if self.tile and self.fp is not None:
            try:
                pixels = api.decode_pixels(self._read())
            except AecError as error:
                raise OSError(str(error)) from error
            if self._exclusive_fp:
                self.fp.close()
            self.fp = io.BytesIO(pixels.tobytes())
        return super().load()

    def load_seek(self, pos: int) -> None:
        """Makes Pillow wait for the whole file instead of mapping it into memory."""

    def verify(self) -> None:
        """Compares every checksum; needs no weights. Closes the image, as for other formats. Raises OSError.

        `aecodec.verify` decodes the streams as well.
        """
        if self.fp is None:
            raise RuntimeError("verify must be called directly after open")
        try:
            unpack(self._read(), id_of)
        except AecError as error:
            raise OSError(str(error)) from error
        finally:
            super().verify()

    def _read(self) -> bytes:
        assert self.fp is not None
        self.fp.seek(0)
        return read_file(self.fp)


def register_aec_opener() -> None:
    """Makes Pillow open and save `.aec` files.

        aecodec.register_aec_opener()

    Importing this module calls it; calling it again is harmless.
    """
    Image.register_open(FORMAT, AecImageFile, _accept)
    Image.register_save(FORMAT, _save)
    Image.register_extension(FORMAT, EXTENSION)
    Image.register_mime(FORMAT, MIME)


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(MAGIC) or is_compact(prefix)


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    given = image.encoderinfo
    options = {name: given[name] for name in _SAVE_OPTIONS if name in given}
    try:
        kinds = metadata_kinds(given.get("metadata", ()))
        kinds |= {kind for kind, name in _METADATA.items() if given.get(name)}
        data = api.encode(_as_it_stands(image, kinds), **options | {"metadata": kinds})
    except AecError as error:
        raise OSError(str(error)) from error
    file.write(data)


def _as_it_stands(image: Image.Image, kinds: frozenset[str]) -> Image.Image:
    """A copy with only the metadata to store, and what tells how to read the pixels.

    An orientation counts only if EXIF is stored. Otherwise it may be left over from a file whose picture has been
    turned since, and no format of Pillow applies it.
    """
    given, plain = image.encoderinfo, image.copy()
    info = image.info | {name: given[name] for name in _METADATA.values() if name in given}
    if "exif" in kinds:
        exif = info.get("exif") or image.getexif()
        info["exif"] = exif.tobytes() if isinstance(exif, Image.Exif) else exif
    names = {"transparency", "icc_profile", *(_METADATA[kind] for kind in kinds)}
    plain.info = {name: content for name, content in info.items() if name in names}
    return plain


register_aec_opener()
