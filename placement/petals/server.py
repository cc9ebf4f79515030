"""Inside a server: `choose_best_blocks` and `should_choose_other_blocks` by the rule that the simulated days run.

Every server sees the same swarm and computes the same best move of the whole swarm, and only the server whose
move it is moves: two servers never swap blocks, nor rush to the same hole. A server that moves announces its new blocks
as joining: until it has loaded them nobody else moves. The place that was decided on is the place that is taken: Petals
looks for one anew after it has dropped its blocks, and may come back to those that it had.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from objectives.routes.swarm import HOP_S
from objectives.sessions.chains import Fleet, greedy_chains, total_rate
from objectives.spans import Range, count_holders

from ..simulate.churn.span_rule import SpanRule

log = logging.getLogger("placement.petals")
REST_S = 1800.0  # a server that has moved stays for as long, unless a block is held by nobody
DECIDED_S = 300.0  # a decision that was not carried out by then is void
SESSIONS = 8.0  # of 2048 tokens for each block at the median server: Petals' cache of 16384 tokens
LOAD = 0.8  # arrivals that are assumed, as a part of what the swarm's chains carry: nobody announces them


class Announcement(NamedTuple):
    """What a server announces of itself.

    Attributes
    ----------
    start, stop : int
        Its blocks.
    throughput : float
        Tokens/s of its span.
    blocks_per_s : float or None
        `inference_rps`.
    loading : bool
        It does not serve yet.
    """

    start: int
    stop: int
    throughput: float
    blocks_per_s: float | None = None
    loading: bool = False

    @property
    def span(self) -> Range:
        """Its blocks."""
        return self.start, self.stop

    @property
    def block_s(self) -> float:
        """Seconds of a block for one token; a request uses half of a span on average."""
        return 1.0 / max(self.blocks_per_s or self.throughput * (self.stop - self.start + 1) / 2, 1e-9)


Announcements = Mapping[str, Announcement]
"""By peer id."""


def fleet_of(told: Announcements, n_blocks: int) -> Fleet:
    """The swarm as `SpanRule` sees it, servers in the order of their names; sessions of one token.

    All servers of a release keep equal caches for each block, so what tells them apart is their throughput: the
    sessions that fit on a server's blocks are in proportion to it.
    """
    names = sorted(told)
    sizes = np.array([told[name].stop - told[name].start for name in names], dtype=np.int64)
    speeds = np.array([max(told[name].throughput, 1e-9) for name in names])
    slots = np.maximum(np.round(SESSIONS * np.clip(speeds / np.median(speeds), 0.1, 10.0) * sizes), sizes)
    fleet = Fleet(
        tuple(names),
        sizes + slots.astype(np.int64),
        np.full(len(names), HOP_S),
        np.array([told[name].block_s for name in names]),
        n_blocks,
        1,
        1,
        1.0,
    )
    rate = total_rate(fleet, greedy_chains(fleet, [told[name].span for name in names]))
    return replace(fleet, arrivals_per_s=LOAD * rate or 1.0)


@dataclass
class ServerRules:
    """The two functions, and what a server remembers between their calls.

    Attributes
    ----------
    read : callable
        What the DHT says, as `Announcements`.
    rule : SpanRule
        Decides; its price of a move, and how long a move must have been worth it, are the hysteresis.
    """

    read: Callable[[Sequence[Any]], Announcements]
    rule: SpanRule = field(default_factory=SpanRule)
    clock: Callable[[], float] = time.monotonic
    speed: float | None = None
    decided: tuple[float, Range] | None = None
    moved_at: float | None = None
    wanted_at: float | None = None
    seen: dict[str, Range] = field(default_factory=dict)

    @classmethod
    def of(cls, compute_spans: Callable[..., Any], joining: Any) -> ServerRules:
        """The rules on top of Petals' own reading of the DHT."""

        def read(infos: Sequence[Any]) -> Announcements:
            return {
                str(peer.to_base58()): Announcement(
                    int(span.start),
                    int(span.end),
                    float(span.throughput),
                    span.server_info.inference_rps,
                    span.server_info.state == joining,
                )
                for peer, span in compute_spans(infos, min_state=joining).items()
            }

        return cls(read)

    def choose_best_blocks(self, num_blocks: int, module_infos: Sequence[Any]) -> list[int]:
        """Blocks of a server that joins, or the ones that it has decided to move to."""
        now, decided, self.decided = self.clock(), self.decided, None
        if decided is not None and now - decided[0] < DECIDED_S:
            self.moved_at = now
            return list(range(*decided[1]))
        told = self.read(module_infos)
        size = min(num_blocks, len(module_infos))
        usual = float(np.median([server.throughput for server in told.values()] or [1.0]))
        pace = float(np.median([1.0 / server.block_s for server in told.values()] or [1.0]))
        every = {**told, "": Announcement(0, size, usual, self.speed or pace)}
        names, fleet = sorted(every), fleet_of(every, len(module_infos))
        spans = {names.index(name): server.span for name, server in told.items()}
        return list(range(*self.rule.join(fleet, spans, names.index(""), size)))

    def should_choose_other_blocks(
        self, local_peer_id: Any, module_infos: Sequence[Any], balance_quality: float
    ) -> bool:
        """Whether the best move of the swarm is this server's, pays for the blocks to load, and has for a while."""
        if balance_quality <= 0.0:
            return False  # Petals' own way to say: never
        name, told, now = str(local_peer_id.to_base58()), self.read(module_infos), self.clock()
        if name not in told:
            return False  # not announced yet, so nobody counts on it
        self.speed = told[name].blocks_per_s
        if self._moved(told):
            self.wanted_at = None
        names, fleet = sorted(told), fleet_of(told, len(module_infos))
        spans = {j: told[name].span for j, name in enumerate(names)}
        resting = self.moved_at is not None and now - self.moved_at < REST_S
        if any(server.loading for server in told.values()) or (
            resting and count_holders(fleet.n_blocks, spans.values()).all()
        ):
            return False
        move = self.rule.move(fleet, spans, {j: b - a for j, (a, b) in spans.items()})
        self.wanted_at = None if move is None else (now if self.wanted_at is None else self.wanted_at)
        if move is None or self.wanted_at is None or now - self.wanted_at < self.rule.lasting_s:
            return False
        if names[move[0]] != name:
            return False
        log.info("moving from blocks %d:%d to %d:%d", *told[name].span, *move[1])
        self.decided, self.wanted_at = (now, move[1]), None
        return True

    def _moved(self, told: Announcements) -> bool:
        """Whether a server has other blocks than at the last look."""
        before, self.seen = self.seen, {name: server.span for name, server in told.items()}
        return any(before.get(name, span) != span for name, span in self.seen.items())
