"""Rows of a trace as requests; a row that cannot be is refused with its line."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from placement.errors import InputError, shown
from placement.quantities import whole_number
from placement.question.requests import MOST_REQUESTS, MOST_SECONDS, MOST_TOKENS, Requests, Shared


@dataclass(slots=True)
class Rows:
    """Rows as they are read.

    Attributes
    ----------
    where : str
        The file.
    times, prompts, outputs : list
        In s, and tokens.
    pieces : list of (list of int, list of int)
        Ids and tokens of the prompts' beginnings; empty where the file has none.
    """

    where: str
    times: list[float] = field(default_factory=list)
    prompts: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    pieces: list[tuple[list[int], list[int]]] = field(default_factory=list)

    def add(self, line: int, time: float, prompt: object, output: object) -> None:
        """Add a row.

        Parameters
        ----------
        line : int
            Where it is in the file, from 1.
        time : float
            In s.
        prompt, output : object
            Tokens, as the file has them.
        """
        place = f"{self.where}: line {line}"
        if not math.isfinite(time) or time > MOST_SECONDS:
            raise InputError(f"expected a time in seconds, got {time:g}", place)
        if time < 0:
            raise InputError(f"expected a time of at least 0, got {time:g} s", place)
        if self.times and time < self.times[-1]:
            raise InputError(f"expected times in ascending order, got {time:g} s after {self.times[-1]:g} s", place)
        if len(self.times) >= MOST_REQUESTS:
            raise InputError(f"expected at most {MOST_REQUESTS} requests", self.where)
        self.times.append(time)
        self.prompts.append(tokens(prompt, f"{place}: prompt tokens"))
        self.outputs.append(tokens(output, f"{place}: output tokens"))

    def requests(self, *, timed: bool = True) -> Requests:
        """The requests; `timed` says whether the file has times."""
        if not self.times:
            raise InputError("expected at least one request, got none", self.where)
        shared = None
        if self.pieces:
            at = np.concatenate([[0], np.cumsum([len(ids) for ids, _ in self.pieces])]).astype(np.int64)
            flat = [np.array([item for piece in self.pieces for item in piece[k]], dtype=np.int64) for k in (0, 1)]
            shared = Shared(at, flat[0], flat[1])
        return Requests(
            np.array(self.times) - self.times[0],
            np.array(self.prompts, dtype=np.int64),
            np.array(self.outputs, dtype=np.int64),
            shared,
            timed,
            self.where,
        )


def tokens(value: object, where: str) -> int:
    """A number of tokens, from text or JSON."""
    number = whole_number(value.strip(" \t")) if isinstance(value, str) else value
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= MOST_TOKENS:
        raise InputError(f"expected a whole number from 1 to {MOST_TOKENS}, got {shown(value)}", where)
    return number
