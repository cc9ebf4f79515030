"""The portfolio that suits the problem, whatever its kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..problem import IntArray, Problem
from ..solver import Proposals


@dataclass(frozen=True)
class Auto:
    """No hyper-parameters: they are the portfolio's own."""

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Proposals:
        """Search as the problem's portfolio does."""
        yield from problem.portfolio().search(problem, rng, start)
