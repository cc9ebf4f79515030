"""Errors that are written for people: every one is a single clear line, and the command line shows no traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


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
    """

    def __init__(self, message: str, where: str = "") -> None:
        self.where = where
        self.detail = message
        super().__init__(f"{where}: {message}" if where else message)

    def under(self, prefix: str) -> InputError:
        """Return the same error with `prefix` (a file name, say) in front of its place."""
        return InputError(self.detail, f"{prefix}: {self.where}" if self.where else prefix)


class InfeasibleError(PlacementError):
    """It is proven that no plan satisfies the memory, the constraints and the limits.

    Parameters
    ----------
    reasons : iterable of str
        Each says in bytes or seconds what is missing.
    """

    def __init__(self, reasons: Iterable[str]) -> None:
        self.reasons = tuple(reasons)
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
        self.reasons = tuple(reasons)
        self.best = best
        super().__init__("; ".join(self.reasons))


def nearest(word: str, valid: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the valid word closest to `word`, or an empty string."""
    close = difflib.get_close_matches(str(word).lower(), list(valid), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""
