"""A process that has the GPU, for workers whose networks it runs: they read, code and write beside it.

One process, since a GPU wants pictures in batches and every further one would hold its memory a second time. This
module loads neither NumPy nor torch before that process and its workers run.
"""

from __future__ import annotations

import signal
import warnings
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import send_handle
from typing import TYPE_CHECKING

from aecodec.batch.workers import Link
from aecodec.batch.workers import join_or_kill
from aecodec.batch.workers import spawned
from aecodec.errors import AecError

if TYPE_CHECKING:
    from aecodec.network.torch_runtime import TorchRuntime


class GpuProcess:
    """A context manager: the process, started for its first connection. `device` is what torch calls it.

    It ends with this object or this process, whichever is first, and when it does, connections end.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._process: SpawnProcess | None = None

    def __enter__(self) -> GpuProcess:
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            self._control.close()
            self._process.terminate()
            join_or_kill(self._process)

    @property
    def link(self) -> Link:
        return Link(self._connect, run_networks_by)

    def _connect(self) -> Connection:
        """A worker's connection. Raises AecError where the process cannot serve, or is no more."""
        process = self._process or self._start()
        assert process.pid is not None
        ours, theirs = Pipe()
        with theirs:
            try:
                send_handle(self._control, theirs.fileno(), process.pid)
                self._control.recv()  # no connection to a process that has just ended
            except (EOFError, OSError) as error:
                ours.close()
                raise AecError(
                    f"--device {self._device}: the process that ran networks is no more; out of memory perhaps"
                ) from error
        return ours

    def _start(self) -> SpawnProcess:
        self._process, self._control = spawned(_serve, self._device)
        try:
            failure = self._control.recv()
        except (EOFError, OSError) as error:
            raise AecError(f"--device {self._device}: the process that should run the networks has ended") from error
        if failure is not None:
            raise failure
        return self._process


def run_networks_by(connection: Connection) -> None:
    """In a worker: what is asked of the device "cuda" from now on goes through `connection`."""
    from aecodec import api
    from aecodec.batch.remote import RemoteRuntime

    api.provide("cuda", RemoteRuntime(connection))


def _serve(control: Connection, device: str) -> None:
    """The life of the process: says that it is ready, or why it is not, and serves while its parent lives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's to handle
    warnings.simplefilter("ignore")
    from aecodec.batch.remote import Server

    runtime = _runtime(device)
    with suppress(EOFError, OSError):  # of `control`: the parent is no more, or has no more work
        if isinstance(runtime, AecError):
            control.send(runtime)
        else:
            control.send(None)
            Server(control, runtime).serve()


def _runtime(device: str) -> TorchRuntime | AecError:
    from aecodec.batch.remote import one_line

    try:
        from aecodec.network.torch_runtime import TorchRuntime

        return TorchRuntime(device)
    except AecError as error:
        return error
    except Exception as error:  # of drivers and libraries, whatever it is
        return AecError(f"--device {device}: {one_line(error)}")
