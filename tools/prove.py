"""One command that proves a release; it keeps the result of every step, so that it can be interrupted and resumed.

    python -m tools.prove --kodak kodak/ --dev dev256/    # everything: hours
    python -m tools.prove --quick                         # each part in its smallest form: minutes
    python -m tools.prove --only mutants --only docs
    python -m tools.prove --only mutants --step "compact [01]"
    python -m tools.prove --page docs/reliability.md      # runs nothing: writes the table into the page

Each step appends a line of JSON to DIR/results.jsonl, and writes its output to DIR/logs. A step that succeeded is not
repeated until something that it proves changes: package, README, browser's files, weights, golden files, tests, pages.
Measured figures are compared with their page each time, so that a page that was changed needs no new run. Ratios of
times need a machine that does nothing else. The exit code is 1 if a step failed. Needs the extra `test`, and says so
where another tool is missing (Chromium, qemu, atheris, twine).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tools.proofs import PARTS
from tools.steps import BUILT_WITH
from tools.steps import PACKAGE
from tools.steps import ROOT
from tools.steps import Setting
from tools.steps import Step

SUBJECT = (*PACKAGE, "tests/golden")
ALSO = {
    "packages": [*BUILT_WITH],
    "tests": ["tests"],
    "browser": ["tests"],
    "docs": ["docs", "README.md"],
    "figures": ["benchmarks"],
    "memory": ["benchmarks"],
}
LEFT_OUT = (".pyc", ".so", ".dll", "EXPERIMENTS.md")  # made here, or a diary that no step reads
JOURNAL = "results.jsonl"
EVERY = re.compile("")
START, END = "<!-- prove: begin -->", "<!-- prove: end -->"
PROGRESS = re.compile(r"\r.*\r|\x1b\[[\d;]*[Km]")  # bars and colours


def judge(step: Step, output: str) -> tuple[bool, str]:
    """Whether the step shows what it has to, and its result in one line."""
    plain = PROGRESS.sub("", output)
    matches = list(re.finditer(step.result, plain, re.MULTILINE))
    if not matches:
        return False, "no result"
    if not step.claims:
        return True, " ".join(matches[-1][0].split()).strip("= ")
    verdicts = [claim.compare(plain) for claim in step.claims]
    shown = [said for ok, said in verdicts if not ok] or [said for _, said in verdicts]
    return all(ok for ok, _ in verdicts), "; ".join(shown)


def run(step: Step, log: Path) -> str:
    """Runs the commands in the checkout. All that they print goes into `log`. The failure, empty if all succeeded."""
    paths = [] if step.fresh else [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200"} | dict(step.variables)
    step.before()
    with log.open("wb") as output:
        for command in step.commands:
            cwd = log.parent if step.fresh else ROOT
            code = subprocess.run(command, cwd=cwd, env=variables, stdout=output, stderr=output).returncode
            if code:
                said = shlex.join(command).replace(sys.executable, "python").replace(f"{log.parents[1]}/", "")
                return f"exit code {code} of {said[:60]}: see logs/{log.name}"
    return ""


def subject(part: str) -> str:
    """A hash of what a part proves."""
    digest = hashlib.sha256()
    for name in (*SUBJECT, *ALSO.get(part, ())):
        for path in sorted((ROOT / name).rglob("*") if (ROOT / name).is_dir() else [ROOT / name]):
            if path.is_file() and not path.name.endswith(LEFT_OUT):
                digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def read(journal: Path) -> dict[tuple[str, str, bool], dict[str, Any]]:
    """The latest record of each step, without a line that a killed run left half written."""
    lines = journal.read_bytes().splitlines(keepends=True) if journal.is_file() else []
    records = [json.loads(line) for line in lines if line.endswith(b"}\n")]
    return {(record["part"], record["step"], record["quick"]): record for record in records}


def prove(setting: Setting, chosen: list[str], wanted: re.Pattern[str] = EVERY) -> int:
    """Runs the steps of these parts, with wanted names, that are not proved yet. The number of failures."""
    (setting.folder / "logs").mkdir(parents=True, exist_ok=True)
    failures = 0
    for part in chosen:
        of = subject(part)
        failures += sum(
            not prove_step(setting, part, step, of)
            for step in PARTS[part](setting._replace(of=of))
            if wanted.search(step.name)
        )
    return failures


def prove_step(setting: Setting, part: str, step: Step, of: str) -> bool:
    """Whether it succeeds or has succeeded. The output of an earlier run is compared with the pages as they are now."""
    known = read(setting.folder / JOURNAL).get((part, step.name, setting.quick), {})
    named = re.sub(r"\W+", "-", f"{part} {step.name}{' quick' * setting.quick}").strip("-")
    log = setting.folder / "logs" / f"{named}.log"
    current = known.get("subject") == of
    if current and known["ok"] and not step.claims:
        print(f"{part}, {step.name}: proved before", flush=True)
        return True
    if current and known.get("ended") and step.claims and log.is_file():
        failure, seconds = "", float(known["seconds"])
    else:
        started = time.monotonic()
        failure = run(step, log)
        seconds = round(time.monotonic() - started, 1)
    ok, result = (False, failure) if failure else judge(step, log.read_text("utf-8", "replace"))
    print(f"{part}, {step.name}: {'' if ok else 'FAILED: '}{result} ({seconds:.0f} s)", flush=True)
    about = {"part": part, "step": step.name, "quick": setting.quick, "subject": of, "seconds": seconds}
    command = shlex.join(step.commands[-1]).replace(sys.executable, "python")
    about |= {"ended": not failure, "ok": ok, "result": result, "command": command, "on": platform.platform()}
    append(setting.folder / JOURNAL, json.dumps(about))
    return ok


def append(journal: Path, line: str) -> None:
    """On a line of its own, also after one that a killed run left half written."""
    torn = journal.is_file() and not journal.read_bytes().endswith(b"\n")
    with journal.open("a") as file:
        file.write("\n" * torn + line + "\n")


def table(setting: Setting) -> str:
    """The latest results of every part in Markdown."""
    records = [record for (_, _, quick), record in read(setting.folder / JOURNAL).items() if quick == setting.quick]
    lines = ["| part | step | result | minutes | of |", "|---|---|---|---|---|"]
    for part in PARTS:
        own = [record for record in records if record["part"] == part]
        for record in own:
            result = ("" if record["ok"] else "**failed**: ") + record["result"].replace("|", "\\|")
            about = f"{record['seconds'] / 60:.1f} | {record['subject']}"
            lines.append(f"| {part} | {record['step']} | {result} | {about} |")
        if not own:
            lines.append(f"| {part} | | not run | | |")
    return "\n".join(lines)


def write_page(page: Path, setting: Setting) -> None:
    """The table between the two marks of a page. Raises SystemExit where it lacks one."""
    text = page.read_text("utf-8")
    if START not in text or END not in text:
        raise SystemExit(f"{page}: lacks the marks {START} and {END}")
    before, after = text.split(START)[0], text.split(END)[1]
    page.write_text(f"{before}{START}\n{table(setting)}\n{END}{after}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.prove", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--step", type=re.compile, default=EVERY, metavar="REGEX", help="only steps whose name matches")
    parser.add_argument("--quick", action="store_true", help="the smallest form of every part")
    parser.add_argument("--table", action="store_true", help="print the results as a table, and run nothing")
    parser.add_argument("--page", type=Path, help="write that table between the marks of a page, and run nothing")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "prove", metavar="DIR", help="of the results")
    parser.add_argument("--kodak", type=Path, metavar="FOLDER", help="the 24 Kodak pictures, for the part figures")
    parser.add_argument("--dev", type=Path, metavar="FOLDER", help="dev256, for the part figures")
    parser.add_argument("--compressai", type=Path, metavar="PYTHON", help="of an environment that has it, for its rows")
    options = parser.parse_args()
    setting = Setting(options.folder.absolute(), options.quick, options.kodak, options.dev, options.compressai)
    if options.page is not None:
        write_page(options.page, setting)
    if options.table:
        print(table(setting))
    if options.table or options.page is not None:
        return 0
    try:
        return 1 if prove(setting, options.only or list(PARTS), options.step) else 0
    except KeyboardInterrupt:
        print("interrupted; the same command resumes", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
