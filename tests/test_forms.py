"""`pack`, `unpack`, `cut`, `--text` and `--partial` on the command line, and their functions."""

from __future__ import annotations

import io
import os
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import aecodec
import aecodec.pillow_plugin
from aecodec.cli import run
from aecodec.codec.architectures import LATENT_CHANNELS
from aecodec.errors import CorruptFile
from aecodec.format.container import read_header
from aecodec.format.container import unpack
from aecodec.format.header import Header
from aecodec.format.header import pack_fields
from aecodec.forms import from_text
from aecodec.forms import read_file
from aecodec.forms import to_text
from aecodec.info import most_bytes
from helpers.commands import Refused
from helpers.paths import TINY
from helpers.pictures import photograph


@pytest.fixture
def full(tmp_path: Path) -> Path:
    path = tmp_path / "full.aec"
    path.write_bytes(aecodec.encode(photograph(64, 48), 40))
    return path


@pytest.mark.parametrize("checksum", ["none", "crc-8", "crc-16", "crc-32"])
def test_packing_and_unpacking_restores_every_byte(full: Path, checksum: str):
    compact, again = full.with_name("compact.aec"), full.with_name("again.aec")
    assert run(["pack", str(full), str(compact), "--checksum", checksum]) == 0
    assert run(["unpack", str(compact), str(again)]) == 0
    assert again.read_bytes() == full.read_bytes()
    assert compact.read_bytes() == aecodec.pack(full.read_bytes(), checksum=checksum)
    assert len(full.read_bytes()) - compact.stat().st_size >= 5
    assert aecodec.read_info(compact.read_bytes()).checksum == checksum


def test_every_command_reads_the_compact_form(full: Path, capsys: pytest.CaptureFixture[str]):
    compact, first, second = (full.with_name(name) for name in ("compact.aec", "first.png", "second.png"))
    compact.write_bytes(aecodec.pack(full.read_bytes()))
    assert run(["verify", str(compact)]) == 0
    assert run(["info", str(compact)]) == 0 and "compact form, checksum crc-8" in capsys.readouterr().out
    assert run(["decode", str(full), str(first)]) == run(["decode", str(compact), str(second)]) == 0
    assert first.read_bytes() == second.read_bytes()
    with Image.open(compact) as image, Image.open(first) as decoded:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(decoded))
    assert aecodec.aec_decode(compact.read_bytes()).shape == (64, 48, 3)


def test_encoding_to_the_compact_form_is_packing(full: Path):
    pixels = photograph(64, 48)
    assert aecodec.encode(pixels, 40, compact=True) == aecodec.pack(full.read_bytes())
    assert aecodec.encode(pixels, 40, compact=True, checksum="crc-32") == aecodec.pack(
        full.read_bytes(), checksum="crc-32"
    )
    target = aecodec.encode(pixels, target_size=300, compact=True)
    assert 290 <= len(target) <= 300


def test_text_round_trip(full: Path):
    text, back = full.with_name("text"), full.with_name("back.png")
    assert run(["pack", str(full), str(text), "--text"]) == 0
    assert text.read_bytes().isascii() and from_text(text.read_bytes()) == aecodec.pack(full.read_bytes())
    text.write_bytes(b" " + text.read_bytes() + b"\n")
    for command in (["decode", str(text), str(back)], ["info", str(text)], ["verify", str(text)]):
        assert run([*command, "--text"]) == 0
    assert run(["unpack", str(text), str(full.with_name("again")), "--text"]) == 0
    assert full.with_name("again").read_bytes() == full.read_bytes()
    for data in (b"", b"a", b"ab", b"abc"):
        assert from_text(to_text(data)) == data


def test_encoding_to_text(full: Path):
    source, text = full.with_name("in.png"), full.with_name("out.txt")
    Image.fromarray(photograph(64, 48)).save(source)
    assert run(["encode", str(source), str(text), "-q", "40", "--compact", "--text"]) == 0
    assert from_text(text.read_bytes()) == aecodec.pack(full.read_bytes())


def test_cutting(full: Path, capsys: pytest.CaptureFixture[str]):
    out = full.with_name("cut.aec")
    assert run(["cut", str(full), str(out), "--bytes", "120"]) == 0
    assert out.stat().st_size == 120 and run(["verify", str(out)]) == 0
    capsys.readouterr()
    assert run(["info", str(out)]) == 0
    assert "cut to fewer bytes" in capsys.readouterr().out


def test_cutting_text(full: Path):
    text, out = full.with_name("full.txt"), full.with_name("cut.txt")
    text.write_bytes(to_text(full.read_bytes()))
    assert run(["cut", str(text), str(out), "--bytes", "120", "--text"]) == 0
    assert from_text(out.read_bytes()) == aecodec.cut(full.read_bytes(), 120)


def test_verify_reports_the_share_that_arrived(full: Path, refused: Refused, capsys: pytest.CaptureFixture[str]):
    early, picture = full.with_name("early.aec"), full.with_name("in.png")
    early.write_bytes(full.read_bytes()[:100])
    Image.fromarray(photograph(64, 48)).save(picture)
    assert "early.aec: damaged" in refused(3, "verify", early)
    assert run(["verify", str(early), str(full), "--partial"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"{re.escape(str(early))}: ends early or is damaged, \d+% of its symbols are there", first)
    assert second == f"{full}: ok"
    assert run(["verify", str(early), "--partial", "--against", str(picture)]) == 0
    assert re.search(r"are there, PSNR \d+\.\d{3} dB, L1 0\.\d{5}\n", capsys.readouterr().out)
    early.write_bytes(b"not a file")
    assert "early.aec: not an .aec file" in refused(3, "verify", early, "--partial")


def test_a_partial_picture_is_announced(full: Path, refused: Refused, capsys: pytest.CaptureFixture[str]):
    early, back = full.with_name("early.aec"), full.with_name("back.png")
    early.write_bytes(full.read_bytes()[:100])
    assert run(["decode", str(early), str(back)]) == 3 and not back.exists()
    assert run(["info", str(early), "--json"]) == 0
    assert '"complete": false' in capsys.readouterr().out
    assert run(["decode", str(early), str(back), "--partial"]) == 0
    said = capsys.readouterr().err.splitlines()
    told = r"ends early or is damaged, \d+% of its symbols are there, the others are predicted"
    assert re.fullmatch(rf"{re.escape(str(early))}: {told}", said[0])
    with Image.open(back) as image:
        assert image.size == (48, 64)
    assert run(["decode", str(full), str(back), "--partial"]) == 0
    assert "ends early" not in capsys.readouterr().err


def test_what_is_wrong_with_a_partial_file_is_said_only_if_it_can_be_known(
    full: Path, capsys: pytest.CaptureFixture[str]
):
    """One stream has no length. A directory has those of its parts; its own damage could be either."""
    translucent, several = full.with_name("alpha.png"), full.with_name("several.aec")
    Image.fromarray(photograph(64, 48)).convert("RGBA").save(translucent)
    with Image.open(translucent) as image:
        image.putpixel((0, 0), (1, 2, 3, 4))
        image.save(translucent)
    assert run(["encode", str(translucent), str(several), "--model", "tiny"]) == 0
    one, two = full.read_bytes(), several.read_bytes()
    directory = len(two) - sum(map(len, unpack(two).parts)) - 1  # the last of its bytes is missing
    cases = {
        "ends early or is damaged, ": [one[:-9], one[:-9] + bytes(9), two[:directory]],
        "ends early, ": [two[:-9]],
        "ok": [one, two],
    }
    file, back = full.with_name("file.aec"), full.with_name("back.png")
    capsys.readouterr()
    for words, contents in cases.items():
        for data in contents:
            file.write_bytes(data)
            assert run(["verify", str(file), "--partial"]) == run(["decode", str(file), str(back), "--partial"]) == 0
            out, err = capsys.readouterr()
            assert out.startswith(f"{file}: {words}")
            assert err.startswith(f"{file}: {words}" if words != "ok" else f"{back}: ")
    file.write_bytes(aecodec.pack(one, checksum="none"))
    assert run(["decode", str(file), str(back), "--partial"]) == 0
    assert capsys.readouterr().err.startswith(f"{file}: may end early, 100% of its symbols are there")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("pack large.aec out", "1024x1024 pixels"),
        ("cut full.aec out --bytes 9", "too few"),
        ("unpack noise out", "damaged|not an .aec"),
        ("decode full.aec out.png --text", "not base64url text"),
    ],
)
def test_an_impossible_request_is_one_line(full: Path, command: str, message: str, capsys: pytest.CaptureFixture[str]):
    full.with_name("large.aec").write_bytes(aecodec.encode(np.zeros((8, 1030), np.uint8), 10, model="tiny"))
    full.with_name("noise").write_bytes(b"\xc1noise")
    words = [
        str(full.with_name(word)) if word in ("full.aec", "large.aec", "noise", "out") else word
        for word in command.split()
    ]
    words = [str(full.with_name(word)) if word == "out.png" else word for word in words]
    assert run(words) in (1, 3)
    error = capsys.readouterr().err

    assert error.count("\n") == 1 and re.search(message, error)
    assert not full.with_name("out").exists() and not full.with_name("out.png").exists()


def test_pillow_takes_random_bytes_for_no_compact_file(tmp_path: Path):
    rng = np.random.default_rng(0)
    taken = 0
    for number in range(200):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(bytes([rng.integers(0xC0, 0xF8)]) + rng.bytes(60))
        try:
            with Image.open(path):
                taken += 1
        except OSError:
            pass
    assert taken < 10, "one in 256 with a checksum of a byte"


def test_pillow_still_opens_other_formats_that_begin_like_a_compact_file(tmp_path: Path):
    """A TGA file whose id has 193 bytes."""
    path = tmp_path / "picture.tga"
    image = Image.fromarray(photograph(8, 8))
    image.save(path, id_section=bytes(193))
    assert path.read_bytes()[0] == 0xC1
    with Image.open(path) as opened:
        assert opened.format == "TGA"


def test_odd_arguments_are_refused_by_name(full: Path):
    data = full.read_bytes()
    for wrong in (100.5, None, "9"):
        with pytest.raises(aecodec.InvalidOption):
            aecodec.cut(data, wrong)  # type: ignore[arg-type]
    with pytest.raises(aecodec.InvalidOption):
        aecodec.pack(data, checksum=["x"])  # type: ignore[arg-type]
    assert from_text(to_text(data).decode()) == data
    with pytest.raises(aecodec.CorruptFile):
        from_text("\u00e9")


def test_a_compact_file_longer_than_its_picture_can_be_is_refused_at_once():
    with pytest.raises(aecodec.CorruptFile, match="longer than its picture"):
        aecodec.decode(bytes.fromhex("c1 5a 03 00") + bytes(1 << 20))


def test_info_of_a_file_that_ends_in_its_directory(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    path = tmp_path / "early.aec"
    path.write_bytes((TINY / "extras-60.aec").read_bytes()[:24])
    assert run(["info", str(path), "--json"]) == 0
    assert '"complete": false' in capsys.readouterr().out


class Endless(io.RawIOBase):
    """A start, then zeros without end; `given` counts the bytes read."""

    def __init__(self, start: bytes) -> None:
        self._start, self.given = start, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "a stream is never read whole"
        size = min(size, 4096)  # as a pipe does
        piece = self._start[self.given : self.given + size].ljust(size, b"\0")
        self.given += size
        return piece


@pytest.mark.parametrize("alpha", [False, True])
def test_of_an_endless_stream_only_what_the_header_allows_is_read(alpha: bool):
    pixels = photograph(64, 48)
    if alpha:
        pixels = np.dstack([pixels, pixels[..., 0]])
    data = aecodec.encode(pixels, 40, model="tiny")
    stream = Endless(data)
    with pytest.raises(CorruptFile, match="more bytes than a picture of 48x64 pixels can take"):
        read_file(stream)
    assert stream.given < most_bytes(read_header(data)) + 100_000
    other = Endless(b"PK")
    with pytest.raises(CorruptFile, match="not an .aec file"):
        read_file(other)
    assert other.given < 100_000


def test_a_short_file_with_a_huge_header_takes_the_memory_of_a_short_file():
    header = Header(width=65_000, height=2_700, quality=0, weights=0)
    data = pack_fields(header) + bytes(100_000)
    assert most_bytes(header) > 200_000_000
    tracemalloc.start()
    try:
        assert read_file(io.BytesIO(data)) == data
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_no_sound_file_is_longer_than_its_header_allows():
    noise = np.random.default_rng(1).integers(0, 256, (70, 1100, 4), np.uint8)
    for pixels in (noise, noise[:1, :1], noise[..., 0]):
        data = aecodec.encode(pixels, 100, model="tiny")
        assert len(data) < most_bytes(read_header(data))
        assert read_file(io.BytesIO(data)) == data
        assert read_file(io.BytesIO(b"\n" + to_text(data) + b"\n"), text=True) == data
    header = read_header(aecodec.encode(noise[:, :, :3], 100, model="tiny"))
    positions = 4 * 3 * 4 * 35  # sides padded to multiples of 32, eight pixels a position
    symbols = positions * LATENT_CHANNELS + positions // 16 * LATENT_CHANNELS
    assert most_bytes(header) >= symbols * (24 + 11) / 8


def test_a_huge_file_is_named_and_later_files_are_checked(full: Path, capsys: pytest.CaptureFixture[str]):
    huge, other = full.with_name("huge.aec"), full.with_name("movie.mkv")
    huge.write_bytes(full.read_bytes())
    other.touch()
    for path in (huge, other):
        os.truncate(path, 1 << 40)  # a sparse file: it takes no room on the disk
    assert run(["verify", str(huge), str(other), str(full)]) == 3
    out, err = capsys.readouterr()
    assert out == f"{full}: ok\n"
    assert err.splitlines() == [
        f"aecodec: {huge}: damaged file: more bytes than a picture of 48x64 pixels can take",
        f"aecodec: {other}: not an .aec file",
    ]
    for command in (["info", str(huge)], ["decode", str(huge), str(full.with_name("o.png"))]):
        assert run(command) == 3
    with pytest.raises(OSError, match="more bytes than"), Image.open(huge) as image:
        image.load()
