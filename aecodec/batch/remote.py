"""Networks run by another process, for many workers at once: both ends of the connection.

A worker waits for each answer, so that it has one request at a time. The server takes whatever requests are there, and
runs those of one kind together: batches are as large as there are workers that wait, and nobody waits for a batch to
fill. Results do not depend on it, being exact integers.
"""

from __future__ import annotations

import hashlib
import pickle
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.connection import wait
from multiprocessing.reduction import recv_handle
from typing import NamedTuple
from typing import Protocol

import numpy as np

from aecodec.errors import AecError
from aecodec.geometry import Box
from aecodec.network.quantized import Network
from aecodec.network.quantized import integer_type
from aecodec.network.windows import reduction

# Of a network's coarsest field, in one run: 64 pictures of 256x256, which take up to 4 GB of a GPU.
MOST_POSITIONS = 2**16


class Request(NamedTuple):
    """A run of a network; `x` [B, H, W, C] and `side` in the smallest integers that hold what the network takes in."""

    digest: bytes  # of the network
    pickled: bytes | None  # the network itself, with a worker's first request for it
    x: np.ndarray
    side: np.ndarray | None
    wanted: Box | None

    @property
    def kind(self) -> tuple[object, ...]:
        """Requests of one kind can be one run."""
        side = None if self.side is None else self.side.shape[1:]
        return self.digest, self.x.shape[1:], side, self.wanted


Answer = np.ndarray | str  # the output in small integers, or why there is none


class RemoteRuntime:
    """A Runtime that asks a Server. Where that is no more, the process ends: its parent knows better what to do."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sent: dict[int, tuple[Network, bytes]] = {}

    def run(
        self, network: Network, x: np.ndarray, side: np.ndarray | None = None, wanted: Box | None = None
    ) -> np.ndarray:
        """Output integers of `network` as float32. Raises AecError where the server could not run it."""
        known = self._sent.get(id(network))
        if known is None:
            self._sent[id(network)] = (network, digest_of(network))  # holds the network, so its id stays its own
        request = Request(
            self._sent[id(network)][1],
            pickle.dumps(network) if known is None else None,
            x.astype(integer_type(network.input_bound), copy=False),
            None if side is None else side.astype(integer_type(network.side_bound), copy=False),
            wanted,
        )
        try:
            self._connection.send(request)
            answer: Answer = self._connection.recv()
        except (EOFError, OSError):
            sys.exit()
        if isinstance(answer, str):
            raise AecError(answer)
        return answer.astype(np.float32)


def digest_of(network: Network) -> bytes:
    """Equal for equal networks, whichever process loaded them."""
    found = hashlib.sha256(repr((network.layers, network.exponent)).encode())
    for path, own in sorted(network.parameters.items()):
        found.update(path.encode())
        for values in (own.weight, own.bias, own.shift, own.low, own.high):
            found.update(values.tobytes())
    for bound in (network.input_bound, network.side_bound):
        found.update(bound.tobytes())
    return found.digest()


class GroupRuntime(Protocol):
    """What a Server runs networks by: `TorchRuntime.run_together`."""

    def run_together(
        self, network: Network, xs: Sequence[np.ndarray], sides: Sequence[np.ndarray] | None, wanted: Box | None
    ) -> np.ndarray: ...


class Server:
    """Runs networks for whom `control` brings a connection to, until the other end of `control` is closed."""

    def __init__(self, control: Connection, runtime: GroupRuntime) -> None:
        self._control, self._runtime = control, runtime
        self._clients: list[Connection] = []
        self._networks: dict[bytes, Network] = {}
        self._waiting: dict[tuple[object, ...], list[tuple[Connection, Request]]] = {}  # the longest waiting kind first

    def serve(self) -> None:
        """Raises EOFError or OSError at the end."""
        while True:
            # Asked again after every run: what has come meanwhile joins its kind.
            for ready in wait([self._control, *self._clients], 0 if self._waiting else None):
                if ready is self._control:
                    self._welcome()
                else:
                    assert isinstance(ready, type(self._control))
                    self._take(ready)
            if self._waiting:
                self._run_first()

    def _welcome(self) -> None:
        self._clients.append(type(self._control)(recv_handle(self._control)))
        self._control.send(None)

    def _take(self, client: Connection) -> None:
        try:
            request: Request = client.recv()
        except (EOFError, OSError):  # the worker has ended, or was killed
            self._clients.remove(client)
            client.close()
            return
        if request.pickled is not None and request.digest not in self._networks:
            self._networks[request.digest] = pickle.loads(request.pickled)
        self._waiting.setdefault(request.kind, []).append((client, request))

    def _run_first(self) -> None:
        kind, waiting = next(iter(self._waiting.items()))
        network = self._networks[waiting[0][1].digest]
        count = _fitting([request.x for _, request in waiting], reduction(network.layers))
        group, self._waiting[kind] = waiting[:count], waiting[count:]
        if not self._waiting[kind]:
            del self._waiting[kind]
        answers = self._answers(network, [request for _, request in group])
        for (client, _), answer in zip(group, answers, strict=True):
            with suppress(OSError):  # killed meanwhile: the end of its connection comes next
                client.send(answer)

    def _answers(self, network: Network, requests: Sequence[Request]) -> list[Answer]:
        """Those of one run, or where that fails, which may be for want of memory, of a run for each."""
        xs = [request.x for request in requests]
        sides = [request.side for request in requests if request.side is not None] or None
        try:
            out = self._runtime.run_together(network, xs, sides, requests[0].wanted)
            return list(np.split(out, np.cumsum([len(x) for x in xs])[:-1]))
        except Exception as error:
            if len(requests) == 1:
                return [f"--device cuda: {one_line(error)}"]
        # Not within the handler, where the exception still holds what took the memory.
        return [answer for request in requests for answer in self._answers(network, [request])]


def _fitting(xs: Sequence[np.ndarray], scale: int) -> int:
    """How many of the first inputs go into one run, at least one."""
    positions = np.cumsum([len(x) * (x.shape[1] // scale) * (x.shape[2] // scale) for x in xs])
    return max(1, int(np.searchsorted(positions, MOST_POSITIONS, side="right")))


def one_line(error: Exception) -> str:
    """CUDA's messages go on with advice for programmers."""
    return str(error).strip().split("\n")[0] or type(error).__name__
