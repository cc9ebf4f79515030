"""`placement` and `python -m placement`: Ctrl-C is one line and exit code 130, from the first import to the last."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130


def main() -> NoReturn:
    """Import the command line, run it, and leave."""
    before = signal.getsignal(signal.SIGINT)
    told = before is signal.default_int_handler  # a shell may have asked its background jobs to ignore Ctrl-C
    if told:
        signal.signal(signal.SIGINT, _leave)
    from .cli import run  # after the handler stands, since this import takes a while

    try:
        if told:
            sys.unraisablehook = _once_more
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = run(sys.argv[1:])
        if told:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said and written: the way out is short
    except KeyboardInterrupt:
        _leave(signal.SIGINT, None)
    sys.exit(code)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    """Say one line and end at once: nothing has been begun that could be left half done."""
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


def _once_more(unraisable: sys.UnraisableHookArgs) -> None:
    """Press Ctrl-C again a moment later where it fell into a callback of the interpreter, which cannot raise it."""
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
        return
    threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT)).start()


if __name__ == "__main__":
    main()
