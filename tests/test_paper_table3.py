"""Table 3: the four systems against the paper's tables, exact resuming, the report, and bad input in one line."""

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
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from aecodec.cli import run
from aecodec.codec.architectures import paper
from aecodec.errors import InputError
from aecodec.network.layers import Conv
from aecodec.network.layers import walk
from aecodec.paper import references
from aecodec.paper.report import report
from aecodec.paper.report import table
from aecodec.paper.table import SYSTEMS
from aecodec.paper.table import VALIDATION
from aecodec.paper.table import Moment
from aecodec.paper.table import Outcome
from aecodec.paper.table import Reference
from aecodec.paper.table import read_results
from aecodec.paper.table import write_results
from helpers.commands import Refused
from helpers.commands import command as process
from helpers.folders import wait_for
from helpers.paths import ROOT
from helpers.pictures import photograph

torch = pytest.importorskip("torch")
nn = torch.nn
pytest.importorskip("matplotlib")

from aecodec.bench.metrics import l1
from aecodec.paper import table3
from aecodec.paper.devset import load_data
from aecodec.paper.systems import AutoEncoder
from aecodec.paper.systems import Block
from aecodec.paper.systems import load_system
from aecodec.paper.table3 import Table3Options
from aecodec.paper.training import Data
from aecodec.paper.training import Training
from aecodec.paper.training import is_kept
from aecodec.paper.training import learning_rate
from aecodec.train.data import PictureList

BY_NAME = {system.name: system for system in SYSTEMS}

# Tables 1 and 2 as they stand in the paper: output for 256x256, number of 3x3 convolutions, their channels.
ENCODER_TABLE = """
block_0 256x256x16 1x 16
reduce_0 128x128x16 1x 16
block_1 128x128x16 2x 16
reduce_1 64x64x16 1x 16
block_2 64x64x16 2x 16
reduce_2 32x32x16 1x 16
block_3 32x32x16 2x 16
"""
DECODER_TABLE = """
expand_0 32x32x16 1x 16
block_0 32x32x16 2x 16
expand_1 64x64x16 1x 16
block_1 64x64x16 2x 16
expand_2 128x128x16 1x 16
block_2 128x128x16 2x 16
expand_3 256x256x16 1x 16
block_3 256x256x3 1x 3
"""


def described(network: Any, x: Any) -> str:
    """A network in the form of the tables above."""
    lines = []
    for name, module in network.named_children():
        x = module(x)
        layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
        assert {layer.kernel_size for layer in layers} == {(3, 3)}
        (channels,) = {layer.out_channels for layer in layers}
        assert isinstance(module, Block) == name.startswith("block"), "each block has a skip across it"
        lines.append(f"{name} {x.shape[2]}x{x.shape[3]}x{x.shape[1]} {len(layers)}x {channels}")
    return "\n".join(["", *lines, ""])


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "plain_layers", "parameters"),
    [("conv4", 4, 14803), ("conv4-l2", 4, 14803), ("conv6", 6, 24083), ("paper", 0, 44963)],
)
def test_a_system_has_the_latent_of_the_paper_and_the_layers_of_its_name(name: str, plain_layers: int, parameters: int):
    model = AutoEncoder(BY_NAME[name])
    latent = model.encoder(torch.zeros(1, 3, 256, 256))
    assert latent.shape == (1, 16, 32, 32)
    assert model.decoder(latent).shape == (1, 3, 256, 256)
    if plain_layers:
        kinds = [type(layer) for layer in model.modules() if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))]
        assert kinds == [nn.Conv2d] * plain_layers + [nn.ConvTranspose2d] * plain_layers
    assert sum(weights.numel() for weights in model.parameters()) == parameters


def test_the_final_system_has_as_many_parameters_as_the_codec():
    codec = paper()
    layers = [layer for path in (codec.analysis, codec.synthesis) for _, layer in walk(path, "")]
    convolutions = [layer for layer in layers if isinstance(layer, Conv)]
    assert sum((c.inputs * c.kernel**2 + 1) * c.outputs for c in convolutions) == 44963


@torch.no_grad()
def test_the_final_system_is_tables_1_and_2():
    model = AutoEncoder(BY_NAME["paper"])
    assert described(model.encoder, torch.zeros(1, 3, 256, 256)) == ENCODER_TABLE
    assert described(model.decoder, torch.zeros(1, 16, 32, 32)) == DECODER_TABLE


def test_the_skip_is_over_the_channels_that_both_ends_have():
    x = torch.arange(3.0)[None, :, None, None]
    assert Block(nn.ConstantPad3d((0, 0, 0, 0, 0, 2), 7.0))(x).flatten().tolist() == [0, 2, 4, 7, 7]
    assert Block(nn.Conv2d(3, 1, 1))(x).shape == (1, 1, 1, 1)


def test_the_learning_rate_falls_over_the_second_half(data: Path, tmp_path: Path):
    setup = training("conv4", data, tmp_path / "work").setup
    rates = [learning_rate(setup, share) for share in (0, 0.5, 0.75, 1, 1.1)]
    assert rates == pytest.approx([1e-3, 1e-3, 5.1e-4, 2e-5, 2e-5])


def test_pictures_are_kept_after_epochs_that_double():
    assert [epoch / 2 for epoch in range(40) if is_kept(epoch / 2)] == [1, 2, 4, 8, 16]


def save_pictures(folder: Path, seeds: range, side: int = 48) -> Path:
    folder.mkdir(parents=True)
    for seed in seeds:
        Image.fromarray(photograph(side, side, seed)).save(folder / f"{seed:03}.png")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like the output of `aecodec paper dataset`; two of the dev pictures may be shown."""
    root = tmp_path_factory.mktemp("data")
    save_pictures(root / "train", range(7, 16))  # none of them falls to validation
    save_pictures(root / "dev", range(100, 104), side=64)
    rows = ["file,author,original,licence", "dev/101.png,A. N. Author,https://example.org/1,CC BY 2.0"]
    rows += ["dev/102.png,Nobody,https://example.org/2,unknown", "dev/103.png,An Other,https://example.org/3,CC0 1.0"]
    (root / "ATTRIBUTION.csv").write_text("\n".join(rows), "utf-8")
    return root


def command(data: Path, out: Path, *others: str, epochs: str = "2") -> list[str]:
    options = ["--data", str(data), "--out", str(out), "--crop", "32", "--batch-size", "4", "--threads", "1"]
    return ["paper", "table3", *options, *(["--epochs", epochs] if epochs else []), *others]


def training(name: str, data: Path, work: Path, **changes: object) -> Training:
    """Of two epochs of three steps."""
    found = load_data(data, None, 32, (), work)
    options = Table3Options(data, work, epochs=2, crop=32, batch_size=4)
    pictures = Data(PictureList(found.training), found.dev, tuple(found.shown.values()), torch.device("cpu"))
    work.mkdir(exist_ok=True)
    setup = replace(table3.setup_of(options, found), **changes)  # type: ignore[arg-type]
    return Training(BY_NAME[name], setup, pictures, work)


class Cut(Exception):
    """Ends a process, as far as the training can tell."""


def cut_after(calls: int) -> Mock:
    return Mock(side_effect=[None] * (calls - 1) + [Cut])


@pytest.mark.parametrize("name", ["conv4-l2", "paper"])
def test_a_run_that_was_cut_ends_in_the_same_weights(name: str, data: Path, tmp_path: Path):
    whole = training(name, data, tmp_path / "whole")
    outcome = whole.run()
    assert outcome.finished
    assert [moment.epoch for moment in outcome.curve] == [1, 2]
    for calls in (2, 4, 2):  # in the first epoch, at its end with the checkpoint written, in the second
        with pytest.raises(Cut):
            training(name, data, tmp_path / "cut").run(tell=cut_after(calls))
    assert not training(name, data, tmp_path / "cut").run(Mock(side_effect=[False, True])).finished
    resumed = training(name, data, tmp_path / "cut")
    assert resumed.epoch == pytest.approx(4 / 3, abs=0.001), "the interrupt left a checkpoint after one step"
    again = resumed.run()
    assert resumed.weights() == whole.weights()
    assert [replace(m, seconds=0) for m in again.curve] == [replace(m, seconds=0) for m in outcome.curve]


def test_repeats_an_interrupted_measurement(data: Path, tmp_path: Path):
    stops = Mock(side_effect=[False] * 6 + [True] * 9)  # three steps, then between two dev pictures
    first = training("conv4", data, tmp_path / "work")
    assert first.run(stops).curve == ()
    assert first.epoch == 1
    curve = training("conv4", data, tmp_path / "work").run().curve
    assert [moment.epoch for moment in curve] == [1, 2]
    assert curve[0].loss > 0


def test_it_learns(data: Path, tmp_path: Path):
    outcome = training("conv4", data, tmp_path / "work", epochs=20).run()
    assert outcome.curve[-1].dev_l1 < 0.5 * outcome.curve[0].dev_l1
    assert outcome.l1 == outcome.curve[-1].dev_l1


def test_minutes_limit_a_run_as_well(data: Path, tmp_path: Path):
    limited = training("conv4", data, tmp_path / "work", epochs=None, minutes=0.1 / 60)
    outcome = limited.run()
    assert outcome.finished
    assert 0.1 <= outcome.seconds < 3
    assert outcome.curve[-1].epoch == limited.epoch


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
    assert started.returncode == (130 if number == signal.SIGTERM else -number)
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


def test_work_of_other_settings_is_refused(data: Path, tmp_path: Path):
    with pytest.raises(Cut):
        training("conv4", data, tmp_path / "work").run(tell=cut_after(5))
    with pytest.raises(InputError, match="begun with other settings or pictures"):
        training("conv4", data, tmp_path / "work", epochs=3)
    (tmp_path / "work" / "conv4.pt").rename(tmp_path / "work" / "conv4-l2.pt")
    with pytest.raises(InputError, match="of another system"):
        training("conv4-l2", data, tmp_path / "work")


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


def test_principal_components_are_exact_where_sixteen_suffice():
    generator = np.random.default_rng(0)
    basis = generator.normal(0, 3, (16, 8, 8, 3))

    def of_the_span() -> np.ndarray:
        blocks = np.einsum("rck,kyxd->rycxd", generator.normal(0, 3, (8, 8, 16)), basis)
        return (blocks.reshape(64, 64, 3) + 128).round().clip(0, 255).astype(np.uint8)

    training, dev = [of_the_span() for _ in range(20)], [of_the_span()]
    assert references.principal_components(training, dev).l1 < 0.004
    assert references.principal_components(training, [photograph(64, 64, 1)]).l1 > 0.03


def test_jpeg_keeps_within_one_percent_or_is_counted():
    pixels = photograph(256, 256)
    (jpeg,) = references.peers_named(["jpeg"])
    sizes = {quality: len(jpeg.encode(pixels, quality)) for quality in range(1, 101)}
    largest = max(quality for quality, size in sizes.items() if size <= 1966)
    assert largest < 100
    expected = l1(pixels, jpeg.decode(jpeg.encode(pixels, largest)))
    assert references.jpeg([pixels]) == Reference(pytest.approx(expected), beyond=0)
    assert references.jpeg([pixels, photograph(48, 48)]).beyond == 1, "its headers alone take more than that"


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
