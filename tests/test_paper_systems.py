"""The auto-encoders of the paper's Table 3, and how they are trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from aecodec.codec.architectures import paper
from aecodec.errors import InputError
from aecodec.network.layers import Conv
from aecodec.network.layers import walk
from aecodec.paper import references
from aecodec.paper.table import SYSTEMS
from aecodec.paper.table import Reference
from helpers.pictures import photograph

torch = pytest.importorskip("torch")

pytest_plugins = ["helpers.paper_runs"]


nn = torch.nn
from aecodec.bench.metrics import l1
from aecodec.paper import table3
from aecodec.paper.devset import load_data
from aecodec.paper.systems import AutoEncoder
from aecodec.paper.systems import Block
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


def test_work_of_other_settings_is_refused(data: Path, tmp_path: Path):
    with pytest.raises(Cut):
        training("conv4", data, tmp_path / "work").run(tell=cut_after(5))
    with pytest.raises(InputError, match="begun with other settings or pictures"):
        training("conv4", data, tmp_path / "work", epochs=3)
    (tmp_path / "work" / "conv4.pt").rename(tmp_path / "work" / "conv4-l2.pt")
    with pytest.raises(InputError, match="of another system"):
        training("conv4-l2", data, tmp_path / "work")


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
