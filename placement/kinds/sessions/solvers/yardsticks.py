"""Placements of the literature as solvers: each for the number of sessions at which the objective is best."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from objectives.sessions.baselines import Spans, all_servers, conservative_greedy, petals_greedy, placements
from objectives.sessions.chains import Fleet
from placement.search.problem import IntArray, Problem
from placement.search.solver import NotApplicableError, Proposal

from ..problem import SessionsProblem


@dataclass(frozen=True)
class Rule:
    """A rule that places servers for a given number of sessions.

    Attributes
    ----------
    place : callable
        Spans of a fleet for a number of sessions.
    """

    place: Callable[[Fleet, int], Spans]

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Its best placement, and nothing else."""
        if not isinstance(problem, SessionsProblem):
            raise NotApplicableError("it places servers whose sessions reserve caches")
        rows = [problem.genome(spans) for spans in placements(problem.fleet, self.place)]
        if not rows:
            raise NotApplicableError("the servers cannot hold all blocks with room for one session each")
        yield Proposal(problem.ranked(np.stack(rows))[:1], len(rows))


@dataclass(frozen=True)
class GbpCr(Rule):
    """Greedy block placement with cache reservation, all servers used: arXiv:2604.14993."""

    place: Callable[[Fleet, int], Spans] = all_servers


@dataclass(frozen=True)
class Conservative(Rule):
    """Conservative greedy placement, as far as its published description goes: arXiv:2512.21884."""

    place: Callable[[Fleet, int], Spans] = conservative_greedy


@dataclass(frozen=True)
class PetalsJoining(Rule):
    """Petals' joining, servers in the order of the file: arXiv:2312.08361."""

    place: Callable[[Fleet, int], Spans] = petals_greedy
