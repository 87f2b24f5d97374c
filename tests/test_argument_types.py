"""Arguments of a wrong type raise AecError, as other invalid ones do, in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import aecodec
from helpers.pictures import photograph

NO_NUMBER: tuple[Any, ...] = ("a", b"a", [], {}, object(), 1j, (1, 2), float("nan"), -1, 10**400)
NO_PATH: tuple[Any, ...] = (1, 1.5, b"a", [], {}, object(), True, (1, 2), "\0")
NO_FILE: tuple[Any, ...] = (None, 1, 1.5, "text", [1], {}, object(), (1, 2))
OF_ENCODING: dict[str, tuple[Any, ...]] = {
    "quality": NO_NUMBER,
    "target_size": (*NO_NUMBER, 1.5),
    "target_bpp": NO_NUMBER,
    "target_psnr": NO_NUMBER,
    "effort": (*NO_NUMBER, 1.0, None),
    "shrink_to": NO_NUMBER,
    "max_pixels": (*NO_NUMBER, None),
    "weights": NO_PATH,
    "model": (None, 1, [], object()),
    "device": (None, 1, [], object()),
    "metadata": (None, 1, 1.5, object(), [1, "x"], [[]]),
    "progress": (None, 1, "a"),
    "checksum": (None, 1, []),
}
OF_DECODING: dict[str, tuple[Any, ...]] = {name: OF_ENCODING[name] for name in ("max_pixels", "weights", "device")} | {
    "crop": (1, "a", (1,), (1, 2, 3, "a"), (0, 0, 1.5, 1), object())
}
PIXELS = photograph(24, 40)


@pytest.fixture(scope="module")
def data() -> bytes:
    return aecodec.encode(PIXELS, 50)


def refused(call: Callable[..., object], *arguments: Any, **named: Any) -> None:
    with pytest.raises(aecodec.AecError) as caught:
        call(*arguments, **named)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", OF_ENCODING)
def test_encoding(name: str):
    for value in OF_ENCODING[name]:
        refused(aecodec.encode, PIXELS, **{name: value})


@pytest.mark.parametrize("name", OF_DECODING)
def test_decoding(name: str, data: bytes):
    for value in OF_DECODING[name]:
        for call in (aecodec.decode, aecodec.decode_pixels):
            refused(call, data, **{name: value})


def test_limits_and_weights_of_other_functions(data: bytes):
    for value in OF_ENCODING["max_pixels"]:
        for call in (aecodec.read_info, aecodec.verify, aecodec.decode_latent):
            refused(call, data, max_pixels=value)
        refused(lambda limit: list(aecodec.decode_stages(data, max_pixels=limit)), value)
    for value in NO_PATH:
        refused(aecodec.decode_latent, data, weights=value)


@pytest.mark.parametrize("value", NO_FILE)
def test_files_and_pictures(value: Any):
    for call in (aecodec.decode, aecodec.decode_latent, aecodec.verify, aecodec.read_info, aecodec.unpack):
        refused(call, value)
    refused(aecodec.encode, value)


def test_the_data_set():
    pytest.importorskip("torch")
    from aecodec.torch_dataset import AecFolder

    for value in (*NO_PATH, None):
        refused(AecFolder, value)
    refused(AecFolder, ".", what=np.zeros(3))
    for value in OF_ENCODING["max_pixels"]:
        refused(AecFolder, ".", max_pixels=value)


def test_targets_beyond_all_floats():
    for target in (5000, 1e300):
        with pytest.raises(aecodec.AecError, match="cannot be reached: the highest quality gives"):
            aecodec.encode(PIXELS, model="tiny", target_psnr=target)
    assert aecodec.read_info(aecodec.encode(PIXELS, model="tiny", target_bpp=1e308)).quality == 100
