"""Chains through a swarm as the solvers see them: genomes in, scores out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from objectives.combine import Objective
from objectives.routes.swarm import Route, Shape, Swarm, route_of
from objectives.routes.terms import ROUTES, excess, route_cost, route_values
from objectives.spans import Span
from placement.question.routes import TRADE
from placement.search.per_thread import PerThread
from placement.search.problem import FloatArray, IntArray, Score, Spans
from placement.search.solver import Solver

from .front import least_values
from .kernels.routes import RouteData, route_from_keys, route_terms
from .starts import greedy_chains


@dataclass(frozen=True)
class RoutesProblem:
    """Chains as genomes: the server of each block, always one that holds it.

    Attributes
    ----------
    swarm : Swarm
        Every block is held.
    objective : Objective
        Over the terms of `ROUTES`.
    shape : str
        "star": every server answers the client; "chain": servers hand over to each other.
    precision : float
        Part by which a front of three objectives may miss the exact one in its costs; 0 is exact.
    """

    swarm: Swarm
    objective: Objective = TRADE
    shape: Shape = "star"
    precision: float = 0.0

    @PerThread
    def data(self) -> Any:
        """What the compiled loops read."""
        swarm = self.swarm
        holders = np.zeros((swarm.n_blocks, swarm.n_servers + 1), dtype=np.int64)
        for block in range(swarm.n_blocks):
            there = np.flatnonzero((swarm.starts <= block) & (block < swarm.stops))
            holders[block, 0] = len(there)
            holders[block, 1 : 1 + len(there)] = there
        nodes = np.stack([swarm.block_s, swarm.rates, swarm.leave_s(self.shape), swarm.loss, swarm.block_price], axis=1)
        return RouteData(
            np.stack([swarm.starts, swarm.stops], axis=1).astype(np.int64),
            np.ascontiguousarray(nodes, dtype=float),
            np.array(
                swarm.enter_s(self.shape), order="C"
            ),  # a copy: kernels are compiled for arrays that may be written
            holders,
            self.objective.weight_vector(),
            self.objective.limit_vector(),
        )

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

    @property
    def round_scale(self) -> float:
        """A score takes about as long as one of a small pipeline."""
        return 1.0

    def starts(self) -> IntArray:
        """Greedy chains, several rules at several least rates; the cheapest first."""
        chains = greedy_chains(self.swarm, self.shape, self.data.holders)
        costs, broken = self.evaluate(chains)
        return chains[np.lexsort((costs, broken))]

    def random(self, rng: np.random.Generator, n: int) -> IntArray:
        """Chains of random holders, each kept about as long as it reaches."""
        rows = np.zeros((n, self.genome_size), dtype=np.int64)
        for row in rows:
            route_from_keys(rng.random(self.n_keys), self.data, row)
        return rows

    def evaluate(self, genomes: IntArray) -> tuple[FloatArray, FloatArray]:
        """Costs and violations (n,)."""
        values, broken = self.terms(genomes)
        return values @ self.data.weights, broken

    def terms(self, genomes: IntArray) -> tuple[FloatArray, FloatArray]:
        """Terms (n, 4) in the order of `ROUTES`, and violations (n,)."""
        values, broken = np.empty((len(genomes), len(ROUTES.names))), np.empty(len(genomes))
        route_terms(np.ascontiguousarray(genomes), self.data, values, broken)
        return values, broken

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

    def route(self, way: tuple[int, ...]) -> Route:
        """The servers of the blocks as a chain with its values, by the reference."""
        return route_of(self.swarm, way, self.shape)

    def details(self, spans: Sequence[Span]) -> tuple[Route, dict[str, float]]:
        """A chain and the limits that it breaks, by the reference."""
        route = self.route(tuple(self.encode(spans).tolist()))
        return route, excess(self.objective, route_values(route))

    def score(self, spans: Sequence[Span]) -> Score:
        """Score by the reference code, not by the kernels."""
        route, broken = self.details(spans)
        values = route_values(route)
        return Score(route_cost(self.objective, values), sum(broken.values()), values)

    def portfolio(self) -> Solver:
        """The exact front; what it cannot answer is searched."""
        from .solvers.portfolio import RoutesPortfolio  # its exact part needs this class

        return RoutesPortfolio()

    @property
    def least_rate(self) -> float:
        """Tokens/s that every chain must serve; a hair below the limit, as scores allow."""
        return self.objective.limits.get("throughput", 0.0) * (1.0 - 1e-12)

    def least_values(self, least: float | None = None) -> dict[str, float]:
        """The best possible minimised value of each term alone, of chains of at least `least` tokens/s (the limit)."""
        return least_values(self.swarm, self.shape, self.data, self.least_rate if least is None else least)

    def lower_bound(self) -> float:
        """The least possible weighted sum of the terms, each taken alone; of one additive term it is the optimum."""
        least = self.least_values()
        if not least:
            return np.inf
        return float(sum(weight * least[name] for name, weight in self.objective.weights.items()))
