"""Pixels to a file and back: every size, grey, tiles, a target size, limits; the same on every runtime."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from PIL import Image

from aecodec.codec.decoder import Loader
from aecodec.codec.decoder import decode_picture
from aecodec.codec.decoder import decode_streams
from aecodec.codec.decoder import luma
from aecodec.codec.encoder import PictureEncoder
from aecodec.codec.encoder import check_size
from aecodec.codec.latent_coding import analyse_hyper
from aecodec.codec.latent_coding import encode_latent
from aecodec.codec.small import enlarge
from aecodec.codec.small import reduce
from aecodec.codec.transforms import analyse
from aecodec.codec.transforms import apply_gain
from aecodec.codec.transforms import synthesise
from aecodec.codec.weights import DecoderHalf
from aecodec.errors import AecError
from aecodec.errors import LimitExceeded
from aecodec.format.container import Content
from aecodec.format.container import read_header
from aecodec.format.container import unpack
from aecodec.format.header import Header
from aecodec.image.reading import open_picture
from aecodec.limits import MAX_PIXELS
from aecodec.limits import MAX_SIDE
from aecodec.network.numpy_runtime import NumpyRuntime
from aecodec.network.quantized import Runtime
from helpers.paths import PHOTOS
from helpers.tiny import RUNTIME
from helpers.tiny import Tiny


def decode(data: bytes, runtime: Runtime, load: Loader) -> np.ndarray:
    return decode_picture(data, runtime, load).array


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return open_picture(PHOTOS / "mountain.jpg").pixels


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    """A smooth picture with some noise; without a third axis where `channels` is 1."""
    rng = np.random.default_rng(height * 1000 + width)
    ramp = np.add.outer(np.arange(height), 2 * np.arange(width))[..., None] // 4 + 40 * np.arange(channels)
    return ((ramp + rng.integers(0, 9, ramp.shape)) % 256).astype(np.uint8).squeeze(-1 if channels == 1 else ())


def encode(tiny: Tiny, pixels: np.ndarray, quality: int, runtime: Runtime = RUNTIME) -> bytes:
    return PictureEncoder(pixels, *tiny, runtime).encode(quality).data


def loader(tiny: Tiny) -> Callable[[bytes], DecoderHalf]:
    def load(weights_id: bytes) -> DecoderHalf:
        assert weights_id == tiny[1].weights_id
        return tiny[1]

    return load


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of the samples: an untrained network gets the picture, but not its brightness."""
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def as_the_encoder_sees_it(tiny: Tiny, pixels: np.ndarray, quality: int) -> np.ndarray:
    """The decoded picture without a file, from the latents in the encoder's own context."""
    encoder, decoder = tiny
    height, width = pixels.shape[:2]
    colour = np.repeat(pixels[..., None], 3, -1) if pixels.ndim == 2 else pixels
    steps = np.array([quality])
    latent = apply_gain(encoder, analyse(encoder.analysis, RUNTIME, enlarge(colour)[None]), steps)
    hyper = analyse_hyper(encoder.hyper_analysis, RUNTIME, latent)
    decoded, features = encode_latent(decoder.entropy, RUNTIME, latent, hyper, steps, [Ignore()])
    samples = synthesise(decoder, RUNTIME, decoded, features, steps)[0]
    out = reduce(samples, width, height)[:height, :width]
    return luma(out) if pixels.ndim == 2 else out


class Ignore:
    def write(self, index: np.ndarray, symbols: np.ndarray) -> None:
        pass


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (7, 9), (32, 32), (33, 65), (300, 200)])
def test_any_size_decodes_to_what_the_encoder_saw(tiny: Tiny, size: tuple[int, int], channels: int):
    pixels = picture(*size, channels)
    for quality in (0, 255):
        data = encode(tiny, pixels, quality)
        assert read_header(data) == Header(size[1], size[0], quality, tiny[1].weights_id, channels == 1)
        out = decode(data, RUNTIME, loader(tiny))
        assert out.dtype == np.uint8 and out.shape == pixels.shape == (*size, 3)[: pixels.ndim]
        assert np.array_equal(out, as_the_encoder_sees_it(tiny, pixels, quality))


def test_photographs_come_back_and_quality_counts(tiny: Tiny, photo: np.ndarray):
    files = [encode(tiny, photo, quality) for quality in (0, 128, 255)]
    assert len(files[0]) < len(files[1]) < len(files[2])
    like = [likeness(decode(data, RUNTIME, loader(tiny)), photo) for data in files]
    assert 0.9 < like[0] < like[1] < like[2]


def test_the_padding_is_not_seen(tiny: Tiny, photo: np.ndarray):
    """A picture off the grid decodes to the corner of the picture padded with its last row and column."""
    pixels = photo[:70, :45]
    padded = np.pad(pixels, ((0, 26), (0, 19), (0, 0)), mode="edge")
    small, large = (decode(encode(tiny, p, 90), RUNTIME, loader(tiny)) for p in (pixels, padded))
    assert np.array_equal(small, large[:70, :45])


def test_grey_is_the_luma_of_three_equal_channels(tiny: Tiny, photo: np.ndarray):
    grey = photo[..., 1]
    three = np.repeat(grey[..., None], 3, -1)
    data, coloured = encode(tiny, grey, 60), encode(tiny, three, 60)
    assert unpack(data)[1] == unpack(coloured)[1] and len(data) == len(coloured)
    assert np.array_equal(decode(data, RUNTIME, loader(tiny)), luma(decode(coloured, RUNTIME, loader(tiny))))


def test_luma_is_pillows():
    corners = np.stack(np.meshgrid(*[[0, 1, 127, 128, 254, 255]] * 3), -1).reshape(-1, 1, 3)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3))
    for pixels in (corners.astype(np.uint8), noise.astype(np.uint8)):
        assert np.array_equal(luma(pixels), np.asarray(Image.fromarray(pixels).convert("L")))


# More than one tile: 1100x1030 has four, three of them slivers.


@pytest.fixture(scope="module")
def large_file(tiny: Tiny) -> bytes:
    return encode(tiny, picture(1030, 1100), 3)


def test_a_picture_of_four_tiles_decodes_in_one_pass(tiny: Tiny, large_file: bytes):
    """Blocks run across tile edges: the file's pixels are those of one pass over the whole latent field."""
    header, parts, _ = unpack(large_file)
    assert len(parts) == 4
    latent, features, _ = decode_streams(Content(header, parts), tiny[1], RUNTIME)
    one_pass = synthesise(tiny[1], RUNTIME, latent, features, np.array([3]), block=1000)
    out = decode(large_file, RUNTIME, loader(tiny))
    assert np.array_equal(one_pass[0, :1030, :1100], out)
    assert likeness(out, picture(1030, 1100)) > 0.9


def test_each_tile_is_coded_by_itself(tiny: Tiny, large_file: bytes):
    """The last tile's stream alone, as a picture of its own size, gives the same latents."""
    header, parts, _ = unpack(large_file)
    latent, features, _ = decode_streams(Content(header, parts), tiny[1], RUNTIME)
    alone = Header(1100 - 1024, 1030 - 1024, header.quality, header.weights)
    corner, seen, _ = decode_streams(Content(alone, parts[3:]), tiny[1], RUNTIME)
    assert np.array_equal(corner, latent[:, 128:, 128:])
    assert np.array_equal(seen, features[:, 128:, 128:])


# A target size


@pytest.fixture(scope="module")
def analysed(tiny: Tiny, photo: np.ndarray) -> PictureEncoder:
    return PictureEncoder(photo[:32, :64], *tiny, RUNTIME)


@pytest.fixture(scope="module")
def sizes(analysed: PictureEncoder) -> list[int]:
    return [len(analysed.encode(quality).data) for quality in range(256)]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_a_target_size_gets_the_best_quality_within_it(analysed: PictureEncoder, sizes: list[int], share: float):
    target = round(sizes[0] + share * (sizes[-1] - sizes[0]))
    data = analysed.encode_to_size(target).data
    quality = read_header(data).quality
    assert len(data) == sizes[quality] <= target
    assert not any(size <= target for size in sizes[quality + 1 : quality + 5])


def test_more_than_enough_takes_the_highest_quality(analysed: PictureEncoder):
    assert read_header(analysed.encode_to_size(10**9).data).quality == 255


def psnr_of(squared_error: float) -> float:
    return 10 * math.log10(255**2 / squared_error)


@pytest.fixture(scope="module")
def errors(analysed: PictureEncoder, tiny: Tiny, photo: np.ndarray) -> list[float]:
    """Mean squared error of the decoded picture at each quality step."""
    decoded = [decode(analysed.encode(quality).data, RUNTIME, lambda _: tiny[1]) for quality in range(256)]
    return [float(np.mean((photo[:32, :64].astype(float) - pixels) ** 2)) for pixels in decoded]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_target_psnr_gets_the_lowest_quality_that_reaches_it(
    analysed: PictureEncoder, errors: list[float], share: float
):
    target = share * psnr_of(errors[-1]) + (1 - share) * psnr_of(errors[0])
    quality = read_header(analysed.encode_to_psnr(target).data).quality
    assert psnr_of(errors[quality]) >= target
    assert not any(psnr_of(error) >= target for error in errors[max(quality - 4, 0) : quality])


def test_a_target_psnr_at_and_beyond_the_ends(analysed: PictureEncoder, errors: list[float]):
    assert analysed.encode_to_psnr(1).data == analysed.encode(0).data
    with pytest.raises(AecError, match=f"60 dB cannot be reached.* gives {psnr_of(errors[-1]):.2f} dB"):
        analysed.encode_to_psnr(60)


def test_too_small_a_target_is_refused_with_the_smallest_size(analysed: PictureEncoder, sizes: list[int]):
    with pytest.raises(AecError, match=f"target of {sizes[0] - 1} bytes cannot be reached.* takes {sizes[0]}"):
        analysed.encode_to_size(sizes[0] - 1)


@pytest.mark.parametrize("side", [1, 40])
def test_every_size_of_a_flat_picture_is_reached(tiny: Tiny, side: int, monkeypatch: pytest.MonkeyPatch):
    """Its sizes rise and fall over the quality steps."""
    flat = PictureEncoder(np.full((side, side, 3), (200, 30, 60), np.uint8), *tiny, RUNTIME)
    monkeypatch.setattr(flat, "encode_plain", cache(flat.encode_plain))  # every search tries the same few hundred
    sizes = [len(flat.encode_plain(quality).data) for quality in range(256)]
    assert sizes != sorted(sizes)
    for target in range(min(sizes), max(sizes)):
        assert len(flat.encode_to_size(target).data) <= target


# Limits


@pytest.mark.parametrize("size", [(MAX_SIDE, 1), (1, MAX_SIDE), (13377, 13377)])
def test_the_largest_sizes_are_allowed(size: tuple[int, int]):
    check_size(*size)


@pytest.mark.parametrize(
    ("size", "limit"), [((MAX_SIDE + 1, 1), MAX_SIDE), ((1, MAX_SIDE + 1), MAX_SIDE), ((13378, 13378), MAX_PIXELS)]
)
def test_larger_pictures_are_refused_before_any_work(tiny: Tiny, size: tuple[int, int], limit: int):
    pixels = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (size[1], size[0], 3))
    with pytest.raises(LimitExceeded, match=f"the limit is {limit}"):
        PictureEncoder(pixels, *tiny, RUNTIME)


def test_a_writer_can_allow_more_and_less(tiny: Tiny):
    pixels = picture(40, 50)
    with pytest.raises(LimitExceeded, match="50x40 pixels: the limit is 1999 in all"):
        PictureEncoder(pixels, *tiny, RUNTIME, max_pixels=1999)
    with pytest.raises(LimitExceeded, match=f"the limit is {MAX_SIDE}"):
        check_size(MAX_SIDE + 1, 1, 2 * MAX_PIXELS)
    check_size(13378, 13378, 2 * MAX_PIXELS)


# Damage


def test_every_flipped_bit_is_noticed_before_weights_are_loaded(tiny: Tiny):
    data = encode(tiny, picture(32, 32), 0)

    def load(weights_id: bytes) -> DecoderHalf:
        raise AssertionError("a damaged file names no weights")

    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(AecError) as caught:
            decode(bytes(damaged), RUNTIME, load)
        assert caught.value.exit_code in (3, 4)


# The same file and picture on every runtime


def torch_runtime(device: str) -> Runtime:
    torch = pytest.importorskip("torch")
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    from aecodec.network.torch_runtime import TorchRuntime

    return TorchRuntime(device)


RUNTIMES: dict[str, Callable[[], Runtime]] = {
    "numpy float64": lambda: NumpyRuntime(np.float64),
    "torch cpu": lambda: torch_runtime("cpu"),
    "torch cuda": lambda: torch_runtime("cuda"),
}


@pytest.mark.parametrize("name", RUNTIMES)
@pytest.mark.parametrize("grey", [False, True])
def test_every_runtime_gives_the_same_file_and_the_same_pixels(tiny: Tiny, photo: np.ndarray, name: str, grey: bool):
    other = RUNTIMES[name]()
    pixels = photo[:200, :, 0] if grey else photo[:200]
    for quality in (0, 200):
        data = encode(tiny, pixels, quality)
        assert encode(tiny, pixels, quality, other) == data
        expected = decode(data, RUNTIME, loader(tiny))
        assert np.array_equal(decode(data, other, loader(tiny)), expected)


def test_encoding_twice_gives_the_same_file(tiny: Tiny, photo: np.ndarray):
    analysed = PictureEncoder(photo, *tiny, RUNTIME)
    first = analysed.encode(40).data
    analysed.encode(200)
    assert analysed.encode(40).data == first == encode(tiny, photo, 40, NumpyRuntime())
