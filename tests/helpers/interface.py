"""What users build on: the public names with their parameters, the commands with their options, the extras.

    PYTHONPATH=.:tests python -m helpers.interface

writes the present state to `tests/interface.json`. From 1.0 on, lines are only added to that file.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from configparser import ConfigParser

import click

import aecodec
from aecodec.cli import cli
from helpers.paths import ROOT

RECORD = ROOT / "tests" / "interface.json"
_FOR_DEVELOPERS = {"test", "docs"}  # extras


def interface() -> dict[str, list[str]]:
    """A name or a command -> its parts, sorted."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", "utf-8")
    extras = sorted(set(setup["options.extras_require"]) - _FOR_DEVELOPERS)
    names = {f"aecodec.{name}": sorted(_parts(getattr(aecodec, name))) for name in aecodec.__all__}
    return names | dict(_commands("aecodec", cli)) | {"extras": extras}


def _parts(value: object) -> Iterator[str]:
    """The parameters of a function or a record; the bases and the exit code of an exception."""
    if isinstance(value, type) and issubclass(value, aecodec.AecError):
        yield from (base.__name__ for base in value.__mro__[1:] if issubclass(base, aecodec.AecError))
        yield f"exit code {value.exit_code}"
    else:
        yield from inspect.signature(value).parameters  # type: ignore[arg-type]


def _commands(name: str, command: click.Command) -> Iterator[tuple[str, list[str]]]:
    flags = (flag for own in command.params for flag in (*own.opts, *own.secondary_opts))
    yield name, sorted(flag for flag in flags if flag.startswith("-"))
    if isinstance(command, click.Group):
        context = click.Context(command)
        for own in command.list_commands(context):
            found = command.get_command(context, own)
            assert found is not None
            yield from _commands(f"{name} {own}", found)


if __name__ == "__main__":
    RECORD.write_text(json.dumps(interface(), indent=1) + "\n", "utf-8")
