"""A server's own choice of blocks: ours in place of `choose_best_blocks` and `should_choose_other_blocks`.

Every server computes the same best move of the whole swarm from the same state of the DHT, and only the server whose
move it is moves: two servers never swap blocks, nor rush to the same hole. A server that moves announces its new blocks
as joining, so the next one to look counts them. The place that was decided on is the place that is taken: Petals looks
for one anew after it has dropped its blocks, and may come back to those that it had.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from objectives.ranges import Range

from ..churn.rules import Rule, WeighedRule
from ..churn.world import World

log = logging.getLogger("placement.petals")
REST_S = 1800.0  # a server that has moved stays for as long, unless a block is held by nobody
DECIDED_S = 300.0  # a decision that was not carried out by then is void
Held = dict[str, tuple[int, int, float]]
"""Peer id to first block, block after the last one, announced throughput."""


def world_of(held: Held, n_blocks: int, name: str = "", most: int = 0, speed: float = 0.0) -> tuple[World, list[str]]:
    """The swarm as the rules see it; `name` is one server more, or one whose `most` blocks are known."""
    names = sorted({*held, name} - {""})
    sizes, speeds = [], []
    for peer in names:
        start, stop, throughput = held.get(peer, (0, most, speed / max(most, 1)))
        sizes.append(most if peer == name and most else stop - start)
        speeds.append(throughput * (stop - start))
    world = World(n_blocks, tuple(sizes), np.array(speeds), np.zeros(len(names), dtype=np.int64), np.zeros((1, 1)))
    return world, names


@dataclass
class ServerRules:
    """The two functions, and what a server remembers between their calls.

    Attributes
    ----------
    read : callable
        What the DHT says, as `Held`.
    rule : Rule
        Decides; its weight on moving is the hysteresis.
    """

    read: Callable[[Sequence[Any]], Held]
    rule: Rule = field(default_factory=WeighedRule)
    clock: Callable[[], float] = time.monotonic
    most: int = 0
    speed: float = 0.0
    decided: tuple[float, Range] | None = None
    moved_at: float | None = None

    @classmethod
    def of(cls, compute_spans: Callable[..., Any], least_state: Any) -> ServerRules:
        """The rules on top of Petals' own reading of the DHT."""

        def read(infos: Sequence[Any]) -> Held:
            spans = compute_spans(infos, min_state=least_state)
            return {
                str(peer.to_base58()): (int(span.start), int(span.end), float(span.throughput))
                for peer, span in spans.items()
            }

        return cls(read)

    def choose_best_blocks(self, num_blocks: int, module_infos: Sequence[Any]) -> list[int]:
        """Blocks of a server that joins, or the ones that it has decided to move to."""
        self.most = num_blocks
        now, decided, self.decided = self.clock(), self.decided, None
        if decided is not None and now - decided[0] < DECIDED_S:
            self.moved_at = now
            return list(range(*decided[1]))
        held = self.read(module_infos)
        speed = self.speed or float(np.median([s * (b - a) for a, b, s in held.values()] or [1.0]))
        world, names = world_of(held, len(module_infos), "me", num_blocks, speed)
        spans = {names.index(peer): (a, b) for peer, (a, b, _) in held.items()}
        return list(range(*self.rule.join(world, spans, names.index("me"))))

    def should_choose_other_blocks(
        self, local_peer_id: Any, module_infos: Sequence[Any], balance_quality: float
    ) -> bool:
        """Whether the best move of the swarm is this server's, and pays for the blocks to load."""
        if balance_quality <= 0.0:
            return False  # Petals' own way to say: never
        name, held = str(local_peer_id.to_base58()), self.read(module_infos)
        if name not in held:
            return False  # not announced yet, so nobody counts on it
        start, stop, throughput = held[name]
        self.speed = throughput * (stop - start)
        world, names = world_of(held, len(module_infos))
        spans = {names.index(peer): (a, b) for peer, (a, b, _) in held.items()}
        covered = np.zeros(len(module_infos), dtype=bool)
        for a, b in spans.values():
            covered[a:b] = True
        resting = self.moved_at is not None and self.clock() - self.moved_at < REST_S
        if resting and covered.all():
            return False
        moves = self.rule.review(world, spans, np.random.default_rng(0))
        target = moves.get(names.index(name))
        if target is None or target == (start, stop):
            return False
        log.info("moving from blocks %d:%d to %d:%d", start, stop, *target)
        self.decided = (self.clock(), target)
        return True
