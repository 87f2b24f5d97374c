"""What `encode` and `decode` do with one picture, wherever its bytes come from and go to.

A job is a frozen record of options that travels to other processes and machines. It loads weights, NumPy and Pillow
when it first runs there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import fields
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import IO
from typing import NamedTuple

from aecodec.codec import manifest
from aecodec.errors import AecError
from aecodec.errors import InputError
from aecodec.errors import LimitExceeded
from aecodec.format.container import is_short
from aecodec.format.container import read_header
from aecodec.format.header import QUALITY_STEPS
from aecodec.forms import from_text
from aecodec.forms import read_file
from aecodec.forms import to_text
from aecodec.info import entry_of
from aecodec.limits import MAX_PIXELS
from aecodec.options import DecodeOptions
from aecodec.options import EncodeOptions
from aecodec.options import quality_of_step

AEC_SUFFIXES = frozenset({".aec"})  # the files that `decode` takes from a folder

# Options that do not change an output.
_WITHOUT_EFFECT = frozenset({"device", "max_pixels", "progress", "threads", "weights"})

REACHED = 0.97  # a target size counts as reached from this share on


class Product(NamedTuple):
    """The bytes of an output, and lines for the user."""

    data: bytes
    summary: str
    notices: tuple[str, ...] = ()  # what was lost, changed or not reached


@dataclass(frozen=True, kw_only=True)
class EncodeJob(EncodeOptions):
    """Encodes pictures with its options, to base64url text if `text`."""

    text: bool = False
    strict: bool = False  # a notice is an error

    def check(self) -> None:
        """Raises UnknownWeights if every picture would fail."""
        self._entry()

    def _entry(self) -> manifest.Entry:
        return manifest.find(self.model, self.weights)

    def recipe(self) -> str:
        """A hash of all that an output depends on beside its input. Raises UnknownWeights."""
        entry = self._entry()
        return _hash_of(replace(self, model=f"{entry.weights_id.hex()} {entry.encoder_hash}", weights=None))

    def is_whole(self, data: bytes) -> bool:
        """Whether an existing output is undamaged."""
        from aecodec import api

        try:
            api.verify(from_text(data) if self.text else data)
        except AecError:
            return False
        return True

    def __call__(self, source: Path | IO[bytes], target: str) -> Product:
        """The `.aec` file of the picture `source`; `target` is its name in messages. Raises AecError."""
        from aecodec import api
        from aecodec.image.reading import open_picture

        with naming_limit(self.max_pixels):
            picture = open_picture(source, max_pixels=self.max_pixels, alpha=self.alpha, metadata=self.metadata)
        notices = [f"{name_of(source)}: {notice}" for notice in picture.notices]
        _refuse(notices, self.strict)  # before the work
        encoded = api.encode_picture(picture, self)
        data, quality = encoded.data, encoded.quality
        height, width = picture.pixels.shape[:2]
        allowed = self.allowed_bytes(width * height)
        if allowed is not None and len(data) < REACHED * allowed:
            best = quality == QUALITY_STEPS - 1
            reason = "the best of this model" if best else "the next quality takes more than that"
            notices.append(f"{target}: {len(data)} bytes instead of {allowed}: {reason}")
        if self.weights is not None and entry_of(manifest.find_by_file(self.weights).weights_id) is None:
            notices.append(f"{target}: decodes where {self.weights.parent.absolute()} is in AECODEC_WEIGHTS")
        _refuse(notices, self.strict)
        bits = 8 * len(data) / (width * height)
        summary = f"{len(data)} bytes, {bits:.3f} bits per pixel, quality {quality_of_step(quality):g}"
        header = read_header(data, max_pixels=self.max_pixels)
        if header.display is not None:
            summary += f", coded at {header.width}x{header.height}"
        return Product(to_text(data) if self.text else data, f"{target}: {summary}", tuple(notices))


@dataclass(frozen=True, kw_only=True)
class DecodeJob(DecodeOptions):
    """Decodes `.aec` files to the picture format of `extension`, or of the output's name without one."""

    extension: str | None = None
    text: bool = False  # whether the files hold base64url text
    strict: bool = False  # a notice is an error

    def check(self) -> None:
        """Raises OutputError if every file would fail."""
        from aecodec.image.writing import format_of

        if self.extension is not None:
            format_of(f"picture.{self.extension}")

    def recipe(self) -> str:
        """A hash of all that an output depends on beside its input."""
        return _hash_of(self)

    def is_whole(self, data: bytes) -> bool:
        """Whether an existing output is undamaged, as far as its format tells."""
        from aecodec.image.reading import open_picture

        try:
            open_picture(BytesIO(data))
        except AecError:
            return data.startswith(b"\x93NUMPY")
        return True

    def __call__(self, source: Path | IO[bytes], target: str) -> Product:
        """The picture file of the `.aec` file `source`; `target` is its name. Raises AecError."""
        from aecodec import api
        from aecodec.image.writing import ALPHA_FORMATS
        from aecodec.image.writing import format_of
        from aecodec.image.writing import write_image

        file_format = format_of(target if self.extension is None else f"picture.{self.extension}")
        with naming(name_of(source)), naming_limit(self.max_pixels):
            data = read_file(source, max_pixels=self.max_pixels, text=self.text)
            image = api.decode_picture(data, self)
        share, complete = image.info.pop("share", 1.0), image.info.pop("complete", True)
        stream = BytesIO()
        with naming(target):
            notices = write_image(image, stream, file_format)
        mode = image.mode if file_format in ALPHA_FORMATS else image.mode.removesuffix("A")
        summary = f"{target}: {image.width}x{image.height} {mode}"
        told = [f"{target}: {notice}" for notice in notices]
        if not complete:
            told.insert(0, f"{name_of(source)}: {what_is_there(data, share)}, the others are predicted")
        _refuse(told, self.strict)
        return Product(stream.getvalue(), summary, tuple(told))


def what_is_there(data: bytes, share: float) -> str:
    """What is wrong with a file that is not `complete`, as far as that can be known, and the share of its symbols."""
    from aecodec import api

    why = "ends early"
    if not is_short(data):
        try:
            api.verify(data)
            why = "may end early"  # a checksum of one byte, or none, proves nothing
        except AecError:
            why = "ends early or is damaged"
    return f"{why}, {share:.0%} of its symbols are there"


def _refuse(notices: Sequence[str], strict: bool) -> None:
    if strict and notices:
        raise InputError("; ".join(notices))


def _hash_of(job: EncodeJob | DecodeJob) -> str:
    values = {own.name: getattr(job, own.name) for own in fields(job) if own.name not in _WITHOUT_EFFECT}
    plain = {name: sorted(value) if isinstance(value, frozenset) else value for name, value in values.items()}
    return hashlib.sha256(repr(sorted(plain.items())).encode()).hexdigest()[:16]


def name_of(source: Path | IO[bytes]) -> str:
    """The name of an input in messages."""
    return str(source) if isinstance(source, Path) else str(getattr(source, "name", "<stdin>"))


@contextmanager
def naming(name: str | Path) -> Iterator[None]:
    """Puts a file's name before the message of an AecError."""
    try:
        yield
    except AecError as error:
        raise type(error)(f"{name}: {error}") from error


@contextmanager
def naming_limit(max_pixels: int) -> Iterator[None]:
    """Adds the option to the message about a limit that the user set; there are others."""
    try:
        yield
    except LimitExceeded as error:
        if max_pixels == MAX_PIXELS or not re.search(rf"\b{max_pixels}\b", str(error)):
            raise
        raise type(error)(f"{error} (--max-pixels)") from error
