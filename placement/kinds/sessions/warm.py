"""The kernels of the search, compiled or loaded before any clock runs."""

from __future__ import annotations

from functools import cache
from itertools import islice

import numpy as np

from objectives.sessions.chains import Chain, Fleet
from placement.search.problem import Problem
from placement.search.solver import Solver
from placement.search.solvers.annealing import Annealing
from placement.search.solvers.tempering import Tempering
from placement.simulate.sessions import simulate

from .bound import rate_bounds
from .columns import pack
from .disjoint import GroupProblem
from .problem import SessionsProblem


@cache
def warm_up() -> None:
    """Run every kernel once on two servers: kernels depend on the types of arrays, not on their sizes."""
    ones = np.ones(2)
    fleet = Fleet(("a", "b"), np.array([900, 900]), ones, ones, 2, 100, 10, 0.1)
    problem, rng = SessionsProblem(fleet), np.random.default_rng(0)
    groups = GroupProblem(problem)
    groups.spans_genome(groups.random(rng, 1)[0])
    walks: tuple[tuple[Problem, Solver], ...] = (
        (problem, Annealing(first_cycle=1)),
        (groups, Annealing(first_cycle=1)),
        (problem, Tempering()),
    )
    for part, walk in walks:
        next(iter(walk.search(part, rng, part.random(rng, 2))))
    list(islice(rate_bounds(fleet), 1))
    pack(fleet, ((0, 2), (0, 2)))
    simulate(fleet, (Chain((0,), (2,), 1),), sessions=1)
