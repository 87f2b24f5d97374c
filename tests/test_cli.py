"""The command line: what each command does, and for each error one line and the right exit code."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec.batch import jobs
from aecodec.bench.metrics import psnr
from aecodec.cli import run
from aecodec.codec.encoder import PictureEncoder
from aecodec.codec.manifest import bundled_folders
from aecodec.codec.manifest import entries_of
from aecodec.codec.manifest import find_by_name
from aecodec.format.container import pack
from aecodec.format.container import unpack
from aecodec.format.header import QUALITY_STEPS
from aecodec.format.header import VERSION
from aecodec.format.header import Header
from aecodec.native import library
from fuzz.container import head
from fuzz.container import plain
from helpers.commands import Refused
from helpers.commands import command
from helpers.commands import environment
from helpers.folders import names
from helpers.marks import needs_bundled
from helpers.marks import not_as_root
from helpers.marks import posix_only
from helpers.paths import PACKAGE_PARENT
from helpers.paths import PHOTOS
from helpers.paths import TINY
from helpers.paths import TINY_ID
from helpers.tiny import RUNTIME
from helpers.tiny import Tiny

PHOTO = PHOTOS / "dog.jpg"
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
Piped = Callable[..., tuple[int, bytes, str]]

USAGE_ERRORS = (
    ("frobnicate",),
    ("encode",),
    ("encode", "in.png"),
    ("encode", "in.png", "out.aec", "--frobnicate"),
    ("encode", "in.png", "out.aec", "-q", "-1"),
    ("encode", "in.png", "out.aec", "-q", "100.1"),
    ("encode", "in.png", "out.aec", "-q", "nan"),
    ("encode", "in.png", "out.aec", "-q", "inf"),
    ("encode", "in.png", "out.aec", "-q", "high"),
    ("encode", "in.png", "out.aec", "-q", "50", "--target-size", "2000"),
    ("encode", "in.png", "out.aec", "--target-size", "0"),
    ("encode", "in.png", "out.aec", "--target-size", "2k"),
    ("encode", "in.png", "out.aec", "--target-bpp", "0"),
    ("encode", "in.png", "out.aec", "--target-bpp", "inf"),
    ("encode", "in.png", "out.aec", "--target-psnr", "nan"),
    ("encode", "in.png", "out.aec", "--device", "abacus"),
    ("decode", "in.aec"),
    ("decode", "in.aec", "out.png", "--max-pixels", "0"),
    ("info",),
    ("bench", "photos", "--quality", "1,high"),
    ("bench", "photos", "--size", "0"),
    ("model", "frobnicate"),
    ("model", "train"),
)
HELP = (
    ("--help",),
    ("-h",),
    ("--version",),
    ("-V",),
    (),
    ("encode", "--help"),
    ("decode", "--help"),
    ("info", "--help"),
    ("bench", "--help"),
    ("model", "--help"),
    ("model",),
    ("model", "train", "--help"),
    ("model", "average", "--help"),
    ("model", "export", "--help"),
)

# Runs several command lines in one fresh interpreter; its last line holds the exit codes and the imported modules.
RUN_AND_TELL = """
import json, sys
from aecodec.cli import run
codes = [run(arguments) for arguments in json.loads(sys.argv[1])]
heavy = ("numpy", "PIL", "torch", "safetensors", "constriction", "zstandard")
loaded = [name for name in heavy if name in sys.modules]
print(json.dumps({"codes": codes, "loaded": loaded}))
"""


def run_and_tell(*command_lines: tuple[str, ...]) -> tuple[list[int], list[str]]:
    """Exit codes of the command lines, and which of the heavy modules they imported."""
    done = subprocess.run(
        [sys.executable, "-c", RUN_AND_TELL, json.dumps(command_lines)],
        env=environment(),
        capture_output=True,
        check=True,
        text=True,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    return told["codes"], told["loaded"]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8)


def small_file(weights_id: bytes = TINY_ID) -> bytes:
    """A valid header for the tiny network with an empty stream, for tests that fail before it is decoded."""
    return pack(Header(256, 256, 128, weights_id), [b""])


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "in.png"
    Image.fromarray(noise(24, 40, 3)).save(path)
    return path


@pytest.fixture
def encoded(tmp_path: Path, picture: Path) -> Path:
    path = tmp_path / "in.aec"
    path.write_bytes(aecodec.encode(Image.open(picture), 50, model="tiny"))
    return path


# Encoding, decoding, looking at the header.


def test_encode_info_decode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, back = tmp_path / "dog.aec", tmp_path / "dog.png"
    assert run(["encode", str(PHOTO), str(file), "--model", "tiny", "-q", "40"]) == 0
    size = file.stat().st_size
    assert capsys.readouterr() == ("", f"{file}: {size} bytes, {size / 8192:.3f} bits per pixel, quality 40\n")
    assert run(["info", str(file)]) == 0
    told = capsys.readouterr().out
    for part in ("256x256 RGB", f"{size} bytes", "quality 40", f"weights {TINY_ID.hex()} (tiny)", "format version 1"):
        assert part in told
    assert run(["decode", str(file), str(back)]) == 0
    assert capsys.readouterr() == ("", f"{back}: 256x256 RGB\n")
    with Image.open(back) as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), aecodec.decode_pixels(file.read_bytes()))
    assert names(tmp_path) == ["dog.aec", "dog.png"]


def test_info_json(encoded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", str(encoded), "--json"]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert fields == {
        "file": str(encoded),
        "version": 1,
        "width": 40,
        "height": 24,
        "coded_width": 40,
        "coded_height": 24,
        "mode": "RGB",
        "quality": 50.2,
        "quality_index": 128,
        "model": "tiny",
        "weights_id": TINY_ID.hex(),
        "tiles": 1,
        "compact": False,
        "checksum": "crc-32",
        "cut": False,
        "complete": True,
        "size_bytes": encoded.stat().st_size,
        "bits_per_pixel": round(8 * encoded.stat().st_size / 960, 5),
        "alpha_bytes": 0,
        "icc_bytes": 0,
        "exif_bytes": 0,
        "xmp_bytes": 0,
    }


def test_info_names_unknown_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.aec"
    path.write_bytes(small_file(b"\1\2\3\4"))
    assert run(["info", str(path)]) == 0
    assert "weights 01020304 (unknown)" in capsys.readouterr().out


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "bmp", "tif", "PNG"])
def test_the_name_says_the_format(extension: str, tmp_path: Path, encoded: Path) -> None:
    back = tmp_path / f"back.{extension}"
    assert run(["decode", str(encoded), str(back)]) == 0
    with Image.open(back) as image:
        assert image.size == (40, 24)
        assert image.format == Image.registered_extensions()[f".{extension.lower()}"]


def test_losses_are_reported_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(noise(24, 40, 4), "RGBA").save(tmp_path / "alpha.png")
    Image.fromarray(noise(24, 40).astype(np.uint16) * 257).save(tmp_path / "deep.png")
    frames = [Image.fromarray(noise(24, 40) ^ n) for n in (0, 255)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    notices = {"alpha.png": "alpha channel", "deep.png": "16-bit", "moving.gif": "frames"}
    for name, notice in notices.items():
        path = tmp_path / name
        assert run(["encode", str(path), str(tmp_path / "a.aec"), "--model", "tiny", "--no-alpha"]) == 0
        out, err = capsys.readouterr()
        assert out == ""
        first, last = err.splitlines()
        assert first.startswith(f"{path}: ") and notice in first
        assert last.startswith(f"{tmp_path / 'a.aec'}: ")


@posix_only
@pytest.mark.parametrize("target", ["/dev/stdout", "-"])
def test_a_process_in_a_pipe(target: str, picture: Path, encoded: Path) -> None:
    encoding = command("encode", "-", target, "--model", "tiny", "-q", "50")
    done = subprocess.run(encoding, env=environment(), input=picture.read_bytes(), capture_output=True, check=True)
    assert done.stdout == encoded.read_bytes()


@posix_only
def test_a_file_name_that_is_not_utf8(tmp_path: Path, encoded: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff.aec"
    try:
        shutil.copy(encoded, name)
    except OSError:
        pytest.skip("this file system wants names in UTF-8")
    done = subprocess.run([*command("info"), name], env=environment(), capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


# Target size.


@pytest.mark.parametrize("target", [4500, 5000, 7000, 9000])
def test_target_size_within_three_percent(target: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.aec"
    assert run(["encode", str(PHOTO), str(file), "--model", "tiny", "--target-size", str(target)]) == 0
    assert 0.97 * target <= file.stat().st_size <= target
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_target_size_above_the_best(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, best = tmp_path / "a.aec", tmp_path / "best.aec"
    assert run(["encode", str(PHOTO), str(best), "--model", "tiny", "-q", "100"]) == 0
    capsys.readouterr()
    assert run(["encode", str(PHOTO), str(file), "--model", "tiny", "--target-size", "100000"]) == 0
    assert file.read_bytes() == best.read_bytes()
    remark, _ = capsys.readouterr().err.splitlines()
    assert f"{file.stat().st_size} bytes instead of 100000: the best of this model" in remark


def test_target_size_between_two_qualities(
    tmp_path: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(jobs, "REACHED", 1.0)  # the tiny network has no gap of 3 % between two of its sizes
    pixels = noise(16, 16, 3)
    Image.fromarray(pixels).save(tmp_path / "small.png")
    analysed = PictureEncoder(pixels, *tiny, RUNTIME)
    sizes = {len(analysed.encode(step).data) for step in range(QUALITY_STEPS)}
    target = next(size for size in range(max(sizes), min(sizes), -1) if size not in sizes)
    arguments = [str(tmp_path / "small.png"), str(tmp_path / "a.aec"), "--model", "tiny"]
    assert run(["encode", *arguments, "--target-size", str(target)]) == 0
    assert (tmp_path / "a.aec").stat().st_size < target
    remark, _ = capsys.readouterr().err.splitlines()
    assert f"instead of {target}: the next quality takes more than that" in remark


def test_target_size_out_of_reach(tmp_path: Path, refused: Refused) -> None:
    line = refused(1, "encode", PHOTO, tmp_path / "a.aec", "--model", "tiny", "--target-size", "100")
    smallest = len(aecodec.encode(Image.open(PHOTO), 0, model="tiny"))
    assert f"the target of 100 bytes cannot be reached: the lowest quality takes {smallest}" in line


def test_target_bpp(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.aec"
    assert run(["encode", str(PHOTO), str(file), "--model", "tiny", "--target-bpp", "0.7"]) == 0
    assert 0.97 * 0.7 <= aecodec.read_info(file.read_bytes()).bits_per_pixel <= 0.7
    assert run(["encode", str(PHOTO), str(file), "--model", "tiny", "--target-bpp", "9"]) == 0
    assert "bytes instead of 73728: the best of this model" in capsys.readouterr().err


def test_target_psnr(tmp_path: Path, refused: Refused) -> None:
    file = tmp_path / "a.aec"
    original = np.asarray(Image.open(PHOTO))
    low, high = (psnr(original, aecodec.decode_pixels(aecodec.encode(original, q, model="tiny"))) for q in (0, 100))
    target = (low + high) / 2
    assert run(["encode", str(PHOTO), str(file), "--model", "tiny", "--target-psnr", str(target)]) == 0
    assert target <= psnr(original, aecodec.decode_pixels(file.read_bytes())) < high
    line = refused(1, "encode", PHOTO, file, "--model", "tiny", "--target-psnr", "60")
    assert f"the target of 60 dB cannot be reached: the highest quality gives {high:.2f} dB" in line


# The command line itself.


@pytest.mark.parametrize("arguments", USAGE_ERRORS, ids=" ".join)
def test_usage_errors(arguments: tuple[str, ...], refused: Refused) -> None:
    line = refused(2, *arguments)
    assert "--help" in line
    for part in arguments[1:]:
        assert not part.startswith("-") or part in ("-q", "--quality") or part in line


def test_help_and_usage_errors_import_nothing_heavy() -> None:
    codes, loaded = run_and_tell(*HELP, *USAGE_ERRORS)
    assert codes == [0] * len(HELP) + [2] * len(USAGE_ERRORS)
    assert loaded == []


def test_import_is_light() -> None:
    code = "import aecodec, sys; assert aecodec.CorruptFile.exit_code == 3; "
    code += "print([m for m in ('numpy', 'PIL', 'torch', 'click') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, check=True, text=True)
    assert done.stdout == "[]\n"


def test_plain_work_never_imports_torch(tmp_path: Path, picture: Path, encoded: Path) -> None:
    assert run_and_tell(("info", str(encoded))) == ([0], [])
    back, again = str(tmp_path / "back.png"), str(tmp_path / "again.aec")
    codes, loaded = run_and_tell(
        ("decode", str(encoded), back), ("encode", str(picture), again, "--model", "tiny"), ("model", "list")
    )
    assert codes == [0, 0, 0]
    assert "torch" not in loaded


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ((), ("encode", "decode", "info", "bench", "model", "aecodec encode in.jpg out.aec", "--version")),
        (("encode",), ("-q, --quality", "--target-size BYTES", "--model", "--weights", "--device")),
        (("encode",), ("differs from that of", "a rough preview at 0", "1 % of the raw size", "not visually lossless")),
        (("decode",), ("--device", "--max-pixels", "[default: 178956970", ".png", "AECODEC_WEIGHTS")),
        (("info",), ("--json",)),
        (("bench",), ("--codecs", "jpeg,webp,avif,avif-psnr,jxl", "--quality", "--at-bytes", "--json", "--csv")),
        (("model",), ("train", "average", "export", "list")),
        (("model", "train"), ("--config", "--data", "--out", "--minutes", "--steps", "--resume", "--init", "--crop")),
    ],
)
def test_help_names_commands_and_options(
    arguments: tuple[str, ...], wanted: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*arguments, "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    text = " ".join(out.split())  # wherever the lines break
    assert [part for part in wanted if part not in text] == []
    assert max(len(line) for line in out.splitlines()) <= 100


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    program, file_format, runtime, *weights = capsys.readouterr().out.splitlines()
    assert (program, file_format) == (f"aecodec {aecodec.__version__}", f"format version {VERSION}")
    assert runtime == f"runtime {library.describe()}"
    entries = [entry for folder in bundled_folders() for entry in entries_of(folder)]
    assert weights == [f"weights {entry.weights_id.hex()} ({entry.name})" for entry in entries]


def test_the_output_by_an_option(tmp_path: Path, picture: Path, encoded: Path) -> None:
    assert run(["encode", "-o", str(tmp_path / "new.aec"), str(picture), "--model", "tiny", "-q", "50"]) == 0
    assert (tmp_path / "new.aec").read_bytes() == encoded.read_bytes()
    assert run(["decode", str(encoded), "--output", str(tmp_path / "new.png")]) == 0


def test_shell_completion() -> None:
    def completed(**words: str) -> str:
        code = "import sys; sys.argv[0] = 'aecodec'; from aecodec.__main__ import main; main()"
        variables = environment() | {"_AECODEC_COMPLETE": "bash_complete"} | words
        return subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True).stdout

    assert "complete -o nosort -F _aecodec_completion aecodec" in completed(_AECODEC_COMPLETE="bash_source")
    assert completed(COMP_WORDS="aecodec enc", COMP_CWORD="1") == "plain,encode\n"
    assert completed(COMP_WORDS="aecodec model ", COMP_CWORD="2").split() == [
        f"plain,{name}" for name in ("average", "export", "list", "train")
    ]
    assert "plain,--target-psnr\n" in completed(COMP_WORDS="aecodec encode --t", COMP_CWORD="2")
    assert completed(COMP_WORDS="aecodec encode pho", COMP_CWORD="2") == "file,pho\n"


def test_a_missing_folder_in_the_search_path_is_reported(
    tmp_path: Path, encoded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AECODEC_WEIGHTS", os.pathsep.join([str(TINY), str(tmp_path / "nowhere")]))
    assert run(["info", str(encoded)]) == 0
    assert capsys.readouterr().err == f"AECODEC_WEIGHTS: no folder {tmp_path / 'nowhere'}\n"


# What is refused.

# In a folder with `files_to_refuse`: exit code, command line, and a pattern that the line on stderr has once.
ONE_AIM = "one of --quality, --target-size, --target-bpp and --target-psnr"
IS_NO_NUMBER = r"is not a valid.*number \(see"
REFUSED = (
    (1, "encode missing a.aec --model tiny", "missing: No such file"),
    (1, "decode missing a.png", "missing: No such file"),
    (1, "info missing", "missing: No such file"),
    (1, "verify missing", "missing"),
    (1, "encode folder.png a.aec --model tiny", "folder.png: is a folder; give --out-dir DIR to work on what it holds"),
    (1, "decode folder.png a.png", "folder.png: is a folder; give --out-dir DIR to work on what it holds"),
    # Pictures
    (1, "encode notes.txt a.aec --model tiny", "notes.txt: not a picture"),
    (1, "encode cut.jpg a.aec --model tiny", "cut.jpg: "),
    (1, "encode long.png a.aec --model tiny", "65535"),
    (1, "encode in.png a.aec --model tiny --max-pixels 959", r"limit of 959.*\(--max-pixels\)"),
    # Coded files
    (3, "decode notes.txt a.png", "notes.txt: not an .aec file"),
    (3, "info notes.txt", "notes.txt: not an .aec file"),
    (3, "decode cut.aec long.png", "cut.aec: "),
    (3, "decode longer.aec a.png", "longer.aec: "),
    (3, "verify unused.aec", "unused.aec: "),
    (3, "decode in.aec a.png --max-pixels 959", r"limit is 959.*\(--max-pixels\)"),
    (4, "decode newer.aec a.png", "format version 2"),
    (4, "info newer.aec", "format version 2"),
    # Weights
    (2, "encode in.png a.aec --model enormous", "'enormous'.*tiny"),
    (2, "encode in.png --out-dir out --model enormous", "'enormous'.*tiny"),
    (4, "decode unknown.aec a.png", rf"unknown.aec: needs weights 01020304.*{TINY_ID.hex()} \(tiny\)"),
    (4, "encode in.png a.aec --weights missing.safetensors", "missing.safetensors: "),
    (4, "encode in.png a.aec --weights in.png", "in.png: "),
    # Outputs
    (1, "encode in.png nowhere/a.aec --model tiny", "nowhere"),
    (1, "decode in.aec nowhere/a.png", "nowhere"),
    (1, "encode in.png in.aec/a.aec --model tiny", "in.aec"),
    (1, "encode in.png folder.png --model tiny", "folder.png: is a folder; give --out-dir to write into it"),
    (1, "decode in.aec folder.png", "folder.png: is a folder; give --out-dir to write into it"),
    (1, "encode in.png in.aec --model tiny -n", "in.aec: exists"),
    (1, "encode in.png in.aec --model tiny --no-clobber", "in.aec: exists"),
    (1, "decode in.aec long.png -n", "long.png: exists"),
    (1, "decode in.aec long.png --no-clobber", "long.png: exists"),
    (1, "encode in.png in.png --model tiny", "is the input itself"),
    (1, "decode in.png in.png", "is the input itself"),
    pytest.param(1, "encode in.png link.aec --model tiny", "is the input itself", marks=posix_only),
    pytest.param(1, f"encode in.png {300 * 'x'} --model tiny", "File name too long", marks=posix_only, id="long name"),
    pytest.param(1, "encode in.png /dev/full --model tiny", "/dev/full: No space left", marks=needs_full),
    (2, "encode in.png new.jpg --model tiny", "named like a picture"),
    (1, "decode in.aec out.xyz", "out.xyz: "),
    (1, "decode in.aec out", "out: "),
    (1, "decode in.aec back.png --format xyz", r"picture\.xyz"),
    (2, "decode in.aec -", "--format png"),
    (2, "encode in.png b.aec -o a.aec", "Give IN and OUT"),
    (2, "encode in.png -o a.aec --out-dir .", "one of --output and --out-dir"),
    # Options
    (2, "encode in.png a.aec -q 50 --target-size 2000", ONE_AIM),
    (2, "encode in.png a.aec --target-bpp 1 --target-size 2000", ONE_AIM),
    (2, "encode in.png a.aec --target-psnr 30 --target-size 2000", ONE_AIM),
    (2, "encode a.png a.aec -q=60", IS_NO_NUMBER),
    (2, "encode a.png a.aec -quality 60", IS_NO_NUMBER),
    (2, "encode a.png a.aec --target-size 2k", IS_NO_NUMBER),
    (2, "encode a.png a.aec --effort much", IS_NO_NUMBER),
    (1, "bench nowhere --model tiny", "nowhere"),
    (2, "bench . --model tiny --codecs gif", "'gif'"),
    (2, "bench . --model tiny --quality 101", "from 0 to 100"),
    # What was meant
    (2, "encoed a b", "Did you mean.*'encode'"),
    (2, "enc a b", "Did you mean.*'encode'"),
    (2, "help", "Did you mean.*'--help'"),
    (2, "version", "Did you mean.*'--version'"),
    (2, "encode a.aec b.png", "Did you mean.*'aecodec decode'"),
    (2, "decode a.png b.aec", "Did you mean.*'aecodec encode'"),
    (2, "model lits", "Did you mean.*'list'"),
    (2, "encode --qualty 3 a b", "Did you mean.*'--quality'"),
    (2, "decode a b --fromat png", "Did you mean.*'--format'"),
    (2, "in.png a.aec", "Did you mean 'encode in.png'"),
    (2, "in.aec a.png", "Did you mean 'decode in.aec'"),
)


@pytest.fixture
def files_to_refuse(tmp_path: Path, picture: Path, encoded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded.read_bytes()
    header, (stream,), _ = unpack(data)
    for name, content in {
        "notes.txt": b"no picture\n",
        "out": b"precious",
        "out.xyz": b"precious",
        "cut.jpg": PHOTO.read_bytes()[:10_000],
        "cut.aec": data[:-1],
        "longer.aec": data + b"\0",
        "unused.aec": pack(header, [stream + b"\0"]),
        "newer.aec": plain(head(256, 256, version=2)),
        "unknown.aec": small_file(b"\1\2\3\4"),
    }.items():
        (tmp_path / name).write_bytes(content)
    Image.new("1", (65_536, 1)).save(tmp_path / "long.png")
    (tmp_path / "folder.png").mkdir()
    if os.name == "posix":
        (tmp_path / "link.aec").symlink_to(picture)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("files_to_refuse")
@pytest.mark.parametrize(("exit_code", "line", "said"), REFUSED)
def test_one_line_says_what_is_wrong(exit_code: int, line: str, said: str, refused: Refused) -> None:
    assert len(re.findall(said, refused(exit_code, *line.split()))) == 1


def test_what_is_just_allowed(tmp_path: Path, picture: Path, encoded: Path) -> None:
    assert run(["decode", str(encoded), str(tmp_path / "a.png"), "--max-pixels", "960", "-n"]) == 0
    assert run(["encode", str(picture), str(tmp_path / "a.aec"), "--model", "tiny", "--max-pixels", "960"]) == 0


def test_quiet_verbose_and_json(tmp_path: Path, encoded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    back = tmp_path / "back.png"
    assert run(["decode", str(encoded), str(back), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert run(["decode", str(encoded), str(back), "-v"]) == 0
    assert re.fullmatch(rf"{re.escape(str(back))}: 40x24 RGB, [0-9.]+ s\n", capsys.readouterr().err)
    assert run(["decode", str(encoded), str(back), "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    fields = json.loads(out)
    assert (fields["output"], fields["bytes"]) == (str(back), back.stat().st_size)


# Output that cannot be written.


@posix_only
@not_as_root
def test_output_not_permitted(tmp_path: Path, picture: Path, refused: Refused) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o500)
    assert "Permission denied" in refused(1, "encode", picture, folder / "a.aec", "--model", "tiny")


@needs_full
def test_disk_full_behind_stdout(encoded: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command("info", encoded), env=environment(), stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert b"No space left" in done.stderr and done.stderr.count(b"\n") == 1


def test_picture_too_large_for_its_format(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "a.aec").write_bytes(aecodec.encode(np.zeros((1, 16_400), np.uint8), 0, model="tiny"))
    line = refused(1, "decode", tmp_path / "a.aec", tmp_path / "out.webp")
    assert "out.webp: " in line and "WEBP" in line


# Bad `.aec` files.


def test_enormous_header(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "a.aec").write_bytes(plain(head(100_000, 100_000)))
    tracemalloc.start()
    try:
        line = refused(3, "decode", tmp_path / "a.aec", tmp_path / "a.png")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "100000x100000" in line
    assert peak < 20_000_000


# Weights of the user.


def test_own_weights(
    tmp_path: Path,
    picture: Path,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = tmp_path / "own"
    shutil.copytree(TINY, own)
    monkeypatch.delenv("AECODEC_WEIGHTS")
    file, back = tmp_path / "a.aec", tmp_path / "a.png"
    assert run(["encode", str(picture), str(file), "--weights", str(own / "tiny.decoder.safetensors")]) == 0
    assert f"{file}: decodes where {own} is in AECODEC_WEIGHTS\n" in capsys.readouterr().err
    assert f"needs weights {TINY_ID.hex()}" in refused(4, "decode", file, back)
    monkeypatch.setenv("AECODEC_WEIGHTS", os.pathsep.join([str(tmp_path / "nowhere"), str(own)]))
    assert run(["decode", str(file), str(back)]) == 0
    assert back.is_file()


@pytest.mark.parametrize("part", ["decoder", "encoder"])
def test_damaged_weights(part: str, tmp_path: Path, picture: Path, refused: Refused) -> None:
    shutil.copytree(TINY, tmp_path / "own")
    path = tmp_path / "own" / f"tiny.{part}.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    line = refused(4, "encode", picture, tmp_path / "a.aec", "--weights", path)
    assert f"{path}: damaged" in line


def test_damaged_manifest(tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "manifest.json").write_text("{")
    monkeypatch.setenv("AECODEC_WEIGHTS", str(tmp_path))
    assert "manifest.json: not a weights manifest" in refused(4, "model", "list")


# Interrupts and closed pipes.


@posix_only
def test_ctrl_c(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        command("encode", pipe, tmp_path / "a.aec", "--model", "tiny"), env=environment(), stderr=subprocess.PIPE
    )
    with open(pipe, "wb"):  # returns once the process reads, which then waits for bytes that never come
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.split(b"\n") in ([b"", b"aecodec: interrupted", b""], [b"aecodec: interrupted", b""])
    assert names(tmp_path) == ["pipe"]


def test_ctrl_c_while_the_command_is_imported(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt")
    path = {**environment(), "PYTHONPATH": os.pathsep.join([str(tmp_path), str(PACKAGE_PARENT)])}
    done = subprocess.run(command("--help"), env=path, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"aecodec: interrupted\n")


def test_ctrl_c_while_writing(
    tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    assert run(["encode", str(picture), str(tmp_path / "a.aec"), "--model", "tiny"]) == 130
    assert names(tmp_path) == ["in.png"]
    assert capsys.readouterr().err.strip() == "aecodec: interrupted"


@posix_only
def test_closed_pipe_is_quiet(picture: Path, encoded: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    writing = (("encode", picture, "-", "--model", "tiny"), ("decode", encoded, "-", "--format", "png"))
    for arguments in (("--help",), ("info", encoded), ("model", "list"), *writing):
        done = subprocess.run(command(*arguments), env=environment(), stdout=writer, stderr=subprocess.PIPE)
        assert (done.returncode, done.stderr) == (1, b"")
    os.close(writer)


# Real processes.


def test_a_failure_is_quick_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.aec").write_bytes(small_file()[:-2])
    decoding = command("decode", "a.aec", "a.png")
    done = subprocess.run(decoding, env=environment(), cwd=tmp_path, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr.startswith(b"aecodec: a.aec: ") and done.stderr.count(b"\n") == 1


# Bench and model.


def test_bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    with Image.open(PHOTO) as image:
        for n in range(2):
            image.crop((64 * n, 0, 64 * n + 64, 64)).save(tmp_path / "photos" / f"{n}.png")
    options = ["--model", "tiny", "--codecs", "jpeg", "--quality", "0,50,100"]
    json_file = tmp_path / "figures.json"
    assert run(["bench", str(tmp_path / "photos"), *options, "--json", str(json_file)]) == 0
    table = capsys.readouterr().out
    assert "aecodec" in table and "jpeg" in table
    assert json.loads(json_file.read_text())["pictures"] == 2
    assert run(["bench", str(tmp_path / "photos"), *options, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == 2


def test_model_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["model", "list"]) == 0
    titles, *lines = capsys.readouterr().out.splitlines()
    assert titles.split()[:4] == ["model", "no.", "id", "decoder"]
    (tiny,) = (line.split() for line in lines if line.startswith("tiny "))
    sizes = [f"{(TINY / f'tiny.{half}.safetensors').stat().st_size:,}" for half in ("decoder", "encoder")]
    assert tiny == ["tiny", "-", TINY_ID.hex(), *sizes, "-", "-", str(TINY)]


@needs_bundled
def test_model_list_has_number_and_figures_of_bundled_models(capsys: pytest.CaptureFixture[str]) -> None:
    entry = find_by_name("standard")
    assert run(["model", "list"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("standard "))
    assert line.split()[1:3] == [str(entry.number), entry.weights_id.hex()]
    assert f"{entry.details['scores']['kodak256']['psnr']:.2f} dB" in line
    assert f"{entry.details['pixels'] / 1e9:.2f} gigapixels" in line


@pytest.mark.parametrize("scores", [7, [], {"kodak256": None}, {"kodak256": {"psnr": "high"}}])
def test_model_list_of_a_manifest_with_strange_figures(
    scores: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(TINY, tmp_path / "own")
    (fields,) = json.loads((TINY / "manifest.json").read_text())["models"]
    (tmp_path / "own" / "manifest.json").write_text(json.dumps({"models": [{**fields, "scores": scores}]}))
    monkeypatch.setenv("AECODEC_WEIGHTS", str(tmp_path / "own"))
    assert run(["model", "list"]) == 0
    assert "  -  " in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize("half", ["decoder", "encoder"])
@pytest.mark.parametrize("missing", [True, False])
def test_model_list_with_a_bad_half(
    half: str,
    missing: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(TINY, tmp_path / "own")
    path = tmp_path / "own" / f"tiny.{half}.safetensors"
    data = path.read_bytes()
    path.unlink()
    if not missing:
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    monkeypatch.setenv("AECODEC_WEIGHTS", os.pathsep.join([str(tmp_path / "own"), str(TINY)]))
    assert run(["model", "list"]) == 4
    out, err = capsys.readouterr()
    assert f"{path}: {'No such file' if missing else 'damaged'}" in err and err.count("\n") == 1
    assert str(TINY) in out  # the others are listed


def test_model_list_without_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("aecodec.codec.manifest.folders", lambda: [tmp_path])
    assert run(["model", "list"]) == 0
    out, err = capsys.readouterr()
    assert out == "" and "no models" in err and err.count("\n") == 1


# The bundled default.


@needs_bundled
def test_default_model_without_any_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AECODEC_WEIGHTS")
    assert run(["encode", str(PHOTO), str(tmp_path / "a.aec")]) == 0
    assert run(["decode", str(tmp_path / "a.aec"), str(tmp_path / "a.png")]) == 0
    info = aecodec.read_info((tmp_path / "a.aec").read_bytes())
    assert info.model == "standard"
    assert 800 < info.size_bytes < 4000  # 1,966 on average
    with Image.open(PHOTO) as original, Image.open(tmp_path / "a.png") as decoded:
        error = np.asarray(original.convert("RGB"), float) - np.asarray(decoded, float)
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 22


def test_verify(tmp_path: Path, picture: Path, encoded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = tmp_path / "damaged.aec"
    damaged.write_bytes(encoded.read_bytes()[:-1])
    assert run(["verify", str(encoded), str(encoded)]) == 0
    assert capsys.readouterr().out.count(": ok\n") == 2
    assert run(["verify", str(damaged), str(encoded)]) == 3
    out, err = capsys.readouterr()
    assert out == f"{encoded}: ok\n"
    assert err.startswith(f"aecodec: {damaged}: ")
    assert err.count("\n") == 1
    assert run(["verify", str(encoded), "--against", str(picture)]) == 0
    assert re.search(r"ok, PSNR \d+\.\d{3} dB, L1 0\.\d{5}\n", capsys.readouterr().out)


def test_info_of_several_files(tmp_path: Path, encoded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.aec"
    other.write_bytes(b"not a file")
    assert run(["info", str(encoded), str(other), str(encoded), "--json"]) == 3
    out, err = capsys.readouterr()
    assert [json.loads(line)["file"] for line in out.splitlines()] == [str(encoded)] * 2
    assert err == f"aecodec: {other}: not an .aec file\n"
    assert run(["info", str(encoded), str(encoded)]) == 0
    assert capsys.readouterr().out.count("40x24 RGB") == 2


# Standard input and output.


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Piped:
    def call(*arguments: str | Path, given: bytes = b"") -> tuple[int, bytes, str]:
        """Exit code, stdout and stderr of a command whose input and output are pipes."""
        stdin = io.BytesIO(given)
        stdin.name = "<stdin>"  # type: ignore[attr-defined]
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stdin))
        code = run([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        return code, out, err.decode()

    return call


def test_dash_is_standard_input_and_output(tmp_path: Path, picture: Path, encoded: Path, piped: Piped) -> None:
    code, data, told = piped("encode", "-", "-", "--model", "tiny", "-q", "50", given=picture.read_bytes())
    assert (code, data) == (0, encoded.read_bytes())
    assert told.startswith(f"<stdout>: {len(data)} bytes") and told.count("\n") == 1
    code, png, told = piped("decode", "-", "-", "--format", "png", given=data)
    assert (code, told) == (0, "<stdout>: 40x24 RGB\n")
    (tmp_path / "back.png").write_bytes(png)
    with Image.open(tmp_path / "back.png") as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), aecodec.decode_pixels(data))
    assert piped("info", "-", "--json", given=data)[1].startswith(b'{"file": "<stdin>", ')
    assert piped("verify", "-", given=data) == (0, b"<stdin>: ok\n", "")


def test_a_pipe_on_one_side_only(tmp_path: Path, picture: Path, encoded: Path, piped: Piped) -> None:
    options = ("--model", "tiny", "-q", "50")
    assert piped("encode", "-", tmp_path / "a.aec", *options, given=picture.read_bytes())[:2] == (0, b"")
    assert (tmp_path / "a.aec").read_bytes() == encoded.read_bytes()
    assert piped("encode", picture, "-", *options)[1] == encoded.read_bytes()
    assert piped("decode", "-", tmp_path / "a.png", given=encoded.read_bytes())[:2] == (0, b"")
    assert (tmp_path / "a.png").is_file()
    assert not Path("-").exists()


def test_errors_name_standard_input(encoded: Path, piped: Piped) -> None:
    code, out, told = piped("decode", "-", "-", "--format", "png", given=encoded.read_bytes()[:-1])
    assert (code, out) == (3, b"") and told.startswith("aecodec: <stdin>: ")
    code, out, told = piped("encode", "-", "-", "--model", "tiny", given=b"no picture")
    assert (code, out) == (1, b"") and told.startswith("aecodec: <stdin>: not a picture")
    assert piped("info", "-")[0] == 3


@posix_only
def test_no_binary_data_from_or_to_a_terminal(
    picture: Path, encoded: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pty

    ours, terminal = pty.openpty()
    with open(terminal, encoding="ascii") as keyboard, open(terminal, "w", encoding="ascii", closefd=False) as screen:
        monkeypatch.setattr(sys, "stdin", keyboard)
        for arguments in (("encode", "-", "new.aec"), ("decode", "-", "new.png"), ("info", "-"), ("verify", "-")):
            assert "is a terminal" in refused(2, *arguments)
        monkeypatch.setattr(sys, "stdout", screen)
        for arguments in (("encode", picture, "-", "--model", "tiny"), ("decode", encoded, "-", "--format", "png")):
            assert "is a terminal" in refused(2, *arguments)
    os.close(ours)


@needs_full
def test_standard_output_full(picture: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command("encode", picture, "-", "--model", "tiny"), env=environment(), stdout=full, stderr=subprocess.PIPE
        )
    assert (done.returncode, done.stderr) == (1, b"aecodec: <stdout>: No space left on device\n")


@pytest.mark.parametrize("extension", ["webp", ".BMP"])
def test_format_overrides_the_name(extension: str, tmp_path: Path, encoded: Path) -> None:
    assert run(["decode", str(encoded), str(tmp_path / "back.png"), "--format", extension]) == 0
    with Image.open(tmp_path / "back.png") as image:
        assert image.format == extension.strip(".").upper()
