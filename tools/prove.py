"""One command that proves a release; it keeps the result of every step, so that it can be interrupted and resumed.

    python -m tools.prove --kodak kodak/ --dev dev256/    # everything: hours
    python -m tools.prove --quick                         # each part in its smallest form: minutes
    python -m tools.prove --only mutants --only docs
    python -m tools.prove --only mutants --step "compact [01]"
    python -m tools.prove --table > table.md

Each step appends a line of JSON to DIR/results.jsonl, and writes its output to DIR/logs. A step that succeeded is not
repeated until something changes that it proves: package, browser's files, weights, golden files, tests or pages. The
exit code is 1 if a step failed. Needs the extra `test`, and says so where another tool is missing (Chromium, qemu,
atheris).
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
from tools.proofs import ROOT
from tools.proofs import SOURCES
from tools.proofs import Setting
from tools.proofs import Step

SUBJECT = (*SOURCES[:5], "tests/golden")
ALSO = {"tests": ["tests"], "browser": ["tests"], "docs": ["docs", "README.md"], "figures": ["docs", "README.md"]}
PROGRESS = re.compile(r"\r.*\r|\x1b\[K")


def numbers(match: re.Match[str]) -> list[float]:
    return [float(group) for group in match.groups()]


def judge(step: Step, output: str) -> tuple[bool, str]:
    """Whether the step shows what it has to, and its result in one line."""
    matches = list(re.finditer(step.result, PROGRESS.sub("", output), re.MULTILINE))
    if not matches:
        return False, "no result"
    if step.claim is None:
        return True, " ".join(matches[-1][0].split()).strip("= ")
    told = " and ".join(f"{number:.6g}" for number in numbers(matches[-1]))
    there = re.search(step.claim.figures, (ROOT / step.claim.page).read_text("utf-8"), re.MULTILINE)
    if there is None:
        return False, f"{told}; {step.claim.page} has no such figure"
    pairs = zip(numbers(matches[-1]), numbers(there), strict=True)
    same = all(abs(found - said) <= step.claim.tolerance for found, said in pairs)
    return same, f"{told}; {step.claim.page} has {' and '.join(there.groups())}"


def run(step: Step, log: Path) -> tuple[bool, str]:
    """Runs the commands in the checkout, up to one that fails. Everything that they print goes into `log`."""
    paths = [] if step.fresh else [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200"} | dict(step.variables)
    step.before()
    with log.open("wb") as output:
        for command in step.commands:
            cwd = log.parent if step.fresh else ROOT
            code = subprocess.run(command, cwd=cwd, env=variables, stdout=output, stderr=output).returncode
            if code:
                return False, f"exit code {code} of {shlex.join(command)[:60]}: {log}"
    return judge(step, log.read_text("utf-8", "replace"))


def subject(part: str) -> str:
    """A hash of what a part proves."""
    digest = hashlib.sha256()
    for name in (*SUBJECT, *ALSO.get(part, ())):
        for path in sorted((ROOT / name).rglob("*") if (ROOT / name).is_dir() else [ROOT / name]):
            if path.is_file() and path.suffix not in (".pyc", ".so", ".dll"):
                digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def read(journal: Path) -> dict[tuple[str, str, bool], dict[str, Any]]:
    """The latest record of each step, without a line that a killed run left half written."""
    lines = journal.read_bytes().splitlines(keepends=True) if journal.is_file() else []
    records = [json.loads(line) for line in lines if line.endswith(b"}\n")]
    return {(record["part"], record["step"], record["quick"]): record for record in records}


def prove(setting: Setting, chosen: list[str], wanted: re.Pattern[str]) -> int:
    """Runs the steps of these parts, with wanted names, that are not proved yet. The number of failures."""
    (setting.folder / "logs").mkdir(parents=True, exist_ok=True)
    journal, failures = setting.folder / "results.jsonl", 0
    for part in chosen:
        of = subject(part)
        for step in PARTS[part](setting):
            if not wanted.search(step.name):
                continue
            known = read(journal).get((part, step.name, setting.quick), {})
            if known.get("ok") and known["subject"] == of:
                print(f"{part}, {step.name}: proved before", flush=True)
                continue
            started = time.monotonic()
            named = re.sub(r"\W+", "-", f"{part} {step.name}").strip("-")
            ok, result = run(step, setting.folder / "logs" / f"{named}.log")
            seconds = round(time.monotonic() - started, 1)
            print(f"{part}, {step.name}: {'' if ok else 'FAILED: '}{result} ({seconds:.0f} s)", flush=True)
            command = shlex.join(step.commands[-1]).replace(sys.executable, "python")
            about = {"part": part, "step": step.name, "quick": setting.quick, "subject": of, "seconds": seconds}
            line = json.dumps(about | {"ok": ok, "result": result, "command": command, "on": platform.platform()})
            torn = journal.is_file() and not journal.read_bytes().endswith(b"\n")
            with journal.open("a") as file:
                file.write("\n" * torn + line + "\n")
            failures += not ok
    return failures


def table(setting: Setting) -> str:
    """The latest results of every part in Markdown."""
    records = [
        record for (_, _, quick), record in read(setting.folder / "results.jsonl").items() if quick == setting.quick
    ]
    lines = ["| part | step | result | minutes | of |", "|---|---|---|---|---|"]
    for record in sorted(records, key=lambda record: list(PARTS).index(record["part"])):
        result = ("" if record["ok"] else "**failed**: ") + record["result"].replace("|", "\\|")
        about = f"{record['seconds'] / 60:.1f} | {record['subject']}"
        lines.append(f"| {record['part']} | {record['step']} | {result} | {about} |")
    lines += [f"| {part} | | not run | | |" for part in PARTS if not any(part == own["part"] for own in records)]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.prove", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--step", type=re.compile, default="", metavar="REGEX", help="only steps whose name matches")
    parser.add_argument("--quick", action="store_true", help="the smallest form of every part")
    parser.add_argument("--table", action="store_true", help="print the results as a table, and run nothing")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "prove", metavar="DIR", help="of the results")
    parser.add_argument("--kodak", type=Path, metavar="FOLDER", help="the 24 Kodak pictures, for the part figures")
    parser.add_argument("--dev", type=Path, metavar="FOLDER", help="dev256, for the part figures")
    options = parser.parse_args()
    setting = Setting(options.folder.absolute(), options.quick, options.kodak, options.dev)
    if options.table:
        print(table(setting))
        return 0
    try:
        return 1 if prove(setting, options.only or list(PARTS), options.step) else 0
    except KeyboardInterrupt:
        print("interrupted; the same command resumes", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
