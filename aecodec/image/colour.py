"""Colour management: ICC profiles to sRGB."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

# Colour spaces of ICC profiles, by the Pillow mode whose samples they describe.
_PROFILE_MODES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}


def describes(profile: bytes, image: Image.Image) -> bool:
    """Whether a profile describes the colour space of an image without alpha."""
    from PIL import ImageCms

    stored = "GRAY" if image.mode in ("1", "L") else "RGB" if image.mode != "CMYK" else ""
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space.strip() == stored
    except (OSError, ImageCms.PyCMSError):
        return False


def to_srgb(image: Image.Image, profile: bytes, source: str, notices: list[str]) -> Image.Image:
    """Mode L or RGB from any mode without alpha, through the profile, if any; `source` names it in notices."""
    if image.mode == "LAB":
        return image.convert("RGB")  # Lab samples are colours already and need no profile
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    if profile:
        from PIL import ImageCms

        try:
            converted = _apply_profile(image, profile)
        except (OSError, ValueError, ImageCms.PyCMSError):
            notices.append(f"{source} cannot be applied: colours are taken as sRGB")
        else:
            if converted is not image:
                notices.append(f"colours are converted from {source} to sRGB")
            image = converted
    if image.mode != "CMYK":
        return image
    if not profile:
        notices.append("inks without an ICC profile become colours by a plain formula, brighter than in print")
    return image.convert("RGB")


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """Converts an image of mode L, RGB or CMYK to sRGB; returns it if the profile changes no sample by over one level.

    That is measured on a grid of colours, since sRGB profiles have many names. Image editors convert alike: relative
    colorimetric with black point compensation. Raises ValueError if the profile is for another colour space, OSError
    or PyCMSError if it is damaged.
    """
    from PIL import ImageCms

    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    mode = _PROFILE_MODES.get(source.profile.xcolor_space.strip())
    if mode is None or (mode != image.mode and (image.mode, mode) != ("L", "RGB")):
        raise ValueError("the ICC profile is for another colour space")
    transform = ImageCms.buildTransform(
        source,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if image.mode == "L":  # a function of one sample: tabulate it
        levels = np.arange(256, dtype=np.uint8)
        table = np.asarray(transform.apply(Image.fromarray(levels[None]).convert(mode)).convert("L"))[0]
        return image if _nearly_equal(levels, table) else image.point(table.tolist())
    if image.mode == "RGB":
        grid = np.stack(np.meshgrid(*[np.arange(0, 256, 15, dtype=np.uint8)] * 3), axis=-1).reshape(1, -1, 3)
        if _nearly_equal(grid, np.asarray(transform.apply(Image.fromarray(grid)))):
            return image
    return transform.apply(image)


def _nearly_equal(first: np.ndarray, second: np.ndarray) -> bool:
    return int(np.abs(first.astype(np.int16) - second).max()) <= 1
