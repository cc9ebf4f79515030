"""NSGA-II for chains through a swarm: the solver, the loop and the kernels are those of placements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from objectives.combine import Objective, TermSet
from objectives.pareto import hypervolume
from objectives.routes.swarm import Route, Shape, Swarm, route_of
from objectives.spans import Span
from placement.search.problem import FloatArray, IntArray, Score, Spans

from .front import ensure_route, route_data, values_of

ROUTE_TERMS = TermSet(
    names=("latency", "throughput", "third"),
    units={"latency": "s/token", "throughput": "tokens/s", "third": ""},
    limits={},
    inverse=frozenset({"throughput"}),
)

LEVELS = 16  # least rates that greedy chains keep to


@dataclass(frozen=True)
class RouteProblem:
    """Chains as genomes: the server of each block, always one that holds it."""

    swarm: Swarm
    shape: Shape = "star"
    third: str | None = None

    @cached_property
    def data(self):  # type: ignore[no-untyped-def]
        """What the compiled loops read."""
        return route_data(self.swarm, self.shape, self.third)

    @property
    def objective(self) -> Objective:
        """Latency and throughput, and the third cost when there is one."""
        names = ("latency", "throughput", "third") if self.third else ("latency", "throughput")
        return Objective.of(names, None, ROUTE_TERMS)

    @property
    def compiled(self) -> bool:
        """Scores are compiled."""
        return True

    @property
    def genome_size(self) -> int:
        """Length of a genome."""
        return self.swarm.n_blocks

    @property
    def n_keys(self) -> int:
        """Length of a vector of random keys."""
        return self.swarm.n_blocks

    def starts(self) -> IntArray:
        """Greedy chains, for several least rates: at each block the best holder that is fast enough, kept to its end.

        Best: least seconds per block from here on, its hop included; or whoever reaches furthest; or the fastest.
        """
        swarm = self.swarm
        enter = swarm.enter_s(self.shape)[swarm.n_servers]

        def per_block(block: int, there: IntArray) -> FloatArray:
            seconds: FloatArray = enter[there] / (swarm.stops[there] - block) + swarm.block_s[there]
            return seconds

        def reach(block: int, there: IntArray) -> FloatArray:
            return np.asarray(enter[there] / (1.0 + enter.max()) - swarm.stops[there])

        def fastest(block: int, there: IntArray) -> FloatArray:
            return np.asarray(-swarm.rates[there])

        rates = np.unique(swarm.rates)
        levels = rates[np.unique(np.linspace(0, len(rates) - 1, LEVELS).astype(int))]
        chains = [self.greedy(rule, float(level)) for level in levels for rule in (per_block, reach)]
        chains.append(self.greedy(fastest, 0.0))
        return np.unique(np.stack([chain for chain in chains if chain is not None]), axis=0)

    def greedy(self, cost: Callable[[int, IntArray], FloatArray], least: float) -> IntArray | None:
        """Chain of the holders of the least cost at each block that is not held yet; None when a block has no holder.

        Only servers of at least that rate count.
        """
        out = np.zeros(self.swarm.n_blocks, dtype=np.int64)
        j = -1
        for b in range(self.swarm.n_blocks):
            if j < 0 or b >= self.swarm.stops[j]:
                there = self.data.holders[b, 1 : 1 + self.data.holders[b, 0]]
                there = there[self.swarm.rates[there] >= least]
                if not len(there):
                    return None
                j = int(there[np.argmin(cost(b, there))])
            out[b] = j
        return out

    def random(self, rng: np.random.Generator, n: int) -> IntArray:
        """Chains of random holders, each kept about as long as it reaches."""
        from .kernels.routes import route_from_keys

        rows = np.zeros((n, self.genome_size), dtype=np.int64)
        for row in rows:
            route_from_keys(rng.random(self.n_keys), self.data, row)
        return rows

    def evaluate(self, genomes: IntArray) -> tuple[FloatArray, FloatArray]:
        """Latencies, and no violations."""
        values, broken = self.terms(genomes)
        return values[:, 0], broken

    def terms(self, genomes: IntArray) -> tuple[FloatArray, FloatArray]:
        """Latency, seconds per token of the slowest server, and third cost (n, 3)."""
        from .kernels.routes import route_terms

        values = np.empty((len(genomes), 3))
        route_terms(np.ascontiguousarray(genomes), self.data, values)
        return values, np.zeros(len(genomes))

    def to_keys(self, genome: IntArray) -> FloatArray:
        """Keys that would draw these servers wherever one is drawn."""
        holders = self.data.holders
        rank = [int(np.flatnonzero(holders[b, 1:] == j)[0]) for b, j in enumerate(genome)]
        keys: FloatArray = (np.array(rank) + 0.5) / holders[:, 0]
        return keys

    def encode(self, spans: Sequence[Span]) -> IntArray:
        """Stages to a genome."""
        out = np.zeros(self.genome_size, dtype=np.int64)
        for span in spans:
            out[span.start : span.stop] = span.node
        return out

    def decode(self, genome: IntArray) -> Spans:
        """Genome to stages."""
        return tuple(Span(*stage) for stage in Route(tuple(genome.tolist()), 0.0, 1.0).stages)

    def score(self, spans: Sequence[Span]) -> Score:
        """Score by the reference code."""
        route = self.route(spans)
        return Score(route.latency_s, 0.0, np.array([route.latency_s, 1.0 / route.rate, route.third]))

    def route(self, spans: Sequence[Span]) -> Route:
        """Stages to a chain with its values."""
        return route_of(self.swarm, tuple(self.encode(spans).tolist()), self.shape, self.third)

    def lower_bound(self) -> float:
        """None; `front.py` has the exact answer."""
        return -np.inf


def search_front(
    swarm: Swarm, shape: Shape = "star", *, third: str | None = None, seconds: float = 2.0, seed: int = 0
) -> tuple[Route, ...]:
    """Front that NSGA-II finds in some seconds, by latency."""
    from placement.search.loop import run
    from placement.search.solvers.nsga2 import NSGA2
    from placement.search.stop import time_limit

    ensure_route(swarm)
    problem = RouteProblem(swarm, shape, third)
    outcome = run(
        problem, NSGA2(population=60, moves=2, brood=10), rng=np.random.default_rng(seed), start=problem.starts(),
        stop=time_limit(seconds),
    )  # fmt: skip
    routes = (problem.route(point.spans) for point in outcome.pareto)
    return tuple(sorted(routes, key=lambda route: (route.latency_s, -route.rate)))


def hypervolume_ratio(found: tuple[Route, ...], exact: tuple[Route, ...], *, thirds: bool = False) -> float:
    """Hypervolume of a front over that of the exact one, below a corner a tenth beyond the exact one's worst."""
    best = np.array(values_of(exact, thirds=thirds))
    corner = (best.max(axis=0) * 1.1 + 1e-12).tolist()
    return hypervolume(values_of(found, thirds=thirds), corner) / hypervolume(best, corner)
