"""Help, usage errors, version and completion, and what the commands import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import aecodec
from aecodec.cli import run
from aecodec.codec.manifest import bundled_folders
from aecodec.codec.manifest import entries_of
from aecodec.format.header import VERSION
from aecodec.native import library
from helpers.commands import Refused
from helpers.commands import environment

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
