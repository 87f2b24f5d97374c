"""The one family of exceptions. Each knows the exit code of the command line and is one clear line."""

from __future__ import annotations


class AecError(Exception):
    """Base of everything aecodec raises on purpose; `exit_code` is what the command exits with."""

    exit_code = 1


class InputError(AecError):
    """The input is missing, unreadable or no picture."""


class OutputError(AecError):
    """The output cannot be written."""


class MissingExtra(AecError):
    """What was asked for needs an optional dependency (`pip install "aecodec[torch]"`)."""


class LimitExceeded(AecError):
    """A picture is larger than a limit; the message names limit and value."""


class InvalidOption(AecError):
    """An option has a value out of its range, or contradicts another one."""

    exit_code = 2


class OutsidePicture(AecError):
    """A region that was asked for is not within the picture."""

    exit_code = 2


class CorruptFile(AecError):
    """The `.aec` bytes are damaged, cut short, or not an `.aec` at all."""

    exit_code = 3


class HeaderLimitExceeded(CorruptFile, LimitExceeded):
    """An `.aec` header asks for more than the limit allows: refused before anything is allocated."""

    exit_code = 3


class UnsupportedVersion(AecError):
    """The file was written by a newer format version than this reader knows."""

    exit_code = 4


class UnknownWeights(AecError):
    """The file names weights that are not on the search path, or a weights file is damaged."""

    exit_code = 4
