"""Decode an `.aec` file from the text of its format and its weights file alone.

    python examples/decode_from_spec.py IN.aec OUT.png [WEIGHTS_FOLDER]

Read it beside the format page, the head of `aecodec/format/container.py`, and the pages that it names, in their order.
NumPy and the standard library only, nothing of aecodec, and no floating-point number anywhere. Clear before quick: some
seconds for 256x256 pixels, and the networks run over the whole picture at once. Weights are looked for in the folder
given, else in `weights/` and the folders in AECODEC_WEIGHTS. Alpha is left out, with a line that says so, where Python
is older than 3.14: zstd is in the standard library from there on. ICC, EXIF and XMP change no pixel and stay unread.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import zlib
from bisect import bisect_right
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

MAX_SIDE, MAX_PIXELS = 65535, 178_956_970
TILE = 128  # side of a coded tile in latent positions
ELEMENTS = {"I8": "<i1", "U8": "<u1", "I16": "<i2", "I32": "<i4", "U32": "<u4", "I64": "<i8"}


class Refused(Exception):
    """The input is not a file that the format allows, or its weights are not here."""


def require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise Refused(otherwise)


# aecodec/format/container.py: the file


@dataclass(frozen=True)
class Header:
    width: int
    height: int
    quality: int
    weights_id: bytes
    grey: bool
    extras: list[int]  # bits of the kinds, in the order of their parts


class Fields:
    """Takes a file apart from its start."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        require(self.at + count <= len(self.data), "damaged: cut short")
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self) -> int:
        value = 0
        for index in range(5):
            (byte,) = self.take(1)
            value += (byte & 127) << 7 * index
            if byte < 128:
                require(byte > 0 or index == 0, "damaged: a number longer than need be")
                return value
        raise Refused("damaged: a number of more than five bytes")

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)


def read_file(data: bytes) -> tuple[Header, list[bytes], dict[int, bytes]]:
    """Header, the stream of every coded tile in raster order, and the extras by their bits."""
    file = Fields(data)
    require(data[:4] == b"\xaeC\r\n", "not an .aec file")
    file.take(4)
    version, flags = divmod(file.take(1)[0], 16)
    require(version == 0, f"format version {version}: needs a newer reader")
    weights_id = file.take(4)
    width, height = file.varint(), file.varint()
    require(width > 0 and height > 0, "damaged: a side is 0")
    require(max(width, height) <= MAX_SIDE and height <= MAX_PIXELS // width, f"too large: {width}x{height} pixels")
    tiles = -(-width // 1024) * -(-height // 1024)
    require(flags < 8, "damaged: reserved bits are set")
    require(bool(flags & 2) == (tiles > 1 or bool(flags & 4)), "damaged: directory flag and parts disagree")
    header = Header(width, height, file.take(1)[0], weights_id, bool(flags & 1), read_extras(file) if flags & 4 else [])
    fields, checksum = data[: file.at], file.take(4)
    if not flags & 2:
        stream = file.rest()
        require(crc(fields + stream) == checksum, "damaged: checksum")
        return header, [stream], {}
    directory_at = file.at
    entries = [(file.varint(), file.take(4)) for _ in range(tiles + len(header.extras))]
    directory = data[directory_at : file.at]
    require(sum(length for length, _ in entries) == len(data) - file.at, "damaged: parts do not fill the file")
    require(crc(fields + directory) == checksum, "damaged: checksum")
    parts = [file.take(length) for length, _ in entries]
    require([crc(part) for part in parts] == [stored for _, stored in entries], "damaged: a part's checksum")
    return header, parts[:tiles], dict(zip(header.extras, parts[tiles:], strict=True))


def read_extras(file: Fields) -> list[int]:
    (kinds,) = file.take(1)
    require(0 < kinds < 16, "damaged: no extras, or unknown ones")
    return [bit for bit in (1, 2, 4, 8) if kinds & bit]


def crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "big")


# aecodec/codec/weights.py: the weights file


class Weights:
    """A decoding half: its description, and its tensors by name, as int64."""

    def __init__(self, data: bytes) -> None:
        length = int.from_bytes(data[:8], "little")
        header, elements = json.loads(data[8 : 8 + length]), data[8 + length :]
        self.description: dict[str, Any] = json.loads(header.pop("__metadata__")["description"])
        self.tensors: dict[str, np.ndarray] = {}
        for name, entry in header.items():
            start, end = entry["data_offsets"]
            values = np.frombuffer(elements[start:end], ELEMENTS[entry["dtype"]])
            self.tensors[name] = values.reshape(entry["shape"]).astype(np.int64)
        self.supports: list[int] = self.tensors["tables.supports"].tolist()
        self.tables = list(self._tables())

    def _tables(self) -> Iterator[list[int]]:
        """Every table as the running sums of its frequencies, 0 to 2^24; the last one is that of escaped values."""
        at, frequencies = 0, self.tensors["tables.frequencies"].tolist()
        for support in self.supports:
            size = 2 * support + 2
            yield list(accumulate(frequencies[at : at + size], initial=0))
            at += size
        share = 2**24 // 2049
        yield [share * value for value in range(2049)] + [2**24]


def find_weights(weights_id: bytes, folders: Sequence[Path]) -> Weights:
    for folder in folders:
        for path in sorted(folder.glob("*.safetensors")):
            data = path.read_bytes()
            if hashlib.sha256(data).digest()[:4] == weights_id:
                return Weights(data)
    raise Refused(f"needs weights {weights_id.hex()}, not found in {', '.join(map(str, folders))}")


def weights_folders() -> list[Path]:
    named = os.environ.get("AECODEC_WEIGHTS", "").split(os.pathsep)
    here = Path(__file__).resolve().parent
    return [here / "weights", here.parent / "weights", *(Path(folder) for folder in named if folder)]


# aecodec/network/quantized.py: quantized networks


def run(weights: Weights, name: str, x: np.ndarray, side: np.ndarray | None = None) -> np.ndarray:
    """Output [rows, columns, channels] of a network."""
    return run_layers(weights, weights.description["networks"][name]["layers"], name, x, side)


def run_layers(weights: Weights, layers: list[Any], path: str, x: np.ndarray, side: np.ndarray | None) -> np.ndarray:
    for position, layer in enumerate(layers):
        x = run_layer(weights, layer, f"{path}.{position}", x, side)
    return x


def run_layer(weights: Weights, layer: Any, path: str, x: np.ndarray, side: np.ndarray | None) -> np.ndarray:
    match layer["layer"]:
        case "Conv":
            taps = weights.tensors[f"{path}.weight"].reshape(layer["kernel"], layer["kernel"], layer["inputs"], -1)
            r = requantise(weights, path, correlate(x, taps, layer["stride"], layer["padding"], np.matmul))
            return np.maximum(r, (r + 4) // 8) if layer["active"] else r
        case "Depthwise":
            factors = weights.tensors[f"{path}.weight"].reshape(3, 3, -1)
            return requantise(weights, path, correlate(x, factors, 1, 1, np.multiply))
        case "Residual":
            return add(weights, layer, path, x, run_layers(weights, layer["body"], path, x, side))
        case "Side":
            assert side is not None, "only the synthesis has such layers"
            return add(weights, layer, path, x, run_layers(weights, layer["body"], path, side, side))
        case "Shuffle":
            return shuffle(x, layer["factor"], layer["crop"])
        case "Repeat":
            return x.repeat(layer["factor"], axis=0).repeat(layer["factor"], axis=1)
    raise Refused(f"weights of another version: a layer {layer['layer']}")


def correlate(
    x: np.ndarray, taps: np.ndarray, stride: int, padding: int, times: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """The sum over all taps of window `times` tap, for `x` [rows, columns, inputs] padded with zeros."""
    kernel = len(taps)
    rows, columns = ((size + 2 * padding - kernel) // stride + 1 for size in x.shape[:2])
    padded = np.pad(x, ((padding, padding), (padding, padding), (0, 0)))
    total = np.zeros((rows, columns, taps.shape[-1]), np.int64)
    for row, column in product(range(kernel), repeat=2):
        window = padded[row : row + stride * rows : stride, column : column + stride * columns : stride]
        total += times(window, taps[row, column])
    return total


def requantise(weights: Weights, path: str, sums: np.ndarray) -> np.ndarray:
    bias, shift, low, high = (weights.tensors[f"{path}.{part}"] for part in ("bias", "shift", "low", "high"))
    up, down = np.maximum(-shift, 0), np.maximum(shift, 0)  # >> takes the floor
    return np.clip((sums + bias) << up >> down, low, high)


def add(weights: Weights, layer: Any, path: str, x: np.ndarray, body: np.ndarray) -> np.ndarray:
    """The sum over the channels that both have, in as many channels as `body` has, within its last layer's bounds."""
    both, last = min(x.shape[-1], body.shape[-1]), f"{path}.{len(layer['body']) - 1}"
    total = body.copy()
    total[..., :both] += x[..., :both]
    return np.clip(total, weights.tensors[f"{last}.low"], weights.tensors[f"{last}.high"])


def shuffle(x: np.ndarray, factor: int, crop: int) -> np.ndarray:
    rows, columns, channels = x.shape
    full = np.empty((rows * factor, columns * factor, channels // factor**2), np.int64)
    for index, (row, column) in enumerate(product(range(factor), repeat=2)):
        first = index * full.shape[-1]
        full[row::factor, column::factor] = x[..., first : first + full.shape[-1]]
    return full[crop : len(full) - crop, crop : full.shape[1] - crop]


# aecodec/format/range_coder.py: the stream


class RangeDecoder:
    def __init__(self, stream: bytes) -> None:
        self.stream = stream
        self.read = 0  # bytes of the stream so far, those of value included
        self.width = 2**64 - 1
        self.offset = self.take(8)  # value - low

    def take(self, count: int) -> int:
        """The next bytes as a big-endian number; beyond the end there are zeros."""
        self.read += count
        return int.from_bytes(self.stream[self.read - count : self.read].ljust(count, b"\0"), "big")

    def symbol(self, sums: list[int]) -> int:
        """The next symbol by a table given as running sums."""
        scale = self.width >> 24
        quotient = self.offset // scale
        require(quotient < 2**24, "damaged: no symbol of its table")
        symbol = bisect_right(sums, quotient) - 1
        self.offset -= scale * sums[symbol]
        self.width = scale * (sums[symbol + 1] - sums[symbol])
        if self.width < 2**32:
            self.offset = (self.offset << 32) + self.take(4)
            self.width <<= 32
        return symbol

    def finish(self) -> None:
        """Refuses a stream that is not the shortest, then smallest, of its interval: no encoder wrote it."""
        value = int.from_bytes(self.stream[: self.read].ljust(self.read, b"\0"), "big")
        low = value - self.offset
        # width < 256^8: at most one multiple of 256^8 is inside, and that one may end in more zero bytes.
        for dropped in range(8, -1, -1):
            unit = 256**dropped
            point = -(-low // unit)
            if point * unit < low + self.width:
                break
        shortest = point.to_bytes(self.read - dropped, "big").rstrip(b"\0")
        require(self.stream == shortest, "damaged: a stream does not end where its symbols end")


# aecodec/codec/latent_coding.py: the latent of one tile


def narrow(x: np.ndarray, shift: int, bits: int) -> np.ndarray:
    return clip_bits((x + (2**shift >> 1)) >> shift, bits)


def clip_bits(x: np.ndarray, bits: int) -> np.ndarray:
    return np.clip(x, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def read_symbols(weights: Weights, coder: RangeDecoder, indexes: np.ndarray) -> np.ndarray:
    """Symbols for scale indexes of any shape."""
    order = indexes.ravel()
    symbols = np.empty(order.size, np.int64)
    for index in sorted(set(order.tolist())):
        support, places = weights.supports[index], np.flatnonzero(order == index)
        symbols[places] = [coder.symbol(weights.tables[index]) - support for _ in places]
        for place in places[symbols[places] > support]:
            symbols[place] = coder.symbol(weights.tables[64]) - 1024
            require(abs(symbols[place]) > support, "damaged: an escape that was not needed")
    return symbols.reshape(indexes.shape)


def read_tile(weights: Weights, stream: bytes, rows: int, columns: int, quality: int) -> tuple[np.ndarray, np.ndarray]:
    """Latent [rows, columns, 16] and hyper features [rows, columns, 32] of a tile."""
    coder = RangeDecoder(stream)
    features = read_features(weights, coder, rows // 4, columns // 4, quality)
    latent = np.zeros((rows, columns, 16), np.int64)
    row, column = np.mgrid[:rows, :columns]
    place = np.array([[0, 2], [3, 1]])[row % 2, column % 2]  # n where P[n] is the position in the 2x2 tile
    for step in range(4):
        seen = narrow(latent, weights.description["latent_shift"], 12)
        inputs = np.concatenate([features, seen], axis=-1) if step else features
        outputs = run(weights, f"context{step}", inputs)
        channels = 4 * (step ^ place)[..., None] + np.arange(4)
        means = np.take_along_axis(outputs, channels, -1)
        indexes = np.take_along_axis(outputs, channels + 16, -1)
        symbols = read_symbols(weights, coder, indexes)
        np.put_along_axis(latent, channels, clip_bits(64 * symbols + means, 16), -1)
    coder.finish()
    return latent, features


def read_features(weights: Weights, coder: RangeDecoder, rows: int, columns: int, quality: int) -> np.ndarray:
    """The hyper-latent [rows, columns, 16], and what its network makes of it, four times as high and wide."""
    means, indexes = weights.tensors["hyper_mean"][quality], weights.tensors["hyper_index"][quality]
    symbols = read_symbols(weights, coder, np.broadcast_to(indexes, (rows, columns, 16)))
    hyper = clip_bits(64 * symbols + means, 16)
    features = run(weights, "hyper_synthesis", narrow(hyper, weights.description["hyper_shift"], 12))
    return clip_bits(features + weights.tensors["feature_bias"][quality], 11)


# aecodec/format/extras.py: alpha


def read_alpha(part: bytes, width: int, height: int) -> np.ndarray | None:
    """Samples uint8 [height, width]; none where this Python has no zstd."""
    try:
        from compression import zstd
    except ImportError:
        return None
    require(part[:1] in (b"\0", b"\1", b"\2", b"\3"), "damaged: an alpha filter of an unknown kind")
    frame = part[1:]
    require(frame[:4] == b"\x28\xb5\x2f\xfd", "damaged: alpha is not a zstd frame")
    try:
        said = zstd.get_frame_info(frame)
        require(said.decompressed_size == width * height and not said.dictionary_id, "damaged: not this alpha")
        decompressor = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 23})
        content = decompressor.decompress(frame, width * height + 1)
    except zstd.ZstdError as error:
        raise Refused(f"damaged: {error}") from error
    require(decompressor.eof and not decompressor.unused_data and len(content) == width * height, "damaged: alpha")
    alpha = np.frombuffer(content, np.uint8).reshape(height, width)
    for bit, axis in ((1, 1), (2, 0)):
        if part[0] & bit:
            alpha = np.cumsum(alpha, axis, np.uint8)
    return alpha


# aecodec/format/container.py, section Pixels


def decode(data: bytes, folders: Sequence[Path]) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels uint8 [height, width, 3], or [height, width] of a grey file; and the alpha that could be read."""
    header, streams, extras = read_file(data)
    weights = find_weights(header.weights_id, folders)
    rows, columns = (4 * -(-side // 32) for side in (header.height, header.width))
    latent, features = np.empty((rows, columns, 16), np.int64), np.empty((rows, columns, 32), np.int64)
    corners = product(range(0, rows, TILE), range(0, columns, TILE))
    for (top, left), stream in zip(corners, streams, strict=True):
        tile = slice(top, min(top + TILE, rows)), slice(left, min(left + TILE, columns))
        height, width = latent[tile].shape[:2]
        latent[tile], features[tile] = read_tile(weights, stream, height, width, header.quality)
    pixels = synthesise(weights, latent, features, header.quality)[: header.height, : header.width]
    alpha = read_alpha(extras[1], header.width, header.height) if 1 in extras else None
    if 1 in extras and alpha is None:
        print("alpha is left out: it takes Python 3.14", file=sys.stderr)
    return luma(pixels) if header.grey else pixels.astype(np.uint8), alpha


def synthesise(weights: Weights, latent: np.ndarray, features: np.ndarray, quality: int) -> np.ndarray:
    """Pixels [8 rows, 8 columns, 3]."""
    scaled = latent * weights.tensors["inverse_gain"][quality]
    seen = narrow(scaled, weights.description["inverse_shift"], 12)
    out = run(weights, "synthesis", seen, features)
    return np.clip((out * 128 >> weights.description["networks"]["synthesis"]["exponent"]) + 128, 0, 255)


def luma(pixels: np.ndarray) -> np.ndarray:
    return ((pixels @ np.array([19595, 38470, 7471]) + 32768) >> 16).astype(np.uint8)


# PNG: 8 bits a sample, no filter


def png(pixels: np.ndarray, alpha: np.ndarray | None) -> bytes:
    height, width = pixels.shape[:2]
    colour = (0 if pixels.ndim == 2 else 2) + (0 if alpha is None else 4)
    pixels = pixels if alpha is None else np.dstack([pixels, alpha])
    sides = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    chunks = {b"IHDR": sides + bytes([8, colour, 0, 0, 0]), b"IDAT": zlib.compress(lines), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + kind + data + crc(kind + data) for kind, data in chunks.items()
    )


def main(source: str, target: str, folder: str | None = None) -> None:
    try:
        pixels, alpha = decode(Path(source).read_bytes(), [Path(folder)] if folder else weights_folders())
    except Refused as reason:
        sys.exit(f"{source}: {reason}")
    Path(target).write_bytes(png(pixels, alpha))


if __name__ == "__main__":
    main(*sys.argv[1:])
