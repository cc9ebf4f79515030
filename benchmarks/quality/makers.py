"""Solvers and rivals by name, loaded before the clock starts."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from typing import Any

from placement.errors import InputError, nearest
from placement.registry import SOLVERS, make_solver, solver_names

from ..instances import HERE, Instance
from ..rivals import RIVALS

WARM_S = 0.3


# Words that stand for several names.
GROUPS = {"all": (*SOLVERS, *RIVALS), "solvers": tuple(SOLVERS), "rivals": tuple(RIVALS)}


def expand(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Spell groups out; return the names, and those of groups that are left out because a package is missing.

    Raises
    ------
    InputError
        A name that nobody has, or a rival asked for by name without its package.
    """
    known, found, left_out = [*solver_names(), *RIVALS], dict[str, None](), list[str]()
    for name in names:
        if name not in known and name not in GROUPS:
            raise InputError(
                f"unknown solver '{name}'{nearest(name, known)} (known: {', '.join((*known, *GROUPS))})", "--solvers"
            )
        for member in GROUPS.get(name, (name,)):
            package = RIVALS[member].package if member in RIVALS else ""
            if package and find_spec(package) is None:
                if name not in GROUPS:
                    raise InputError(f"'{name}' needs the package {package}: pip install -e '.[bench]'", "--solvers")
                left_out.append(member)
            else:
                found[member] = None
    return list(found), left_out


def make(name: str, problem: Any) -> Any:
    """Make a solver; the portfolio of replicated placements stands for `auto` there."""
    if name in RIVALS:
        return RIVALS[name].make()
    if name == "auto" and not hasattr(problem, "custom"):
        from placement.kinds.replicated.solvers.portfolio import ReplicatedPortfolio

        return ReplicatedPortfolio()
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
