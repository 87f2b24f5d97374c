"""`aecodec` and `python -m aecodec`; the latter works in an uninstalled checkout, too.

An interrupt ends the command with one line and an exit code, whenever it comes: 130 for SIGINT, 143 for SIGTERM, 129
for SIGHUP. Each is a KeyboardInterrupt with the signal's number. It is not raised where Python or a library would make
another error of it, or print it and go on: within an import or a callback. It is tried again a moment later.
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
_NUMBERS = (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))  # Windows lacks the last
_ECHO = 1.0  # a terminal and a wrapper send the same interrupt; one that comes later is another


class Interrupts:
    """The handler of signals: the first one is a KeyboardInterrupt, the second ends the process as it stands."""

    def __init__(self) -> None:
        self._raised: float | None = None
        self._number: int = signal.SIGINT

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Raises KeyboardInterrupt, at once or from a call soon after."""
        if self._raised is not None:
            if time.monotonic() > self._raised + _ECHO:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
        elif _is_importing(frame):
            _again(number)
        else:
            self._raised, self._number = time.monotonic(), number
            raise KeyboardInterrupt(number)

    def unraisable(self, args: sys.UnraisableHookArgs) -> None:
        """Takes back an interrupt that a callback would print and forget."""
        if issubclass(args.exc_type, KeyboardInterrupt):
            self._raised = None
            _again(self._number)
        else:
            sys.__unraisablehook__(args)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code is not main.__code__:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _again(number: int) -> None:
    """Sends this thread, the main one, the signal once more, soon."""
    thread = _thread.get_ident()

    def soon() -> None:
        time.sleep(_PAUSE)
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(thread, number)  # this ends a wait for input, too
        else:
            _thread.interrupt_main(number)  # type: ignore[arg-type]

    _thread.start_new_thread(soon, ())  # threading's locks may be those of the call that was interrupted


def main() -> None:
    """Runs the command line."""
    if getattr(sys, "frozen", False):  # the program is its own interpreter: a worker starts as the program does
        import multiprocessing

        multiprocessing.freeze_support()
    gc.set_threshold(50_000)  # importing leaves no garbage: to look for it every 700 objects is 5 % of a cold start
    interrupts = Interrupts()
    sys.unraisablehook = interrupts.unraisable
    for number in _NUMBERS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):  # one that nohup ignores stays so
            signal.signal(number, interrupts)
    try:
        from aecodec import cli

        cli.main()
    except KeyboardInterrupt as error:
        os.write(2, b"aecodec: interrupted\n")
        sys.exit(128 + (error.args or (signal.SIGINT,))[0])
    finally:
        for number in _NUMBERS:
            signal.signal(number, signal.SIG_IGN)  # all is done; what ends now would print a traceback


if __name__ == "__main__":
    main()
