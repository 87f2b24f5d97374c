"""Alpha and metadata on the command line: kept on request, counted and reported, and written if the format can."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags
from PIL import Image

import aecodec
from aecodec.cli import run
from helpers.commands import Refused
from helpers.paths import PHOTOS
from helpers.profiles import rgb_profile

KINDS = ("icc", "exif", "xmp")
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><creator>Somebody</creator></x:xmpmeta>"
MASK = np.asarray(Image.radial_gradient("L").resize((80, 56)))
TINY = ("--model", "tiny", "-q", "40")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A photograph with a soft mask, a profile of Adobe RGB, EXIF and XMP."""
    with Image.open(PHOTOS / "bay.png") as image:
        image = image.convert("RGB").crop((60, 60, 140, 116))
    image.putalpha(Image.fromarray(MASK))
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker"
    path = tmp_path / "in.webp"
    image.save(path, lossless=True, exact=True, icc_profile=rgb_profile(2.2), exif=exif, xmp=XMP)
    return path


@pytest.fixture
def encoded(picture: Path, tmp_path: Path) -> Path:
    file = tmp_path / "in.aec"
    assert run(["encode", str(picture), str(file), *TINY, "--metadata", "all"]) == 0
    return file


def encode(picture: Path, *options: str) -> aecodec.Info:
    """The header of the file that the command writes with these options."""
    file = picture.with_name("out.aec")
    assert run(["encode", str(picture), str(file), *TINY, *options]) == 0
    return aecodec.read_info(file.read_bytes())


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ([], ()),
        (["--metadata", "none"], ()),
        *[(["--metadata", kind], (kind,)) for kind in KINDS],
        (["--metadata", "all"], KINDS),
        (["--metadata", "icc,exif"], ("icc", "exif")),
        (["--metadata", "XMP, exif"], ("exif", "xmp")),
        (["--metadata", "icc", "--metadata", "xmp"], ("icc", "xmp")),
        (["--metadata", "all,icc"], KINDS),
    ],
)
def test_requested_metadata_is_kept_and_the_rest_reported(
    options: list[str], kept: tuple[str, ...], picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = encode(picture, *options)
    assert tuple(kind for kind in KINDS if getattr(info, f"{kind}_bytes")) == kept
    assert info.has_alpha
    told = capsys.readouterr().err
    for kind, notice in (("icc", "converted from the ICC"), ("exif", "EXIF data is dropped"), ("xmp", "XMP data is")):
        assert (notice in told) == (kind not in kept)


@pytest.mark.parametrize("value", ["", "jpg", "icc;exif", "icc,", "none,icc", "exif,none", "all,none", "gps"])
def test_unknown_metadata(value: str, picture: Path, refused: Refused) -> None:
    told = refused(2, "encode", picture, picture.with_name("out.aec"), "--metadata", value)
    assert repr(value) in told and "icc, exif, xmp" in told


@pytest.mark.parametrize("no_alpha", [False, True])
def test_no_alpha_drops_alpha(no_alpha: bool, picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    info = encode(picture, *["--no-alpha"] * no_alpha)
    assert (info.mode, info.has_alpha) == (("RGB", False) if no_alpha else ("RGBA", True))
    assert ("alpha channel is dropped" in capsys.readouterr().err) == no_alpha


def test_info_shows_the_bytes_of_each(encoded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    info = aecodec.read_info(encoded.read_bytes())
    sizes = {kind: getattr(info, f"{kind}_bytes") for kind in ("alpha", *KINDS)}
    assert all(sizes.values()) and sum(sizes.values()) < info.size_bytes
    capsys.readouterr()
    assert run(["info", str(encoded)]) == 0
    told = capsys.readouterr().out
    assert "80x56 RGBA" in told
    assert "including " + ", ".join(f"{kind} {size}" for kind, size in sizes.items()) in told
    assert run(["info", str(encoded), "--json"]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert {kind: fields[f"{kind}_bytes"] for kind in sizes} == sizes and fields["mode"] == "RGBA"


def test_a_target_counts_every_byte(picture: Path, refused: Refused) -> None:
    """Including alpha and metadata, which a lower quality does not shrink."""
    file = picture.with_name("out.aec")
    options = ("--model", "tiny", "--metadata", "all")
    assert run(["encode", str(picture), str(file), *options, "-q", "0"]) == 0
    least = aecodec.read_info(file.read_bytes())
    assert run(["encode", str(picture), str(file), *options, "-q", "100"]) == 0
    most = file.stat().st_size
    target = (least.size_bytes + most) // 2
    assert run(["encode", str(picture), str(file), *options, "--target-size", str(target)]) == 0
    reached = aecodec.read_info(file.read_bytes())
    assert least.size_bytes <= reached.size_bytes <= target
    assert reached.alpha_bytes == least.alpha_bytes and reached.xmp_bytes == least.xmp_bytes
    told = refused(1, "encode", picture, file, *options, "--target-size", str(least.size_bytes - 1))
    assert f"the lowest quality takes {least.size_bytes}" in told
    beside = least.alpha_bytes + least.icc_bytes + least.exif_bytes + least.xmp_bytes
    assert f"{beside} of them alpha and metadata" in told


@pytest.mark.parametrize("extension", ["png", "webp", "avif", "tiff"])
def test_formats_that_hold_everything(extension: str, encoded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = encoded.with_suffix(f".{extension}")
    capsys.readouterr()
    assert run(["decode", str(encoded), str(out)]) == 0
    assert capsys.readouterr().err == f"{out}: 80x56 RGBA\n"
    with Image.open(out) as image:
        loss = 8 if extension == "avif" else 0  # Pillow has one quality for the colours and alpha of an AVIF
        np.testing.assert_allclose(np.asarray(image.getchannel("A"), int), MASK, atol=loss)
        assert image.info["icc_profile"] == rgb_profile(2.2)
        assert image.getexif()[ExifTags.Base.Make] == "Maker"
        packet = image.info["xmp"]
    assert (packet.encode() if isinstance(packet, str) else packet) == XMP


def test_an_array(encoded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = encoded.with_suffix(".npy")
    capsys.readouterr()
    assert run(["decode", str(encoded), str(out)]) == 0
    assert capsys.readouterr().err == f"{out}: NPY holds no ICC, EXIF, XMP: dropped\n{out}: 80x56 RGBA\n"
    np.testing.assert_array_equal(np.load(out), aecodec.aec_decode(encoded.read_bytes()))


@pytest.mark.parametrize(
    ("extension", "lost"),
    [
        ("jpg", ["JPEG holds no alpha: it is dropped"]),
        ("bmp", ["BMP holds no alpha: it is dropped", "BMP holds no ICC, EXIF, XMP: dropped"]),
        ("ppm", ["PPM holds no alpha: it is dropped", "PPM holds no ICC, EXIF, XMP: dropped"]),
        ("tga", ["TGA holds no ICC, EXIF, XMP: dropped"]),
    ],
)
def test_what_a_format_cannot_hold_is_reported(
    extension: str, lost: list[str], encoded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = encoded.with_suffix(f".{extension}")
    capsys.readouterr()
    assert run(["decode", str(encoded), str(out)]) == 0
    with Image.open(out) as image:
        assert image.mode == ("RGBA" if extension == "tga" else "RGB")
        assert capsys.readouterr().err.splitlines() == [f"{out}: {line}" for line in [*lost, f"80x56 {image.mode}"]]
