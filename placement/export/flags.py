"""Flags of a command line that somebody gave: every one with its value, comments and line ends left out."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import InputError

LONGEST_LINE = 131_072  # characters: what Linux takes as one argument; `shlex` is quadratic in the length of a word
_NUMBER = re.compile(r"-?\d+(?:\.\d*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Flags:
    """Words of a command line, those that begin with a dash with their values.

    Attributes
    ----------
    pairs : tuple of (str, str)
        Flag and value in order; the value is empty where none follows.
    loose : tuple of str
        Words that are no flag's value.
    """

    pairs: tuple[tuple[str, str], ...]
    loose: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Flags:
        """Read a text: lines that begin with # are comments, a backslash joins lines.

        Raises
        ------
        InputError
            No command line is that long.
        """
        if len(text) > LONGEST_LINE:
            raise InputError(f"expected a command line of at most {LONGEST_LINE} characters, got {len(text)}")
        lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
        joined = "\n".join(lines).replace("\\\n", " ")
        pairs: list[tuple[str, str]] = []
        loose: list[str] = []
        waits = False
        for word in _words(joined):
            if word.startswith("-") and len(word) > 1 and not _NUMBER.fullmatch(word):
                flag, equals, value = word.partition("=")
                pairs.append((flag, value))
                waits = not equals
            elif waits:
                pairs[-1] = (pairs[-1][0], word)
                waits = False
            else:
                loose.append(word)
        return cls(tuple(pairs), tuple(loose))

    def has(self, *names: str) -> bool:
        """Whether one of the flags is there."""
        return any(flag in names for flag, _ in self.pairs)

    def value(self, *names: str) -> str | None:
        """The value of the last of the flags; None where none is there."""
        found = list(self.values(*names))
        return found[-1] if found else None

    def values(self, *names: str) -> Iterator[str]:
        """The values of all of the flags, in order."""
        return (value for flag, value in self.pairs if flag in names)

    def first(self, names: tuple[str, ...]) -> str:
        """The first of the flags that is there, as it was written; empty where none is."""
        return next((flag for flag, _ in self.pairs if flag in names), "")


def _words(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters, lexer.escape = True, "", ""  # backslashes belong to patterns
    try:
        return list(lexer)
    except ValueError:  # a quote that nothing closes
        return text.split()
