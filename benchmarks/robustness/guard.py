"""One command line in this process, with what it says, how long it took and what it took of memory; and the verdict."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from placement.cli import run

LONGEST_S = 10.0
MOST_BYTES = 1_000_000_000
MOST_LINE, MOST_MESSAGE = 1000, 6000  # characters of an error, and of all remarks
CODES = {0, 1, 2, 3}
ABOUT = ("--", "plan", "span", "split", "runs", "objective: ")  # what does not suit another input is told by what it is


class HangError(BaseException):
    """The time of an input is over; no handler of the program may catch it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command line did: exit code (None: it hung), texts, seconds, bytes that memory grew by at its peak."""

    code: int | None
    out: str
    err: str
    seconds: float
    grown: int


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def over(*_: object) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def answered(words: Sequence[str]) -> Answer:
    """Run a command line, its output caught."""
    out, err = io.StringIO(), io.StringIO()
    _forget_peak()
    before, began = _bytes("VmRSS"), time.perf_counter()
    code: int | None = None
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _alarm(LONGEST_S):
            code = run(list(words))
    except HangError:
        pass
    except BaseException as error:  # what gets past the command line is a failure of its own
        err.write(f"internal error, not even caught: {type(error).__name__}: {error}")
        code = 1
    seconds = time.perf_counter() - began
    return Answer(code, out.getvalue(), err.getvalue(), seconds, _bytes("VmHWM") - before)


def verdict(answer: Answer, *, file: str = "", as_json: bool = True) -> str:
    """What is wrong with an answer, in few words; empty when nothing is.

    Parameters
    ----------
    answer : Answer
    file : str
        The file that a refusal must name; empty where it need not.
    as_json : bool
        Whether stdout must be one JSON document.
    """
    if answer.code is None:
        return "hang"
    if "internal error" in answer.err:
        return "internal error"
    if answer.code not in CODES:
        return f"exit code {answer.code}"
    if answer.grown > MOST_BYTES:
        return "memory"
    if not all(line.isprintable() for line in (answer.err + answer.out).split("\n")):
        return "control characters"
    return _of_texts(answer, file, as_json)


def _of_texts(answer: Answer, file: str, as_json: bool) -> str:
    lines = answer.err.rstrip("\n").split("\n")
    if max(map(len, lines)) > MOST_LINE or len(answer.err) > MOST_MESSAGE:
        return "a message too long"
    if answer.code == 1 and not answer.err.startswith("error: "):
        return "no message"
    if answer.code == 1 and file and not any(word in answer.err for word in (file, *ABOUT)):
        return "no file named"
    if not as_json:
        return ""
    try:
        data = json.loads(answer.out, parse_constant=_no_number)
    except ValueError as error:
        return "no JSON" if isinstance(error, json.JSONDecodeError) else str(error)
    value = data.get("objective") if isinstance(data, dict) else None
    if answer.code == 0 and isinstance(value, dict) and value.get("value") is None:
        return "no value"
    return ""


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _bytes(key: str) -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    found = next((line for line in status.read_text().splitlines() if line.startswith(f"{key}:")), "")
    return int(found.split()[1]) * 1024 if found else 0


def _forget_peak() -> None:
    """Let the peak of memory begin from here (proc(5): 5 resets it)."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def quiet_environment() -> None:
    """80 columns, no colours, no help with compiling."""
    os.environ.update(COLUMNS="80", NO_COLOR="1", OMP_NUM_THREADS="1")
