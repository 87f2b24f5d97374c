"""What the caller has set for the whole process changes no result and raises nothing."""

from __future__ import annotations

import ctypes
import ctypes.util
import platform
import sys

import numpy as np
import pytest

import aecodec
from helpers.pictures import photograph
from helpers.tiny import Tiny

ROUNDING = {"down": 0x400, "up": 0x800, "to zero": 0xC00}  # FE_DOWNWARD and others, on x86
PIXELS = photograph(40, 56)


@pytest.mark.parametrize("effort", [0, 1])
def test_errors_of_numpy_that_raise(effort: int):
    expected = aecodec.encode(PIXELS, 60, model="tiny", effort=effort)
    with np.errstate(all="raise"):
        data = aecodec.encode(PIXELS, 60, model="tiny", effort=effort)
        aecodec.decode_pixels(data)
        aecodec.encode(PIXELS[:3, :5], 100, model="tiny", effort=effort)
        assert np.geterr()["under"] == "raise"
    assert data == expected


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="sets the rounding mode of x86 by its numbers"
)
@pytest.mark.parametrize("mode", ROUNDING)
def test_another_rounding_mode_changes_no_pixel(mode: str):
    data = aecodec.encode(PIXELS, 60, model="tiny")
    expected = aecodec.decode_pixels(data)
    libm = ctypes.CDLL(ctypes.util.find_library("m"))
    libm.fesetround(ROUNDING[mode])
    try:
        again, pixels = aecodec.encode(PIXELS, 60, model="tiny"), aecodec.decode_pixels(data)
    finally:
        libm.fesetround(0)
    assert again == data
    np.testing.assert_array_equal(pixels, expected)


def test_another_default_device_of_torch(tiny: Tiny):
    torch = pytest.importorskip("torch")
    from aecodec.network.torch_runtime import TorchRuntime

    network = tiny[1].synthesis
    x, side = np.ones((1, 4, 4, 16), np.int16), np.ones((1, 4, 4, 32), np.int16)
    expected = TorchRuntime("cpu").run(network, x, side)
    torch.set_default_device("meta")  # a device whose tensors hold nothing
    try:
        found = TorchRuntime("cpu").run(network, x, side)
    finally:
        torch.set_default_device(None)
    np.testing.assert_array_equal(found, expected)
