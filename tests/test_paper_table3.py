"""`aecodec paper table3`: its runs, results and page."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aecodec.cli import run
from aecodec.errors import InputError
from aecodec.paper import references
from aecodec.paper.report import report
from aecodec.paper.report import table
from aecodec.paper.table import SYSTEMS
from aecodec.paper.table import VALIDATION
from aecodec.paper.table import Moment
from aecodec.paper.table import Outcome
from aecodec.paper.table import read_results
from aecodec.paper.table import write_results
from helpers.commands import Refused
from helpers.commands import command as process
from helpers.folders import wait_for
from helpers.paths import ROOT

torch = pytest.importorskip("torch")
from aecodec.bench.metrics import l1
from aecodec.paper import table3
from aecodec.paper.devset import load_data
from aecodec.paper.systems import load_system
from helpers.paper_runs import save_pictures

pytest_plugins = ["helpers.paper_runs"]


BY_NAME = {system.name: system for system in SYSTEMS}


def command(data: Path, out: Path, *others: str, epochs: str = "2") -> list[str]:
    options = ["--data", str(data), "--out", str(out), "--crop", "32", "--batch-size", "4", "--threads", "1"]
    return ["paper", "table3", *options, *(["--epochs", epochs] if epochs else []), *others]


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    assert run(command(data, out)) == 0
    return out


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "out"))


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must fail; the last line on stderr."""

    def last_line(arguments: list[str], exit_code: int = 1) -> str:
        assert run(arguments) == exit_code
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith("aecodec: ")
        return line

    return last_line


def test_the_report_of_a_run(finished: Path, data: Path):
    results = read_results(finished)
    page = (finished / "README.md").read_text("utf-8")
    assert page == report(results)
    content = json.loads((finished / "results.json").read_text("utf-8"))
    for system in SYSTEMS:
        found = content["table3"][system.name]
        assert {"l1", "epochs", "seconds", "parameters"} <= found.keys()
        row = next(line for line in page.splitlines() if f"(`{system.name}`)" in line)
        cells = [cell.strip() for cell in row.split("|")[2:-1]]
        assert cells[:3] == [f"{system.paper_l1:.4f}", f"{found['l1']:.4f}", "2"]
        assert cells[4] == f"{found['parameters']:,}"
    assert set(results.references) == set(references.TITLES)
    assert results.setup.shown == ("101.png", "103.png"), "those that may be shown"
    assert "A. N. Author, CC BY 2.0" in page
    for name in re.findall(r"\]\((\S+)\)", page):
        assert (finished / name).is_file()
    with Image.open(finished / "figure1.jpg") as figure:
        assert figure.width == 3 * 64 + 2 * 6, "input, epoch 1, epoch 2"
        left = np.asarray(figure)[28:92, :64]
    assert l1(left, np.asarray(Image.open(data / "dev" / "101.png"))) < 0.05


@torch.no_grad()
@pytest.mark.parametrize("name", BY_NAME)
def test_the_weights_of_a_run_are_small_and_give_its_figure(name: str, finished: Path, data: Path):
    path = finished / f"{name}.safetensors"
    assert path.stat().st_size < 300_000
    model = load_system(BY_NAME[name], str(path))
    losses = []
    for file in (data / "dev").iterdir():
        x = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)
        back = (model(x[None] / 255)[0].clamp(0, 1) * 255).round()
        losses.append(float((x - back).abs().mean() / 255))
    assert np.mean(losses) == pytest.approx(read_results(finished).table3[name].l1, abs=1e-4)


def test_finished_systems_are_not_trained_again(
    finished: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(table3, "Training", None)
    assert run(command(data, finished)) == 0
    assert capsys.readouterr().out.strip() == table(read_results(finished))


def test_other_settings_do_not_mix_with_a_run(finished: Path, data: Path, refused: Callable[..., str]):
    message = "begun with other settings or pictures (epochs: 2.0, not 3.0)"
    assert refused(command(data, finished, epochs="3")) == f"aecodec: {finished}: {message}"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_resumes_after_a_killed_process(number: signal.Signals, data: Path, tmp_path: Path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(process(*command(data, whole, epochs="20")), check=True, capture_output=True)
    started = subprocess.Popen(process(*command(data, killed, epochs="20")), stderr=subprocess.PIPE)
    wait_for((killed / "work" / "conv6.pt").exists)
    assert started.poll() is None
    os.kill(started.pid, number)
    started.communicate()
    assert started.returncode == (128 + number if number == signal.SIGTERM else -number)
    subprocess.run(process(*command(data, killed, epochs="20")), check=True, capture_output=True)
    for name in BY_NAME:
        assert (whole / f"{name}.safetensors").read_bytes() == (killed / f"{name}.safetensors").read_bytes()


def test_the_table_of_an_unfinished_run(finished: Path):
    curve = (Moment(1.0, 5.0, 0.2, 0.11),)
    results = replace(read_results(finished), table3={"conv6": Outcome(0.11, 1.0, 5.0, 24083, False, curve)})
    rows = table(results).splitlines()
    assert [cell.strip() for cell in rows[3].split("|")[3:5]] == ["0.1100", "1 (unfinished)"]
    assert [cell.strip() for cell in rows[2].split("|")[3:5]] == ["-", "-"]


def test_results_are_read_as_written(finished: Path, tmp_path: Path):
    results = read_results(finished)
    write_results(tmp_path, results)
    assert read_results(tmp_path) == results
    assert read_results(tmp_path / "nowhere") is None


def slots(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a value in JSON, as the dict or list that holds it and the key there."""
    for key, each in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(each, (dict, list)):
            yield from slots(each)


@pytest.mark.parametrize("damaged", [None, "text", [], {}, True, -1.5])
def test_results_of_other_types_are_an_error(damaged: object, finished: Path, tmp_path: Path):
    """Replaces each value in turn by one of another type."""
    content = json.loads((finished / "results.json").read_bytes())
    for owner, key in slots(content):
        whole, owner[key] = owner[key], damaged
        (tmp_path / "results.json").write_text(json.dumps(content), "utf-8")
        owner[key] = whole
        try:
            report(read_results(tmp_path))
        except InputError as error:
            assert "not the results of a run" in str(error)


def test_the_page_in_the_examples_is_that_of_its_results():
    folder = ROOT / "examples" / "paper"
    assert (folder / "README.md").read_text("utf-8") == report(read_results(folder), table3.read_remarks(folder))


def test_a_refused_command_leaves_a_run_as_it_was(copied: Path, data: Path, refused: Callable[..., str]):
    (copied / "results.json").unlink()
    assert "begun with other settings or pictures" in refused(command(data, copied, "--seed", "1"))
    assert not (copied / "results.json").exists()
    assert run(command(data, copied)) == 0


def test_remakes_what_a_finished_run_has_lost_or_leaves_it_out_of_the_page(copied: Path, data: Path):
    weights, page = (copied / "conv4.safetensors").read_bytes(), (copied / "README.md").read_text("utf-8")
    assert "](figure1.jpg)" in page
    (copied / "conv4.safetensors").unlink()
    (copied / "figure1.jpg").unlink()
    (copied / "work" / "paper-epoch-1-1.png").write_bytes(b"no picture")
    assert run(command(data, copied)) == 0
    assert (copied / "conv4.safetensors").read_bytes() == weights
    assert (copied / "README.md").read_text("utf-8") == page
    shutil.rmtree(copied / "work")
    (copied / "figure1.jpg").unlink()
    assert run([*command(data, copied), "--threads", "2"]) == 0
    page = (copied / "README.md").read_text("utf-8")
    assert "figure1.jpg" not in page
    assert "threads: 1." in page, "as it was trained"


def test_file_names_that_are_no_text_do_not_end_a_run(tmp_path: Path):
    photos, dev = save_pictures(tmp_path / "photos", range(5)), save_pictures(tmp_path / "dev", range(5, 7))
    (dev / "005.png").rename(dev / os.fsdecode(b"caf\xe9.png"))
    assert run(["paper", "table3", "--dev", str(dev), *command(photos, tmp_path / "out", epochs="1")[2:]]) == 0
    assert "caf" in (tmp_path / "out" / "README.md").read_text("utf-8")


def test_the_command_of_a_page_is_that_of_its_run(finished: Path):
    results = read_results(finished)
    setup = replace(results.setup, epochs=0.1234567, shown=("a b.png",))
    page = report(replace(results, setup=setup))
    assert "--epochs 0.1234567 --crop 32 --batch-size 4 --seed 0 \\\n    --shown 'a b.png'" in page
    page = report(replace(results, setup=replace(setup, epochs=None, minutes=5.0, dev=VALIDATION)))
    assert "--out DIR --data DATA --budget 20 --crop 32" in page
    assert "--dev" not in page
    assert "--shown" not in page


def test_remarks_go_into_the_page_below_the_table(copied: Path, data: Path):
    (copied / "remarks.md").write_text("\nWhat somebody saw.\n", "utf-8")
    assert run(command(data, copied)) == 0
    page = (copied / "README.md").read_text("utf-8")
    assert "\n\nWhat somebody saw.\n\n## Training curves" in page
    assert page.replace("What somebody saw.\n\n", "") == report(read_results(copied))


def test_without_a_dev_set_the_validation_part_stands_in(tmp_path: Path):
    photos = save_pictures(tmp_path / "photos", range(120))
    found = load_data(photos, None, 32, (), tmp_path / "out")
    assert found.dev
    assert len(found.training) + len(found.dev) == 120
    other = load_data(photos, save_pictures(tmp_path / "dev", range(200, 203)), 32, ["202.png"], tmp_path / "out")
    assert len(other.training) == 120
    assert other.shown == {"202.png": 2}
    assert other.authors == {}
    assert other.notices == []


def test_dev_pictures_are_not_trained_on_and_unreadable_ones_are_reported(tmp_path: Path):
    photos, dev = save_pictures(tmp_path / "photos", range(5)), save_pictures(tmp_path / "dev", range(3, 8))
    (dev / "broken.png").write_bytes(b"no picture")
    found = load_data(photos, dev, 32, (), tmp_path / "out")
    assert len(found.training) == 3
    assert len(found.dev) == 5
    broken, twice = found.notices
    assert "broken.png" in broken
    assert twice == "left out: 2 training pictures that are dev pictures too"


@pytest.mark.parametrize(
    ("options", "exit_code", "message"),
    [
        (["--data", "nowhere", "--epochs", "1"], 1, "nowhere: not a folder"),
        (["--data", "empty", "--epochs", "1"], 1, "empty: no picture to train on (0 unreadable, 0 smaller than 128)"),
        (["--data", "data/train", "--dev", "empty", "--epochs", "1"], 1, "empty: no picture in it"),
        (["--data", "data/train", "--dev", "nowhere", "--epochs", "1"], 1, "nowhere: No such file or directory"),
        (["--data", "data", "--dev", "data/dev", "--epochs", "1"], 1, "data/dev: lies in data, so it would be"),
        (["--data", "data/train", "--epochs", "1", "--crop", "32"], 1, "data/train: too few photographs to keep some"),
        (["--data", "data", "--epochs", "1", "--crop", "32", "--shown", "x.png"], 1, "x.png: no picture of the dev"),
        (["--data", "data/train", "--out", "data/train/x", "--epochs", "1"], 1, "data/train/x: lies in data/train"),
        (["--data", "data/train", "--dev", "data/dev", "--out", "data/dev/x", "--epochs", "1"], 1, "be dev pictures"),
        (["--data", "data", "--budget", "5e-324"], 2, "--budget"),
        (["--data", "data", "--epochs", "nan"], 2, "nan is not in the range"),
        (["--data", "data", "--budget", "inf"], 2, "inf is not in the range"),
        (["--data", "data", "--epochs", "1", "--seed", "9" * 5000], 2, "--seed"),
        (["--data", "data", "--epochs", "1", "--threads", "99999999"], 2, "--threads"),
        (["--data", "data"], 2, "give either epochs or a budget in minutes"),
        (["--data", "data", "--epochs", "1", "--budget", "1"], 2, "give either epochs or a budget in minutes"),
        (["--data", "data", "--epochs", "0"], 2, "0.0 is not in the range x>0"),
        (["--data", "data", "--epochs", "1", "--crop", "33"], 2, "the crop is a multiple of 8, not 33"),
    ],
)
def test_bad_input_is_one_line(
    options: list[str],
    exit_code: int,
    message: str,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(data)
    (tmp_path / "empty").mkdir()
    assert message in Refused(tmp_path, capsys)(exit_code, "paper", "table3", "--out", "out", *options)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("out/results.json", b'{"setup": 3}', "results.json: not the results of a run"),
        (Path("out", "work", "conv4.pt"), b"no checkpoint", "conv4.pt: not a readable checkpoint"),
        ("out/remarks.md", b"\xff", "remarks.md: not UTF-8"),
        ("out", b"", "out/work: Not a directory"),
        ("data/ATTRIBUTION.csv", b"name,licence\nx,CC0\n", "ATTRIBUTION.csv: not a readable table"),
    ],
)
def test_a_damaged_file_is_one_line(
    file: str | Path, content: bytes, message: str, data: Path, tmp_path: Path, refused: Callable[..., str]
):
    shutil.copytree(data, tmp_path / "data")
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    assert message in refused(command(tmp_path / "data", tmp_path / "out"))
