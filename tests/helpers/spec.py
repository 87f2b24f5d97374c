"""The decoder made of the format's pages alone, as a module: what the package does is compared with it."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from types import SimpleNamespace

import numpy as np

from aecodec.network.quantized import Network
from helpers.paths import ROOT

SCRIPT = ROOT / "examples" / "decode_from_spec.py"
_found = importlib.util.spec_from_file_location("decode_from_spec", SCRIPT)
assert _found is not None and _found.loader is not None
SPEC = importlib.util.module_from_spec(_found)
sys.modules[_found.name] = SPEC  # dataclasses look there
_found.loader.exec_module(SPEC)
SPEC.Weights = cache(SPEC.Weights)  # reading them takes longer than decoding a small picture


def run_by_spec(network: Network, described: list[dict[str, object]], x: np.ndarray, side: np.ndarray) -> np.ndarray:
    """The output [rows, columns, channels] of a network whose layers are given as JSON has them."""
    tensors = {
        f"net.{path}.{part}": values.astype(np.int64)
        for path, own in network.parameters.items()
        for part, values in vars(own).items()
    }
    weights = SimpleNamespace(tensors=tensors, description={"networks": {"net": {"layers": described}}})
    return np.asarray(SPEC.run(weights, "net", x.astype(np.int64), side.astype(np.int64)))
