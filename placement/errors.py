"""Errors that are written for people: every one is a single clear line, and the command line shows no traceback.

What a message repeats of a user's file is bounded and printable here, in one place, so that no message can carry an
escape sequence to a terminal or fill a screen.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Sequence
from reprlib import Repr
from typing import Any

MOST_VALUE = 80  # characters of a value that a message repeats
MOST_PLACE = 300  # of a file's name with a key path
MOST_MESSAGE = 500  # of what is said about it
MOST_LINES = 5  # mistakes that are told at once
MOST_TOTAL = 950  # characters of all of them
# A quoted stretch, or a word, that is longer than any value should be told.
_QUOTED = re.compile(rf"(?<!\w)'([^']{{{MOST_VALUE + 1},}})'")
_FIRST_KEY = re.compile(r"[.\[]")
_WORD = re.compile(rf"\S{{{MOST_VALUE + 3},}}")


class PlacementError(Exception):
    """Base of every error that this library raises on purpose."""


class InputError(PlacementError):
    """Something the user wrote is wrong; the message names the file, the key path and the value.

    Parameters
    ----------
    message : str
        What was expected and what was found.
    where : str
        File and key path, such as ``cluster.yaml: nodes[2].memory``; empty when there is none.

    Attributes
    ----------
    findings : tuple of (str, str)
        Place and message of the mistakes, one a line.
    more : int
        How many more mistakes there are.
    """

    def __init__(self, message: str, where: str = "") -> None:
        self._tell(((where, message),))

    @classmethod
    def several(cls, findings: Sequence[tuple[str, str]], where: str = "", more: int = 0) -> InputError:
        """Return one error for several mistakes, each a place within `where` and a message; `more` are not listed."""
        error = cls("")
        error._tell(tuple((_joined(where, place), message) for place, message in findings) or ((where, ""),), more)
        return error

    def _tell(self, findings: tuple[tuple[str, str], ...], more: int = 0) -> None:
        self.findings, self.more = findings, more
        self.where, self.detail = findings[0]
        lines: list[str] = []
        for place, message in findings[:MOST_LINES]:
            line = _joined(shortened(place, MOST_PLACE), _bounded(message))
            if lines and sum(map(len, lines)) + len(line) > MOST_TOTAL - MOST_PLACE:
                break
            lines.append(line)
        if left := len(findings) + more - len(lines):
            file = shortened(self.where.partition(": ")[0], MOST_PLACE // 2)
            lines.append(_joined(file, f"... and {left} more"))
        super().__init__("\n".join(lines))

    def under(self, prefix: str) -> InputError:
        """Return the same error with `prefix` (a file name, say) in front of its place."""
        return InputError.several(self.findings, prefix, self.more)

    def in_file(self, file: str, keys: Collection[str]) -> InputError:
        """Return the same error with `file` in front of its place, where that is a path that begins with one of `keys`.

        An error that names its file already, an option, or an argument of a function stays as it is.
        """
        bare = bool(file) and ": " not in self.where and _FIRST_KEY.split(self.where, maxsplit=1)[0] in keys
        return self.under(file) if bare else self


class InfeasibleError(PlacementError):
    """It is proven that no plan satisfies the memory, the constraints and the limits.

    Parameters
    ----------
    reasons : iterable of str
        Each says in bytes or seconds what is missing.
    """

    def __init__(self, reasons: Iterable[str]) -> None:
        self.reasons = tuple(_bounded(reason) for reason in reasons)
        super().__init__("; ".join(self.reasons))


class NotFoundError(PlacementError):
    """No plan that keeps every rule was found in the time there was; one may exist.

    Parameters
    ----------
    reasons : iterable of str
        What the best attempt lacks, in bytes or seconds.
    best : Plan or None
        The best attempt; its status is "infeasible".
    """

    def __init__(self, reasons: Iterable[str], best: Any = None) -> None:
        self.reasons = tuple(_bounded(reason) for reason in reasons)
        self.best = best
        super().__init__("; ".join(self.reasons))


def printable(text: str) -> str:
    """Return `text` with everything that a terminal or an editor could obey written out: control codes as U+001B."""
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode("ascii") for mark in text)


def shortened(text: str, most: int = MOST_VALUE) -> str:
    """Return `text` printable and at most `most` characters long, its middle left out when it is longer."""
    if len(text) > most:
        head = (most - 3) * 2 // 3
        text = f"{text[:head]}...{text[len(text) - (most - 3 - head) :]}"
    text = printable(text)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def shown(value: object) -> str:
    """Return `value` for a message: quoted when it is text, on one line, printable, at most 80 characters."""
    if isinstance(value, str):
        return f"'{shortened(value, MOST_VALUE - 2)}'"
    return shortened(_REPR.repr(value))


def nearest(word: str, valid: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the valid word closest to `word`, or an empty string."""
    known = {name.lower(): name for name in valid}
    close = difflib.get_close_matches(str(word)[:MOST_VALUE].lower(), list(known), n=1, cutoff=0.5)
    return f"; did you mean '{known[close[0]]}'?" if close else ""


def _joined(place: str, message: str) -> str:
    return f"{place}: {message}" if place and message else place or message


def _bounded(message: str) -> str:
    """Return a message on one line whose quoted values and words are of bounded length."""
    message = " ".join(message[: 4 * MOST_MESSAGE].split())
    message = _QUOTED.sub(lambda found: shown(found[1]), message)
    return shortened(_WORD.sub(lambda found: shortened(found[0], MOST_VALUE), message), MOST_MESSAGE)


def _short_repr() -> Repr:
    """Return a `repr` that looks at a few values only, however many there are."""
    short = Repr()
    short.maxlevel, short.maxdict, short.maxlist, short.maxtuple, short.maxset = 4, 6, 8, 8, 8
    short.maxstring = short.maxlong = short.maxother = MOST_VALUE
    return short


_REPR = _short_repr()
