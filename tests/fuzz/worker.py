"""The process that decodes: takes files through a pipe and answers with what became of each."""

from __future__ import annotations

import hashlib
import os
import signal
import time
import traceback
import warnings
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

from .mutate import MOST_PIXELS
from .mutate import TINY


@dataclass(frozen=True)
class Answer:
    """Of one file: a refusal's class, or an uncaught exception, or the picture's shape and hash."""

    seconds: float  # of processor time
    refusal: str = ""
    uncaught: str = ""
    shape: tuple[int, ...] = ()
    sha256: str = ""


def decode(data: bytes, max_pixels: int = MOST_PIXELS) -> Answer:
    """What `aecodec.api.decode_pixels` makes of a file, and of a refused one as a prefix, whose picture may be any."""
    from aecodec import api
    from aecodec.errors import AecError

    start = time.process_time()
    try:
        pixels = api.decode_pixels(data, max_pixels=max_pixels, coded_size=True)
    except AecError as error:
        refusal = type(error).__name__
        try:
            with suppress(AecError):
                api.decode_pixels(data, max_pixels=max_pixels, coded_size=True, partial=True)
        except BaseException:
            return Answer(time.process_time() - start, uncaught=traceback.format_exc())
        return Answer(time.process_time() - start, refusal=refusal)
    except BaseException:  # a panic of constriction is no Exception
        return Answer(time.process_time() - start, uncaught=traceback.format_exc())
    seconds = time.process_time() - start
    if pixels.dtype != "uint8":
        return Answer(seconds, uncaught=f"pixels are {pixels.dtype}")
    return Answer(seconds, shape=pixels.shape, sha256=hashlib.sha256(pixels.tobytes()).hexdigest())


def serve(pipe: Connection) -> None:
    """Answers until the pipe closes. A warning counts as an exception."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's affair
    os.environ["AECODEC_WEIGHTS"] = str(TINY)
    warnings.simplefilter("error")
    decode((TINY / "dot-100.aec").read_bytes())  # imports and weights are loaded outside the first file's time
    pipe.send(os.getpid())
    while True:
        try:
            data = pipe.recv_bytes()
        except EOFError:
            return
        pipe.send(decode(data))
