"""Placements of server chains as the solvers see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from objectives.combine import Objective
from objectives.sessions.baselines import all_servers, conservative_greedy, gbp_cr, petals_greedy, placements
from objectives.sessions.chains import (
    MOST_LOAD,
    Chain,
    Composition,
    Fleet,
    chain_seconds,
    fastest_kept,
    greedy_chains,
    total_rate,
)
from objectives.spans import Span
from placement.search.problem import FloatArray, IntArray, Score, Spans

UPPER = 0.3  # weight of the upper bound on the response time; the lower bound alone is not safe to minimise


@dataclass(frozen=True)
class SessionsProblem:
    """Where every server's span lies, scored by greedy chains.

    Attributes
    ----------
    fleet : Fleet
    response : bool
        Minimise the mean response time (a mix of both birth-death bounds); otherwise seconds per session of the
        total rate.
    upper : float
        Weight of the upper bound in the mix.
    """

    fleet: Fleet
    response: bool = False
    upper: float = UPPER
    objective: Objective = field(default_factory=Objective)

    @cached_property
    def data(self):  # type: ignore[no-untyped-def]
        """What the compiled loops read."""
        from objectives.sessions.kernels.scores import RATE, RESPONSE, sessions_data

        from .kernels import spans  # noqa: F401  (registers the kernels with the loops)

        return sessions_data(self.fleet, RESPONSE if self.response else RATE, self.upper)

    @property
    def compiled(self) -> bool:
        """Scores are compiled."""
        return True

    @property
    def genome_size(self) -> int:
        """Length of a genome."""
        return 2 * self.fleet.n_servers

    @property
    def n_keys(self) -> int:
        """Length of a vector of random keys."""
        return 2 * self.fleet.n_servers

    def starts(self) -> IntArray:
        """Placements of the literature for every capacity, the best first."""
        rows = [
            self.genome(spans)
            for rule, growth in ((all_servers, 1.0), (gbp_cr, 1.0), (conservative_greedy, 1.1), (petals_greedy, 1.1))
            for spans in placements(self.fleet, rule, growth)
        ]
        if not rows:
            return self.random(np.random.default_rng(0), 8)
        genomes = np.stack(rows)
        costs, broken = self.evaluate(genomes)
        return genomes[np.lexsort((costs, broken))][:40]

    def random(self, rng: np.random.Generator, n: int) -> IntArray:
        """Servers lined up front to back in random order."""
        from .kernels.chains import sessions_from_keys

        rows = np.zeros((n, self.genome_size), dtype=np.int64)
        for row in rows:
            sessions_from_keys(rng.random(self.n_keys), self.data, row)
        return rows

    def evaluate(self, genomes: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return costs and violations (n,)."""
        from objectives.sessions.kernels.scores import sessions_batch

        costs, broken = np.empty(len(genomes)), np.empty(len(genomes))
        sessions_batch(np.ascontiguousarray(genomes), self.data, costs, broken)
        return costs, broken

    def terms(self, genomes: IntArray) -> tuple[FloatArray, FloatArray]:
        """One term: the cost."""
        costs, broken = self.evaluate(genomes)
        return costs[:, None], broken

    def to_keys(self, genome: IntArray) -> FloatArray:
        """Keys that line the servers up by their first blocks."""
        n = self.fleet.n_servers
        fill = genome[n:] / np.maximum(self.fleet.most_blocks, 1)
        place = (genome[:n] + (np.arange(n) + 0.5) / n) / (self.fleet.n_blocks + 1)
        return np.concatenate([place, np.clip((fill - 0.3) / 0.7, 0.0, 1.0)])

    def genome(self, spans: Sequence[tuple[int, int]]) -> IntArray:
        """Ranges, one per server, to a genome."""
        return np.array([a for a, _ in spans] + [b - a for a, b in spans], dtype=np.int64)

    def ranges(self, spans: Spans) -> tuple[tuple[int, int], ...]:
        """Spans to ranges, one per server."""
        held = {span.node: (span.start, span.stop) for span in spans}
        return tuple(held.get(j, (0, 0)) for j in range(self.fleet.n_servers))

    def encode(self, spans: Sequence[Span]) -> IntArray:
        """Spans to a genome."""
        return self.genome(self.ranges(tuple(spans)))

    def decode(self, genome: IntArray) -> Spans:
        """Genome to the spans of servers that hold something; one too small for a block and a cache never does."""
        n, most = self.fleet.n_servers, self.fleet.most_blocks
        pairs = zip(genome[:n].tolist(), genome[n:].tolist(), strict=True)
        return tuple(Span(j, start, start + size) for j, (start, size) in enumerate(pairs) if 0 < size <= most[j])

    def score(self, spans: Sequence[Span]) -> Score:
        """Score by the reference code."""
        ranges = self.ranges(tuple(spans))
        return self.score_of(Composition(ranges, greedy_chains(self.fleet, ranges)))

    def score_of(self, plan: Composition) -> Score:
        """Score a composition whose chains are given."""
        rate = total_rate(self.fleet, plan.chains)
        if not plan.chains:
            return Score(float(self.fleet.session_s.sum() + self.fleet.block_s.sum() * self.fleet.n_blocks), 1.0, ONES)
        if not self.response:
            return Score(1.0 / rate, 0.0, ONES / rate)
        mixed = self.kept(plan.chains)[1]
        return Score(mixed, max(0.0, self.fleet.arrivals_per_s / (MOST_LOAD * rate) - 1.0), ONES * mixed)

    def kept(self, chains: Sequence[Chain]) -> tuple[int, float]:
        """How many of the chains, the fastest first, are worth joining, and the mix of both bounds in s."""
        seconds = [chain_seconds(self.fleet, chain) for chain in chains]
        capacities = [chain.capacity for chain in chains]
        return fastest_kept(seconds, capacities, self.fleet.arrivals_per_s, self.upper)

    def lower_bound(self) -> float:
        """None is known at once; `bound.py` has the one on the rate."""
        return -np.inf


ONES = np.ones(1)
