"""What proves a release, part by part: the commands, and where their output has the result."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import product
from pathlib import Path

from tools.claims import figures
from tools.claims import memory_of_one
from tools.claims import wrapped
from tools.steps import PASSED
from tools.steps import ROOT
from tools.steps import SOURCES
from tools.steps import Claim
from tools.steps import Part
from tools.steps import Setting
from tools.steps import Step
from tools.steps import copy_tree
from tools.steps import python


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
    yield metadata(setting.folder / "dist", tree)


def metadata(dist: Path, tree: Path) -> Step:
    """The source archive is made, and twine reads it and the wheels as an index does."""
    build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    sdist = ["bash", "-c", f'cd "$1" && exec "$0" -c "{build}" "$2"', sys.executable, str(tree), str(dist / "source")]
    check = ["bash", "-c", 'exec "$0" -m twine check --strict "$1"/*/*', sys.executable, str(dist)]

    def clean() -> None:
        shutil.rmtree(dist / "source", ignore_errors=True)
        (dist / "source").mkdir(parents=True)
        copy_tree(tree, *SOURCES, "tests")

    return Step("source archive, twine check", [sdist, check], r"[^/\s]+: PASSED", before=clean)


def installed(environment: Path, wheel: Path, interpreter: str, kind: str) -> Step:
    program, photo = environment / "bin" / "aecodec", ROOT / "examples" / "photos" / "bay.png"
    golden = ROOT / "tests" / "golden"
    files = sorted([*golden.glob("bundled/*.aec"), *golden.glob("*.*/*.aec")])  # those of releases, such as 1.0, too
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
    return Step(name, [[str(word) for word in line] for line in commands], r"^runtime (native.*|\w+)", fresh=True)


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
    """20,000 pictures through encode and decode of a folder, with memory flat; one small and one large picture."""
    sizes = setting.size(("--pictures", 300, "--early", 100), ())
    row = wrapped(r"parent (\d+) and (\d+) MB, worker (\d+) and (\d+) MB")
    claims = () if setting.quick else (Claim("docs/cluster.md", row, row, 20),)
    run = python("benchmarks/flat.py", "--side", 64, *sizes)
    yield Step("folder", [run], "^encode .*\ndecode .*", claims)
    yield memory_of_one()


def browser(setting: Setting) -> Iterator[Step]:
    """The decoder in Node, the element and the report in Chromium."""
    yield Step("Node", [python("-m", "pytest", "tests/test_browser.py", "-m", "slow or not slow")], PASSED)
    pages = ["tests/test_browser_page.py", *setting.size([], ["tests/test_report_browser.py"])]
    yield Step("Chromium", [python("-m", "pytest", *pages, "-m", "slow or not slow")], PASSED)


def docs(setting: Setting) -> Iterator[Step]:
    """The pages are built without a warning."""
    build = python("-m", "sphinx", "-W", "-E", "docs", setting.folder / "html")
    yield Step("sphinx -W", [build], "^build succeeded.*")


ALL: list[Part] = [packages, tests, matrix, mutants, fuzzing, sanitizers, crashes, memory, browser, docs, figures]
PARTS = {part.__name__: part for part in ALL}
