"""Three ways to run a swarm whose sessions reserve caches: Petals' rules, GBP-CR with GCA and JFFC, and ours.

Petals: arXiv:2312.08361 and its release 2.2.0. GBP-CR, GCA, JFFC: arXiv:2604.14993; it knows no churn, so a server that
joins goes where the rule would have it and nobody else moves, and all move when what is left cannot carry the arrivals.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from objectives.petals.routing import Seen, petals_route
from objectives.petals.rules import best_start, most_blocks, throughputs, verdict
from objectives.sessions.baselines import gbp_cr, placements
from objectives.sessions.chains import Chain, Fleet, chain_genome, chain_seconds, greedy_chains, total_rate
from objectives.sessions.kernels.scores import RATE, RESPONSE, chain_data, chain_scores, priced_chain
from objectives.spans import Range

from .day import ChurningSwarm, SwarmState, Uses
from .span_rule import SpanRule, genomes

Layout = tuple[tuple[int, Range], ...]
HIDDEN, CACHED_SESSIONS = 14336, 2  # BLOOM-176B; 4096 tokens of cache for each block are two sessions of 2048


def present(state: SwarmState) -> Fleet:
    """The fleet with only those servers that are there; the others have no memory."""
    fleet = state.swarm.fleet
    memory = np.array([fleet.memory_bytes[j] if j in state.spans else 0 for j in range(fleet.n_servers)])
    return replace(fleet, memory_bytes=memory)


def uses_of(chain: Chain) -> Uses:
    """What a session takes on a chain."""
    return tuple(zip(chain.servers, chain.blocks, strict=True))


@dataclass
class PetalsRule:
    """Span lengths, joining, rebalancing and routing of Petals; all round trips known to everybody.

    As released, a session fails with its server, and the client begins anew.
    """

    resumes: bool = False
    known: dict[tuple[int, ...], Uses] = field(default_factory=dict)
    seen: Seen | None = None
    layout: Layout = ()

    def size(self, swarm: ChurningSwarm, server: int) -> int:
        """Blocks that a server takes."""
        fleet = swarm.fleet
        memory, cache = float(fleet.memory_bytes[server]), float(fleet.cache_bytes * CACHED_SESSIONS)
        return max(1, most_blocks(memory, HIDDEN, fleet.block_bytes, cache, n_blocks=fleet.n_blocks))

    def announced(self, swarm: ChurningSwarm, spans: list[tuple[int, Range]]) -> list[float]:
        """Throughputs: a request uses (n + 1) / 2 of n blocks on average."""
        speed = swarm.tokens / swarm.fleet.block_s
        return [float(speed[j]) / ((stop - start + 1) / 2) for j, (start, stop) in spans]

    def join(self, state: SwarmState, server: int) -> Range:
        """Take the weakest window."""
        swarm, held = state.swarm, sorted(state.spans.items())
        total = throughputs([span for _, span in held], self.announced(swarm, held), swarm.fleet.n_blocks)
        size = self.size(swarm, server)
        start = best_start(total, size)
        return start, start + size

    def review(self, state: SwarmState, rng: np.random.Generator) -> dict[int, Range]:
        """Every server that has loaded looks on its own, one after another, and moves alone."""
        swarm, now, moved = state.swarm, dict(state.spans), {}
        for j in rng.permutation(sorted(state.serving())).tolist():
            held = sorted(now.items())
            places, speeds = [span for _, span in held], self.announced(swarm, held)
            at = [k for k, _ in held].index(j)
            if not verdict(places, speeds, at, swarm.fleet.n_blocks, rng.shuffle).moves:
                continue
            others, size = [k for k in range(len(held)) if k != at], now[j][1] - now[j][0]
            total = throughputs([places[k] for k in others], [speeds[k] for k in others], swarm.fleet.n_blocks)
            start = best_start(total, size)
            now[j] = moved[j] = (start, start + size)
        return moved

    def changed(self, state: SwarmState) -> None:
        """Routes are found for each session."""

    def chosen(self, swarm: ChurningSwarm, held: Layout, left: tuple[int, ...]) -> Uses:
        """Dijkstra's chain; empty where there is none."""
        if self.seen is None:
            number = {j: k for k, (j, _) in enumerate(held)} | {swarm.n_servers: -1}
            pairs = [(a, b) for a in number for b in number if a != b and number[b] >= 0]
            rtt = {(number[a], number[b]): float(swarm.rtt_s[a, b]) for a, b in pairs}
            rates = (swarm.tokens / swarm.fleet.block_s[[j for j, _ in held]]).tolist()
            self.seen = Seen([span for _, span in held], rates, rtt)
        _, stages = petals_route(replace(self.seen, cache_tokens=left), 0, swarm.fleet.n_blocks, tokens=1)
        return tuple((held[k][0], stop - start) for k, start, stop in stages)

    def route(self, state: SwarmState) -> tuple[float, Uses] | None:
        """Dijkstra's chain, with ten seconds for a server whose cache cannot take its whole span; run as a star."""
        swarm, fleet = state.swarm, state.swarm.fleet
        held = tuple(sorted(state.serving().items()))
        # All that Dijkstra sees of the load is who is too full for a whole span.
        left = tuple(0 if state.free[j] < stop - start else 2 * fleet.n_blocks for j, (start, stop) in held)
        if held != self.layout:
            self.known, self.seen, self.layout = {}, None, held
        if left not in self.known:
            self.known[left] = self.chosen(swarm, held, left)
        uses = self.known[left]
        if not uses or any(blocks > state.free[j] for j, blocks in uses):
            return None
        return float(sum(fleet.session_s[j] + fleet.block_s[j] * blocks for j, blocks in uses)), uses


@dataclass
class ComposedChainsRule:
    """GBP-CR, GCA and JFFC, with the capacity of the least lower bound on the response time.

    Attributes
    ----------
    load : float
        All servers are placed anew when the arrivals are more than this part of what the chains carry.
    """

    load: float = 0.95
    resumes: bool = True
    chains: list[tuple[float, Chain]] = field(default_factory=list)

    def layout(self, state: SwarmState, more: int | None = None) -> tuple[Range, ...]:
        """GBP-CR on the servers that are there."""
        spans = dict(state.spans) | ({more: (0, 0)} if more is not None else {})
        fleet = present(replace(state, spans=spans))
        found = list(placements(fleet, gbp_cr, 1.05))
        if not found:
            return tuple((0, 0) for _ in spans)
        genomes = np.stack([chain_genome(layout) for layout in found])
        costs, broken = chain_scores(genomes, chain_data(fleet, RESPONSE, upper=0.0))
        return found[int(np.lexsort((costs, broken))[0])]

    def join(self, state: SwarmState, server: int) -> Range:
        """Where the rule would have it; a server that it leaves idle takes the first blocks."""
        layout = self.layout(state, server)
        if server < len(layout) and layout[server][1] > layout[server][0]:
            return layout[server]
        return 0, max(1, int(state.swarm.fleet.most_blocks[server]) // 2)

    def review(self, state: SwarmState, rng: np.random.Generator) -> dict[int, Range]:
        """Place all anew when what stands is not enough."""
        if any(ready > state.now for ready in state.ready_s.values()):
            return {}
        fleet = state.swarm.fleet
        if fleet.arrivals_per_s <= self.load * total_rate(fleet, [chain for _, chain in self.chains]):
            return {}
        layout = self.layout(state)
        return {j: layout[j] for j in state.spans if len(layout) == fleet.n_servers and layout[j][1] > layout[j][0]}

    def changed(self, state: SwarmState) -> None:
        """GCA on what serves now."""
        fleet = state.swarm.fleet
        chains = greedy_chains(fleet, state.ranges(state.serving()))
        self.chains = [(chain_seconds(fleet, chain), chain) for chain in chains]

    def route(self, state: SwarmState) -> tuple[float, Uses] | None:
        """The fastest chain with a free slot."""
        for seconds, chain in self.chains:
            if all(state.free[j] >= blocks for j, blocks in uses_of(chain)):
                return seconds, uses_of(chain)
        return None


@dataclass
class SteadySpanRule:
    """Ours: `SpanRule` says who goes where, and a server moves when some move has been worth it for a while."""

    rule: SpanRule = field(default_factory=SpanRule)
    resumes: bool = True
    wanted_s: float | None = None
    fastest: FastestFreeChain | None = None

    def join(self, state: SwarmState, server: int) -> Range:
        """The best span."""
        return self.rule.join(state.swarm.fleet, state.spans, server)

    def review(self, state: SwarmState, rng: np.random.Generator) -> dict[int, Range]:
        """The one move that gains most, if some move has been worth it for long enough; none while anybody loads."""
        if any(ready > state.now for ready in state.ready_s.values()):
            return {}
        move = self.rule.move(state.swarm.fleet, state.spans)
        if move is None:
            self.wanted_s = None
            return {}
        self.wanted_s = state.now if self.wanted_s is None else self.wanted_s
        if state.now - self.wanted_s < self.rule.lasting_s:
            return {}
        self.wanted_s = None
        return dict([move])

    def changed(self, state: SwarmState) -> None:
        """Routes are found for each session."""

    def route(self, state: SwarmState) -> tuple[float, Uses] | None:
        """The fastest chain with free slots, as a star."""
        if self.fastest is None:
            self.fastest = FastestFreeChain(state.swarm.fleet)
        return self.fastest.chain(state.serving(), state.free)


class FastestFreeChain:
    """The fastest chain through free slots, compiled: `objectives.chains.fastest_chain` gives the same."""

    def __init__(self, fleet: Fleet) -> None:
        data = chain_data(fleet, RATE)
        self.data, self.fleet = data._replace(slots=data.slots.copy()), fleet
        self.room = np.zeros((2, fleet.n_servers), dtype=np.int64)

    def chain(self, spans: dict[int, Range], free: list[int]) -> tuple[float, Uses] | None:
        """Seconds of a session of mean length, and what it uses."""
        for j, (start, stop) in spans.items():
            self.data.slots[j, stop - start] = free[j]
        length, seconds = priced_chain(genomes(self.fleet, spans)[0], self.data, self.room[0], self.room[1])
        if length == 0:
            return None
        blocks = np.diff(self.room[1, :length], prepend=0)
        return float(seconds), tuple(zip(self.room[0, :length].tolist(), blocks.tolist(), strict=True))
