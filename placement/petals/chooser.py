"""Which chain a client takes: from the Pareto archive, weighed by what the user wants and by the load of now."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace

import numpy as np

from objectives.routes.plain import BoolArray, PlainWays
from objectives.routes.swarm import FloatArray, IntArray, Route, Shape, Swarm, route_of

from ..errors import InfeasibleError, InputError
from .calibrate import Calibration, Step
from .view import View

Stage = tuple[str, int, int]
BAN_S = 60.0  # how long a server that failed is left out
FULL_S = 10.0  # Petals' own price of a server whose cache is full
BUSIEST = 0.9  # load beyond which a server is not taken to be slower still


@dataclass(frozen=True, slots=True)
class Session:
    """An open session: its servers, and the part of the time that it keeps each of them busy."""

    busy: tuple[tuple[str, float], ...]


@dataclass
class Chooser:
    """The state of a client.

    Attributes
    ----------
    preference : float
        0 for the least latency, 1 for the most throughput.
    clock : callable
        Seconds; only differences count.
    """

    preference: float = 0.0
    ban_s: float = BAN_S
    clock: Callable[[], float] = time.monotonic
    calibration: Calibration = field(default_factory=Calibration)
    sessions: dict[Hashable, Session] = field(default_factory=dict)
    dead: dict[str, float] = field(default_factory=dict)
    view: View | None = None
    swarm: Swarm | None = None
    archive: tuple[Route, ...] = ()
    archive_shape: Shape = "star"
    ways: IntArray = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))

    def __post_init__(self) -> None:
        if not 0.0 <= self.preference <= 1.0:
            raise InputError(
                f"expected a number from 0 (latency) to 1 (throughput), got {self.preference}", "preference"
            )

    def learn(self, view: View) -> None:
        """Take a new state of the swarm; the archive is out of date until `search` has run."""
        self.view, self.archive, self.ways = view, (), np.zeros((0, view.n_blocks), dtype=np.int64)
        self.swarm = view.swarm(self.calibration.hop_s)

    def search(self) -> None:
        """Compute the archive for the swarm and the load of now; takes some ten ms, so it is for the background."""
        swarm, shape = self.swarm, self.calibration.shape
        if swarm is None or swarm.missing is not None:
            return
        found = self._ways(swarm, shape, None).front()
        if swarm is self.swarm:
            self.archive, self.archive_shape = found, shape
            self.ways = np.array([route.servers for route in found], dtype=np.int64)

    def chain(self, start: int, stop: int, tokens: int | None = None) -> tuple[Stage, ...]:
        """Chain of servers for the blocks `start` to `stop` - 1; servers that were just seen dead are never in it.

        Raises
        ------
        InfeasibleError
            No server that is alive holds some block.
        """
        if self.swarm is None:
            raise InfeasibleError(["the state of the swarm is not known yet"])
        swarm, shape = replace(self.swarm, hop_s=self.calibration.hop_s), self.calibration.shape
        allowed = self.alive(swarm)
        ways = self._ways(swarm, shape, tokens)
        direct = ways.shortest(start, stop, allowed=allowed)
        if direct is None:
            raise InfeasibleError([f"some of the blocks {start} to {stop - 1} is held by no server that is alive"])
        if self.preference > 0:
            table = np.array([direct], dtype=np.int64)
            if (start, stop) == (0, swarm.n_blocks) and shape == self.archive_shape and len(self.ways):
                table = np.concatenate([table, self.ways[allowed[self.ways].all(axis=1)]])
            direct = tuple(table[self._best(swarm, ways, table)].tolist())
        return _stages(swarm, direct, start)

    def alive(self, swarm: Swarm) -> BoolArray:
        """Servers that did not fail lately and that answer pings."""
        now = self.clock()
        self.dead = {name: until for name, until in self.dead.items() if until > now}
        lost = {name for name, s in (self.view.client_s.items() if self.view else ()) if not math.isfinite(s)}
        return np.array([name not in self.dead and name not in lost for name in swarm.names], dtype=bool)

    def predicted_s(self, stages: tuple[Stage, ...]) -> float:
        """Seconds per token of a chain, without load."""
        if self.swarm is None:
            return math.nan
        place = {name: j for j, name in enumerate(self.swarm.names)}
        way = tuple(place[name] for name, start, stop in stages for _ in range(start, stop))
        return route_of(replace(self.swarm, hop_s=self.calibration.hop_s), way, self.calibration.shape).latency_s

    def opened(self, key: Hashable, stages: tuple[Stage, ...]) -> None:
        """A session goes on these servers (also after a part of its chain was replaced)."""
        swarm = self.swarm
        if swarm is None:
            return
        total = max(self.predicted_s(stages), 1e-9)
        place = {name: j for j, name in enumerate(swarm.names)}
        busy = [(name, float(swarm.block_s[place[name]]) * (stop - start) / total) for name, start, stop in stages]
        self.sessions[key] = Session(tuple(busy))

    def closed(self, key: Hashable) -> None:
        """A session is over."""
        self.sessions.pop(key, None)

    def failed(self, name: str) -> None:
        """A server did not answer."""
        self.dead[name] = self.clock() + self.ban_s

    def succeeded(self, name: str) -> None:
        """A server answered."""
        self.dead.pop(name, None)

    def observed(self, name: str, blocks: int, seconds: float, *, first: bool) -> None:
        """A step of one token took `seconds` at a server; only servers whose round trip was measured teach anything."""
        swarm, view = self.swarm, self.view
        if swarm is None or view is None or name not in view.client_s or name not in swarm.names:
            return
        j = swarm.names.index(name)
        self.calibration.add(
            Step(self.clock(), name, seconds, float(swarm.rtt_s[-1, j]), blocks * float(swarm.block_s[j]), first)
        )

    def _ways(self, swarm: Swarm, shape: Shape, tokens: int | None) -> PlainWays:
        busy, _ = self._load(swarm)
        queues = self.calibration.queues_s(self.clock())
        extra = np.array([queues.get(name, 0.0) for name in swarm.names])
        if tokens is not None and self.view is not None:
            # Petals counts the whole span against the cache, a pessimistic guess; a block is the least that is needed.
            left = [server.cache_tokens for server in self.view.servers]
            extra = extra + [FULL_S if some is not None and 2 * tokens > some else 0.0 for some in left]
        return PlainWays(swarm, shape, extra, 1.0 / (1.0 - np.minimum(busy, BUSIEST)))

    def _load(self, swarm: Swarm) -> tuple[FloatArray, FloatArray]:
        """Busy part of every server, and how many of our sessions it carries."""
        place = {name: j for j, name in enumerate(swarm.names)}
        busy, count = np.zeros(swarm.n_servers), np.zeros(swarm.n_servers)
        for session in list(self.sessions.values()):
            for name, part in session.busy:
                if name in place:
                    busy[place[name]] += part
                    count[place[name]] += 1
        return busy, count

    def _best(self, swarm: Swarm, ways: PlainWays, table: IntArray) -> int:
        """Least weighed logarithm of seconds per token, and of seconds per token of the slowest server, under load."""
        slowest = ((1.0 + self._load(swarm)[1]) / swarm.rates)[table].max(axis=1)
        values = (1 - self.preference) * np.log(ways.seconds(table)) + self.preference * np.log(slowest)
        return int(np.argmin(values))


def _stages(swarm: Swarm, way: tuple[int, ...], start: int) -> tuple[Stage, ...]:
    """The servers of blocks as stages."""
    stages: list[Stage] = []
    for block, j in enumerate(way, start):
        if stages and stages[-1][0] == swarm.names[j]:
            stages[-1] = (swarm.names[j], stages[-1][1], block + 1)
        else:
            stages.append((swarm.names[j], block, block + 1))
    return tuple(stages)
