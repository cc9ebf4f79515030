"""Three ways to run a swarm whose sessions reserve caches: Petals' rules, GBP-CR with GCA and JFFC, and ours.

Petals: arXiv:2312.08361 and its release 2.2.0. GBP-CR, GCA, JFFC: arXiv:2604.14993; it knows no churn, so a server that
joins goes where the rule would have it and nobody else moves, and all move when what is left cannot carry the arrivals.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from objectives.chains import Chain, Fleet, chain_seconds, fastest_chain, greedy_chains, total_rate
from objectives.petals import best_start, most_blocks, throughputs, verdict
from objectives.petals_routes import Seen, petals_route
from objectives.ranges import Range, lacking

from ..chains.baselines import gbp_cr, placements
from ..chains.problem import ChainProblem
from ..problem import FloatArray, IntArray
from .slots import Site, State, Uses

Held = tuple[tuple[int, Range], ...]
HIDDEN, CACHED_SESSIONS = 14336, 2  # BLOOM-176B; 4096 tokens of cache for each block are two sessions of 2048


def present(state: State) -> Fleet:
    """The fleet with only those servers that are there; the others have no memory."""
    fleet = state.site.fleet
    memory = np.array([fleet.memory_bytes[j] if j in state.spans else 0 for j in range(fleet.n_servers)])
    return replace(fleet, memory_bytes=memory)


def uses_of(chain: Chain) -> Uses:
    """What a session takes on a chain."""
    return tuple(zip(chain.servers, chain.blocks, strict=True))


@dataclass
class PetalsSlots:
    """Span lengths, joining, rebalancing and routing of Petals; all round trips known to everybody.

    As released, a session fails with its server, and the client begins anew.
    """

    resumes: bool = False
    known: dict[tuple[int, ...], Uses] = field(default_factory=dict)
    seen: Seen | None = None
    layout: Held = ()

    def size(self, site: Site, server: int) -> int:
        """Blocks that a server takes."""
        fleet = site.fleet
        memory, cache = float(fleet.memory_bytes[server]), float(fleet.cache_bytes * CACHED_SESSIONS)
        return max(1, most_blocks(memory, HIDDEN, fleet.block_bytes, cache, n_blocks=fleet.n_blocks))

    def announced(self, site: Site, spans: list[tuple[int, Range]]) -> list[float]:
        """Throughputs: a request uses (n + 1) / 2 of n blocks on average."""
        speed = site.tokens / site.fleet.block_s
        return [float(speed[j]) / ((stop - start + 1) / 2) for j, (start, stop) in spans]

    def join(self, state: State, server: int) -> Range:
        """Take the weakest window."""
        site, held = state.site, sorted(state.spans.items())
        total = throughputs([span for _, span in held], self.announced(site, held), site.fleet.n_blocks)
        size = self.size(site, server)
        start = best_start(total, size)
        return start, start + size

    def review(self, state: State, rng: np.random.Generator) -> dict[int, Range]:
        """Every server that has loaded looks on its own, one after another, and moves alone."""
        site, now, moved = state.site, dict(state.spans), {}
        for j in rng.permutation(sorted(state.serving())).tolist():
            held = sorted(now.items())
            places, speeds = [span for _, span in held], self.announced(site, held)
            at = [k for k, _ in held].index(j)
            if not verdict(places, speeds, at, site.fleet.n_blocks, rng.shuffle).moves:
                continue
            others, size = [k for k in range(len(held)) if k != at], now[j][1] - now[j][0]
            total = throughputs([places[k] for k in others], [speeds[k] for k in others], site.fleet.n_blocks)
            start = best_start(total, size)
            now[j] = moved[j] = (start, start + size)
        return moved

    def changed(self, state: State) -> None:
        """Routes are found for each session."""

    def chosen(self, site: Site, held: Held, left: tuple[int, ...]) -> Uses:
        """Dijkstra's chain; empty where there is none."""
        if self.seen is None:
            number = {j: k for k, (j, _) in enumerate(held)} | {site.n_servers: -1}
            pairs = [(a, b) for a in number for b in number if a != b and number[b] >= 0]
            rtt = {(number[a], number[b]): float(site.rtt_s[a, b]) for a, b in pairs}
            rates = (site.tokens / site.fleet.block_s[[j for j, _ in held]]).tolist()
            self.seen = Seen([span for _, span in held], rates, rtt)
        _, stages = petals_route(replace(self.seen, cache_tokens=left), 0, site.fleet.n_blocks, tokens=1)
        return tuple((held[k][0], stop - start) for k, start, stop in stages)

    def route(self, state: State) -> tuple[float, Uses] | None:
        """Dijkstra's chain, with ten seconds for a server whose cache cannot take its whole span; run as a star."""
        site, fleet = state.site, state.site.fleet
        held = tuple(sorted(state.serving().items()))
        # All that Dijkstra sees of the load is who is too full for a whole span.
        left = tuple(0 if state.free[j] < stop - start else 2 * fleet.n_blocks for j, (start, stop) in held)
        if held != self.layout:
            self.known, self.seen, self.layout = {}, None, held
        if left not in self.known:
            self.known[left] = self.chosen(site, held, left)
        uses = self.known[left]
        if not uses or any(blocks > state.free[j] for j, blocks in uses):
            return None
        return float(sum(fleet.session_s[j] + fleet.block_s[j] * blocks for j, blocks in uses)), uses


@dataclass
class Composed:
    """GBP-CR, GCA and JFFC, with the capacity of the least lower bound on the response time.

    Attributes
    ----------
    load : float
        All servers are placed anew when the arrivals are more than this part of what the chains carry.
    """

    load: float = 0.95
    resumes: bool = True
    chains: list[tuple[float, Chain]] = field(default_factory=list)

    def layout(self, state: State, more: int | None = None) -> tuple[Range, ...]:
        """GBP-CR on the servers that are there."""
        spans = dict(state.spans) | ({more: (0, 0)} if more is not None else {})
        fleet = present(replace(state, spans=spans))
        problem = ChainProblem(fleet, response=True, upper=0.0)
        found = list(placements(fleet, gbp_cr, 1.05))
        if not found:
            return tuple((0, 0) for _ in spans)
        costs, broken = problem.evaluate(np.stack([problem.genome(layout) for layout in found]))
        return found[int(np.lexsort((costs, broken))[0])]

    def join(self, state: State, server: int) -> Range:
        """Where the rule would have it; a server that it leaves idle takes the first blocks."""
        layout = self.layout(state, server)
        if server < len(layout) and layout[server][1] > layout[server][0]:
            return layout[server]
        return 0, max(1, int(state.site.fleet.most_blocks[server]) // 2)

    def review(self, state: State, rng: np.random.Generator) -> dict[int, Range]:
        """Place all anew when what stands is not enough."""
        if any(ready > state.now for ready in state.ready_s.values()):
            return {}
        fleet = state.site.fleet
        if fleet.arrivals_per_s <= self.load * total_rate(fleet, [chain for _, chain in self.chains]):
            return {}
        layout = self.layout(state)
        return {j: layout[j] for j in state.spans if len(layout) == fleet.n_servers and layout[j][1] > layout[j][0]}

    def changed(self, state: State) -> None:
        """GCA on what serves now."""
        fleet = state.site.fleet
        chains = greedy_chains(fleet, state.ranges(state.serving()))
        self.chains = [(chain_seconds(fleet, chain), chain) for chain in chains]

    def route(self, state: State) -> tuple[float, Uses] | None:
        """The fastest chain with a free slot."""
        for seconds, chain in self.chains:
            if all(state.free[j] >= blocks for j, blocks in uses_of(chain)):
                return seconds, uses_of(chain)
        return None


@dataclass
class Weighed:
    """Ours: spans by what they serve, also after any one server has gone; a move must pay for its reloading.

    Attributes
    ----------
    weight : float
        Relative gain that reloading the whole model must bring.
    worth : float
        Logarithm of the mean response time that any move must gain beside that.
    away : float
        Probability that a given server is just away; layouts are judged over who may be missing.
    near : int
        Layouts that are judged so, the best ones.
    reserve : float
        Part of a server's memory for caches while the swarm is not whole.
    """

    weight: float = 1.0
    worth: float = 1.0
    away: float = 0.02
    near: int = 24
    reserve: float = 0.5
    resumes: bool = True

    def scores(self, fleet: Fleet, genomes: IntArray, *, robust: bool = True) -> FloatArray:
        """Logarithm of the mean response time of layouts; arrivals that are not served count as long waits."""
        problem = ChainProblem(fleet, response=True)
        values = self.plain(problem, genomes)
        if not robust:
            return values
        best = np.argsort(values, kind="stable")[: self.near]
        out = values + 100.0
        n = fleet.n_servers
        for k in best.tolist():
            there = np.flatnonzero(genomes[k, n:] > 0)
            trials = np.repeat(genomes[k][None, :], len(there), axis=0)
            trials[np.arange(len(there)), n + there] = 0
            lost = self.plain(problem, trials).sum()
            out[k] = (1.0 - min(0.8, self.away * len(there))) * values[k] + self.away * lost
        return out

    def plain(self, problem: ChainProblem, genomes: IntArray) -> FloatArray:
        """The same without anybody missing."""
        costs, broken = problem.evaluate(np.ascontiguousarray(genomes))
        ample = problem.fleet.session_s.mean() * 5 + problem.fleet.block_s.mean() * problem.fleet.n_blocks
        return np.where(broken > 0, np.log(20.0 * ample) + np.minimum(broken, 50.0), np.log(np.maximum(costs, 1e-9)))

    def windows(self, fleet: Fleet, server: int, step: int) -> list[Range]:
        """Spans of several lengths; shorter ones leave more room for caches."""
        most = min(int(fleet.most_blocks[server]), fleet.n_blocks)
        sizes = sorted({max(1, round(most * part)) for part in (0.95, 0.85, 0.7, 0.55, 0.4, 0.25)})
        return [
            (start, start + size)
            for size in sizes
            for start in sorted({*range(0, fleet.n_blocks - size + 1, step), fleet.n_blocks - size})
        ]

    def join(self, state: State, server: int) -> Range:
        """The window of the best score; edges of present spans are tried too."""
        fleet = state.site.fleet
        problem = ChainProblem(fleet)
        edges = {edge for span in state.spans.values() for edge in span}
        found = self.windows(fleet, server, 3)
        sizes = {stop - start for start, stop in found}
        found += [(e, e + size) for e in edges for size in sizes if e + size <= fleet.n_blocks]
        found += [(e - size, e) for e in edges for size in sizes if e >= size]
        found = sorted(set(found))
        rows = np.stack([problem.genome(state.ranges({**state.spans, server: span})) for span in found])
        values = self.scores(fleet, rows)
        held = np.zeros(fleet.n_blocks)
        for start, stop in state.spans.values():
            held[start:stop] += 1
        if held.all():
            return found[int(np.argmin(values))]
        # The swarm is not whole: whoever comes takes what nobody holds, and leaves room for sessions.
        room = fleet.memory_bytes[server] * (1.0 - self.reserve) // fleet.block_bytes
        size = int(max(1, min(room, fleet.n_blocks)))
        total = np.array([(held[a : a + size] == 0).sum() - 1e-3 * held[a : a + size].sum()
                          for a in range(fleet.n_blocks - size + 1)])  # fmt: skip
        start = int(np.argmax(total))
        return start, start + size

    def review(self, state: State, rng: np.random.Generator) -> dict[int, Range]:
        """The one move that gains most beyond what its reloading must bring; nobody moves while another loads."""
        fleet = state.site.fleet
        if not state.spans or any(ready > state.now for ready in state.ready_s.values()):
            return {}
        problem = ChainProblem(fleet)
        now = problem.genome(state.ranges(state.spans))
        rows, moves = [now], [(-1, (0, 0), 0)]
        for j, old in state.spans.items():
            for new in self.windows(fleet, j, 6):
                loaded = lacking(new, old)
                row = now.copy()
                row[j], row[fleet.n_servers + j] = new[0], new[1] - new[0]
                rows.append(row)
                moves.append((j, new, loaded))
        genomes = np.stack(rows)
        price = self.weight * np.array([loaded for _, _, loaded in moves]) / fleet.n_blocks + self.worth
        price[0] = 0.0
        plain = self.scores(fleet, genomes, robust=False) + price
        best = np.unique(np.concatenate([[0], np.argsort(plain, kind="stable")[: self.near]]))
        values = self.scores(fleet, genomes[best]) + price[best]
        chosen = int(best[np.argmin(values)])
        if chosen == 0 or values[np.argmin(values)] >= values[np.flatnonzero(best == 0)[0]]:
            return {}
        return {moves[chosen][0]: moves[chosen][1]}

    def changed(self, state: State) -> None:
        """Routes are found for each session."""

    def route(self, state: State) -> tuple[float, Uses] | None:
        """The fastest chain with free slots, as a star."""
        fleet = state.site.fleet
        chain = fastest_chain(fleet, state.ranges(state.serving()), state.free)
        return None if chain is None else (chain_seconds(fleet, chain), uses_of(chain))
