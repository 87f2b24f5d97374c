"""Assorted pictures, made from the photographs in `examples/photos`, each with the pixels that it shows.

`MADE` names over a hundred: every mode, format, orientation and kind of profile, and sizes from 1x1.
`installed()` finds the pictures of installed packages, whose licences allow use in place.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image
from PIL import ImageCms
from PIL import ImageOps

from helpers.paths import PHOTOS
from helpers.pictures import png
from helpers.pictures import tiff
from helpers.profiles import built_profile
from helpers.profiles import cmyk_profile
from helpers.profiles import gamma_curve
from helpers.profiles import grey_profile
from helpers.profiles import matrix_profile
from helpers.profiles import other_srgb_profile
from helpers.profiles import rgb_profile

DISPLAY_P3 = {"r": (0.51512, 0.2412, -0.00105), "g": (0.29198, 0.69225, 0.04189), "b": (0.1571, 0.06657, 0.78407)}
ORIENTATION = 0x0112
TURN = Image.Transpose
# EXIF orientation -> how an upright picture is turned to be stored with it.
STORED = {
    1: None,
    2: TURN.FLIP_LEFT_RIGHT,
    3: TURN.ROTATE_180,
    4: TURN.FLIP_TOP_BOTTOM,
    5: TURN.TRANSPOSE,
    6: TURN.ROTATE_90,
    7: TURN.TRANSVERSE,
    8: TURN.ROTATE_270,
}


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture, and what it shows."""

    source: bytes | Image.Image  # a file; an image for what no format holds
    pixels: np.ndarray  # uint8 [H, W, 3] or [H, W]: upright, sRGB or grey
    alpha: np.ndarray | None = None  # uint8 [H, W]

    @property
    def mode(self) -> str:
        return ("L" if self.pixels.ndim == 2 else "RGB") + ("" if self.alpha is None else "A")


@cache
def _photos() -> list[Image.Image]:
    return [Image.open(path).convert("RGB") for path in sorted(PHOTOS.glob("*.*g"))]


def photo(width: int = 72, height: int = 48) -> Image.Image:
    """A photograph of that size, mode RGB. Other sizes mostly show other photographs."""
    photos = _photos()
    return ImageOps.fit(photos[(width + 3 * height) % len(photos)], (width, height), Image.Resampling.BICUBIC)


def mask(size: tuple[int, int]) -> Image.Image:
    """Alpha from clear to opaque, mode L."""
    return Image.radial_gradient("L").resize(size)


def file_of(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def seen(image: Image.Image) -> np.ndarray:
    """What an image without alpha shows, by Pillow's own conversion."""
    return np.asarray(image if image.mode == "L" else image.convert("RGB"))


def plain(mode: str, format: str, **options: object) -> Sample:
    """A mode that Pillow converts a photograph to, in a format."""
    image = photo().convert(mode, dither=Image.Dither.NONE)
    return Sample(file_of(image, format, **options), seen(image.convert("L") if mode == "1" else image))


def reopened(mode: str, format: str, **options: object) -> Sample:
    """The same in a format that changes the mode: it shows what Pillow opens, in colour."""
    data = file_of(photo().convert(mode), format, **options)
    return Sample(data, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def with_alpha(mode: str, format: str | None, **options: object) -> Sample:
    image = photo().convert(mode[:-1])
    alpha = mask(image.size)
    pixels = seen(image)
    image.putalpha(alpha)
    assert image.mode == mode
    return Sample(image if format is None else file_of(image, format, **options), pixels, np.asarray(alpha))


def one_clear_colour(mode: str, format: str) -> Sample:
    """A palette, or plain colours, of which one is transparent."""
    image = photo().convert(mode)
    clear = image.getpixel((5, 5))
    data = file_of(image, format, transparency=clear)
    samples = np.asarray(image)
    hit = samples == clear if samples.ndim == 2 else (samples == clear).all(axis=2)
    return Sample(data, seen(image), np.where(hit, 0, 255).astype(np.uint8))


def palette_with_alphas() -> Sample:
    image = photo().convert("P")
    alphas = np.random.default_rng(3).permutation(256).astype(np.uint8)
    return Sample(file_of(image, "PNG", transparency=alphas.tobytes()), seen(image), alphas[np.asarray(image)])


def in_memory(mode: str) -> Sample:
    """Modes of images in memory that files rarely have."""
    image = photo()
    if mode in ("La", "RGBa"):
        straight = image.convert(mode[:-1])
        alpha = mask(image.size).point(lambda level: max(level, 64))
        straight.putalpha(alpha)
        image = straight.convert(mode)
        back = image.convert(straight.mode)
        return Sample(image, np.asarray(back)[..., 0] if mode == "La" else np.asarray(back)[..., :3], np.asarray(alpha))
    if mode == "LAB":
        lab = ImageCms.profileToProfile(
            image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
        return Sample(lab, np.asarray(image))
    return Sample(image.convert(mode), seen(image.convert(mode)))


def deep_grey(mode: str, format: str | None) -> Sample:
    """Grey of more than 8 bits, of which the upper 8 show."""
    grey = np.asarray(photo().convert("L"))
    if mode == "F":
        image = Image.fromarray(grey.astype(np.float32) / 255)
    elif mode == "I":
        image = Image.fromarray(grey.astype(np.int32) * 257)
    else:
        kind = ">u2" if mode.endswith("B") else "<u2"
        samples = grey.astype(np.uint16) * 257
        image = Image.frombytes(mode, samples.shape[::-1], samples.astype(kind).tobytes(), "raw", mode)
    return Sample(image if format is None else file_of(image, format), grey)


def odd_tiff(kind: str) -> Sample:
    """Layouts of TIFF that Pillow does not write, and of which it reads some in other units."""
    grey, colours = np.asarray(photo().convert("L")), np.asarray(photo())
    bits, photometric, channels, planes, sample_format = 258, 262, 277, 284, 339
    if kind == "planes of 16 bits":
        tags = {bits: (16,) * 3, photometric: (2,), channels: (3,), planes: (2,)}
        return Sample(tiff(np.moveaxis(colours.astype("<u2") * 257, 2, 0).tobytes(), (72, 48), tags).read(), colours)
    samples, tags = {
        "signed": (grey.astype("<i2") * 128, {photometric: (1,), sample_format: (2,)}),
        "white is 0": (65535 - grey.astype("<u2") * 257, {photometric: (0,)}),
        "32 bits": (grey.astype("<u4") * 16_843_009, {photometric: (1,)}),
    }[kind]
    tags |= {bits: (8 * samples.itemsize,), channels: (1,)}
    return Sample(tiff(samples.tobytes(), (72, 48), tags).read(), grey)


def deep_png(colour_type: int) -> Sample:
    """16 bits a sample; 0 is grey, 2 colours, 4 grey with alpha, 6 colours with alpha."""
    colours = np.asarray(photo().convert("L" if colour_type in (0, 4) else "RGB"))
    alpha = np.asarray(mask((72, 48))) if colour_type > 2 else None
    channels = [colours.reshape(48, 72, -1), *([] if alpha is None else [alpha[..., None]])]
    samples = np.concatenate(channels, axis=2).astype(np.uint16) * 257
    if colour_type == 4:  # which Pillow opens in colour
        colours = np.stack([colours] * 3, axis=2)
    return Sample(png(samples, colour_type).getvalue(), colours, alpha)


def of_size(width: int, height: int, mode: str = "RGB") -> Sample:
    image = photo(width, height).convert(mode.removesuffix("A"))
    pixels = seen(image)
    if not mode.endswith("A"):
        return Sample(file_of(image, "PNG"), pixels)
    alpha = np.full((height, width), 128, np.uint8)
    image.putalpha(Image.fromarray(alpha))
    return Sample(file_of(image, "PNG"), pixels, alpha)


def turned(orientation: int, format: str, mode: str = "RGB", **options: object) -> Sample:
    image = photo().convert(mode.removesuffix("A"))
    pixels, alpha = seen(image), None
    if mode.endswith("A"):
        image.putalpha(mask(image.size))
        alpha = np.asarray(image.getchannel("A"))
    turn = STORED[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = image if turn is None else image.transpose(turn)
    return Sample(file_of(stored, format, exif=exif, **options), pixels, alpha)


def profiled(profile: bytes, format: str, **options: object) -> Sample:
    """A photograph converted to the colours of its profile, so that it looks the same."""
    image = photo()
    target = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    stored = ImageCms.profileToProfile(image, ImageCms.createProfile("sRGB"), target)
    return Sample(file_of(stored, format, icc_profile=profile, **options), np.asarray(image))


def profiled_grey(gamma: float, format: str, **options: object) -> Sample:
    image = photo().convert("L")
    levels = np.arange(256) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    stored = image.point((255 * linear ** (1 / gamma)).round().astype(int).tolist())
    return Sample(file_of(stored, format, icc_profile=grey_profile(gamma), **options), np.asarray(image))


def profiled_inks(format: str) -> Sample:
    """CMYK with a profile that turns it grey; see `cmyk_profile`."""
    image = photo().convert("CMYK")
    source = ImageCms.ImageCmsProfile(io.BytesIO(cmyk_profile()))
    shown = ImageCms.profileToProfile(
        image,
        source,
        ImageCms.createProfile("sRGB"),
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        "RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    return Sample(file_of(image, format, icc_profile=cmyk_profile()), np.asarray(shown))


def animated(format: str, **options: object) -> Sample:
    image = photo().quantize(64) if format == "GIF" else photo()
    rest = [ImageOps.mirror(image), ImageOps.flip(image)]
    data = file_of(image, format, save_all=True, append_images=rest, **options)
    return Sample(data, seen(image))


def damaged_exif(exif: bytes, format: str) -> Sample:
    return Sample(file_of(photo(), format, exif=exif), np.asarray(photo()))


def with_thumbnail() -> Sample:
    """EXIF as cameras write it, a thumbnail of another shape included."""
    exif = Image.Exif()
    exif[0x010F], exif[ORIENTATION] = "Maker", 1
    exif.get_ifd(0x8769)[0x829A] = 0.5
    small = file_of(photo(16, 16), "JPEG")
    block = exif.tobytes()
    return Sample(file_of(photo(), "JPEG", quality=95, exif=block + small), np.asarray(photo()))


SIZES = (
    *((1, 1), (2, 1), (1, 2), (3, 5), (7, 7), (8, 8), (9, 8), (16, 16), (17, 15), (1, 100), (100, 1), (31, 33)),
    *((32, 32), (33, 31), (64, 64), (65, 63), (127, 129), (150, 100), (256, 256), (257, 255), (300, 200)),
    *((512, 40), (1023, 33), (1024, 32), (1025, 33), (33, 1025), (640, 480)),
)

MADE: dict[str, Callable[[], Sample]] = {
    **{f"1 {f}": partial(plain, "1", f) for f in ("PNG", "TIFF", "BMP", "PPM", "TGA", "PCX", "MSP")},
    "1 TIFF of a fax": partial(plain, "1", "TIFF", compression="group4"),
    **{f"L {f}": partial(plain, "L", f) for f in ("PNG", "TIFF", "BMP", "PPM", "TGA", "PCX", "SGI", "JPEG2000", "DDS")},
    "L JPEG": partial(plain, "L", "JPEG", quality=95),
    "L AVIF": partial(plain, "L", "AVIF", quality=95),
    "L WebP, which has colours only": partial(reopened, "L", "WEBP", lossless=True),
    "L GIF, which has palettes only": partial(reopened, "L", "GIF"),
    "L ICO": partial(plain, "L", "ICO", sizes=[(72, 48)]),
    **{f"P {f}": partial(plain, "P", f) for f in ("PNG", "GIF", "BMP", "TIFF", "TGA", "PCX")},
    "P PNG of 4 bits": lambda: Sample(file_of(photo().quantize(16), "PNG", bits=4), seen(photo().quantize(16))),
    "P ICO": partial(reopened, "P", "ICO", sizes=[(72, 48)]),
    **{
        f"RGB {f}": partial(plain, "RGB", f)
        for f in ("PNG", "TIFF", "BMP", "DIB", "PPM", "TGA", "PCX", "SGI", "QOI", "JPEG2000", "DDS")
    },
    "RGB WebP without loss": partial(plain, "RGB", "WEBP", lossless=True),
    "RGB WebP": partial(plain, "RGB", "WEBP", quality=95),
    "RGB AVIF": partial(plain, "RGB", "AVIF", quality=95),
    "RGB JPEG": partial(plain, "RGB", "JPEG", quality=95),
    "RGB JPEG, progressive": partial(plain, "RGB", "JPEG", quality=95, progressive=True),
    "RGB JPEG, 4:1:1, poor": partial(plain, "RGB", "JPEG", quality=30, subsampling="4:1:1"),
    "RGB JPEG with restart markers": partial(plain, "RGB", "JPEG", quality=95, restart_marker_rows=1),
    "RGB MPO": partial(plain, "RGB", "MPO", quality=95),
    "RGB JPEG with EXIF and thumbnail": with_thumbnail,
    **{
        f"RGB TIFF {c}": partial(plain, "RGB", "TIFF", compression=c)
        for c in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg", "zstd")
    },
    "RGB ICO": partial(plain, "RGB", "ICO", sizes=[(72, 48)]),
    **{f"LA {f}": partial(with_alpha, "LA", f) for f in ("PNG", "TIFF", "TGA", "DDS")},
    **{f"RGBA {f}": partial(with_alpha, "RGBA", f) for f in ("PNG", "TIFF", "TGA", "QOI", "SGI", "DDS", "JPEG2000")},
    "RGBA WebP": partial(with_alpha, "RGBA", "WEBP", lossless=True, exact=True),
    "RGBA AVIF": partial(with_alpha, "RGBA", "AVIF", quality=100),
    "RGBA ICO": partial(with_alpha, "RGBA", "ICO", sizes=[(72, 48)]),
    **{f"{m} PNG, one colour clear": partial(one_clear_colour, m, "PNG") for m in ("L", "P", "RGB")},
    "P GIF, one colour clear": partial(one_clear_colour, "P", "GIF"),
    "P PNG, an alpha for every colour": palette_with_alphas,
    "PA TIFF": partial(with_alpha, "PA", "TIFF"),
    "PA in memory": partial(with_alpha, "PA", None),
    **{f"{mode} in memory": partial(in_memory, mode) for mode in ("La", "RGBa", "RGBX", "HSV", "LAB", "YCbCr", "CMYK")},
    "RGBX TIFF": partial(plain, "RGBX", "TIFF"),
    "YCbCr TIFF": partial(plain, "YCbCr", "TIFF"),
    "LAB TIFF": lambda: Sample(file_of(in_memory("LAB").source, "TIFF"), in_memory("LAB").pixels),
    "CMYK TIFF": partial(plain, "CMYK", "TIFF"),
    "CMYK JPEG": partial(plain, "CMYK", "JPEG", quality=95),
    **{f"{m} in memory": partial(deep_grey, m, None) for m in ("I", "F", "I;16", "I;16L", "I;16B")},
    **{f"{m} TIFF": partial(deep_grey, m, "TIFF") for m in ("I", "F", "I;16", "I;16B")},
    **{f"I;16 {f}": partial(deep_grey, "I;16", f) for f in ("PNG", "PPM", "JPEG2000")},
    **{f"16-bit PNG of type {kind}": partial(deep_png, kind) for kind in (0, 2, 4, 6)},
    **{f"TIFF, {kind}": partial(odd_tiff, kind) for kind in ("planes of 16 bits", "signed", "white is 0", "32 bits")},
    "16-bit PPM": lambda: Sample(
        b"P6 72 48 65535\n" + (np.asarray(photo()).astype(">u2") * 257).astype(">u2").tobytes(), np.asarray(photo())
    ),
    **{f"{width}x{height}": partial(of_size, width, height) for width, height in SIZES},
    **{f"1x1 {mode}": partial(of_size, 1, 1, mode) for mode in ("L", "LA", "RGBA")},
    **{f"33x20 {mode}": partial(of_size, 33, 20, mode) for mode in ("L", "LA", "RGBA")},
    **{f"orientation {o} JPEG": partial(turned, o, "JPEG", quality=95) for o in STORED},
    **{f"orientation 6 {f}": partial(turned, 6, f) for f in ("PNG", "TIFF")},
    "orientation 8 WebP": partial(turned, 8, "WEBP", lossless=True),
    "orientation 5 AVIF": partial(turned, 5, "AVIF", quality=95),
    "orientation 7 L PNG": partial(turned, 7, "PNG", "L"),
    "orientation 6 RGBA PNG": partial(turned, 6, "PNG", "RGBA"),
    "orientation 5 LA TIFF": partial(turned, 5, "TIFF", "LA"),
    "sRGB profile JPEG": partial(profiled, built_profile("sRGB"), "JPEG", quality=95),
    "another sRGB profile PNG": partial(profiled, other_srgb_profile(), "PNG"),
    **{
        f"{name} {f}": partial(profiled, profile, f, **options)
        for name, profile in (
            ("Adobe RGB", rgb_profile(2.2)),
            ("Display P3", matrix_profile(DISPLAY_P3, gamma_curve(2.2))),
        )
        for f, options in (("JPEG", {"quality": 95}), ("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True}))
    },
    "Display P3 AVIF": partial(profiled, matrix_profile(DISPLAY_P3, gamma_curve(2.2)), "AVIF", quality=95),
    "grey profile PNG": partial(profiled_grey, 1.8, "PNG"),
    "grey profile JPEG": partial(profiled_grey, 1.8, "JPEG", quality=95),
    **{f"CMYK profile {f}": partial(profiled_inks, f) for f in ("TIFF", "JPEG")},
    "damaged profile JPEG": lambda: Sample(
        file_of(photo(), "JPEG", quality=95, icc_profile=rgb_profile(2.2)[:200]), np.asarray(photo())
    ),
    "animated GIF": partial(animated, "GIF"),
    "animated WebP": partial(animated, "WEBP", lossless=True),
    "animated AVIF": partial(animated, "AVIF", quality=95),
    "APNG": partial(animated, "PNG"),
    "TIFF of three pages": partial(animated, "TIFF"),
    "damaged EXIF JPEG": partial(damaged_exif, b"Exif\0\0no such byte order", "JPEG"),
    "EXIF cut short JPEG": partial(damaged_exif, b"Exif\0\0II*\0\x08\0\0\0\x40\0\x12\x01\x03\0", "JPEG"),
    "damaged EXIF PNG": partial(damaged_exif, b"Exif\0\0MM\0*\xff\xff\xff\xff", "PNG"),
}

# Packages and folders. They hold photographs in several modes, a retina, a page of text and an animated GIF; china.jpg
# and flower.jpg; Grace Hopper, clip art and icons with alpha; dots.
_INSTALLED = (
    ("skimage", "data"),
    ("sklearn", "datasets/images"),
    ("matplotlib", "mpl-data/sample_data"),
    ("matplotlib", "mpl-data/images"),
    ("scipy", "ndimage/tests"),
)
_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".webp", ".bmp"})


def installed() -> Iterator[Path]:
    """Pictures of packages that are installed, without importing the packages."""
    for package, folder in _INSTALLED:
        spec = find_spec(package)
        for place in () if spec is None else spec.submodule_search_locations or ():
            for path in sorted(Path(place, folder).glob("*")):
                if path.suffix.lower() in _SUFFIXES:
                    yield path


def as_pillow_shows(path: Path) -> Sample:
    """What a file shows, by Pillow alone."""
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
    grey = upright.mode in ("1", "L", "LA")
    alpha = None
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
        levels = np.asarray(upright.getchannel("A"))
        alpha = levels if levels.min() < 255 else None
    return Sample(path.read_bytes(), np.asarray(upright.convert("RGB").convert("L" if grey else "RGB")), alpha)
