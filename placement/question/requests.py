"""Requests over time: what a server meets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from ..errors import InputError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
MOST_REQUESTS = 2_000_000
MOST_TOKENS = 100_000_000  # of one request
MOST_SECONDS = 1e9


@dataclass(frozen=True, slots=True)
class Shared:
    """Beginnings of prompts that requests share, in pieces; request r has those from ``at[r]`` to ``at[r + 1]``.

    Attributes
    ----------
    at : int array (R + 1,)
    ids : int array (P,)
        Equal ids are equal pieces after equal pieces.
    tokens : int array (P,)
        Tokens of each piece.
    """

    at: IntArray
    ids: IntArray
    tokens: IntArray

    def of(self, request: int) -> tuple[list[int], list[int]]:
        """Ids and tokens of the pieces of one request."""
        begin, end = int(self.at[request]), int(self.at[request + 1])
        return self.ids[begin:end].tolist(), self.tokens[begin:end].tolist()


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests in the order of their arrival.

    Attributes
    ----------
    arrival_s : array (R,)
        Ascending, in s.
    prompt_tokens, output_tokens : int array (R,)
        At least 1 each.
    shared : Shared or None
        Beginnings of prompts that are alike, for servers that keep them.
    timed : bool
        False: nothing is known of when they come, and their times are 0.
    name : str
        The file or the generator.
    notes : tuple of str
        What had to be assumed.

    Raises
    ------
    InputError
        Times that are negative or out of order, lengths below 1: the first such request is named.
    """

    arrival_s: FloatArray
    prompt_tokens: IntArray
    output_tokens: IntArray
    shared: Shared | None = None
    timed: bool = True
    name: str = "requests"
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        number = len(self.arrival_s)
        if not number:
            raise InputError("expected at least one request, got none", self.name)
        if number > MOST_REQUESTS:
            raise InputError(f"expected at most {MOST_REQUESTS} requests, got {number}", self.name)
        for name in ("prompt_tokens", "output_tokens"):
            lengths = getattr(self, name)
            if len(lengths) != number:
                raise InputError(f"expected {number} {name}, one per request, got {len(lengths)}", self.name)
            _refuse(lengths < 1, lengths, f"{self.name}: {name}", "a whole number of at least 1")
            _refuse(lengths > MOST_TOKENS, lengths, f"{self.name}: {name}", f"at most {MOST_TOKENS}")
        times = self.arrival_s
        _refuse(~np.isfinite(times) | (times > MOST_SECONDS), times, f"{self.name}: arrival_s", "seconds")
        _refuse(times < 0, times, f"{self.name}: arrival_s", "seconds of at least 0")
        earlier = np.concatenate([[False], np.diff(times) < 0])
        _refuse(earlier, times, f"{self.name}: arrival_s", "times in ascending order")
        for array in (self.arrival_s, self.prompt_tokens, self.output_tokens):
            array.setflags(write=False)

    @property
    def number(self) -> int:
        """How many they are."""
        return len(self.arrival_s)

    @property
    def rate_per_s(self) -> float:
        """Mean arrivals/s between the first and the last one; 0 when all come at once."""
        span = float(self.arrival_s[-1] - self.arrival_s[0])
        return (self.number - 1) / span if span > 0 else 0.0

    def first(self, number: int) -> Requests:
        """The first `number` of them."""
        shared = self.shared
        if shared is not None:
            end = int(shared.at[min(number, self.number)])
            shared = Shared(shared.at[: number + 1], shared.ids[:end], shared.tokens[:end])
        return replace(
            self,
            arrival_s=self.arrival_s[:number].copy(),
            prompt_tokens=self.prompt_tokens[:number].copy(),
            output_tokens=self.output_tokens[:number].copy(),
            shared=shared,
        )

    def until(self, seconds: float) -> Requests:
        """Those that come before `seconds`; the first one stays in any case."""
        return self.first(max(1, int(np.searchsorted(self.arrival_s, seconds))))

    def at(self, arrival_s: FloatArray) -> Requests:
        """The same lengths at other times; as many of them as there are times, from the first again after the last."""
        number = len(arrival_s)
        order = np.arange(number) % self.number
        shared = self.shared
        if shared is not None:
            pieces: Sequence[IntArray] = [np.arange(shared.at[k], shared.at[k + 1]) for k in order.tolist()]
            at = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])]).astype(np.int64)
            flat = np.concatenate(pieces) if number else np.zeros(0, dtype=np.int64)
            shared = Shared(at, shared.ids[flat], shared.tokens[flat])
        return replace(
            self,
            arrival_s=arrival_s,
            timed=True,
            prompt_tokens=self.prompt_tokens[order],
            output_tokens=self.output_tokens[order],
            shared=shared,
        )


def _refuse(wrong: npt.NDArray[np.bool_], values: npt.NDArray[np.generic], where: str, expected: str) -> None:
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InputError(f"expected {expected}, got {values[first]:g}", f"{where}[{first}]")
