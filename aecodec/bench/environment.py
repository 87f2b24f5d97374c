"""The machine and the versions behind a run's figures."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np

import aecodec
from aecodec.batch.workers import cores
from aecodec.bench.result import Environment

_CPUINFO = Path("/proc/cpuinfo")


def describe() -> Environment:
    """This machine and this interpreter, in words for a reader."""
    return Environment(
        processor=_processor(),
        cores=cores(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        aecodec=aecodec.__version__,
        numpy=np.__version__,
    )


def _processor() -> str:
    """The name of the model, which the standard library knows on Windows and macOS only."""
    try:
        lines = _CPUINFO.read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
