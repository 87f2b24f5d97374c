"""What proves a release, part by part: the commands, and where their output has the result."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
SOURCES = ("aecodec", "browser", "weights", "setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
LANDED = ("README.md", "docs/samples.md", "tests/golden/bundled/expected.json", "browser/decoder/models.js")
PASSED = r"^.*\b\d+ passed.*$"
Command = list[str]


class Claim(NamedTuple):
    """The figures that a page has, as groups of an expression, and how far those of the output may be from them."""

    page: str
    figures: str
    tolerance: float


@dataclass(frozen=True)
class Step:
    """Commands that must all succeed. The result is the last match of `result` in their output, which must have one."""

    name: str
    commands: list[Command]
    result: str
    claim: Claim | None = None
    before: Callable[[], object] = field(default=lambda: None)
    fresh: bool = False  # nothing of this checkout is on the path
    variables: tuple[tuple[str, str], ...] = ()


class Setting(NamedTuple):
    folder: Path  # of results
    quick: bool
    kodak: Path | None
    dev: Path | None

    def size(self, quick: Any, full: Any) -> Any:
        return quick if self.quick else full


Part = Callable[[Setting], Iterator[Step]]


def python(*arguments: object) -> Command:
    return [sys.executable, *map(str, arguments)]


def copy_tree(folder: Path, *names: str) -> None:
    """A clean tree, to build or land in."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "_kernels.*"))
        else:
            shutil.copy(ROOT / name, folder / name)


def packages(setting: Setting) -> Iterator[Step]:
    """Both wheels, each in an empty environment, where it does the README's main job and verifies the golden files."""
    tree = setting.folder / "tree"
    interpreters = [shutil.which(f"python3.{minor}") for minor in setting.size((), (10, 11, 12, 13, 14))]
    for kind, variables in (("platform", ()), ("any", (("CC", "false"),))):
        dist = setting.folder / "dist" / kind
        build = python("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", dist, tree)
        size = "import os, sys; n = os.path.getsize(sys.argv[1]); print(f'{n:,} bytes'); sys.exit(n > 6_000_000)"
        measure = ["bash", "-c", f'exec "$0" -c "{size}" "$1"/*.whl', sys.executable, str(dist)]

        def clean(dist: Path = dist) -> None:
            shutil.rmtree(dist, ignore_errors=True)
            copy_tree(tree, *SOURCES)

        yield Step(f"wheel ({kind})", [build, measure], "^.* bytes", before=clean, variables=variables)
        for wheel, interpreter in product(dist.glob("*.whl"), filter(None, interpreters or [sys.executable])):
            yield installed(setting.folder.absolute() / f"env-{kind}", wheel, interpreter, kind)


def installed(environment: Path, wheel: Path, interpreter: str, kind: str) -> Step:
    program, photo = environment / "bin" / "aecodec", ROOT / "examples" / "photos" / "bay.png"
    files = sorted((ROOT / "tests" / "golden" / "bundled").glob("*.aec"))
    commands: list[list[object]] = [
        [interpreter, "-m", "venv", "--clear", environment],
        [
            environment / "bin" / "python",
            "-m",
            "pip",
            "install",
            "-q",
            "-c",
            ROOT / "constraints.txt",
            wheel.absolute(),
        ],
        [program, "encode", photo, environment / "bay.aec"],
        [program, "decode", environment / "bay.aec", environment / "bay.png"],
        [program, "verify", *files],
        [program, "--version"],
    ]
    name = f"installed ({kind}, {Path(interpreter).name})"
    return Step(name, [[str(word) for word in line] for line in commands], "^runtime .*", fresh=True)


def tests(setting: Setting) -> Iterator[Step]:
    """Both test runs."""
    some = ["tests/test_golden.py", "tests/test_json.py"] if setting.quick else []
    yield Step("fast", [python("-m", "pytest", *some)], PASSED)
    few = ["tests/test_matrix.py", "-k", "generic"] if setting.quick else []
    yield Step("slow", [python("-m", "pytest", "-m", "slow", *few)], PASSED)


def matrix(setting: Setting) -> Iterator[Step]:
    """The golden files under every runtime, set of kernels, number of threads, and emulated Arm."""
    yield Step("this machine", [python("-m", "tests.matrix", *setting.size(["--fast"], []))], "^.* configurations, .*")
    arm64 = setting.folder / "arm64"
    lay_out = ["bash", "tests/matrix/arm64.sh", str(arm64)]
    if not setting.quick:
        yield Step("64-bit Arm", [lay_out, python("-m", "tests.matrix", "--arm64", arm64)], "^.* configurations, .*")


def mutants(setting: Setting) -> Iterator[Step]:
    """100,000 mutants of each form of header."""
    count, runs = setting.size((500, 1), (25_000, 4))
    for form in ("full", "compact"):
        for seed in range(runs):
            arguments = "-m", "tests.fuzz", "--form", form, "--seed", seed, "--mutants", count
            yield Step(f"{form} {seed}", [python(*arguments, "--keep", setting.folder / "finds")], "^.*finds$")


def fuzzing(setting: Setting) -> Iterator[Step]:
    """30 minutes of fuzzing, guided by coverage if atheris is installed."""
    seconds = setting.size(20, 1800)
    keep = "--seconds", seconds, "--keep", setting.folder / "finds"
    if find_spec("atheris") is not None:
        yield Step("guided", [python("-m", "tests.fuzz.guided", *keep)], "^stat::number_of_executed_units: .*")
    else:
        random = python("-m", "tests.fuzz", "--seed", 20270101, "--mutants", 10**9, *keep)
        yield Step("at random, without atheris", [random], "^.*finds$")


def sanitizers(setting: Setting) -> Iterator[Step]:
    """Mutants, attacks and the kernels' tests over C that watches itself."""
    yield Step("address, undefined", [python("-m", "tests.sanitized", "--mutants", setting.size(50, 20_000))], PASSED)


def crashes(setting: Setting) -> Iterator[Step]:
    """200 kills and 50 interrupts."""
    for kind, other, count, runs in (("kills", "interrupts", 40, 5), ("interrupts", "kills", 25, 2)):
        for seed in range(setting.size(1, runs)):
            amount = f"--{kind}", setting.size(4, count), f"--{other}", 0, "--seed", seed
            yield Step(f"{kind} {seed}", [python("-m", "tests.crash", *amount)], rf"^[1-9]\d* {kind[:-1]}.*")


def memory(setting: Setting) -> Iterator[Step]:
    """20,000 pictures through encode and decode of a folder, with memory flat."""
    sizes = setting.size(("--pictures", 300, "--early", 100), ())
    yield Step("folder", [python("benchmarks/flat.py", "--side", 64, *sizes)], "^encode .*\ndecode .*")


def browser(setting: Setting) -> Iterator[Step]:
    """The decoder in Node, the element and the report in Chromium."""
    yield Step("Node", [python("-m", "pytest", "tests/test_browser.py", "-m", "slow or not slow")], PASSED)
    pages = ["tests/test_browser_page.py", *setting.size([], ["tests/test_report_browser.py"])]
    yield Step("Chromium", [python("-m", "pytest", *pages, "-m", "slow or not slow")], PASSED)


def docs(setting: Setting) -> Iterator[Step]:
    """The pages are built without a warning."""
    build = python("-m", "sphinx", "-W", "-E", "docs", setting.folder / "html")
    yield Step("sphinx -W", [build], "^build succeeded.*")


def figures(setting: Setting) -> Iterator[Step]:
    """What the pages claim is measured again."""
    if setting.kodak is None:
        return
    kodak, dev, copy = setting.kodak.absolute(), setting.dev, setting.folder / "landed"
    small = "bench", kodak, "--size", 64, "--at-bytes", 250, "--codecs", "webp", "--json", "-"
    of_small = Claim("README.md", r"\*\*aecodec\*\* `standard` \| [\d.]+ \| ([\d.]+) \| [\d.]+ \| [\d.]+ \|$", 0.006)
    last = r'"row": \{\s*"codec": "aecodec",[^}]*"psnr": ([\d.]+)'
    yield Step("kodak64", [python("-m", "aecodec", *small)], last, of_small)
    if setting.quick:
        return
    effort = "--size", 256, "--effort", 2, "-q", 33, 37, "--at-bytes", 1966, "--resume", setting.folder / "effort"
    gain = Claim("docs/effort.md", r"raises PSNR from [\d.]+\s+to ([\d.]+) dB", 0.02)
    run = python("benchmarks/effort.py", kodak, *effort)
    yield Step("effort", [run], r"^  effort 2 at 1,966 bytes: ([\d.]+) dB.*", gain)
    if dev is not None:
        tiny = python("benchmarks/tiny.py", kodak, dev, "--every", 1, 10)
        row = r"^\|? ?aecodec " + 6 * r"[\s|]+([\d.]+)"
        yield Step("tiny", [tiny], row, Claim("docs/tiny.md", row, 0.06))

        def clean() -> None:
            copy_tree(copy, *SOURCES, "examples", "docs", "tests/golden")
            (copy / "weights" / "peers.json").unlink()

        land = python("-m", "tools.land", copy / "weights", "--project", copy, "--kodak", kodak, "--dev", dev)
        same = [["cmp", str(copy / name), name] for name in LANDED]
        yield Step("tables, golden files", [land, *same], "^files, manifest.* are in place", before=clean)


ALL: list[Part] = [packages, tests, matrix, mutants, fuzzing, sanitizers, crashes, memory, browser, docs, figures]
PARTS = {part.__name__: part for part in ALL}
