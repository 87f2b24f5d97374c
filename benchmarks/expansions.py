"""What the expansions of Table 2 cost: `paper` as it is, and with the deconvolutions of the plain systems in it.

    python benchmarks/expansions.py DATA [--epochs 6] [--threads N]      # minutes: some two an epoch on one core

Both are trained alike, as `aecodec paper table3` trains, and measured on the photographs of DATA that are kept for
validation. Printed are the mean L1 (0..1) of the last epoch's crops and of the validation pictures.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import torch
from torch import nn

from aecodec.paper import systems
from aecodec.paper.devset import load_data
from aecodec.paper.table import SYSTEMS
from aecodec.paper.table3 import Table3Options
from aecodec.paper.table3 import setup_of
from aecodec.paper.training import Data
from aecodec.paper.training import Training
from aecodec.train.data import hold

EXPANSIONS: dict[str, Callable[[], nn.Module]] = {
    "nearest neighbour, convolution": systems.nearest_neighbour,
    "deconvolution": systems.deconvolution,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=float, default=6)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    (paper,) = (system for system in SYSTEMS if system.name == "paper")
    device = torch.device("cpu")
    with TemporaryDirectory() as folder:
        options = Table3Options(given.data, Path(folder), epochs=given.epochs)
        found = load_data(options.data, None, options.crop, (), options.out)
        pictures = Data(hold(found.training, device), found.dev, (), device)
        for name, expansion in EXPANSIONS.items():
            work = options.out / name
            work.mkdir()
            with patch.object(systems, "nearest_neighbour", expansion):
                training = Training(paper, setup_of(options, found), pictures, work)
            last = training.run().curve[-1]
            print(f"{name:<32} after {last.epoch:g} epochs: training {last.loss:.4f}, validation {last.dev_l1:.4f}")


if __name__ == "__main__":
    main()
