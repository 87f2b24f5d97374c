"""Decode an `.aec` file from the text of its format and its weights file alone.

    python examples/decode_from_spec.py IN.aec OUT.png [WEIGHTS_FOLDER] [--partial]

Read it beside the format page, the head of `aecodec/format/container.py`, and the pages that it names, in their order.
NumPy and the standard library only, nothing of aecodec, and no floating-point number anywhere. Clear before quick: some
seconds for 256x256 pixels, and the networks run over the whole picture at once. Weights are looked for in the folder
given, else in `weights/` and the folders in AECODEC_WEIGHTS. Alpha is left out, with a line that says so, where Python
is older than 3.14: zstd is in the standard library from there on. ICC, EXIF and XMP change no pixel and stay unread. A
shrunk picture comes in the size it was coded at. --partial decodes what is there of a file that ends early.
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
from dataclasses import field
from dataclasses import replace
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


@dataclass
class Header:
    width: int
    height: int
    quality: int
    weights: int | bytes  # number of a registered model, or weights id
    grey: bool
    extras: list[int]  # bits of the kinds, in the order of their parts
    display: tuple[int, int] | None
    cut: bool  # whether every stream may end anywhere
    early: list[int] = field(default_factory=list)  # numbers of the streams that end early


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


def read_file(data: bytes, registry: Registry, partial: bool) -> tuple[Header, list[bytes], dict[int, bytes]]:
    """Header, the stream of every coded tile in raster order, and the extras by their bits."""
    if 0xC0 <= data[0] < 0xF8 if data else False:
        return read_compact(data, registry, partial)
    file = Fields(data)
    require(data[:4] == b"\xaeC\r\n", "not an .aec file")
    file.take(4)
    version, flags = divmod(file.take(1)[0], 16)
    require(version == 1, f"format version {version}: needs another reader")
    (number,) = file.take(1)
    weights = file.take(4) if number == 255 else number
    size = read_size(file)
    display = read_size(file) if flags & 4 else None
    require(display != size, "damaged: a display size that is the picture's own")
    (quality,) = file.take(1)
    extras = read_extras(file) if flags & 2 else []
    header = Header(*size, quality, weights, bool(flags & 1), extras, display, bool(flags & 8))
    tiles = -(-header.width // 1024) * -(-header.height // 1024)
    fields, checksum = data[: file.at], file.take(4)
    if tiles == 1 and not extras:
        stream = file.rest()
        sound = crc(fields + stream) == checksum
        require(sound or partial, "damaged: checksum")
        return replace(header, early=[] if sound else [0]), [stream], {}
    return read_parts(file, header, tiles, fields, checksum, partial)


def read_parts(
    file: Fields, header: Header, tiles: int, fields: bytes, checksum: bytes, partial: bool
) -> tuple[Header, list[bytes], dict[int, bytes]]:
    start = file.at
    try:
        entries = [(file.varint(), file.take(4)) for _ in range(tiles + len(header.extras))]
    except Refused:
        if not partial:
            raise
        return replace(header, early=list(range(tiles))), [b""] * tiles, {}
    missing = sum(length for length, _ in entries) - (len(file.data) - file.at)
    require(missing == 0 or (partial and missing > 0), "damaged: parts do not fill the file")
    require(crc(fields + file.data[start : file.at]) == checksum, "damaged: checksum")
    parts = [file.take(min(length, len(file.data) - file.at)) for length, _ in entries]
    whole = [len(part) == length for part, (length, _) in zip(parts, entries, strict=True)]
    for part, (_, stored), complete in zip(parts, entries, whole, strict=True):
        require(not complete or crc(part) == stored, "damaged: a part's checksum")
    extras = zip(header.extras, parts[tiles:], whole[tiles:], strict=True)
    header = replace(header, early=[number for number in range(tiles) if not whole[number]])
    return header, parts[:tiles], {kind: part for kind, part, complete in extras if complete}


def read_size(file: Fields) -> tuple[int, int]:
    return check_size(file.varint(), file.varint())


def check_size(width: int, height: int) -> tuple[int, int]:
    require(width > 0 and height > 0, "damaged: a side is 0")
    require(max(width, height) <= MAX_SIDE and height <= MAX_PIXELS // width, f"too large: {width}x{height} pixels")
    return width, height


def read_extras(file: Fields) -> list[int]:
    (kinds,) = file.take(1)
    require(0 < kinds < 16, "damaged: no extras, or unknown ones")
    return [bit for bit in (1, 2, 4, 8) if kinds & bit]


def crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "big")


# aecodec/format/compact.py: the compact form


def read_compact(data: bytes, registry: Registry, partial: bool) -> tuple[Header, list[bytes], dict[int, bytes]]:
    file = Fields(data)
    (lead,) = file.take(1)
    weights, cut = read_model(file, lead >> 3 & 7)
    (quality,) = file.take(1)
    start = file.at
    size, display = read_sides(file)
    for width, height in (size, display or size):
        check_size(width, height)
    packed = pack_size(*size) if display is None else bytes([0xE0 | max(size) // 8 - 1]) + pack_size(*display)
    require(max(size) <= 1024 and packed == data[start : file.at], "damaged: sides not in their shortest form")
    fields, checksum = data[: file.at], file.take((0, 1, 2, 4)[lead & 3])
    stream = file.rest()
    weights_id = weights if isinstance(weights, bytes) else registry.id_of(weights)
    sound = compact_check(lead & 3, weights_id + fields + stream) == checksum
    require(sound or partial, "damaged: checksum")
    early = [] if sound and not (partial and lead & 3 < 2) else [0]
    return Header(*size, quality, weights, bool(lead & 4), [], display, cut, early), [stream], {}


def read_model(file: Fields, model: int) -> tuple[int | bytes, bool]:
    if model < 6:
        return model, False
    cut, number = divmod(file.take(1)[0], 128)
    require(number >= 6 or bool(cut), "damaged: model not in its shortest form")
    return file.take(4) if number == 127 else number, bool(cut)


def read_sides(file: Fields) -> tuple[tuple[int, int], tuple[int, int] | None]:
    first = file.data[file.at] if file.at < len(file.data) else 0
    if first < 0xE0:
        return read_packed_size(file), None
    file.take(1)
    longer, display = 8 * (first & 31) + 8, read_packed_size(file)
    require(min(display) > 0, "damaged: a side is 0")
    most = max(display)
    width, height = (max(1, (2 * longer * side + most) // (2 * most)) for side in display)
    require((width, height) != display, "damaged: a display size that is the picture's own")
    return (width, height), display


def read_packed_size(file: Fields) -> tuple[int, int]:
    (first,) = file.take(1)
    if first < 0x80:
        return 8 * first + 8, 8 * first + 8
    if first < 0xC0:
        value = (first << 8) + file.take(1)[0]
        return (value >> 7 & 127) + 1, (value & 127) + 1
    if first < 0xE0:
        value = (first << 16) + int.from_bytes(file.take(2), "big")
        return (value >> 11 & 1023) + 1, (value >> 1 & 1023) + 1
    return file.varint(), file.varint()


def pack_size(width: int, height: int) -> bytes:
    if width == height <= 1024 and width % 8 == 0:
        return bytes([width // 8 - 1])
    if max(width, height) <= 128:
        return (0x8000 + 128 * (width - 1) + height - 1).to_bytes(2, "big")
    if max(width, height) <= 1024:
        return (0xC00000 + 2048 * (width - 1) + 2 * (height - 1)).to_bytes(3, "big")
    return b"\xff" + varint(width) + varint(height)


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def compact_check(kind: int, data: bytes) -> bytes:
    if kind == 3:
        return crc(data)
    bits, polynomial, register = ((0, 0, 0), (8, 0x07, 0), (16, 0x1021, 0xFFFF))[kind]
    for byte in data if bits else b"":
        register ^= byte << bits - 8
        for _ in range(8):
            register = register << 1 ^ (polynomial if register >> bits - 1 else 0)
            register &= (1 << bits) - 1
    return register.to_bytes(bits // 8, "big")


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


class Registry:
    """The registered models and all other weights in some folders."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = folders

    def id_of(self, number: int) -> bytes:
        for folder in self.folders:
            if (folder / "manifest.json").is_file():
                for model in json.loads((folder / "manifest.json").read_text("utf-8"))["models"]:
                    if model.get("number") == number:
                        return bytes.fromhex(model["id"])
        raise Refused(f"needs model number {number}, not found in {', '.join(map(str, self.folders))}")

    def weights(self, name: int | bytes) -> Weights:
        weights_id = name if isinstance(name, bytes) else self.id_of(name)
        for folder in self.folders:
            for path in sorted(folder.glob("*.safetensors")):
                data = path.read_bytes()
                if hashlib.sha256(data).digest()[:4] == weights_id:
                    return Weights(data)
        raise Refused(f"needs weights {weights_id.hex()}, not found in {', '.join(map(str, self.folders))}")


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

    def take(self, count: int, beyond: bytes = b"\0") -> int:
        """The next bytes as a big-endian number; beyond the end there are zeros."""
        self.read += count
        return int.from_bytes(self.stream[self.read - count : self.read].ljust(count, beyond), "big")

    def symbol(self, sums: list[int]) -> int:
        """The next symbol by a table given as running sums."""
        quotient = self.offset // (self.width >> 24)
        require(quotient < 2**24, "damaged: no symbol of its table")
        symbol = bisect_right(sums, quotient) - 1
        self.narrow(sums[symbol], sums[symbol + 1])
        return symbol

    def narrow(self, left: int, right: int) -> None:
        scale = self.width >> 24
        self.offset -= scale * left
        self.width = scale * (right - left)
        if self.width < 2**32:
            self.offset = (self.offset << 32) + self.take(4)
            self.width <<= 32

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


class Undecided(Exception):
    """The prefix of a stream does not decide the next symbol."""


class PrefixDecoder(RangeDecoder):
    """Two decoders of a prefix, with zero bytes and with ff bytes after it."""

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        self.highest = PaddedDecoder(stream)
        self.decided = True

    def symbol(self, sums: list[int]) -> int:
        quotients = [decoder.offset // (self.width >> 24) for decoder in (self, self.highest)]
        symbols = [bisect_right(sums, quotient) - 1 for quotient in quotients]
        self.decided = self.decided and max(quotients) < 2**24 and symbols[0] == symbols[1]
        if not self.decided:
            raise Undecided
        for decoder in (self, self.highest):
            decoder.narrow(sums[symbols[0]], sums[symbols[0] + 1])
        return symbols[0]

    def finish(self) -> None:
        """A prefix ends anywhere."""


class PaddedDecoder(RangeDecoder):
    def take(self, count: int, beyond: bytes = b"\xff") -> int:
        return super().take(count, beyond)


# aecodec/codec/latent_coding.py: the latent of one tile


def narrow(x: np.ndarray, shift: int, bits: int) -> np.ndarray:
    return clip_bits((x + (2**shift >> 1)) >> shift, bits)


def clip_bits(x: np.ndarray, bits: int) -> np.ndarray:
    return np.clip(x, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def read_symbols(weights: Weights, coder: RangeDecoder, indexes: np.ndarray) -> np.ndarray:
    """Symbols for scale indexes of any shape; those that a prefix does not decide are 0."""
    order = indexes.ravel()
    symbols = np.zeros(order.size, np.int64)
    for index in sorted(set(order.tolist()), reverse=True):
        read_group(weights, coder, index, np.flatnonzero(order == index), symbols)
    return symbols.reshape(indexes.shape)


def read_group(weights: Weights, coder: RangeDecoder, index: int, places: np.ndarray, symbols: np.ndarray) -> None:
    support, escaped = weights.supports[index], []
    try:
        for place in places:
            symbol = coder.symbol(weights.tables[index]) - support
            if symbol > support:
                escaped.append(place)
            else:
                symbols[place] = symbol
    except Undecided:
        return
    for place in escaped:
        try:
            symbols[place] = coder.symbol(weights.tables[64]) - 1024
        except Undecided:
            return
        required = isinstance(coder, PrefixDecoder) or abs(symbols[place]) > support
        require(required, "damaged: an escape that was not needed")


def read_tile(
    weights: Weights, coder: RangeDecoder, shape: tuple[int, ...], quality: int
) -> tuple[np.ndarray, np.ndarray]:
    """Latent [rows, columns, 16] and hyper features [rows, columns, 32] of a tile."""
    rows, columns = shape
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


def decode(data: bytes, folders: Sequence[Path], partial: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels uint8 [height, width, 3], or [height, width] of a grey file; and the alpha that could be read.

    `partial`: of a file that ends early, too.
    """
    registry = Registry(folders)
    header, streams, extras = read_file(data, registry, partial)
    weights = registry.weights(header.weights)
    latent, features = read_tiles(weights, header, streams)
    pixels = take_means(synthesise(weights, latent, features, header.quality), header.width, header.height)
    alpha = read_alpha(extras[1], header.width, header.height) if 1 in extras else None
    if 1 in extras and alpha is None:
        print("alpha is left out: it takes Python 3.14", file=sys.stderr)
    return luma(pixels) if header.grey else pixels.astype(np.uint8), alpha


def read_tiles(weights: Weights, header: Header, streams: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Latent and hyper features of the whole field."""
    rows, columns = (4 * -(-side // 32) for side in (header.height, header.width))
    latent, features = np.empty((rows, columns, 16), np.int64), np.empty((rows, columns, 32), np.int64)
    corners = product(range(0, rows, TILE), range(0, columns, TILE))
    for number, ((top, left), stream) in enumerate(zip(corners, streams, strict=True)):
        tile = slice(top, min(top + TILE, rows)), slice(left, min(left + TILE, columns))
        coder = PrefixDecoder(stream) if header.cut or number in header.early else RangeDecoder(stream)
        latent[tile], features[tile] = read_tile(weights, coder, latent[tile].shape[:2], header.quality)
    return latent, features


def take_means(samples: np.ndarray, width: int, height: int) -> np.ndarray:
    """The picture: the first rows and columns, or the means of 32 samples for a side below 32."""
    if min(width, height) >= 32:
        return samples[:height, :width]
    (down, rows), (across, columns) = overlaps(height, len(samples)), overlaps(width, samples.shape[1])
    total = np.einsum("iy,yxc,jx->ijc", down, samples, across)
    return (2 * total + rows * columns) // (2 * rows * columns)


def overlaps(side: int, count: int) -> tuple[np.ndarray, int]:
    """Weights of `count` samples in `side` pixels, [side, count], and the sum of those of a pixel."""
    if side >= 32:
        return np.eye(side, count, dtype=np.int64), 1
    pixel, sample = np.arange(side)[:, None], np.arange(32)
    both = np.minimum(32 * (pixel + 1), side * (sample + 1)) - np.maximum(32 * pixel, side * sample)
    return np.maximum(both, 0), 32


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


def main(source: str, target: str, *others: str) -> None:
    folders = [Path(folder) for folder in others if folder != "--partial"] or weights_folders()
    try:
        pixels, alpha = decode(Path(source).read_bytes(), folders, "--partial" in others)
    except Refused as reason:
        sys.exit(f"{source}: {reason}")
    Path(target).write_bytes(png(pixels, alpha))


if __name__ == "__main__":
    main(*sys.argv[1:])
