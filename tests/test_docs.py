"""Every command and Python example of README and docs runs as it stands, with the bundled weights; and the pages build.

The blocks of a page run in their order in one folder, which holds `in.jpg`, `photos/` and the project's `examples`,
`benchmarks` and `weights`; `sh` by bash, where any command that fails fails the block, `python` each by itself. A
comment before a block, which readers do not see, says what is special:

    <!-- slow -->                   runs with `-m slow` only
    <!-- slow; as --steps 2 -->     the same, with that in place of each `--minutes N`
    <!-- not run: REASON -->        is only looked at, as all are: its commands and options exist
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from html import unescape
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import aecodec
from aecodec.cli import cli
from aecodec.codec.manifest import entries_of
from helpers.paths import PHOTOS
from helpers.paths import ROOT
from helpers.paths import WEIGHTS
from tools.samples import write_samples

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md")), ROOT / "examples" / "README.md"]
FENCE = re.compile(
    r"(?:^<!-- (?P<mark>(?:slow|not run)[^>]*) -->\n)?^```(?P<language>.*)\n(?P<code>(?s:.*?))^```$", re.MULTILINE
)
MOST_NOT_RUN = 12

pytestmark = pytest.mark.skipif(not entries_of(WEIGHTS), reason="no weights are landed")

# The modules whose heads define the format.
FORMAT_PAGES = (
    "format.container",
    "format.compact",
    "format.symbols",
    "format.range_coder",
    "format.extras",
    "codec.latent_coding",
    "network.quantized",
    "codec.weights",
)


@dataclass(frozen=True)
class Block:
    language: str
    code: str
    mark: str

    @property
    def runs(self) -> bool:
        return not self.mark.startswith("not run")

    @property
    def is_slow(self) -> bool:
        return self.mark.startswith("slow")


def blocks_of(page: Path) -> list[Block]:
    matches = FENCE.finditer(page.read_text("utf-8"))
    found = [Block(match["language"], match["code"], match["mark"] or "") for match in matches]
    return [block for block in found if block.language != "text" and not block.language.startswith("{")]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


WITH_BLOCKS = [page for page in PAGES if any(block.runs for block in blocks_of(page))]
# Their examples together take longer than all others.
LONG_PAGES = (
    "README.md",
    "docs/keeping.md",
    "docs/many.md",
    "docs/pillow.md",
    "docs/python.md",
    "docs/quality.md",
    "docs/start.md",
    "docs/tiny.md",
    "examples/README.md",
)
WITH_SLOW_BLOCKS = [page for page in WITH_BLOCKS if any(block.is_slow for block in blocks_of(page))]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Commands `aecodec` and `python` are those of this tree and this interpreter; weights are the bundled ones."""
    commands = tmp_path / "commands"
    commands.mkdir()
    interpreter = shlex.quote(sys.executable)
    for name, arguments in (("python", ""), ("aecodec", "-m aecodec")):
        (commands / name).write_text(f'#!/bin/sh\nexec {interpreter} {arguments} "$@"\n')
        (commands / name).chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if name != "AECODEC_WEIGHTS"}
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Like a reader's: a picture, a folder of pictures, and parts of a checkout."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("examples", "benchmarks", "weights", "docs"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "photos").mkdir()
    for path in (path for path in PHOTOS.iterdir() if path.suffix in (".png", ".jpg")):
        shutil.copy(path, folder / "photos")
    shutil.copy(PHOTOS / "car.jpg", folder / "in.jpg")
    return folder


def run(block: Block, folder: Path, environment: dict[str, str]) -> None:
    if block.language == "python":
        command = [sys.executable, "-c", block.code]
    else:
        code = re.sub(r"--minutes \d+", block.mark.partition(" as ")[2] or r"\g<0>", block.code)
        command = ["bash", "-euo", "pipefail", "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{block.code}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=name_of(page), marks=[pytest.mark.slow] if name_of(page) in LONG_PAGES else [])
        for page in WITH_BLOCKS
    ],
)
def test_examples_run(page: Path, folder: Path, environment: dict[str, str]) -> None:
    for block in blocks_of(page):
        if block.runs and not block.is_slow:
            run(block, folder, environment)


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_SLOW_BLOCKS, ids=name_of)
def test_slow_examples_run(page: Path, folder: Path, environment: dict[str, str]) -> None:
    for block in blocks_of(page):
        if block.runs:
            run(block, folder, environment)


def test_every_block_is_an_example_and_few_are_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = [block for page in PAGES for block in blocks_of(page)]
    assert {block.language for block in blocks} == {"sh", "python"}
    slow, others = sum(block.is_slow for block in blocks), [block.mark for block in blocks if not block.runs]
    with capsys.disabled():
        fast = len(blocks) - slow - len(others)
        print(f"\n{len(blocks)} examples: {fast} run, {slow} with -m slow, {len(others)} not")
    assert len(others) <= MOST_NOT_RUN
    assert all(re.fullmatch(r"not run: .{10,}", mark) for mark in others)


def test_every_command_and_option_exists() -> None:
    code = "\n".join(block.code for page in PAGES for block in blocks_of(page) if block.language == "sh")
    seen = re.findall(r"\baecodec ([a-z]+)(.*?)(?:&&|[|#]|$)", code.replace("\\\n", " "), re.MULTILINE)
    assert len(seen) > 60
    for name, rest in seen:
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None, name
        if name in ("model", "paper"):
            command = command.commands[rest.split()[0]]  # type: ignore[attr-defined]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in rest.split() if re.match(r"--?[a-z]", word)} <= known, (name, rest)


def test_every_public_name_is_documented() -> None:
    text = "".join(page.read_text("utf-8") for page in DOCS.rglob("*.md"))
    assert set(re.findall(r"^\.\. auto\w+:: aecodec\.(\w+)(?:\(\))?$", text, re.MULTILINE)) == set(aecodec.__all__)


@pytest.mark.slow
def test_the_samples_are_those_of_the_weights(tmp_path: Path) -> None:
    """`python -m tools.samples` makes them; files compare, as decoding is exact."""
    write_samples(tmp_path, PHOTOS, WEIGHTS)
    assert (tmp_path / "samples.md").read_text("utf-8") == (DOCS / "samples.md").read_text("utf-8")


@pytest.mark.slow
def test_the_pages_build_without_a_warning(tmp_path: Path) -> None:
    if find_spec("sphinx") is None:
        pytest.skip("needs the extra docs")
    assert "sphinx-build -W docs build/docs" in (ROOT / "README.md").read_text("utf-8")
    (tmp_path / "torch.py").write_text("raise ImportError('the pages are built without it')\n")
    command = [sys.executable, "-m", "sphinx", "-W", "docs", str(tmp_path / "docs")]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for module in FORMAT_PAGES:
        name = module.split(".")[-1]
        page = tmp_path / "docs" / "format" / f"{'index' if name == 'container' else name}.html"
        text = unescape(re.sub(r"<[^>]+>", "", page.read_text("utf-8")))
        missing = words(import_module(f"aecodec.{module}").__doc__ or "") - words(text)
        assert not missing, f"lost on the way from {module}.py: {missing}"


def words(text: str) -> set[str]:
    """The words of a page, without Markdown and typographic quotes."""
    return set(re.findall(r"[\w<>/^]+", text))
