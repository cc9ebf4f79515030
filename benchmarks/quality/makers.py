"""Solvers and rivals by name, loaded before the clock starts."""

from __future__ import annotations

from functools import cache
from typing import Any

from placement.errors import InputError, nearest
from placement.registry import make_solver, solver_names
from placement.solvers import SOLVERS

from ..instances import HERE, Instance
from ..rivals import RIVALS

WARM_S = 0.3


def check(names: list[str]) -> None:
    """Raise `InputError` for a name that nobody has."""
    known = [*solver_names(), *RIVALS]
    for name in names:
        if name not in known:
            raise InputError(f"unknown solver '{name}'{nearest(name, known)} (known: {', '.join(known)})", "--solvers")


def make(name: str, problem: Any) -> Any:
    """Make a solver; the portfolio of replicated placements stands for `auto` there."""
    if name in RIVALS:
        return RIVALS[name].make()
    if name == "auto" and not hasattr(problem, "custom"):
        from placement.solvers.swarm import Swarm

        return Swarm()
    return make_solver(name)


def own_starts(name: str) -> bool:
    """Tell whether a solver makes its plans alone: rivals and yardsticks do."""
    return name in RIVALS or (name in SOLVERS and SOLVERS[name].role == "yardstick")


@cache
def warm(name: str, pipeline: bool) -> None:
    """Let a solver work on a small instance once per process, so that no run is charged for loading kernels."""
    from .experiments import problem_of, search

    small = "home-lab-small" if pipeline else "swarm-10"
    problem = problem_of(Instance(small, HERE / f"{small}.yaml").request)
    try:
        search(problem, make(name, problem), 0, WARM_S, bare=own_starts(name))
    except Exception:
        return
