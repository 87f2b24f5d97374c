"""What training starts from: principal components in the outer layers, a Gaussian's bits, an expansion's product."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.paths import PHOTOS

torch = pytest.importorskip("torch")

from torch.nn import functional

from aecodec.codec.architectures import standard
from aecodec.image.reading import open_picture
from aecodec.network.numpy_runtime import shuffle
from aecodec.train.model import CONFIGS
from aecodec.train.model import AutoEncoder
from aecodec.train.model import gaussian_bits
from aecodec.train.model import transposed_as_product


def test_start_from_components_is_a_transform_already():
    """With principal components in its outer layers a plain pass gives the picture back, coarsely."""
    torch.manual_seed(3)
    model = AutoEncoder(CONFIGS["standard"], standard(16, 1, 1, entropy_width=16))
    pictures = np.stack([open_picture(path).pixels[80:176, 80:176] for path in sorted(PHOTOS.glob("*.jpg"))])
    corners = np.random.default_rng(0).integers(0, 80, (600, 2))
    patches = [pictures[n % len(pictures), r : r + 16, c : c + 16] for n, (r, c) in enumerate(corners)]
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255

    def error() -> float:
        with torch.no_grad():
            coded = model(x, torch.full((len(x),), 0.9), noise=False, plain=True)
        return float((coded.reconstruction - x).square().mean())

    before = error()
    model.start_from(np.stack(patches))
    assert error() < 0.4 * before


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
def test_gaussian_bits_are_those_of_the_normal_distribution(value: float):
    index = torch.tensor([0.0, 20.0, 40.0, 63.0])
    scale = 0.08 * 800 ** (index.double() / 63)
    edges = torch.tensor([value - 0.5, value + 0.5]).double()[:, None] / scale
    probability = torch.special.ndtr(edges).diff(dim=0)[0].clamp_min(1e-7)
    bits = gaussian_bits(torch.full((4,), value), index)
    assert torch.allclose(bits, -torch.log2(probability).float(), rtol=1e-2, atol=1e-3)


def test_transposed_as_product_is_a_transposed_convolution():
    torch.manual_seed(0)
    weight, x = torch.randn(5, 3, 16, 16), torch.randn(2, 5, 6, 4)
    expected = functional.conv_transpose2d(x, weight, stride=8, padding=4)
    product = functional.conv2d(x, transposed_as_product(weight, 8), padding=1)
    moved = shuffle(product.permute(0, 2, 3, 1).numpy(), 8, 4)
    assert np.allclose(moved, expected.permute(0, 2, 3, 1).numpy(), atol=1e-4)
