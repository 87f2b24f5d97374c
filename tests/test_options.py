"""The options of encode and decode: one list, offered whole by the command line, with figures from the manifest."""

from __future__ import annotations

from dataclasses import fields
from inspect import signature

import click
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
