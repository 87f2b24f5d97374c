"""CompressAI's models as cold.py and warm.py run them, in an environment of their own (`--compressai PYTHON`).

    PYTHON compressai_peer.py encode IN.png OUT.bin     # the hyperprior, one process a picture
    PYTHON compressai_peer.py decode OUT.bin OUT.png
    PYTHON compressai_peer.py warm IN.png               # milliseconds of the factorized model, encode and decode

Weights are drawn at random, as the trained ones come from the network. Layers and sizes are those of quality 1 to 5
(N=128, M=192), and as many symbols are coded, but they are nearly all zero, which trained weights' are not.
"""

from __future__ import annotations

import pickle
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from compressai.zoo import bmshj2018_factorized
from compressai.zoo import bmshj2018_hyperprior
from PIL import Image

ROUNDS = 15


def read(path: str) -> torch.Tensor:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def write(x: torch.Tensor, path: str) -> None:
    pixels = (x[0].permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()
    Image.fromarray(pixels).save(path, compress_level=4)


def prepared(model: Callable[..., Any]) -> Any:
    torch.manual_seed(0)
    network = model(quality=3, pretrained=False).eval()
    network.update()
    return network


def median(call: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times[1:])


@torch.no_grad()
def main(verb: str, *paths: str) -> None:
    torch.set_num_threads(1)
    if verb == "encode":
        with open(paths[1], "wb") as file:
            pickle.dump(prepared(bmshj2018_hyperprior).compress(read(paths[0])), file)
    elif verb == "decode":
        with open(paths[0], "rb") as file:
            coded = pickle.load(file)
        write(prepared(bmshj2018_hyperprior).decompress(coded["strings"], coded["shape"])["x_hat"], paths[1])
    else:
        network, x = prepared(bmshj2018_factorized), read(paths[0])
        coded = network.compress(x)
        encode = median(lambda: network.compress(x))
        print(encode, median(lambda: network.decompress(coded["strings"], coded["shape"])))


if __name__ == "__main__":
    main(*sys.argv[1:])
