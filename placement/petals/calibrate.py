"""What a client learns from its own steps: the overhead of a hop, queues at servers, and whether servers push."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from objectives.routes.swarm import HOP_S, Shape

KEPT, LEAST = 256, 8
FRESH_S = 120.0  # what a server's queue was longer ago says nothing
FAR_S = 0.01  # round trips below this cannot tell a star from a chain
PUSHED = 0.7  # part of the steps that must be faster than light


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a session at one server.

    Attributes
    ----------
    at_s : float
        When it ended, on the client's clock.
    server : str
    seconds : float
        From sending to receiving.
    rtt_s, compute_s : float
        What is known of it: the round trip to the client, and the blocks' own time.
    first : bool
        The first hop of a token; no server can have pushed to it.
    """

    at_s: float
    server: str
    seconds: float
    rtt_s: float
    compute_s: float
    first: bool

    @property
    def rest_s(self) -> float:
        """What neither the way nor the blocks explain."""
        return max(0.0, self.seconds - self.rtt_s - self.compute_s)


@dataclass
class Calibration:
    """Medians over the last steps; until there are enough of them, Petals' constant."""

    default_hop_s: float = HOP_S
    steps: deque[Step] = field(default_factory=lambda: deque(maxlen=KEPT))

    def add(self, step: Step) -> None:
        """Remember a step."""
        self.steps.append(step)

    @property
    def hop_s(self) -> float:
        """Overhead of a hop in s: the median of what is left of each step."""
        rests = [step.rest_s for step in list(self.steps)]
        return float(np.median(rests)) if len(rests) >= LEAST else self.default_hop_s

    def queues_s(self, now_s: float) -> dict[str, float]:
        """Seconds that steps wait at servers beyond the usual overhead, for other people's sessions above all."""
        rests: dict[str, list[float]] = {}
        for step in list(self.steps):
            if now_s - step.at_s < FRESH_S:
                rests.setdefault(step.server, []).append(step.rest_s)
        usual = self.hop_s
        long = {name: float(np.median(found)) for name, found in rests.items() if len(found) >= LEAST // 2}
        return {name: max(0.0, seconds - usual) for name, seconds in long.items()}

    @property
    def shape(self) -> Shape:
        """Star, unless answers come faster than a round trip: then a server must have pushed to the next one.

        With a push, the answer is on its way before the client has sent anything, so the wait is far below the round
        trip. That cannot happen in a star, whatever the load.
        """
        far = [step for step in list(self.steps) if not step.first and step.rtt_s > FAR_S]
        fast = sum(1 for step in far if step.seconds < 0.5 * step.rtt_s)
        return "chain" if len(far) >= LEAST and fast >= PUSHED * len(far) else "star"
