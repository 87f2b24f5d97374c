"""What can differ between two machines, as environments and options of a worker process."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from importlib.util import find_spec

from aecodec.native import library


@dataclass(frozen=True)
class Configuration:
    """One process: options of `tests.matrix.worker`, and variables beside those of the caller."""

    name: str
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    fast: bool = False  # part of the short form


X86_KERNELS = ("Prescott", "Nehalem", "Haswell", "SkylakeX", "Zen")
ARM_KERNELS = ("ARMV8", "NEOVERSEN1")


def runnable(kernels: tuple[str, ...]) -> tuple[str, ...]:
    """The kernels that this processor can run: OpenBLAS accepts any, and dies of SIGILL."""
    from numpy._core import _multiarray_umath as built

    wide = any(has for name, has in built.__cpu_features__.items() if name in ("AVX512F", "X86_V4"))
    return tuple(kernel for kernel in kernels if wide or kernel != "SkylakeX")


def without_simd() -> dict[str, str]:
    """NumPy's own loops with the fewest instructions that it was built for."""
    from numpy._core import _multiarray_umath as built

    dispatched = [name for name in built.__cpu_dispatch__ if built.__cpu_features__.get(name)]
    return {"NPY_DISABLE_CPU_FEATURES": " ".join(dispatched)} if dispatched else {}


def threads(count: int) -> dict[str, str]:
    return {f"{library}_NUM_THREADS": str(count) for library in ("OMP", "OPENBLAS", "MKL")}


NUMPY = ("--runtime", "numpy")
PYTHON_CODER = {library.VARIABLE: "numpy"}  # no library at all


def native_configurations() -> list[Configuration]:
    """Every kernel set of this processor; the first is what a user gets."""
    own = [name for name in library.SETS if not isinstance(library.kernel_set_named(name), str)]
    return [
        *(Configuration(f"native, {name}", (), {library.VARIABLE: name}) for name in own),
        Configuration("native, blocks and batches", ("--block", "8", "--batch")),
    ]


def numpy_configurations() -> list[Configuration]:
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    kernels = runnable(X86_KERNELS if x86 else ARM_KERNELS)
    generic = {**without_simd(), "OPENBLAS_CORETYPE": kernels[0], **threads(1), **PYTHON_CODER}
    everything = (*NUMPY, "--block", "8", "--batch")
    return [
        Configuration("numpy", NUMPY),
        *(Configuration(f"numpy, BLAS kernel {kernel}", NUMPY, {"OPENBLAS_CORETYPE": kernel}) for kernel in kernels),
        Configuration("numpy, without SIMD", NUMPY, without_simd()),
        *(Configuration(f"numpy, {count} thread(s)", NUMPY, threads(count)) for count in (1, 2)),
        Configuration("numpy, float64 carrier", ("--runtime", "float64")),
        Configuration("numpy, one block", (*NUMPY, "--block", "65536")),
        Configuration("numpy, blocks of 64 pixels", (*NUMPY, "--block", "8")),
        Configuration("numpy, batches", (*NUMPY, "--batch")),
        Configuration("numpy, pure-Python coder", NUMPY, PYTHON_CODER),
        Configuration("numpy, all of it: generic, blocks, batches, Python coder", everything, generic, fast=True),
        Configuration("examples/decode_from_spec.py", ("--runtime", "spec")),
    ]


def torch_configurations() -> list[Configuration]:
    """torch on the CPU, and on a GPU where it finds one."""
    if find_spec("torch") is None:
        return []
    import torch

    options = ("--runtime", "torch")
    generic = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}
    found = [
        Configuration("torch", options),
        Configuration("torch, oneDNN off", (*options, "--without-onednn")),
        Configuration("torch, kernels avx2", options, {"ATEN_CPU_CAPABILITY": "avx2"}),
        Configuration("torch, kernels default", options, {"ATEN_CPU_CAPABILITY": "default"}),
        Configuration("torch, generic kernels in all its libraries", options, generic, fast=True),
        *(Configuration(f"torch, {count} thread(s)", options, threads(count)) for count in (1, 2)),
        Configuration("torch, blocks and batches", (*options, "--block", "8", "--batch")),
    ]
    if torch.cuda.is_available():
        cuda = ("--runtime", "cuda")
        found += [
            Configuration("CUDA", cuda),
            Configuration("CUDA, blocks and batches", (*cuda, "--block", "8", "--batch")),
            Configuration("CUDA, TF32 wanted by the caller", (*cuda, "--reduced-precision")),
        ]
    return found
