"""The one list of solvers: it feeds the command line, the contract tests, the benchmark and the docs.

Other packages add solvers by entry points of the group ``placement.solvers`` (a class or function that makes one).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from .errors import InputError
from .plugins import attribute, from_plugin, plugins

if TYPE_CHECKING:
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
        Plans that it works on, such as "pipeline"; empty: any kind, those of other packages too.
    elsewhere : mapping of str to str
        Kinds for which another class bears the name, and its path.
    """

    path: str
    summary: str
    role: str
    kinds: tuple[str, ...] = ("pipeline",)
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def suits(self, kind: str) -> bool:
        """Whether it works on a kind of plans; an empty name stands for any."""
        return not kind or not self.kinds or kind in self.kinds

    def make(self, kind: str = "") -> Solver:
        """Import the solver of a kind and make it with its default hyper-parameters."""
        return cast("Solver", attribute(self.elsewhere.get(kind, self.path), __package__ or "placement")())


ANY: tuple[str, ...] = ()
BOTH = ("pipeline", "replicated")

GROUP = "placement.solvers"
SOLVERS: Mapping[str, Entry] = MappingProxyType(
    {
        "auto": Entry(
            ".search.solvers.auto:Auto",
            "what suits the kind: starts, exact where it can prove, metaheuristics in turn",
            "portfolio",
            ANY,
        ),
        "exact": Entry(
            ".kinds.pipeline.solvers.exact:Exact",
            "dynamic programming over node types, or shortest paths (routes): proves the optimum, or the front",
            "exact",
            ("pipeline", "routes"),
            {"routes": ".kinds.routes.solvers.exact:Exact"},
        ),
        "exhaustive": Entry(
            ".kinds.pipeline.solvers.exhaustive:Exhaustive", "every placement of a tiny problem", "exact"
        ),
        "milp": Entry(
            ".kinds.milp:Milp",
            "mixed-integer programming (Pyomo, HiGHS), proves the optimum",
            "exact",
            BOTH,
        ),
        "genetic": Entry(".search.solvers.genetic:Genetic", "genetic algorithm (DEAP)", "search", ANY),
        "annealing": Entry(".search.solvers.annealing:Annealing", "simulated annealing with reheats", "search", ANY),
        "tempering": Entry(
            ".search.solvers.tempering:Tempering", "replica exchange: walks at several temperatures", "search", ANY
        ),
        "pso": Entry(
            ".search.solvers.pso:ParticleSwarm", "particle swarm on random keys, decoded optimally", "search", ANY
        ),
        "tabu": Entry(".search.solvers.tabu:Tabu", "tabu search with restarts", "search", ANY),
        "beam": Entry(".kinds.pipeline.solvers.beam:Beam", "beam search guided by the Lagrangian bound", "search"),
        "nsga2": Entry(
            ".search.solvers.nsga2:NSGA2", "NSGA-II (DEAP): several objectives, a Pareto front", "search", ANY
        ),
        "patterns": Entry(
            ".kinds.replicated.solvers.patterns:Patterns",
            "pattern program (Pyomo, HiGHS): bounds a flow, best stages",
            "exact",
            ("replicated",),
        ),
        "petals": Entry(
            ".kinds.replicated.solvers.yardsticks:Petals",
            "greedy joining and rebalancing (Petals)",
            "yardstick",
            ("replicated",),
        ),
        "equal_stages": Entry(
            ".kinds.replicated.solvers.yardsticks:EqualStages",
            "stages of equal size, each node joins the slowest (SWARM)",
            "yardstick",
            ("replicated",),
        ),
        "separate": Entry(
            ".kinds.replicated.solvers.yardsticks:Separate",
            "a pipeline for every type of node that can hold the model",
            "yardstick",
            ("replicated",),
        ),
        "chain": Entry(".kinds.replicated.solvers.chain:Chain", "one node per stage", "yardstick", ("replicated",)),
        "gbp_cr": Entry(
            ".kinds.sessions.solvers.yardsticks:GbpCr",
            "chains filled front to back for the best number of sessions (GBP-CR)",
            "yardstick",
            ("sessions",),
        ),
        "conservative": Entry(
            ".kinds.sessions.solvers.yardsticks:Conservative",
            "windows where reserved sessions fall short (conservative greedy)",
            "yardstick",
            ("sessions",),
        ),
        "petals_joining": Entry(
            ".kinds.sessions.solvers.yardsticks:PetalsJoining",
            "windows of the least throughput, by the order of the servers (Petals)",
            "yardstick",
            ("sessions",),
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


def solver_names(kind: str = "") -> list[str]:
    """Names of all solvers that can be asked for, for one kind of plans or for any."""
    fitting = [name for name, entry in SOLVERS.items() if entry.suits(kind)]
    return [*fitting, *plugins(GROUP, tuple(SOLVERS))]


def make_solver(name: str, kind: str = "") -> Solver:
    """Make a solver by name.

    Parameters
    ----------
    name : str
    kind : str
        The kind of plans that it is for; empty for any.

    Raises
    ------
    InputError
        The name is unknown, or the solver does not work on this kind; the nearest name is offered.
    """
    if name in SOLVERS:
        if not SOLVERS[name].suits(kind):
            known = solver_names(kind)
            raise InputError(f"'{name}' does not solve {kind} plans (known here: {', '.join(known)})", "solver")
        return SOLVERS[name].make(kind)
    return cast("Solver", from_plugin(GROUP, SOLVERS, name, "solver")())


def is_yardstick(solver: object) -> bool:
    """Return whether `solver` names one of today's splits, which must show its own value and no better one."""
    return isinstance(solver, str) and solver in SOLVERS and SOLVERS[solver].role == "yardstick"
