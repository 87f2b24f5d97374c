"""Runs quantized networks with torch: the same integers on a GPU (or on torch's CPU device, for tests).

Products are plain float32 matrix products of unfolded input, with reduced precision off: a convolution routine might
choose Winograd or FFT, which are not exact. Layers whose sums exceed float32 run in float64.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from aecodec.errors import MissingExtra
from aecodec.geometry import Box
from aecodec.network.layers import Conv
from aecodec.network.layers import DepthToSpace
from aecodec.network.layers import Depthwise
from aecodec.network.layers import Layer
from aecodec.network.layers import Layers
from aecodec.network.layers import NearestUpsample
from aecodec.network.layers import Residual
from aecodec.network.layers import SideInput
from aecodec.network.layers import unknown_kind
from aecodec.network.numpy_runtime import known_product
from aecodec.network.quantized import FLOAT32_LIMIT
from aecodec.network.quantized import Network
from aecodec.network.quantized import integer_type
from aecodec.network.quantized import path_of
from aecodec.network.windows import run_layers

try:
    import torch
    from torch import Tensor
    from torch.nn import functional
except ImportError as error:
    raise MissingExtra('this device needs torch: pip install "aecodec[torch]"') from error


@dataclass(frozen=True, eq=False)
class _Prepared:
    weight: Tensor
    bias: Tensor
    low: Tensor
    high: Tensor


_precision_lock = threading.Lock()


class TorchRuntime:
    """Runs networks on a torch device; threads may share it. Raises MissingExtra if torch cannot use the device."""

    def __init__(self, device: str) -> None:
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise MissingExtra("--device cuda: torch finds no CUDA device on this machine")
        self._device = torch.device(device)
        self._prepared: dict[int, tuple[Network, dict[str, _Prepared]]] = {}
        x, w, expected = known_product()
        with _full_precision(self._device):
            self._float32_is_exact = bool((self._take(x) @ self._take(w) == expected).all())

    @torch.inference_mode()
    def run(
        self, network: Network, x: np.ndarray, side: np.ndarray | None = None, wanted: Box | None = None
    ) -> np.ndarray:
        """Output integers of `network` for `x` [B, H, W, C] and second input `side`, as float32."""
        first, second = self._take(x), None if side is None else self._take(side)
        with _full_precision(self._device):
            known = self._prepared.get(id(network))
            if known is None:
                prepared = {path: self._prepare(network, path) for path in network.parameters}
                self._prepared[id(network)] = known = (network, prepared)  # holds the network, so its id stays its own
            out: Tensor = run_layers(network.layers, partial(_apply, known[1]), first, second, wanted)
        return self._give(out.to(_torch_type(integer_type(network.output_bound)))).astype(np.float32)

    def _take(self, values: np.ndarray) -> Tensor:
        """An array as float32 on the device."""
        host = self._host(values.shape, torch.float32)
        host.numpy()[...] = values
        return host.to(self._device, non_blocking=True)

    def _give(self, x: Tensor) -> np.ndarray:
        host = self._host(x.shape, x.dtype)
        host.copy_(x, non_blocking=True)
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()
        return host.numpy()

    def _host(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Memory of this process that a GPU reads and writes by itself, without a copy in between."""
        # The caller may have set another default device.
        return torch.empty(tuple(shape), dtype=dtype, device="cpu", pin_memory=self._device.type == "cuda")

    def _prepare(self, network: Network, path: str) -> _Prepared:
        own = network.parameters[path]
        fits = self._float32_is_exact and network.bounds[path] < FLOAT32_LIMIT
        scale = np.ldexp(1.0, -own.shift.astype(np.intc))  # not int64: no such loop where a C long is 32 bits wide
        values = (own.weight * scale, own.bias * scale, own.low, own.high)
        dtype = torch.float32 if fits else torch.float64
        return _Prepared(*(torch.from_numpy(value).to(self._device, dtype) for value in values))


def _torch_type(dtype: np.dtype[Any]) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype)).dtype


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """Disables TF32 and a caller's autocast inside, and restores the caller's settings after.

    The precision is global to the process, hence the lock: a thread that leaves must not restore it under another.
    """
    with _precision_lock:
        restore = _forbid_reduced_precision()
        try:
            with torch.autocast(device.type, enabled=False):
                yield
        finally:
            restore()


def _forbid_reduced_precision() -> Callable[[], None]:
    """Sets full float32 products and returns what puts the caller's setting back.

    torch has two ways to say it since 2.9, and where a caller took the newer one, the older cannot be asked any more.
    """
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:
        mkldnn: Any = torch.backends.mkldnn  # its newer attributes have no types
        backends: list[Any] = [torch.backends.cuda.matmul, mkldnn.matmul]
        precisions = [backend.fp32_precision for backend in backends]
        _set_precisions(backends, ["ieee", "ieee"])
        return partial(_set_precisions, backends, precisions)
    torch.set_float32_matmul_precision("highest")
    return partial(torch.set_float32_matmul_precision, before)


def _set_precisions(backends: Sequence[Any], precisions: Sequence[str]) -> None:
    for backend, precision in zip(backends, precisions, strict=True):
        backend.fp32_precision = precision


def _apply(prepared: Mapping[str, _Prepared], layer: Layer, path: str, x: Tensor, side: Tensor | None) -> Tensor:
    match layer:
        case Conv():
            x = _requantise(_product(layer, prepared[path], x), prepared[path])
            return torch.maximum(x, torch.floor(x * 0.125 + 0.5)) if layer.active else x
        case Depthwise():
            return _requantise(_depthwise(prepared[path], x), prepared[path])
        case Residual():
            return _sum(x, _run(prepared, layer.body, path, x, side), prepared[path_of(path, len(layer.body) - 1)])
        case SideInput():
            assert side is not None, "this network has a second input"
            return _sum(x, _run(prepared, layer.body, path, side, side), prepared[path_of(path, len(layer.body) - 1)])
        case DepthToSpace():
            return _shuffle(x, layer.factor, layer.crop)
        case NearestUpsample():
            return x.repeat_interleave(layer.factor, 1).repeat_interleave(layer.factor, 2)
        case _:
            return unknown_kind(layer)


def _run(prepared: Mapping[str, _Prepared], layers: Layers, prefix: str, x: Tensor, side: Tensor | None) -> Tensor:
    for position, layer in enumerate(layers):
        x = _apply(prepared, layer, path_of(prefix, position), x, side)
    return x


def _product(layer: Conv, prepared: _Prepared, x: Tensor) -> Tensor:
    if layer.kernel > 1 or layer.stride > 1 or layer.padding:
        padding = layer.padding
        x = functional.pad(x, (0, 0, padding, padding, padding, padding))
        x = x.unfold(1, layer.kernel, layer.stride).unfold(2, layer.kernel, layer.stride)
        x = x.permute(0, 1, 2, 4, 5, 3).flatten(3)  # [B, H', W', kernel row, kernel column, channel]
    return x.to(prepared.weight.dtype) @ prepared.weight


def _depthwise(prepared: _Prepared, x: Tensor) -> Tensor:
    rows, columns = x.shape[1:3]
    padded = functional.pad(x.to(prepared.weight.dtype), (0, 0, 1, 1, 1, 1))
    taps = [padded[:, t // 3 : t // 3 + rows, t % 3 : t % 3 + columns] * prepared.weight[t] for t in range(9)]
    return torch.stack(taps).sum(0)


def _requantise(total: Tensor, prepared: _Prepared) -> Tensor:
    return torch.clamp(torch.floor(total + prepared.bias), prepared.low, prepared.high).float()


def _sum(x: Tensor, body: Tensor, last: _Prepared) -> Tensor:
    both = min(x.shape[-1], body.shape[-1])
    body[..., :both] += x[..., :both]
    return torch.clamp(body, last.low.float(), last.high.float())


def _shuffle(x: Tensor, factor: int, crop: int) -> Tensor:
    batch, rows, columns, channels = x.shape
    split = x.reshape(batch, rows, columns, factor, factor, channels // factor**2)
    full = split.transpose(2, 3).reshape(batch, rows * factor, columns * factor, -1)
    return full[:, crop : rows * factor - crop, crop : columns * factor - crop]
