"""The command line. Each command imports what it needs when it runs, so help and errors come at once."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import click

from aecodec import __version__
from aecodec.errors import AecError

INTERRUPTED = 130


class NamedPath(click.Path):
    """A path. `-` alone stands for a standard stream: `./-` is a file of that name, which pathlib would forget."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = super().convert(value, param, ctx)
        return Path.cwd() / "-" if str(path) == "-" != os.fspath(value) else path


PATH = NamedPath(path_type=Path, readable=False)  # an unreadable file is an input error, not a usage error

# Command -> its line in the list of commands. The module of that name in aecodec.cli is imported on demand, or the one
# that _MODULES names.
_COMMANDS = {
    "encode": "Encode the picture IN to the file OUT, or many with --out-dir.",
    "decode": "Decode the file IN to the picture OUT, or many with --out-dir.",
    "info": "Show size, quality and model of files.",
    "verify": "Check files without writing anything.",
    "pack": "Turn the file IN into its compact form, for packets and attributes.",
    "unpack": "Turn the compact file IN into its full form.",
    "cut": "Cut the file IN to fewer bytes, without encoding it again.",
    "bench": "Compare with JPEG, WebP, AVIF and JPEG XL on a folder of pictures.",
    "view": "Look at .aec files in the browser.",
    "browser": "Write what a web site needs to show .aec pictures.",
    "model": "Train, export and list weights.",
    "paper": "Reproduce the paper behind this project.",
}
_MODULES = {"pack": "forms", "unpack": "forms", "cut": "forms"}


class Group(click.Group):
    """A group that suggests the command meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None:
            meant = self.meant_by(ctx, args[0])
            if meant is not None:
                ctx.fail(f"No such command {args[0]!r}. Did you mean {meant!r}?")
        return super().resolve_command(ctx, args)

    def meant_by(self, ctx: click.Context, word: str) -> str | None:
        """The only command with this prefix, or the command or option most like the word."""
        from difflib import get_close_matches

        names = self.list_commands(ctx)
        begun = [name for name in names if name.startswith(word)]
        options = [option for parameter in self.get_params(ctx) for option in parameter.opts]
        near = begun if len(begun) == 1 else get_close_matches(word, names + options, n=1)
        return near[0] if near else None


class _LazyGroup(Group):
    def meant_by(self, ctx: click.Context, word: str) -> str | None:
        if os.path.isfile(word):
            return f"{'decode' if word.lower().endswith('.aec') else 'encode'} {word}"
        return super().meant_by(ctx, word)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"aecodec.cli.{_MODULES.get(cmd_name, cmd_name)}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _print_version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Prints the versions of program, file format and bundled weights, and what runs the networks."""
    if not value or ctx.resilient_parsing:
        return
    from aecodec.codec import manifest
    from aecodec.format.header import VERSION
    from aecodec.native import library

    click.echo(f"aecodec {__version__}\nformat version {VERSION}\nruntime {library.describe()}")
    for folder in manifest.bundled_folders():
        for entry in manifest.entries_of(folder):
            click.echo(f"weights {entry.weights_id.hex()} ({entry.name})")
    ctx.exit()


def _check_environment() -> None:
    """Warns of missing folders. Raises InvalidOption for an unknown runtime."""
    if os.environ.get("AECODEC_RUNTIME"):
        from aecodec.native import library

        library.wanted()
    if os.environ.get("AECODEC_WEIGHTS"):
        from aecodec.codec import manifest

        for folder in manifest.added_folders():
            if not folder.is_dir():
                click.echo(f"{manifest.SEARCH_PATH}: no folder {folder}", err=True)


@click.group(
    cls=_LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "-V",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the versions of program, format and bundled weights, and the runtime in use.",
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """A learned image codec: small photographs to very small files and back.

    \b
    aecodec encode in.jpg out.aec
    aecodec decode out.aec out.png

    Exit codes: 0 success, 1 failure, 2 wrong option, 3 damaged .aec file, 4 a file that needs other weights or another
    release, 130 interrupted (129 by SIGHUP, 143 by SIGTERM).

    Environment: AECODEC_WEIGHTS, folders with weights; AECODEC_RUNTIME, numpy or a kernel set; AECODEC_THREADS, the
    default of --threads.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
    else:
        _check_environment()


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and ends the process; every error is one line on stderr and an exit code."""
    warnings.simplefilter("ignore")  # notices tell the user what matters, one line each
    _prepare_streams()
    exit_code = run(arguments)
    gc.freeze()  # at exit Python would search all objects for garbage: 5 % of a cold start
    sys.exit(exit_code)


def _prepare_streams() -> None:
    """Makes any standard streams fit to use: closed, or of an encoding that lacks a character.

    A closed descriptor would become that of the next file opened, and what is written to standard error would end up
    in an output. So it gets a stand-in that refuses every read and write.
    """
    for descriptor, refusing in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, refusing)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error has it


def run(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0; 1 input, output, limit; 2 usage; 3 damaged `.aec`; 4 other weights or reader; 128 + signal."""
    try:
        result: Any = cli.main(arguments, prog_name="aecodec", standalone_mode=False)
    except click.ClickException as error:
        return fail(error.format_message().rstrip(".") + _hint(error), error.exit_code)
    except AecError as error:
        return fail(str(error), error.exit_code)
    except click.Abort as error:  # what click makes of a KeyboardInterrupt
        return interrupted(error.__cause__)
    except KeyboardInterrupt as error:
        return interrupted(error)
    except OSError as error:
        return fail(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error), 1)
    except MemoryError:
        return fail("out of memory", 1)
    return result if isinstance(result, int) else 0


def _hint(error: click.ClickException) -> str:
    ctx = getattr(error, "ctx", None)
    return "" if ctx is None else f" (see {ctx.command_path} --help)"


def interrupted(error: BaseException | None) -> int:
    """Says so; the exit code is that of the signal which a KeyboardInterrupt names."""
    named = isinstance(error, KeyboardInterrupt) and error.args
    return fail("interrupted", 128 + named[0] if named else INTERRUPTED)


def fail(message: str, exit_code: int) -> int:
    """Prints one line on stderr and returns the exit code."""
    with suppress(OSError):  # of a terminal that was closed
        click.echo("aecodec: " + " ".join(message.splitlines()), err=True)
    return exit_code
