"""Fleets whose sessions reserve caches, as the solvers see them: where every server's span lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from objectives.combine import SESSIONS, Objective
from objectives.sessions.baselines import all_servers, conservative_greedy, gbp_cr, petals_greedy, placements
from objectives.sessions.chains import Chain, Composition, Fleet, chain_genome, greedy_chains
from objectives.sessions.kernels.scores import ChainData, chain_data, chain_scores, chain_terms
from objectives.sessions.terms import BY_RATE, RATE, UPPER, Terms, goal_of, terms_of
from objectives.spans import Range, Span
from placement.search.per_thread import PerThread
from placement.search.problem import FloatArray, IntArray, Score, Spans
from placement.search.solver import Solver

from .bound import Proven, Sharing, most_at_once
from .kernels.spans import sessions_from_keys

MOST_STARTS, LEAST_STARTS = 400, 8  # servers times starts, and starts: the loop scores each by the reference
MOVES_PER_SECOND, SERVERS, POWER = 1e6, 10, 1.25  # scored on one core with so many servers, and how fast that falls


@dataclass(frozen=True)
class SessionsProblem:
    """Where every server's span lies, scored by greedy chains.

    Attributes
    ----------
    fleet : Fleet
    objective : Objective
        Over the terms of sessions: "rate" in sessions/s, "response" in s (a mix of both birth-death bounds).
    upper : float
        Weight of the upper bound in the mix.
    """

    fleet: Fleet
    objective: Objective = BY_RATE
    upper: float = UPPER

    @PerThread
    def data(self) -> ChainData:
        """What the compiled loops read."""
        return chain_data(self.fleet, self.goal, self.upper, self.objective)

    @property
    def goal(self) -> int:
        """Which chains serve, see `goal_of`."""
        return goal_of(self.objective)

    @property
    def response(self) -> bool:
        """Whether the response time counts: then no more sessions may arrive than the chains carry."""
        return self.goal != RATE

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

    @property
    def round_scale(self) -> float:
        """Rounds as long as those of small pipelines, by what a move costs with so many servers."""
        return min(1.0, moves_in(self.fleet, 1.0) / MOVES_PER_SECOND)

    def starts(self) -> IntArray:
        """Placements of the literature for every capacity, the best first."""
        rows = [
            self.genome(spans)
            for rule, growth in ((all_servers, 1.0), (gbp_cr, 1.0), (conservative_greedy, 1.1), (petals_greedy, 1.1))
            for spans in placements(self.fleet, rule, growth)
        ]
        if not rows:
            return self.random(np.random.default_rng(0), 8)
        most = max(LEAST_STARTS, MOST_STARTS // self.fleet.n_servers)
        return self.ranked(np.stack(rows))[:most]

    def random(self, rng: np.random.Generator, n: int) -> IntArray:
        """Servers lined up front to back in random order."""
        rows = np.zeros((n, self.genome_size), dtype=np.int64)
        for row in rows:
            sessions_from_keys(rng.random(self.n_keys), self.data, row)
        return rows

    def evaluate(self, genomes: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return costs and violations (n,)."""
        return chain_scores(genomes, self.data)

    def ranked(self, genomes: IntArray) -> IntArray:
        """Genomes by their cost, the best first."""
        costs, broken = self.evaluate(genomes)
        return genomes[np.lexsort((costs, broken))]

    def terms(self, genomes: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return seconds per session of the rate and response times in s (n, 2), and violations (n,)."""
        values = np.empty((len(genomes), 2))
        chain_terms(np.ascontiguousarray(genomes), self.data, values)
        return values, self.evaluate(genomes)[1]

    def to_keys(self, genome: IntArray) -> FloatArray:
        """Keys that line the servers up by their first blocks."""
        n = self.fleet.n_servers
        fill = genome[n:] / np.maximum(self.fleet.most_blocks, 1)
        place = (genome[:n] + (np.arange(n) + 0.5) / n) / (self.fleet.n_blocks + 1)
        return np.concatenate([place, np.clip((fill - 0.3) / 0.7, 0.0, 1.0)])

    def genome(self, spans: Sequence[Range]) -> IntArray:
        """Ranges, one per server, to a genome."""
        return chain_genome(spans)

    def ranges(self, spans: Sequence[Span]) -> tuple[Range, ...]:
        """Spans to ranges, one per server."""
        held = {span.node: (span.start, span.stop) for span in spans}
        return tuple(held.get(j, (0, 0)) for j in range(self.fleet.n_servers))

    def encode(self, spans: Sequence[Span]) -> IntArray:
        """Spans to a genome."""
        return self.genome(self.ranges(spans))

    def decode(self, genome: IntArray) -> Spans:
        """Genome to the spans of servers that hold something; one too small for a block and a cache never does."""
        n, most = self.fleet.n_servers, self.fleet.most_blocks
        pairs = zip(genome[:n].tolist(), genome[n:].tolist(), strict=True)
        return tuple(Span(j, start, start + size) for j, (start, size) in enumerate(pairs) if 0 < size <= most[j])

    def score(self, spans: Sequence[Span]) -> Score:
        """Score by the reference code."""
        return self.score_of(greedy_chains(self.fleet, self.ranges(spans)))

    def score_of(self, chains: Sequence[Chain]) -> Score:
        """Score chains that are given, the fastest first, by the reference code."""
        terms = self.terms_of(chains)
        values = np.array([terms.session_s, terms.response_s])
        if not chains:
            return Score(terms.session_s, 1.0, values)
        excess = np.maximum(values / self.objective.limit_vector() - 1.0, 0.0)
        counted = excess if self.response else excess[:1]
        return Score(float(self.objective.weight_vector() @ values), float(counted.sum()) + terms.overload, values)

    def terms_of(self, chains: Sequence[Chain]) -> Terms:
        """Terms of chains that are given, the fastest first."""
        return terms_of(self.fleet, chains, self.goal, self.upper)

    def composition(self, spans: Sequence[Span]) -> Composition:
        """Spans with those of their greedy chains that serve."""
        ranges = self.ranges(spans)
        chains = greedy_chains(self.fleet, ranges)
        return Composition(ranges, chains[: self.terms_of(chains).kept])

    def portfolio(self) -> Solver:
        """Bounds, disjoint chains, a race of basins, and walks from the best of all."""
        from .solvers.portfolio import SessionsPortfolio  # its parts need this class

        return SessionsPortfolio()

    def at_a_glance(self) -> Proven:
        """Bounds that take no time: all sessions that fit, each as fast as if it were alone."""
        shortest = Sharing(self.fleet).shortest
        return Proven(most_at_once(self.fleet) / shortest, shortest)

    def bound_of(self, proven: Proven) -> float:
        """The bound on the cost that follows; infinite where nothing serves the arrivals or meets a limit."""
        if proven.rate <= 0 or (self.response and self.fleet.arrivals_per_s >= proven.rate):
            return np.inf
        least = np.array([1.0 / proven.rate, proven.response_s if self.response else 0.0])
        unmet = least > self.objective.limit_vector() * (1.0 + 1e-9)
        return np.inf if unmet.any() else float(self.objective.weight_vector() @ least)

    def lower_bound(self) -> float:
        """What is proven at a glance; the portfolio proves more."""
        return self.bound_of(self.at_a_glance())


def problem_of(fleet: Fleet, name: str) -> SessionsProblem:
    """The problem of one term, "rate" or "response"."""
    return SessionsProblem(fleet, Objective({name: 1.0}, terms=SESSIONS))


def moves_in(fleet: Fleet, seconds: float) -> float:
    """About how many moves the seconds are worth on one core, guessed from the number of servers, not measured."""
    return float(seconds * MOVES_PER_SECOND * (SERVERS / fleet.n_servers) ** POWER)
