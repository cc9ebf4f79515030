"""Regular expressions of strangers, matched in linear time: what `-ot PATTERN=BUFFER` of llama.cpp needs, and no more.

A pattern becomes functions from a set of places in a name to the set of places where a match can stand afterwards; a
set of places is a whole number, one bit each. Nothing goes back, so no pattern takes exponential time (K. Thompson,
"Programming Techniques: Regular expression search algorithm", CACM 11(6), 1968, doi:10.1145/363347.363387).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import InputError, shown

LONGEST, DEEPEST, MOST_TIMES = 2000, 20, 100
ROUNDS = 32  # what a repetition costs: as many rounds as a tensor's name has letters
Step = Callable[["Name", int], int]


class Name:
    """A name, with the places of each kind of letter as bits."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.end = 1 << len(text)
        self.places: dict[re.Pattern[str], int] = {}

    def where(self, letter: re.Pattern[str]) -> int:
        """Places at which a letter of a kind stands."""
        if letter not in self.places:
            self.places[letter] = sum(1 << k for k, mark in enumerate(self.text) if letter.fullmatch(mark))
        return self.places[letter]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern: its text, how it moves through a name, and what a search costs in single steps."""

    text: str
    step: Step
    cost: int

    def found_in(self, name: Name) -> bool:
        """Tell whether a name has a match anywhere."""
        return self.step(name, 2 * name.end - 1) != 0


def compiled(text: str) -> Pattern:
    """Read a pattern.

    Parameters
    ----------
    text : str
        Letters, ``.``, sets, groups, ``|``, ``* + ? {m,n}``, ``^`` and ``$``, as in ECMAScript and Python.

    Raises
    ------
    InputError
        It is none, or has what is not read: back references, looking ahead, more than 2000 characters.
    """
    if len(text) > LONGEST:
        raise InputError(f"expected a pattern of at most {LONGEST} characters, got {shown(text)}")
    reader = _Reader(text)
    step, cost = reader.alternatives(0)
    if reader.at < len(text):
        raise reader.refused("there is no group to close")
    return Pattern(text, step, cost)


class _Reader:
    """Reads a pattern from the left; every method returns a step and its cost."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def refused(self, why: str) -> InputError:
        return InputError(f"not a regular expression that is read here: {shown(self.text)} ({why})")

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def alternatives(self, depth: int) -> tuple[Step, int]:
        if depth > DEEPEST:
            raise self.refused("too many groups in each other")
        branches = [self.sequence(depth)]
        while self.peek() == "|":
            self.at += 1
            branches.append(self.sequence(depth))
        if len(branches) == 1:
            return branches[0]
        steps = [step for step, _ in branches]

        def any_of(name: Name, places: int) -> int:
            found = 0
            for step in steps:
                found |= step(name, places)
            return found

        return any_of, sum(cost for _, cost in branches)

    def sequence(self, depth: int) -> tuple[Step, int]:
        steps, cost = [], 1
        while self.peek() not in ("", "|", ")"):
            step, price = self.repeated(*self.atom(depth))
            steps.append(step)
            cost += price

        def one_by_one(name: Name, places: int) -> int:
            for step in steps:
                if not places:
                    break
                places = step(name, places)
            return places

        return one_by_one, cost

    def atom(self, depth: int) -> tuple[Step, int]:
        mark = self.peek()
        self.at += 1
        if mark == "(":
            return self.group(depth)
        if mark in "*+?{":
            raise self.refused("nothing to repeat")
        if mark in "^$":
            if _TIMES.match(self.text, self.at):
                raise self.refused("nothing to repeat")
            return ((lambda _, places: places & 1) if mark == "^" else (lambda name, places: places & name.end)), 1
        if mark == "[":
            return self.letters()
        if mark == "\\":
            mark += self.peek()
            self.at += 1
            if mark == "\\":
                raise self.refused("nothing behind the last backslash")
            if mark[1:].isalnum() and mark[1:] not in tuple("dDsSwW"):
                raise self.refused(f"{mark} is not known")
        return self.letter(mark if mark == "." or len(mark) > 1 else re.escape(mark))

    def group(self, depth: int) -> tuple[Step, int]:
        if self.peek() == "?":
            if self.text[self.at : self.at + 2] != "?:":
                raise self.refused("groups that look around are not known")
            self.at += 2
        found = self.alternatives(depth + 1)
        if self.peek() != ")":
            raise self.refused("a group is not closed")
        self.at += 1
        return found

    def letters(self) -> tuple[Step, int]:
        """Read a set up to its end: a bracket that is neither the first letter nor behind a backslash."""
        begin = self.at - 1
        self.at += (self.peek() == "^") + 1
        while self.peek() not in ("]", ""):
            self.at += 2 if self.peek() == "\\" else 1
        self.at += 1
        return self.letter(self.text[begin : self.at])

    def letter(self, text: str) -> tuple[Step, int]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of sets that a later Python may read otherwise
                kind = re.compile(text, re.ASCII | re.DOTALL)
        except (re.error, OverflowError) as error:
            raise self.refused(str(error)) from None
        return (lambda name, places: (places & name.where(kind)) << 1), 1

    def repeated(self, step: Step, cost: int) -> tuple[Step, int]:
        """Read what may follow an atom: ``* + ? {m} {m,} {m,n}``, each with a ``?`` behind it that changes nothing."""
        found = _TIMES.match(self.text, self.at)
        if not found:
            return step, cost
        self.at = found.end()
        least, most = _bounds(found)
        if self.peek() in ("*", "+", "{"):
            raise self.refused("several repetitions behind each other")
        if least > MOST_TIMES or (most is not None and not least <= most <= MOST_TIMES):
            raise self.refused(f"expected repetitions of at most {MOST_TIMES} times")

        def again(name: Name, places: int) -> int:
            for _ in range(least):
                places = step(name, places)
            reached, fresh, left = places, places, most
            while fresh and (left is None or left > least):
                fresh = step(name, fresh) & ~reached
                reached |= fresh
                left = None if left is None else left - 1
            return reached

        return again, cost * (least + min(ROUNDS, ROUNDS if most is None else most - least))


_TIMES = re.compile(r"(?:([*+?])|\{(\d{1,4})(,?)(\d{0,4})\})\??", re.ASCII)


def _bounds(found: re.Match[str]) -> tuple[int, int | None]:
    if found[1]:
        return (1 if found[1] == "+" else 0), (1 if found[1] == "?" else None)
    least = int(found[2])
    return least, int(found[4]) if found[4] else None if found[3] else least
