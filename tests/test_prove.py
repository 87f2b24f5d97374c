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
from tools.steps import Claim
from tools.steps import Setting
from tools.steps import Step

pytestmark = pytest.mark.skipif(not (ROOT / "setup.cfg").is_file(), reason="needs the project's own tree")


def says(text: str, code: int = 0) -> list[str]:
    return [sys.executable, "-c", f"import sys; print({text!r}); sys.exit({code})"]


def setting(folder: Path, quick: bool = True) -> Setting:
    return Setting(folder, quick)


def all_steps(folder: Path, quick: bool = False) -> list[Step]:
    """Of every part, with all that can be named."""
    known = Setting(folder, quick, folder, folder, folder)
    return [step for part in PARTS.values() for step in part(known)]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """The steps of the only part, to be filled by a test."""
    own: list[Step] = []

    def part(setting: Setting) -> Iterator[Step]:
        yield from own

    monkeypatch.setattr(prove, "PARTS", {"part": part})
    monkeypatch.setattr(prove, "subject", lambda part: "now")
    return own


def test_successful_parts_are_not_repeated(
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


def test_a_page_that_was_changed_needs_no_new_run(
    steps: list[Step], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, count = tmp_path / "page.md", tmp_path / "count"
    page.write_text("it has 3 dB")
    measure = [sys.executable, "-c", f"open({str(count)!r}, 'a').write('x'); print('4 dB')"]
    steps.append(Step("one", [measure], "dB", (Claim(str(page), r"([\d.]+) dB", r"([\d.]+) dB", 0),)))
    assert prove.prove(setting(tmp_path), ["part"]) == 1
    assert "4 (3) in" in capsys.readouterr().out
    page.write_text("it has 4 dB")
    assert prove.prove(setting(tmp_path), ["part"]) == 0
    assert "| part | one | 4 (4) in" in prove.table(setting(tmp_path))
    page.write_text("it has 5 dB")
    assert prove.prove(setting(tmp_path), ["part"]) == 1
    assert count.read_text() == "x"


def test_steps_are_chosen_by_their_names(steps: list[Step], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps += [Step(name, [says(name)], "^.+") for name in ("compact 0", "full 0", "full 1")]
    assert prove.prove(setting(tmp_path), ["part"], re.compile("full")) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["part, full 0", "part, full 1"]


def test_the_table_has_every_part(steps: list[Step], tmp_path: Path) -> None:
    steps += [Step("good", [says("a | b")], "^a.*"), Step("bad", [says("")], "nothing")]
    assert prove.prove(setting(tmp_path), ["part"]) == 1
    rows = prove.table(setting(tmp_path)).splitlines()[2:]
    assert rows[0].startswith(r"| part | good | a \| b | 0.") and rows[1].startswith(
        "| part | bad | **failed**: no res"
    )
    assert prove.table(setting(tmp_path, quick=False)).splitlines()[2:] == ["| part | | not run | | |"]


@pytest.mark.parametrize(
    ("found", "ok"),
    [
        ("25.82 dB", True),
        ("25.825 dB", True),
        ("25.91 dB", False),
        ("12 dB\n25.82 dB", True),
        ("25.82 dB\n12 dB", False),
        ("none", False),
    ],
)
def test_a_figure_is_compared_with_its_page(found: str, ok: bool, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("it has 25.82 dB")
    step = Step("one", [], "^.", (Claim(str(page), r"has ([\d.]+) dB", r"^([\d.]+) dB", 0.01),))
    assert prove.judge(step, f"0 of 2\r1 of 2\r\n{found}\n")[0] is ok


def test_rows_are_compared_in_order_and_those_that_differ_are_told(tmp_path: Path) -> None:
    page, row = tmp_path / "page.md", r"^\| \w+ \| ([\d.,]+|inf) \| ([\d.,]+|inf) \|$"
    page.write_text("| a | 1,000 | 2 |\n| b | 3 | inf |\n")
    near = Claim(str(page), row, row, 0.1, relative=True)
    assert near.compare("| a | 1,050 | 2.1 |\n| b | 3 | inf |\n") == (True, f"4 figures of {page} within 10 %")
    assert near.compare("| a | 1,050 | 9 |\n| b | 3 | inf |\n") == (False, f"9 (2) in {page}")
    assert not near.compare("| a | 1,050 | 9 |\n")[0]
    page.write_text("no table")
    assert near.compare("| b | 3 | inf |\n") == (False, f"{page} lacks the figure 3 and inf")


def test_every_claim_is_on_its_page(tmp_path: Path) -> None:
    claims = [claim for step in all_steps(tmp_path) for claim in step.claims]
    pages = {claim.page for claim in claims}
    assert pages >= {
        f"docs/{name}.md"
        for name in ("speed", "compare", "effort", "tiny", "cluster", "reliability", "demo", "browser")
    }
    for claim in claims:
        assert re.search(claim.figures, (ROOT / claim.page).read_text("utf-8"), re.MULTILINE), claim


def test_the_page_has_the_table() -> None:
    block = (ROOT / "docs" / "reliability.md").read_text("utf-8").split(prove.START)[1].split(prove.END)[0]
    rows = [line.split(" | ")[0].strip("| ") for line in block.strip().splitlines()]
    assert list(dict.fromkeys(rows)) == ["part", "|---|---|---|---|---|".strip("| "), *PARTS]


def test_a_page_gets_the_table_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{prove.START}\nold\n{prove.END}\nafter\n")
    prove.write_page(page, setting(tmp_path))
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert prove.table(setting(tmp_path)) in text
    page.write_text("no marks")
    with pytest.raises(SystemExit, match="lacks the marks"):
        prove.write_page(page, setting(tmp_path))


@pytest.mark.parametrize("quick", [False, True])
def test_the_files_that_the_steps_run_exist(quick: bool, tmp_path: Path) -> None:
    steps = all_steps(tmp_path, quick)
    words = {word for step in steps for command in step.commands for word in command}
    assert all((ROOT / word).is_file() for word in words if re.match(r"(tests|benchmarks|tools)/\S+$", word))
    assert all(part.__doc__ for part in PARTS.values())
    assert len({step.name for step in steps}) > 10
