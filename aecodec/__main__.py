"""`aecodec` and `python -m aecodec`; the latter works in an uninstalled checkout, too.

An interrupt ends the command with one line and exit code 130, whenever it comes. So KeyboardInterrupt is not raised
where Python or a library would make another error of it, or print it and go on: within an import or a callback. It is
tried again a moment later.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # signal loads enum first: 10 ms without this handler
import _thread
import gc
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

_PAUSE = 0.01  # seconds from one try to the next
_ECHO = 1.0  # a terminal and a wrapper send the same interrupt; one that comes later is another


class Interrupts:
    """The handler of SIGINT: the first interrupt is a KeyboardInterrupt, the second ends the process as it stands."""

    def __init__(self) -> None:
        self._raised: float | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Raises KeyboardInterrupt, at once or from a call soon after."""
        if self._raised is not None:
            if time.monotonic() > self._raised + _ECHO:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
        elif _is_importing(frame):
            _again()
        else:
            self._raised = time.monotonic()
            raise KeyboardInterrupt

    def unraisable(self, args: sys.UnraisableHookArgs) -> None:
        """Takes back an interrupt that a callback would print and forget."""
        if issubclass(args.exc_type, KeyboardInterrupt):
            self._raised = None
            _again()
        else:
            sys.__unraisablehook__(args)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code is not main.__code__:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _again() -> None:
    """Sends this thread, the main one, the interrupt once more, soon."""
    thread = _thread.get_ident()

    def soon() -> None:
        time.sleep(_PAUSE)
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(thread, signal.SIGINT)  # this ends a wait for input, too
        else:
            _thread.interrupt_main()

    _thread.start_new_thread(soon, ())  # threading's locks may be those of the call that was interrupted


def main() -> None:
    """Runs the command line."""
    if getattr(sys, "frozen", False):  # the program is its own interpreter: a worker starts as the program does
        import multiprocessing

        multiprocessing.freeze_support()
    gc.set_threshold(50_000)  # importing leaves no garbage: to look for it every 700 objects is 5 % of a cold start
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        interrupts = Interrupts()
        sys.unraisablehook = interrupts.unraisable
        signal.signal(signal.SIGINT, interrupts)
    try:
        from aecodec import cli

        cli.main()
    except KeyboardInterrupt:
        os.write(2, b"aecodec: interrupted\n")
        sys.exit(130)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done; what ends now would print a traceback


if __name__ == "__main__":
    main()
