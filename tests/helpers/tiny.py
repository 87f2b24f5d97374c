"""The permanent test network, loaded."""

from __future__ import annotations

from aecodec.codec.manifest import entries_of
from aecodec.codec.weights import DecoderHalf
from aecodec.codec.weights import EncoderHalf
from aecodec.codec.weights import load_decoder
from aecodec.codec.weights import load_encoder
from aecodec.network.numpy_runtime import NumpyRuntime
from helpers.paths import TINY

Tiny = tuple[EncoderHalf, DecoderHalf]

RUNTIME = NumpyRuntime()


def load_tiny() -> Tiny:
    (entry,) = entries_of(TINY)
    return load_encoder(entry), load_decoder(entry)
