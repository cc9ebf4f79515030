"""The swarm over a day: joins, leaves, moves with their reloading, and the sessions that it serves meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from objectives.spans import Range, lacking

from .rules import Rule
from .world import DAY_S, Event, FloatArray, World

REVIEW_S = 600.0  # how often the rules look at the whole swarm


@dataclass(frozen=True, slots=True)
class Day:
    """Figures of one run.

    Attributes
    ----------
    arrived, served, broken : int
        Sessions that came, that ended whole, and that lost a server on their way.
    mean_s, p95_s : float
        Response time of served sessions.
    outage_s : float
        Seconds during which some block was served by nobody.
    moves : int
        Changes of span, joins not counted.
    loaded_bytes : float
        Bytes loaded by moves.
    throughput : tuple of float
        Sessions served per second in each hour.
    """

    arrived: int
    served: int
    broken: int
    mean_s: float
    p95_s: float
    outage_s: float
    moves: int
    loaded_bytes: float
    throughput: tuple[float, ...]


@dataclass
class _State:
    world: World
    spans: dict[int, Range] = field(default_factory=dict)
    ready_s: dict[int, float] = field(default_factory=dict)
    busy_s: dict[int, float] = field(default_factory=dict)
    gone_s: dict[int, float] = field(default_factory=dict)

    def serving(self, now: float) -> list[int]:
        return [j for j in self.spans if self.ready_s[j] <= now]

    def place(self, server: int, span: Range, now: float) -> float:
        """Load a span; return the bytes, which a server loads out of service."""
        old = self.spans.get(server)
        loaded = lacking(span, old) * self.world.block_bytes
        self.spans[server] = span
        self.ready_s[server] = now + loaded / self.world.load_bytes_per_s
        self.busy_s[server] = self.ready_s[server]
        return loaded


def simulate_day(world: World, rule: Rule, events: tuple[Event, ...], *, seed: int = 0, seconds: float = DAY_S) -> Day:
    """Run a rule through joins, leaves and sessions; equal seeds give equal sessions.

    A session takes the fastest route as it comes (star: every server answers the client), counting the work that is
    queued at each server, and breaks when one of its servers leaves or moves before it ends.
    """
    rng, traffic = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    arrivals = np.cumsum(traffic.exponential(1.0 / world.arrivals_per_s, int(2 * seconds * world.arrivals_per_s) + 50))
    arrivals = arrivals[arrivals < seconds]
    tasks = sorted(
        [(event.at_s, 0, event) for event in events]
        + [(float(at), 2, None) for at in arrivals]
        + [(float(at), 1, None) for at in np.arange(REVIEW_S, seconds, REVIEW_S)],
        key=lambda task: task[:2],
    )
    state = _State(world)
    sessions: list[tuple[float, float, tuple[int, ...]]] = []
    lost: dict[int, list[float]] = {}
    moves, loaded, outage, last, whole = 0, 0.0, 0.0, 0.0, False
    for now, kind, event in tasks:
        outage += 0.0 if whole else now - last
        if kind == 0 and event is not None:
            if event.joins:
                state.place(event.server, rule.join(world, dict(state.spans), event.server), now)
            elif event.server in state.spans:
                del state.spans[event.server]
                lost.setdefault(event.server, []).append(now)
        elif kind == 1:
            settled = {j: state.spans[j] for j in state.serving(now)}
            for j, span in rule.review(world, settled, rng).items():
                moves += 1
                lost.setdefault(j, []).append(now)
                loaded += state.place(j, span, now)
        else:
            found = _serve(state, now)
            sessions.append(found if found else (now, np.inf, ()))
        last = now
        whole = _whole(state, now)
    return _figures(world, sessions, lost, moves, loaded, outage, seconds)


def _whole(state: _State, now: float) -> bool:
    held = np.zeros(state.world.n_blocks, dtype=bool)
    for j in state.serving(now):
        held[slice(*state.spans[j])] = True
    return bool(held.all())


def _serve(state: _State, now: float) -> tuple[float, float, tuple[int, ...]] | None:
    """Route a session by least seconds; return (arrival, end, servers)."""
    world = state.world
    best: list[tuple[float, int, int]] = [(0.0, -1, -1)] + [(np.inf, -1, -1)] * world.n_blocks
    for j in sorted(state.serving(now), key=lambda j: state.spans[j]):
        start, stop = state.spans[j]
        enter = world.tokens * (world.rtt_s[0, world.sites[j]] + world.hop_s) + max(0.0, state.busy_s[j] - now)
        each = world.tokens / world.speeds[j]
        least, source = np.inf, -1  # where to come in: what it took to get there, less what is spared here
        for after in range(start + 1, stop + 1):
            seconds = best[after - 1][0] - each * (after - 1)
            if seconds < least:
                least, source = seconds, after - 1
            if source >= 0:
                total = best[source][0] + enter + world.tokens * (after - source) / world.speeds[j]
                if total < best[after][0]:
                    best[after] = (float(total), j, source)
    if best[-1][0] == np.inf:
        return None
    at, way = world.n_blocks, []
    while at > 0:
        _, j, before = best[at]
        state.busy_s[j] = max(state.busy_s[j], now) + world.tokens * (at - before) / world.speeds[j]
        way.append(j)
        at = before
    return now, now + best[-1][0], tuple(way)


def _figures(
    world: World,
    sessions: list[tuple[float, float, tuple[int, ...]]],
    lost: dict[int, list[float]],
    moves: int,
    loaded: float,
    outage: float,
    seconds: float,
) -> Day:
    whole = [
        (start, end)
        for start, end, way in sessions
        if np.isfinite(end) and not any(start < at < end for j in way for at in lost.get(j, ()))
    ]
    refused = sum(1 for _, end, _ in sessions if not np.isfinite(end))
    times: FloatArray = np.array([end - start for start, end in whole]) if whole else np.array([np.nan])
    hours = np.bincount([int(start // 3600) for start, _ in whole], minlength=int(seconds // 3600)) / 3600.0
    return Day(
        len(sessions), len(whole), len(sessions) - len(whole) - refused, float(times.mean()),
        float(np.percentile(times, 95)), outage, moves, loaded, tuple(hours.tolist()),
    )  # fmt: skip
