"""The figures of README and docs, page by page: the commands that print them, and where output and page have them.

Times scatter, and belong to a machine: most are claimed as ratios, and all within `SPREAD`. A page names the processor
that its times are of; on another one these steps fail, and their results say what was measured there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from tools.steps import PASSED
from tools.steps import ROOT
from tools.steps import SOURCES
from tools.steps import Claim
from tools.steps import Setting
from tools.steps import Step
from tools.steps import copy_tree
from tools.steps import python

SPREAD = 0.3  # of a ratio of times
DECIBELS = 0.02
LANDED = ("README.md", "docs/samples.md", "tests/golden/bundled/expected.json", "browser/decoder/models.js")
SETS = ("avx2", "avx-vnni", "avx512-vnni")
NUMBER = r"([\d.,]+|inf)"
CELLS = r"[ |]+([\d.]+)"


def within_spread(page: str, figures: str, printed: str) -> Claim:
    """A claim of times or memory, which depend on the machine."""
    return Claim(page, figures, printed, SPREAD, relative=True)


def wrapped(expression: str) -> str:
    """For prose, which may have a line break at any space."""
    return expression.replace(" ", r"\s+")


def figures(setting: Setting) -> Iterator[Step]:
    """What the pages claim is measured again."""
    yield published()
    yield unlike(setting)
    if setting.kodak is None:
        return
    yield kodak64(setting.kodak)
    if setting.quick:
        return
    yield from speed(setting, setting.kodak)
    yield from effort(setting, setting.kodak)
    yield demo(setting)
    yield browser()
    if setting.dev is not None:
        yield bulk(setting.dev)
        yield tiny(setting.kodak, setting.dev)
        yield landed(setting, setting.kodak, setting.dev)


def published() -> Step:
    """The table of anchors, and the upper end of the scale."""
    rate = r"([+-][\d.]+) %"
    table = rf"^\| [^|\n]+ \| {rate} \| {rate} \| (?:measured|published) \|$"
    jpeg = rf"^\| JPEG \| \| {rate} \| measured \|$"
    upper = wrapped(r"reaches ([\d.]+) dB at ([\d.]+) bits a pixel; the last quarter of the bytes gains ([\d.]+) dB")
    page = "docs/compare.md"
    claims = tuple(Claim(page, each, each, 0.06) for each in (table, jpeg, upper))
    return Step("compare.md, anchors", [python("benchmarks/anchors.py")], "^.*", claims)


def unlike(setting: Setting) -> Step:
    row = rf"^\| [a-z-]+ \| {NUMBER} \| {NUMBER} \| {NUMBER} \| {NUMBER} \|$"
    run = python("benchmarks/unlike.py", setting.folder / "unlike", "--measure")
    return Step("compare.md, drawings", [run], row, (Claim("docs/compare.md", row, row, 0.06),))


def kodak64(kodak: Path) -> Step:
    small = "bench", kodak.absolute(), "--size", 64, "--at-bytes", 250, "--codecs", "webp", "--json", "-"
    row = r"\*\*aecodec\*\* `standard` \| [\d.]+ \| ([\d.]+) \| [\d.]+ \| [\d.]+ \|$"
    printed = r'"row": \{\s*"codec": "aecodec",[^}]*"psnr": ([\d.]+)'
    claim = Claim("README.md", row, printed, 0.006)
    return Step("README.md, kodak64", [python("-m", "aecodec", *small)], printed, (claim,))


def speed(setting: Setting, kodak: Path) -> Iterator[Step]:
    """Of one picture, of one on NumPy that is held to AVX2, of a folder, of whole commands."""
    page, peer = "docs/speed.md", () if setting.compressai is None else ("--compressai", setting.compressai)
    names = "numpy|the floor|avif|" + "|".join(SETS) + ("|CompressAI" if peer else "")
    others = "" if peer else r"(?! CompressAI)"
    rows = rf"^\|{others}[^|\n]+\|" + r" +[\d.]+ ms \| {} \| [\d.]+ ms \| {} \|$"
    number, other = r"([\d.]+)", r"[\d.]+"
    claims = [
        within_spread(page, rows.format(*cells), rf"^ +{verb} (?:{names}) +[\d.]+ ms +([\d.]+) x NumPy")
        for verb, cells in (("decode", (number, other)), ("encode", (other, number)))
    ]
    claims += in_prose()
    work = wrapped(r"([\d,]+) multiply-adds a pixel")
    claims.append(Claim("docs/compare.md", rf"Decoding\s+takes\s+{work}", rf"^ +decode the floor .*; {work}", 200))
    yield Step("speed.md, a picture", [python("benchmarks/warm.py", *peer)], "^ +decode numpy.*", tuple(claims))

    haswell = (
        ("OPENBLAS_CORETYPE", "Haswell"),
        ("NPY_DISABLE_CPU_FEATURES", "X86_V4 AVX512_ICL AVX512_SPR"),
    )  # names of NumPy 2.4
    held = within_spread(
        page, wrapped(r"`avx2` is ([\d.]+) and ([\d.]+) of that"), r"^ +(?:de|en)code avx2 +[\d.]+ ms +([\d.]+) x NumPy"
    )
    run = python("benchmarks/warm.py")
    yield Step("speed.md, NumPy with AVX2", [run], "^ +decode avx2.*", (held,), variables=haswell)

    of_avif = within_spread(
        page,
        wrapped(
            r"takes ([\d.]+) times AVIF's time with NumPy, ([\d.]+) with `avx2`, ([\d.]+) with `avx-vnni` "
            r"and ([\d.]+) with `avx512-vnni`"
        ),
        r"^  (?:numpy|avx\S+) +[\d.]+ ms +([\d.]+) x avif,",
    )
    run = python("benchmarks/warm.py", "--folder", kodak.absolute(), "--size", 256)
    yield Step("speed.md, kodak256", [run], "^  numpy.*", (of_avif,))

    folder = within_spread(
        page, wrapped(r"encodes ([\d.]+) and decodes ([\d.]+) times"), r"native:.*? ([\d.]+) x numpy"
    )
    run = python("benchmarks/bulk.py", kodak.absolute(), "--jobs", 2)
    yield Step("speed.md, a folder", [run], "^decode.*native.*", (folder,))

    refined = within_spread(
        page,
        wrapped(r"`--effort 1` takes ([\d.]+) of NumPy's time with `avx512-vnni`, ([\d.]+) with `avx2`"),
        r"^encode .*, avx\S+: .* ms of a processor each, ([\d.]+) x numpy",
    )
    sets = "--jobs", 1, "--rounds", 1, "--runtimes", "numpy,avx512-vnni,avx2", "--effort", 1
    run = python("benchmarks/bulk.py", ROOT / "examples" / "photos", *sets)
    yield Step("speed.md, effort", [run], "^encode.*avx2.*", (refined,))
    if peer:
        times = "times as fast as CompressAI's hyperprior"
        whole = wrapped(rf"`decode` are ([\d.]+) and ([\d.]+) {times}")
        cold = within_spread("docs/compare.md", whole, rf"([\d.]+) {times}")
        yield Step("compare.md, whole commands", [python("benchmarks/cold.py", *peer)], times, (cold,))


def in_prose() -> Iterator[Claim]:
    """What README and compare.md say of decoding one picture with the fastest kernels and with NumPy."""
    took = wrapped("256x256 pixels take {} ms of a Xeon core, {} without native kernels")
    faster = wrapped("256x256 {} times as fast as NumPy, and {} times as fast as the fastest native kernels")
    number, other = r"([\d.]+)", r"[\d.]+"
    for kernels, cells in (("avx512-vnni", (number, other)), ("numpy", (other, number))):
        row = rf"^ +decode {kernels} +"
        yield within_spread("README.md", took.format(*cells), rf"{row}{number} ms")
        yield within_spread("docs/compare.md", faster.format(*reversed(cells)), rf"{row}.* {number} x avif$")


def effort(setting: Setting, kodak: Path) -> Iterator[Step]:
    page, size = "docs/effort.md", ("--size", 256, "-q", 33, 37, "--at-bytes", 1966)
    gain = wrapped(r"`--effort {}` raises PSNR from ([\d.]+) to ([\d.]+) dB")
    saved = wrapped(r"`--effort {}` saves ([\d.]+) % of the bytes at `-q 33` and ([\d.]+) % at `-q 37`")
    for level in (2,):
        claims = (
            Claim(page, gain.format(level), r"^  effort \d at 1,966 bytes: ([\d.]+) dB", DECIBELS),
            Claim(page, saved.format(level), r"([\d.]+) % fewer bytes than effort 0", 0.2),
        )
        kept = "--effort", level, "--resume", setting.folder / f"effort-{level}-{setting.of}"
        run = python("benchmarks/effort.py", kodak.absolute(), *size, *kept)
        yield Step(f"effort.md, effort {level}", [run], r"^  effort \d at 1,966 bytes: .*", claims)

    eight = setting.folder / "eight"

    def copy() -> None:
        shutil.rmtree(eight, ignore_errors=True)
        eight.mkdir(parents=True)
        for path in sorted(kodak.glob("*.png"))[::3]:
            shutil.copy(path, eight)

    bench = "-m", "aecodec", "bench", eight, "--codecs", "jpeg", "-q", "10,30,55,84"
    rates = wrapped(r"BD-rate against JPEG is (-[\d.]+) %, and (-[\d.]+) % without effort")
    claim = Claim(page, rates, r"^jpeg +(-[\d.]+) %", 0.1)
    commands = [python(*bench, "--effort", 2, "--resume", setting.folder / f"eight-2-{setting.of}"), python(*bench)]
    yield Step("effort.md, Kodak at 768x512", commands, r"^jpeg +-[\d.]+ %", (claim,), before=copy)


def demo(setting: Setting) -> Step:
    """The page's table has kB a part; the command names them in one line."""
    parts = Claim("docs/demo.md", r"^\| (?!part)[^|\n]+ \| ([\d.]+) \|$", r"[a-zA-Z.]+ ([\d.]+)[,:]", 1)
    return Step("demo.md", [python("-m", "tools.demo", setting.folder / "demo")], "^-q .* in all", (parts,))


def browser() -> Step:
    """Node and Chromium beside NumPy, as ratios."""
    rows = r"^\| (?:NumPy|native kernels|Node|Chromium)[^|\n]* \| [\d.]+ ms, ([\d.]+) \| [\d.]+ ms, ([\d.]+) \|$"
    printed = r"standard \S+ and \S+ \(\S+ and ([\d.]+)\); light \S+ and \S+ \(\S+ and ([\d.]+)\)"
    printed = rf"^  (?:numpy|avx512-vnni|Node|Chromium) +{printed}"
    claim = within_spread("docs/browser.md", rows, printed)
    return Step("browser.md", [python("benchmarks/browser.py")], "^gallery.*", (claim,))


def bulk(dev: Path) -> Step:
    """Processor time a picture, by a processor of the same kind."""
    run = python("benchmarks/bulk.py", dev.absolute(), "--jobs", 2, "--rounds", 1, "--runtimes", "native")
    took = r"Encoding a picture of 256x256 with the default model took ([\d.]+) ms of one core, decoding it ([\d.]+) ms"
    claim = within_spread("docs/cluster.md", wrapped(took), r"([\d.]+) ms of a processor each")
    return Step("cluster.md", [run], "^decode.*", (claim,))


def tiny(kodak: Path, dev: Path) -> Step:
    """Rows with `-` or with fewer pictures that fit are cut to their numbers."""
    own = r"^\|? ?aecodec" + 6 * CELLS
    other = r"^\|? ?{}(?:, less \d+ bytes)?[ |]+-[^|\n]*?(?:[ |]+(?:[\d.]+ )?\(\d+[^)]*\))+" + "{}"
    claims = [Claim("docs/tiny.md", own, own, 0.06)]
    claims += [
        Claim("docs/tiny.md", row, row, 0.06)
        for row in (other.format("AVIF", 4 * CELLS), other.format("WebP", 4 * CELLS))
    ]
    claims += [
        Claim("docs/tiny.md", rf"{name}(?: has)? ([\d.]+) dB", rf"^{name}: ([\d.]+) dB", 0.06)
        for name in ("ThumbHash", "BlurHash")
    ]
    run = python("benchmarks/tiny.py", kodak.absolute(), dev.absolute(), "--every", 1, 10, "--peers")
    return Step("tiny.md", [run], own, tuple(claims))


def landed(setting: Setting, kodak: Path, dev: Path) -> Step:
    """Tables, scale, golden files and pictures, made anew from the weights alone, by the package of a copy.

    To the package of this checkout, weights in a copy would be a user's own: without a number, and so in larger files.
    """
    copy = setting.folder.absolute() / "landed"

    def clean() -> None:
        copy_tree(copy, *SOURCES, "tools", "benchmarks", "examples", "docs", "tests/golden")
        for kernels in (ROOT / "aecodec" / "native").glob("_kernels.*"):
            shutil.copy(kernels, copy / "aecodec" / "native")
        (copy / "weights" / "peers.json").unlink()

    folders = "--kodak", kodak.absolute(), "--dev", dev.absolute()
    land = python("-m", "tools.land", copy / "weights", "--project", copy, *folders)
    same = [["cmp", str(copy / name), str(ROOT / name)] for name in LANDED]
    commands, result = [land, *same], "^files, manifest.* are in place"
    return Step("README.md, tables", commands, result, before=clean, fresh=True, variables=(("PYTHONPATH", str(copy)),))


def memory_of_one() -> Step:
    """For the part `memory`: a small picture and one of 16 megapixels."""
    page = "docs/reliability.md"
    sides = [
        within_spread(page, wrapped(f"{side}: encode (\\d+) MB"), rf"^\.*{side}: encode (\d+) MB")
        for side in ("256x256", "4000x4000")
    ]
    formats = within_spread(
        page,
        wrapped(r"decoded to WebP ([\d.]+) MB, to JPEG 2000 ([\d.]+) MB and to AVIF ([\d.]+) MB"),
        r"^\.*decode to (?:webp|jp2|avif) ([\d.]+) MB",
    )
    tests = "tests/test_reliability.py", "-s", "-n", 0, "-m", "slow or not slow", "-k", "memory or write_only"
    return Step("one picture", [python("-m", "pytest", *tests)], PASSED, (*sides, formats))
