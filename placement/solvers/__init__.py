"""The one list of solvers: it feeds the command line, the contract tests, the benchmark and the docs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from .base import Solver


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
        return cast("Solver", getattr(import_module(module, __name__), name)())


BOTH = ("pipeline", "replicated")

SOLVERS: Mapping[str, Entry] = MappingProxyType(
    {
        "auto": Entry(".auto:Auto", "starts, exact where it can prove, metaheuristics in turn", "portfolio", BOTH),
        "exact": Entry(".exact:Exact", "dynamic programming over node types, proves the optimum", "exact"),
        "exhaustive": Entry(".exhaustive:Exhaustive", "every placement of a tiny problem", "exact"),
        "milp": Entry(".milp:Milp", "mixed-integer programming (Pyomo, HiGHS), proves the optimum", "exact", BOTH),
        "genetic": Entry(".genetic:Genetic", "genetic algorithm (DEAP)", "search", BOTH),
        "annealing": Entry(".annealing:Annealing", "simulated annealing with reheats", "search", BOTH),
        "tempering": Entry(".tempering:Tempering", "replica exchange: walks at several temperatures", "search", BOTH),
        "pso": Entry(".pso:ParticleSwarm", "particle swarm on random keys, decoded optimally", "search", BOTH),
        "tabu": Entry(".tabu:Tabu", "tabu search with restarts", "search", BOTH),
        "beam": Entry(".beam:Beam", "beam search guided by the Lagrangian bound", "search"),
        "nsga2": Entry(".nsga2:NSGA2", "NSGA-II (DEAP): several objectives, a Pareto front", "search", BOTH),
        "patterns": Entry(
            ".patterns:Patterns", "pattern program (Pyomo, HiGHS): bounds a flow, best stages", "exact", ("replicated",)
        ),
        "uniform": Entry(".yardsticks:Uniform", "equal block counts (vLLM, Megatron)", "yardstick"),
        "by_memory": Entry(".yardsticks:ByMemory", "blocks in proportion to memory (exo)", "yardstick"),
        "first_fit": Entry(".yardsticks:FirstFit", "fill nodes in order (accelerate sequential)", "yardstick"),
        "balanced": Entry(".yardsticks:Balanced", "fill with equal budgets (accelerate balanced)", "yardstick"),
        "by_speed": Entry(".yardsticks:BySpeed", "blocks in proportion to speed", "yardstick"),
    }
)
