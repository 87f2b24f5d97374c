"""The options of encode and decode: one list, offered whole by the command line; errors are one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from inspect import signature
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

import aecodec
from aecodec import DecodeOptions
from aecodec import EncodeOptions
from aecodec.cli import cli
from aecodec.codec.manifest import find_by_name
from aecodec.options import EFFORT_STEPS
from aecodec.options import quality_of_step
from aecodec.options import quality_step
from helpers.pictures import photograph


def test_encode_takes_the_fields_of_the_record_with_their_defaults() -> None:
    parameters = {name: own.default for name, own in list(signature(aecodec.encode).parameters.items())[1:]}
    record = {own.name: own.default for own in fields(EncodeOptions)}
    assert parameters | {"metadata": frozenset(parameters["metadata"])} == record


def test_decode_takes_the_fields_of_the_record_with_their_defaults() -> None:
    parameters = {name: own.default for name, own in list(signature(aecodec.decode).parameters.items())[1:]}
    assert parameters == {own.name: own.default for own in fields(DecodeOptions)}


@pytest.mark.parametrize(
    ("record", "for_programs"), [(EncodeOptions, {"progress"}), (DecodeOptions, {"weights"})], ids=["encode", "decode"]
)
def test_the_command_line_offers_every_other_field(record: type, for_programs: set[str]) -> None:
    command = cli.get_command(click.Context(cli), "encode" if record is EncodeOptions else "decode")
    assert command is not None
    offered = {parameter.name for parameter in command.params}
    assert {own.name for own in fields(record)} - offered == for_programs


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"quality": 101}, "quality 101 is not a number within 0..100"),
        ({"effort": 1.0}, "effort 1.0 is not a whole number within 0..3"),
        ({"max_pixels": 0}, "max_pixels 0 is not a whole number of at least 1"),
        ({"target_psnr": 0}, "target_psnr 0 is not a number above 0"),
        ({"device": "tpu"}, "device 'tpu' is not one of auto, cpu, cuda"),
        ({"metadata": ["iptc"]}, "unknown metadata 'iptc': choose from icc, exif, xmp and all"),
        ({"quality": 1, "target_size": 9}, "give one of quality, target_size, target_bpp and target_psnr"),
        ({"model": "standard", "weights": Path("w")}, "give one of model and weights"),
    ],
)
def test_a_value_out_of_range_is_one_line(values: dict[str, object], message: str) -> None:
    with pytest.raises(aecodec.InvalidOption) as caught:
        EncodeOptions(**values)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_every_quality_step_has_a_quality_that_leads_back_to_it() -> None:
    assert [quality_step(quality_of_step(step)) for step in range(256)] == list(range(256))


def test_the_figures_of_the_help_are_those_of_the_manifest() -> None:
    details = find_by_name("standard").details
    low, high = details["rounding"][0], details["rounding"][-1]
    shown = " ".join(CliRunner().invoke(cli, ["encode", "--help"]).output.split())
    assert f"preview at 0 ({low['psnr']:.1f} dB, {low['bytes']:,.0f} bytes)" in shown
    assert f"at its default ({quality_of_step(details['default_quality']):.0f})" in shown
    assert f"best at 100 ({high['psnr']:.1f} dB, {high['bytes']:,.0f} bytes)" in shown
    assert f"in {', '.join(map(str, EFFORT_STEPS[1:-1]))} or {EFFORT_STEPS[-1]} steps" in shown


PIXELS = photograph(24, 40)


NO_NUMBER: tuple[Any, ...] = ("a", b"a", [], {}, object(), 1j, (1, 2), float("nan"), -1, 10**400)


NO_PATH: tuple[Any, ...] = (1, 1.5, b"a", [], {}, object(), True, (1, 2), "\0")


NO_FILE: tuple[Any, ...] = (None, 1, 1.5, "text", [1], {}, object(), (1, 2))


OF_ENCODING: dict[str, tuple[Any, ...]] = {
    "quality": NO_NUMBER,
    "target_size": (*NO_NUMBER, 1.5),
    "target_bpp": NO_NUMBER,
    "target_psnr": NO_NUMBER,
    "effort": (*NO_NUMBER, 1.0, None),
    "shrink_to": NO_NUMBER,
    "max_pixels": (*NO_NUMBER, None),
    "weights": NO_PATH,
    "model": (1, [], object()),
    "device": (None, 1, [], object()),
    "metadata": (None, 1, 1.5, object(), [1, "x"], [[]]),
    "progress": (None, 1, "a"),
    "checksum": (None, 1, []),
}


OF_DECODING: dict[str, tuple[Any, ...]] = {name: OF_ENCODING[name] for name in ("max_pixels", "weights", "device")} | {
    "crop": (1, "a", (1,), (1, 2, 3, "a"), (0, 0, 1.5, 1), object())
}


@pytest.fixture(scope="module")
def data() -> bytes:
    return aecodec.encode(PIXELS, 50)


def refused(call: Callable[..., object], *arguments: Any, **named: Any) -> None:
    with pytest.raises(aecodec.AecError) as caught:
        call(*arguments, **named)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", OF_ENCODING)
def test_encoding(name: str):
    for value in OF_ENCODING[name]:
        refused(aecodec.encode, PIXELS, **{name: value})


@pytest.mark.parametrize("name", OF_DECODING)
def test_decoding(name: str, data: bytes):
    for value in OF_DECODING[name]:
        for call in (aecodec.decode, aecodec.decode_pixels):
            refused(call, data, **{name: value})


def test_limits_and_weights_of_other_functions(data: bytes):
    for value in OF_ENCODING["max_pixels"]:
        for call in (aecodec.read_info, aecodec.verify, aecodec.decode_latent):
            refused(call, data, max_pixels=value)
        refused(lambda limit: list(aecodec.decode_stages(data, max_pixels=limit)), value)
    for value in NO_PATH:
        refused(aecodec.decode_latent, data, weights=value)


@pytest.mark.parametrize("value", NO_FILE)
def test_files_and_pictures(value: Any):
    for call in (aecodec.decode, aecodec.decode_latent, aecodec.verify, aecodec.read_info, aecodec.unpack):
        refused(call, value)
    refused(aecodec.encode, value)


def test_the_data_set():
    pytest.importorskip("torch")
    from aecodec.torch_dataset import AecFolder

    for value in (*NO_PATH, None):
        refused(AecFolder, value)
    refused(AecFolder, ".", what=np.zeros(3))
    for value in OF_ENCODING["max_pixels"]:
        refused(AecFolder, ".", max_pixels=value)


def test_targets_beyond_all_floats():
    for target in (5000, 1e300):
        with pytest.raises(aecodec.AecError, match="cannot be reached: the highest quality gives"):
            aecodec.encode(PIXELS, model="tiny", target_psnr=target)
    assert aecodec.read_info(aecodec.encode(PIXELS, model="tiny", target_bpp=1e308)).quality == 100
