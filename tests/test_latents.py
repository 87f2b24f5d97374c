"""Latents to learn from: the synthesis' own input, in one unit at every quality, cut to the picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import PHOTOS
from PIL import Image

import aecodec
from aecodec import api
from aecodec import codec
from aecodec.bitstream import MAGIC
from aecodec.bitstream import unpack
from aecodec.manifest import entries_of
from aecodec.transforms import synthesise
from aecodec.weights import DecoderHalf
from aecodec.weights import EncoderHalf

BUNDLED = pytest.mark.skipif(not entries_of(PHOTOS.parents[1] / "weights"), reason="no bundled weights in this tree")


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    with Image.open(PHOTOS / "bay.png") as image:
        return np.asarray(image)


def latent(pixels: np.ndarray, quality: float, model: str = "tiny") -> np.ndarray:
    return aecodec.decode_latent(aecodec.encode(pixels, quality, model=model))


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [(256, 256, 32, 32), (1, 1, 1, 1), (8, 9, 1, 2), (33, 64, 5, 8), (31, 100, 4, 13)],
)
def test_shape_and_type(photo: np.ndarray, height: int, width: int, rows: int, columns: int) -> None:
    for pixels in (photo[:height, :width], photo[:height, :width, 0]):
        found = latent(pixels, 40)
        assert (found.dtype, found.shape) == (np.int16, (16, rows, columns))
        assert found.flags.c_contiguous
        assert np.abs(found).max() <= 2048


def test_a_cut_latent_is_that_of_the_padded_picture(photo: np.ndarray) -> None:
    padded = np.pad(photo[:200, :100], ((0, 24), (0, 28), (0, 0)), mode="edge")
    np.testing.assert_array_equal(latent(photo[:200, :100], 60), latent(padded, 60)[:, :25, :13])


def test_it_is_what_the_synthesis_takes_in(photo: np.ndarray, tiny: tuple[EncoderHalf, DecoderHalf]) -> None:
    """A decoder whose gain is one, fed with it, gives the file's own pixels."""
    data = aecodec.encode(photo, 30, model="tiny")
    header, parts = unpack(data)
    runtime, quality = api.runtime("cpu"), np.array([header.quality])
    _, features = codec.decode_parts(header, parts, tiny[1], runtime)
    plain = replace(tiny[1], inverse_gain=np.full_like(tiny[1].inverse_gain, 2), inverse_shift=1)
    seen = np.moveaxis(aecodec.decode_latent(data), 0, -1)[None].astype(np.int32)
    np.testing.assert_array_equal(synthesise(plain, runtime, seen, features, quality)[0], aecodec.decode_pixels(data))


@BUNDLED
@pytest.mark.parametrize("model", ["standard", "paper"])
def test_one_unit_at_every_quality(photo: np.ndarray, model: str) -> None:
    """Qualities far apart give the same numbers but for their rounding; as coded, they differ by a factor of 6."""
    best, middle, worst = (latent(photo, quality, model).astype(float) for quality in (100, 50, 0))
    assert ((best - middle) ** 2).mean() < ((best - worst) ** 2).mean() < 0.15 * (best**2).mean()
    for channel in np.argsort(best.var((1, 2)))[-4:]:  # those that hold most of the picture
        factor = np.vdot(best[channel], worst[channel]) / np.vdot(worst[channel], worst[channel])
        assert 0.8 < factor < 1.2


def test_own_weights_by_file(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    data = aecodec.encode(photo[:40, :40], model="tiny")
    expected = aecodec.decode_latent(data)
    monkeypatch.delenv("AECODEC_WEIGHTS")
    with pytest.raises(aecodec.UnknownWeights, match="11ddc256"):
        aecodec.decode_latent(data)
    weights = PHOTOS.parents[1] / "tests" / "golden" / "tiny" / "tiny.decoder.safetensors"
    np.testing.assert_array_equal(aecodec.decode_latent(data, weights=weights), expected)


def test_damage_and_limits(photo: np.ndarray) -> None:
    data = aecodec.encode(photo[:40, :40], model="tiny")
    for damaged in (data[:-1], data + b"\0", MAGIC, b""):
        with pytest.raises(aecodec.CorruptFile):
            aecodec.decode_latent(damaged)
    with pytest.raises(aecodec.HeaderLimitExceeded):
        aecodec.decode_latent(data, max_pixels=1599)
