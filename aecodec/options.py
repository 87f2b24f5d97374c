"""The options of encoding and decoding: names, defaults, ranges and checks, each in one place.

The Python interface, the command line, batch jobs and the Pillow plugin build these records and pass them on. A field's
`Option` says which values it may have and how the command line offers it; a field without one is for programs only.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import Field
from dataclasses import dataclass
from dataclasses import field
from dataclasses import fields
from numbers import Integral
from numbers import Real
from pathlib import Path
from typing import Any
from typing import NamedTuple

from aecodec.errors import InvalidOption
from aecodec.format.header import QUALITY_STEPS
from aecodec.format.header import Check
from aecodec.limits import MAX_PIXELS
from aecodec.limits import MAX_SIDE

QUALITY_MAXIMUM = 100
_MOST_BYTES = 1 << 40  # of a target: no file is larger
EFFORT_STEPS = (0, 40, 150, 800)  # of refinement
METADATA = ("icc", "exif", "xmp")  # the kinds of a picture's metadata that a file can hold
CHECKS = {"none": Check.NONE, "crc-8": Check.CRC8, "crc-16": Check.CRC16, "crc-32": Check.CRC32}
DEVICES = ("auto", "cpu", "cuda")
THREADS = "AECODEC_THREADS"  # the environment variable

Crop = tuple[int, int, int, int]  # x, y, width, height, in pixels from the top left


class Option(NamedTuple):
    """The values of a field, and how the command line offers it."""

    flags: tuple[str, ...]
    help: str
    metavar: str | None = None
    whole: bool = False  # integers only
    low: float | None = None  # None: no number
    high: float = math.inf
    above: bool = False  # `low` itself is excluded

    def check(self, name: str, value: object) -> None:
        """Raises InvalidOption if `value` is not a number of this option's range."""
        kind = Integral if self.whole else Real
        with suppress(OverflowError):  # an integer beyond all floats
            if isinstance(value, kind) and self._holds(float(value)):
                return
        number = "whole number" if self.whole else "number"
        if self.high < math.inf:
            limits = f"within {self.low:g}..{self.high:g}"
        else:
            limits = f"above {self.low:g}" if self.above else f"of at least {self.low:g}"
        raise InvalidOption(f"{name} {value!r} is not a {number} {limits}")

    def _holds(self, value: float) -> bool:
        assert self.low is not None, "only numbers have a range"
        return math.isfinite(value) and (value > self.low if self.above else value >= self.low) and value <= self.high


def _option(default: Any, *flags: str, help: str, **values: Any) -> Any:
    return field(default=default, metadata={"option": Option(flags, help, **values)})


def option_of(own: Field[Any]) -> Option | None:
    """The `Option` of a field of EncodeOptions or DecodeOptions; None if the command line does not offer it."""
    return own.metadata.get("option")


def no_progress(share: float) -> None:
    """A progress callback that does nothing."""


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """What encoding and decoding share."""

    device: str = _option("auto", "--device", help="auto is cpu; cuda needs a GPU and the torch extra.")
    max_pixels: int = _option(
        MAX_PIXELS, "--max-pixels", metavar="N", whole=True, low=1, help="Refuse larger pictures."
    )

    threads: int | None = _option(
        None,
        "--threads",
        metavar="N",
        whole=True,
        low=1,
        help=f"Threads for each large picture; each of the --jobs has as many. Default: {THREADS}, else 1.",
    )

    def __post_init__(self) -> None:
        """Raises InvalidOption if a value is out of range."""
        for own in fields(self):
            value, option = getattr(self, own.name), option_of(own)
            optional = own.default is None and value is None
            if option is not None and option.low is not None and not optional:
                option.check(own.name, value)
        if self.threads is None and (named := os.environ.get(THREADS)):
            object.__setattr__(self, "threads", _threads(named))
        if self.device not in DEVICES:
            raise InvalidOption(f"device {self.device!r} is not one of {', '.join(DEVICES)}")

    @property
    def thread_count(self) -> int:
        return self.threads or 1


@dataclass(frozen=True, kw_only=True)
class EncodeOptions(CommonOptions):
    """The options of `aecodec.encode`, checked before there is a picture: `encode(image, **vars(options))` takes them.

    At most one of `quality` and the three targets is given; without any, the model's default quality is taken. At most
    one of `model` and `weights` is given; without either, the model is `standard`. Raises InvalidOption if a value is
    out of range or two contradict each other.
    """

    quality: float | None = _option(
        None,
        *("-q", "--quality"),
        metavar="Q",
        low=0,
        high=QUALITY_MAXIMUM,
        help="0 (smallest file) to 100 (this model's best). Default: the model's own.",
    )
    target_size: int | None = _option(
        None, "--target-size", metavar="BYTES", whole=True, low=1, help="Best quality within this many bytes."
    )
    target_bpp: float | None = _option(
        None,
        "--target-bpp",
        metavar="BITS",
        low=0,
        above=True,
        help="The same in bits per pixel of the whole file.",
    )
    target_psnr: float | None = _option(
        None,
        "--target-psnr",
        metavar="DB",
        low=0,
        above=True,
        help="Smallest file that decodes with this PSNR.",
    )
    model: str | None = _option(
        None, "--model", metavar="NAME", help="A model of `aecodec model list`. Default: standard."
    )
    weights: Path | None = _option(None, "--weights", help="Your own weights file, instead of --model.")
    effort: int = _option(
        0,
        "--effort",
        metavar="N",
        whole=True,
        low=0,
        high=len(EFFORT_STEPS) - 1,
        help="Better pictures at about the same size, for more time.",
    )
    alpha: bool = _option(True, "--alpha/--no-alpha", help="Keep alpha, losslessly, or leave it out.")
    metadata: frozenset[str] = _option(
        frozenset(),
        "--metadata",
        metavar="WHAT",
        help="Store icc, exif, xmp (with commas between), all or none. Default: none.",
    )
    shrink: bool = _option(
        False, "--shrink", help="With --target-size or --target-bpp: code a smaller picture if that looks better."
    )
    shrink_to: int | None = _option(
        None,
        "--shrink-to",
        metavar="SIDE",
        whole=True,
        low=1,
        high=MAX_SIDE,
        help="Code it with a longer side of SIDE pixels; decode restores its size.",
    )
    compact: bool = _option(
        False, "--compact", help="Write the compact form: a header of a few bytes, for small pictures."
    )
    checksum: str = _option("crc-8", "--checksum", help="Checksum of the compact form.")
    progress: Callable[[float], None] = no_progress  # gets the share done of one refinement; does not travel

    def __post_init__(self) -> None:
        super().__post_init__()
        targets = (self.quality, self.target_size, self.target_bpp, self.target_psnr)
        if sum(value is not None for value in targets) > 1:
            raise InvalidOption("give one of quality, target_size, target_bpp and target_psnr")
        if self.model is not None and self.weights is not None:
            raise InvalidOption("give one of model and weights")
        if not isinstance(self.checksum, str) or self.checksum not in CHECKS:
            raise InvalidOption(f"checksum {self.checksum!r} is not one of {', '.join(CHECKS)}")
        if not callable(self.progress):
            raise InvalidOption(f"progress {self.progress!r} is not a function")
        if self.checksum != "crc-8" and not self.compact:
            raise InvalidOption("checksum is that of compact, which is not asked for")
        if self.shrink and (self.shrink_to is not None or (self.target_size is None and self.target_bpp is None)):
            raise InvalidOption("shrink needs target_size or target_bpp, and excludes shrink_to")
        object.__setattr__(self, "metadata", metadata_kinds(self.metadata))

    def allowed_bytes(self, pixels: int) -> int | None:
        """The largest file that the target allows for a picture of `pixels` pixels; None without such a target."""
        bits = None if self.target_bpp is None else min(self.target_bpp * pixels, 8.0 * _MOST_BYTES)
        size = self.target_size if bits is None else int(bits / 8)
        return None if size is None else min(size, _MOST_BYTES)


@dataclass(frozen=True, kw_only=True)
class DecodeOptions(CommonOptions):
    """The options of `aecodec.decode`, which takes them as `**vars(options)`. `decode` checks `crop` itself."""

    weights: Path | None = None  # looked at before the search path
    crop: tuple[int, int, int, int] | None = _option(
        None, "--crop", metavar="X,Y,W,H", help="Only this region: left, top, width, height."
    )
    partial: bool = _option(False, "--partial", help="Decode a truncated file as far as it goes.")
    coded_size: bool = _option(False, "--coded-size", help="Do not enlarge a shrunk picture.")


def _threads(value: str) -> int:
    if not (value.isdecimal() and value.isascii() and 0 < len(value) < 10 and int(value)):
        raise InvalidOption(f"{THREADS} {value!r} is not a whole number of at least 1")
    return int(value)


def metadata_kinds(names: Iterable[str]) -> frozenset[str]:
    """The kinds of metadata named, of "icc", "exif" and "xmp"; "all" is every one. Raises InvalidOption for others."""
    try:
        kinds = frozenset([names] if isinstance(names, str) else names)
    except TypeError as error:
        raise InvalidOption(f"metadata {names!r}: choose from {', '.join(METADATA)} and all") from error
    unknown = kinds - {*METADATA, "all"}
    if unknown:
        raise InvalidOption(
            f"unknown metadata {', '.join(sorted(map(repr, unknown)))}: choose from {', '.join(METADATA)} and all"
        )
    return frozenset(METADATA) if "all" in kinds else kinds


def quality_step(quality: float) -> int:
    """The file's quality step 0..255 for a quality of 0..100."""
    return int(float(quality) * (QUALITY_STEPS - 1) / QUALITY_MAXIMUM + 0.5)


def quality_of_step(step: int) -> float:
    """The quality on the scale of 0..100 for a file's quality step 0..255, to two decimals."""
    return round(step * QUALITY_MAXIMUM / (QUALITY_STEPS - 1), 2)


def name_of_check(check: Check) -> str:
    """The name of a checksum in the options."""
    return next(name for name, kind in CHECKS.items() if kind is check)
