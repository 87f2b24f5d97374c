"""The exceptions of aecodec. Each class has the exit code of the command, each message is one line."""

from __future__ import annotations


class AecError(Exception):
    """Base of everything aecodec raises on purpose; the command exits with `exit_code`."""

    exit_code = 1


class InputError(AecError):
    """The input is missing, unreadable or not a picture."""


class OutputError(AecError):
    """The output cannot be written."""


class UnreachableTarget(AecError):
    """A target in bytes or dB that no quality of the model reaches for this picture."""


class MissingExtra(AecError):
    """The request needs an optional dependency (`pip install "aecodec[torch]"`)."""


class LimitExceeded(AecError):
    """A picture is larger than a limit; the message names limit and value."""


class InvalidOption(AecError):
    """An option has a value out of its range, or contradicts another one."""

    exit_code = 2


class OutsidePicture(AecError):
    """The requested region is not within the picture."""

    exit_code = 2


class CorruptFile(AecError):
    """The bytes are damaged, cut short, or not an `.aec` file."""

    exit_code = 3


class HeaderLimitExceeded(CorruptFile, LimitExceeded):
    """An `.aec` header asks for more than the limit allows: refused before anything is allocated."""

    exit_code = 3


class UnsupportedVersion(AecError):
    """The file has a format version that this reader does not know: a newer one, or version 0."""

    exit_code = 4


class UnknownWeights(AecError):
    """The file names weights that are not on the search path, or a weights file is damaged."""

    exit_code = 4


class UnknownModel(InvalidOption, UnknownWeights):
    """No model on the search path has the name that was asked for."""

    exit_code = 2
