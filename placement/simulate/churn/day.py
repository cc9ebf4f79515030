"""A swarm over a day whose sessions reserve caches: arrivals wait for free slots, servers come, go, move and reload."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from objectives.sessions.chains import Fleet, FloatArray
from objectives.spans import Range, count_holders, lacking

from .lifetimes import DAY_S, Event

REVIEW_S = 600.0
PATIENCE_S = 900.0  # of waiting in one go; then a client gives up
REPLAY_S = 5.0  # a history of 2048 tokens through the blocks of a lost server, on its successors
# What happens at one moment happens in this order.
ENDS, LOADED, COMES_OR_GOES, REVIEW, ARRIVES = range(5)
Uses = tuple[tuple[int, int], ...]
"""(server, blocks that the session uses there)."""


@dataclass(frozen=True)
class ChurningSwarm:
    """The unchanging part: a fleet of places for servers, ways between them, traffic.

    Attributes
    ----------
    fleet : Fleet
        `session_s` and `block_s` are those of a session of mean length, as a star.
    rtt_s : array (J + 1, J + 1)
        Round trips in s, the client last.
    tokens : int
        Tokens of a session of mean length.
    load_bytes_per_s : float
        Download rate of a server.
    life_s, gap_s : float
        Mean lifetime of a server, and mean time until another one comes in its place.
    """

    fleet: Fleet
    rtt_s: FloatArray
    tokens: int
    load_bytes_per_s: float = 1.25e8
    life_s: float = 4 * 3600.0
    gap_s: float = 1200.0

    @property
    def n_servers(self) -> int:
        """J."""
        return self.fleet.n_servers


@dataclass
class SwarmState:
    """What is where, now."""

    swarm: ChurningSwarm
    now: float = 0.0
    spans: dict[int, Range] = field(default_factory=dict)
    ready_s: dict[int, float] = field(default_factory=dict)
    free: list[int] = field(default_factory=list)

    def serving(self) -> dict[int, Range]:
        """Spans of servers that have loaded their blocks."""
        return {j: span for j, span in self.spans.items() if self.ready_s[j] <= self.now}

    def ranges(self, spans: dict[int, Range]) -> tuple[Range, ...]:
        """Spans of all places; (0, 0) where there is nothing."""
        return tuple(spans.get(j, (0, 0)) for j in range(self.swarm.n_servers))


class SwarmRule(Protocol):
    """What the simulator asks of a way to run a swarm.

    Attributes
    ----------
    resumes : bool
        A session that lost a server goes on with others from its history; otherwise it begins anew.
    """

    resumes: bool

    def join(self, state: SwarmState, server: int) -> Range:
        """Span of a server that comes."""
        ...

    def review(self, state: SwarmState, rng: np.random.Generator) -> dict[int, Range]:
        """New spans of servers that should move now."""
        ...

    def changed(self, state: SwarmState) -> None:
        """Servers came, went, moved or have loaded."""
        ...

    def route(self, state: SwarmState) -> tuple[float, Uses] | None:
        """Seconds of a session of mean length, and what it uses; None: it has to wait."""
        ...


@dataclass(frozen=True, slots=True)
class DayFigures:
    """Figures of one run; times in s, response from arrival to the end, restarts included.

    Attributes
    ----------
    arrived, served, gave_up, broken : int
        Sessions that came; that ended whole; whose client gave up waiting; and how often one lost a server.
    outage_s : float
        Seconds during which some block was served by nobody.
    moves : int
        Changes of span, joins not counted.
    loaded_bytes : float
        Bytes loaded by moves.
    mean_s, p95_s : float
        Over the sessions that were served: whoever serves fewer, those of calm hours, looks faster by it.
    responses : tuple of (float, float)
        Arrival and response of each session that was served, so that two rules can be compared over those that both
        serve.
    """

    arrived: int
    served: int
    gave_up: int
    broken: int
    mean_s: float
    p95_s: float
    outage_s: float
    moves: int
    loaded_bytes: float
    responses: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class _Session:
    """A session that runs: when it came, what is left of it and until when, and what it uses."""

    arrival: float
    size: float
    began: float
    seconds: float
    uses: Uses

    def rest(self, now: float) -> float:
        """Size of what is left, the replay included."""
        return self.size - (now - self.began - REPLAY_S) / self.seconds


@dataclass
class _Simulation:
    state: SwarmState
    rule: SwarmRule
    heap: list[tuple[float, int, int, object]] = field(default_factory=list)
    queue: deque[tuple[float, float, float]] = field(default_factory=deque)  # arrival, size, waiting since
    open: dict[int, _Session] = field(default_factory=dict)
    served: list[tuple[float, float]] = field(default_factory=list)
    count: int = 0
    gave_up: int = 0
    broken: int = 0
    moves: int = 0
    loaded: float = 0.0

    def push(self, at: float, kind: int, what: object) -> None:
        self.count += 1
        heapq.heappush(self.heap, (at, kind, self.count, what))

    def place(self, server: int, span: Range) -> None:
        """Load a span; a server that moves ends the sessions that it carries."""
        state, fleet = self.state, self.state.swarm.fleet
        old = state.spans.get(server)
        loaded = lacking(span, old) * fleet.block_bytes
        if old is not None:
            self.drop(server)
            self.moves += 1
            self.loaded += loaded
        state.spans[server] = span
        state.ready_s[server] = state.now + loaded / state.swarm.load_bytes_per_s
        state.free[server] = int(fleet.slots[server, span[1] - span[0]])
        self.push(state.ready_s[server], LOADED, None)

    def drop(self, server: int) -> None:
        """Sessions of a server go on or begin anew, first in the queue."""
        lost = [key for key, session in self.open.items() if any(j == server for j, _ in session.uses)]
        again = []
        for key in lost:
            session = self.open.pop(key)
            self.release(session.uses)
            left = session.rest(self.state.now) if self.rule.resumes else session.size
            again.append((session.arrival, left, self.state.now))
        self.broken += len(lost)
        self.queue.extendleft(sorted(again, reverse=True))

    def release(self, uses: Uses) -> None:
        for j, blocks in uses:
            self.state.free[j] += blocks

    def dispatch(self) -> None:
        """Start those who wait, in their order, while there is room."""
        while self.queue:
            arrival, size, since = self.queue[0]
            if self.state.now - since > PATIENCE_S:
                self.queue.popleft()
                self.gave_up += 1
                continue
            found = self.rule.route(self.state)
            if found is None:
                return
            self.queue.popleft()
            seconds, uses = found
            for j, blocks in uses:
                self.state.free[j] -= blocks
            self.count += 1
            self.open[self.count] = _Session(arrival, size, self.state.now, seconds, uses)
            self.push(self.state.now + seconds * size, ENDS, self.count)


def simulate_day(
    swarm: ChurningSwarm, rule: SwarmRule, events: tuple[Event, ...], *, seed: int = 0, seconds: float = DAY_S
) -> DayFigures:
    """Run a rule through joins, leaves and sessions.

    Arrivals are Poisson, sizes exponential with mean 1 (the model of arXiv:2604.14993). A session keeps its slots until
    it ends; when one of its servers leaves or moves it begins anew, first in the queue. Sessions that are open or
    waiting at the end count as arrived only.

    Parameters
    ----------
    swarm : ChurningSwarm
    rule : SwarmRule
        Where servers go, and the chain of each session. It may keep a state of its own: make one for each run.
    events : tuple of Event
        Joins and leaves.
    seed : int
        Equal seeds give equal arrivals and sizes, whatever the rule.
    seconds : float
        Length of the run.

    Returns
    -------
    DayFigures
    """
    rng, traffic = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    rate = swarm.fleet.arrivals_per_s
    arrivals = np.cumsum(traffic.exponential(1.0 / rate, int(1.2 * seconds * rate) + 100))
    sizes = traffic.exponential(1.0, len(arrivals))
    arrivals = arrivals[arrivals < seconds]
    run = _Simulation(SwarmState(swarm, free=[0] * swarm.n_servers), rule)
    for event in events:
        run.push(event.at_s, COMES_OR_GOES, event)
    for at in np.arange(REVIEW_S, seconds, REVIEW_S).tolist():
        run.push(at, REVIEW, None)
    for at, size in zip(arrivals.tolist(), sizes.tolist(), strict=False):
        run.push(at, ARRIVES, (at, size))
    outage, last, whole = 0.0, 0.0, False
    while run.heap and run.heap[0][0] < seconds:
        now, kind, _, what = heapq.heappop(run.heap)
        outage, last, run.state.now = outage + (0.0 if whole else now - last), now, now
        _handle(run, kind, what, rng)
        if kind in (LOADED, COMES_OR_GOES, REVIEW):
            whole = bool(count_holders(swarm.fleet.n_blocks, run.state.serving().values()).all())
        run.dispatch()
    times = np.array([seconds for _, seconds in run.served] or [np.nan])
    return DayFigures(
        arrived=len(arrivals),
        served=len(run.served),
        gave_up=run.gave_up,
        broken=run.broken,
        mean_s=float(times.mean()),
        p95_s=float(np.percentile(times, 95)),
        outage_s=outage,
        moves=run.moves,
        loaded_bytes=run.loaded,
        responses=tuple(run.served),
    )


def _handle(run: _Simulation, kind: int, what: object, rng: np.random.Generator) -> None:
    state, rule = run.state, run.rule
    if kind == ENDS and what in run.open:
        assert isinstance(what, int)
        session = run.open.pop(what)
        run.release(session.uses)
        run.served.append((session.arrival, state.now - session.arrival))
    elif kind == LOADED:
        rule.changed(state)
    elif kind == COMES_OR_GOES:
        assert isinstance(what, Event)
        if what.joins:
            run.place(what.server, rule.join(state, what.server))
        elif what.server in state.spans:
            run.drop(what.server)
            del state.spans[what.server], state.ready_s[what.server]
            state.free[what.server] = 0
            rule.changed(state)
    elif kind == REVIEW:
        for j, span in rule.review(state, rng).items():
            if span != state.spans[j]:
                run.place(j, span)
        rule.changed(state)
    elif kind == ARRIVES:
        assert isinstance(what, tuple)
        run.queue.append((*what, state.now))
