"""The command that proves a release: results are kept and resumed, figures compared with pages, failures named."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.paths import ROOT
from tools import prove
from tools.proofs import PARTS
from tools.proofs import Claim
from tools.proofs import Setting
from tools.proofs import Step
from tools.proofs import figures

pytestmark = pytest.mark.skipif(not (ROOT / "setup.cfg").is_file(), reason="needs the project's own tree")


def says(text: str, code: int = 0) -> list[str]:
    return [sys.executable, "-c", f"import sys; print({text!r}); sys.exit({code})"]


def setting(folder: Path, quick: bool = True) -> Setting:
    return Setting(folder, quick, None, None)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """The steps of the only part, to be filled by a test."""
    own: list[Step] = []

    def part(setting: Setting) -> Iterator[Step]:
        yield from own

    monkeypatch.setattr(prove, "PARTS", {"part": part})
    monkeypatch.setattr(prove, "subject", lambda part: "now")
    return own


def test_what_succeeded_is_not_repeated(
    steps: list[Step], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps += [Step("good", [says("3 passed")], "^.* passed"), Step("bad", [says("3 passed", 1)], "^.* passed")]
    assert prove.prove(setting(tmp_path), ["part"]) == 1
    with (tmp_path / "results.jsonl").open("a") as journal:
        journal.write('{"part": "part", "st')  # as a killed run leaves it
    steps[1] = Step("bad", [says("4 passed")], "^.* passed")
    assert prove.prove(setting(tmp_path), ["part"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("part, good: 3 passed (") and said[1].startswith("part, bad: FAILED: exit code 1 of ")
    assert said[2] == "part, good: proved before" and said[3].startswith("part, bad: 4 passed (")
    monkeypatch.setattr(prove, "subject", lambda part: "later")
    assert prove.prove(setting(tmp_path), ["part"]) == 0
    assert "before" not in capsys.readouterr().out
    assert prove.prove(setting(tmp_path, quick=False), ["part"]) == 0, "a quick result proves nothing in full"
    assert "before" not in capsys.readouterr().out
    assert [json.loads(line)["ok"] for line in (tmp_path / "results.jsonl").read_text().splitlines() if line[-1] == "}"]


def test_the_table_has_every_part(steps: list[Step], tmp_path: Path) -> None:
    steps += [Step("good", [says("a | b")], "^a.*"), Step("bad", [says("")], "nothing")]
    assert prove.prove(setting(tmp_path), ["part"]) == 1
    rows = prove.table(setting(tmp_path)).splitlines()[2:]
    assert rows[0].startswith(r"| part | good | a \| b | 0.") and rows[1].startswith(
        "| part | bad | **failed**: no res"
    )
    assert prove.table(setting(tmp_path, quick=False)).splitlines()[2:] == ["| part | | not run | | |"]


@pytest.mark.parametrize(
    ("found", "ok"), [("25.82 dB", True), ("25.825 dB", True), ("25.91 dB", False), ("none", False)]
)
def test_a_figure_is_compared_with_its_page(found: str, ok: bool, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("it has 25.82 dB")
    step = Step("one", [], r"^([\d.]+) dB", Claim(str(tmp_path / "page.md"), r"has ([\d.]+) dB", 0.01))
    assert prove.judge(step, f"0 of 2\r1 of 2\r\n{found}\n")[0] is ok


def test_every_claim_is_on_its_page(tmp_path: Path) -> None:
    claims = [step.claim for step in figures(Setting(tmp_path, False, tmp_path, tmp_path)) if step.claim]
    assert len(claims) >= 3
    for claim in claims:
        assert re.search(claim.figures, (ROOT / claim.page).read_text("utf-8"), re.MULTILINE), claim


@pytest.mark.parametrize("quick", [False, True])
def test_what_the_steps_run_is_there(quick: bool, tmp_path: Path) -> None:
    steps = [step for part in PARTS.values() for step in part(Setting(tmp_path, quick, tmp_path, tmp_path))]
    words = {word for step in steps for command in step.commands for word in command}
    assert all((ROOT / word).is_file() for word in words if re.match(r"(tests|benchmarks|tools)/\S+$", word))
    assert all(part.__doc__ for part in PARTS.values())
    assert len({step.name for step in steps}) > 10
