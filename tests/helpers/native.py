"""Native runtimes on every kernel set that this processor has; none where the kernels are not compiled."""

from __future__ import annotations

from aecodec.native import library
from aecodec.network.native_runtime import NativeRuntime


def native_runtimes() -> dict[str, NativeRuntime]:
    """By the name of their kernel set."""
    found = library.load()
    if isinstance(found, str):
        return {}
    runtimes: dict[str, NativeRuntime] = {}
    while name := found.aec_set_name(len(runtimes)):
        runtimes[name.decode()] = NativeRuntime(found, len(runtimes))
    own = list(runtimes)
    return {name: runtime for name, runtime in runtimes.items() if found.aec_set_runs(own.index(name))}
