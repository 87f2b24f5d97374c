"""The permanent test network, loaded, and a file that names it."""

from __future__ import annotations

import json

from safetensors.numpy import load
from safetensors.numpy import save

from aecodec.codec.manifest import entries_of
from aecodec.codec.weights import DecoderHalf
from aecodec.codec.weights import EncoderHalf
from aecodec.codec.weights import load_decoder
from aecodec.codec.weights import load_encoder
from aecodec.format.container import pack
from aecodec.format.header import Header
from aecodec.format.header import Weights
from aecodec.network.numpy_runtime import NumpyRuntime
from helpers.paths import TINY
from helpers.paths import TINY_ID

Tiny = tuple[EncoderHalf, DecoderHalf]

RUNTIME = NumpyRuntime()


def load_tiny() -> Tiny:
    (entry,) = entries_of(TINY)
    return load_encoder(entry), load_decoder(entry)


def with_single_bounds() -> bytes:
    """Its decoding half in fewer bytes, as an export writes it: equal bounds of a layer stand as one."""
    data = (TINY / "tiny.decoder.safetensors").read_bytes()
    tensors = load(data)
    for name, values in tensors.items():
        if name.endswith((".low", ".high")) and (values == values[0]).all():
            tensors[name] = values[:1]
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    return save(tensors, metadata)


def small_file(weights: Weights = TINY_ID) -> bytes:
    """A valid header for the tiny network with an empty stream, for tests that fail before it is decoded."""
    return pack(Header(256, 256, 128, weights), [b""])
