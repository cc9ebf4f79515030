"""Solvers, runtimes and objectives by name: the lists, and what other packages register as entry points.

Entry point groups: ``placement.solvers`` (a class or function that makes a solver), ``placement.objectives``
(a plain function of `objectives.pipeline.terms.Terms`) and ``placement.exporters`` (a class or function that makes a
`Runtime`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from objectives.combine import TERMS

from .errors import InputError, nearest
from .export import RUNTIMES

if TYPE_CHECKING:
    from objectives.pipeline.terms import Terms

    from .export.base import Runtime
    from .search.solver import Solver


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a solver lives and what it is; modules are imported when a solver is made.

    Attributes
    ----------
    path : str
        ``module:Class``, the module relative to this package when it begins with a dot.
    summary : str
        One line for people.
    role : str
        "search" (improves for ever), "exact" (proves), "yardstick" (one split of today's tools) or "portfolio".
    kinds : tuple of str
        Placements that it works on: "pipeline", "replicated".
    """

    path: str
    summary: str
    role: str
    kinds: tuple[str, ...] = ("pipeline",)

    def make(self) -> Solver:
        """Import the solver and make it with its default hyper-parameters."""
        module, name = self.path.split(":")
        return cast("Solver", getattr(import_module(module, __package__), name)())


BOTH = ("pipeline", "replicated")

SOLVERS: Mapping[str, Entry] = MappingProxyType(
    {
        "auto": Entry(
            ".kinds.pipeline.solvers.auto:Auto",
            "starts, exact where it can prove, metaheuristics in turn",
            "portfolio",
            BOTH,
        ),
        "exact": Entry(
            ".kinds.pipeline.solvers.exact:Exact", "dynamic programming over node types, proves the optimum", "exact"
        ),
        "exhaustive": Entry(
            ".kinds.pipeline.solvers.exhaustive:Exhaustive", "every placement of a tiny problem", "exact"
        ),
        "milp": Entry(
            ".kinds.pipeline.solvers.milp:Milp",
            "mixed-integer programming (Pyomo, HiGHS), proves the optimum",
            "exact",
            BOTH,
        ),
        "genetic": Entry(".search.solvers.genetic:Genetic", "genetic algorithm (DEAP)", "search", BOTH),
        "annealing": Entry(".search.solvers.annealing:Annealing", "simulated annealing with reheats", "search", BOTH),
        "tempering": Entry(
            ".search.solvers.tempering:Tempering", "replica exchange: walks at several temperatures", "search", BOTH
        ),
        "pso": Entry(
            ".search.solvers.pso:ParticleSwarm", "particle swarm on random keys, decoded optimally", "search", BOTH
        ),
        "tabu": Entry(".search.solvers.tabu:Tabu", "tabu search with restarts", "search", BOTH),
        "beam": Entry(".kinds.pipeline.solvers.beam:Beam", "beam search guided by the Lagrangian bound", "search"),
        "nsga2": Entry(
            ".search.solvers.nsga2:NSGA2", "NSGA-II (DEAP): several objectives, a Pareto front", "search", BOTH
        ),
        "patterns": Entry(
            ".kinds.replicated.solvers.patterns:Patterns",
            "pattern program (Pyomo, HiGHS): bounds a flow, best stages",
            "exact",
            ("replicated",),
        ),
        "uniform": Entry(
            ".kinds.pipeline.solvers.yardsticks:Uniform", "equal block counts (vLLM, Megatron)", "yardstick"
        ),
        "by_memory": Entry(
            ".kinds.pipeline.solvers.yardsticks:ByMemory", "blocks in proportion to memory (exo)", "yardstick"
        ),
        "first_fit": Entry(
            ".kinds.pipeline.solvers.yardsticks:FirstFit", "fill nodes in order (accelerate sequential)", "yardstick"
        ),
        "balanced": Entry(
            ".kinds.pipeline.solvers.yardsticks:Balanced", "fill with equal budgets (accelerate balanced)", "yardstick"
        ),
        "by_speed": Entry(".kinds.pipeline.solvers.yardsticks:BySpeed", "blocks in proportion to speed", "yardstick"),
    }
)


@cache
def plugins(group: str, taken: tuple[str, ...]) -> dict[str, EntryPoint]:
    """Entry points of a group by name; a name that is taken already is warned about and left out."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        if point.name in taken or point.name in found:
            warnings.warn(f"{group}: '{point.name}' of {point.value} is already taken; it is ignored", stacklevel=2)
            continue
        found[point.name] = point
    return found


def solver_names() -> list[str]:
    """Names of all solvers that can be asked for."""
    return [*SOLVERS, *plugins("placement.solvers", tuple(SOLVERS))]


def make_solver(name: str) -> Solver:
    """Make a solver by name; raise `InputError` with the nearest name for an unknown one."""
    if name in SOLVERS:
        return SOLVERS[name].make()
    point = plugins("placement.solvers", tuple(SOLVERS)).get(name)
    if point is None:
        raise InputError(f"unknown solver '{name}'{nearest(name, solver_names())} (known: {', '.join(solver_names())})")
    return _load(point)()  # type: ignore[return-value]


def is_yardstick(solver: object) -> bool:
    """Return whether `solver` names one of today's splits, which must show its own value and no better one."""
    return isinstance(solver, str) and solver in SOLVERS and SOLVERS[solver].role == "yardstick"


def custom_objective(name: str) -> Callable[[Terms], float] | None:
    """Return the registered custom objective of that name, or None when there is none."""
    point = plugins("placement.objectives", TERMS).get(name)
    return _load(point) if point is not None else None  # type: ignore[return-value]


def runtime_names() -> list[str]:
    """Names of all runtimes that a plan can be written for."""
    return [*RUNTIMES, *plugins("placement.exporters", tuple(RUNTIMES))]


def make_runtime(name: str) -> Runtime:
    """Make the exporter of a runtime; raise `InputError` with the nearest name for an unknown one."""
    if name in RUNTIMES:
        return RUNTIMES[name].make()
    point = plugins("placement.exporters", tuple(RUNTIMES)).get(name)
    if point is None:
        known = runtime_names()
        raise InputError(f"unknown runtime '{name}'{nearest(name, known)} (known: {', '.join(known)})")
    return _load(point)()  # type: ignore[return-value]


def _load(point: EntryPoint) -> Callable[..., object]:
    try:
        loaded: Callable[..., object] = point.load()
    except Exception as error:
        raise InputError(f"the plugin '{point.name}' ({point.value}) failed to load: {error}") from error
    return loaded
