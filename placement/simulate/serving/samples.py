"""Looks at memory and queues over time, at most a thousand in a simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .kernels.events import FloatArray

if TYPE_CHECKING:
    from .engine import Engine
    from .world import World

MOST = 1000
COLUMNS = ("time_s", "used", "reserved", "unusable", "running", "waiting")


class Samples:
    """A table of samples; when it is full every second one goes, and the time between two doubles.

    Parameters
    ----------
    world : World
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.rows: list[tuple[float, ...]] = []
        self.step_s, self.next_s = 0.0, 0.0

    def note(self, now: float, engine: Engine) -> None:
        """Take a sample when it is time for one."""
        if now < self.next_s:
            return
        world, ledger = self.world, self.world.ledger
        used = 0.0
        for group in world.groups:
            doing = engine.doing[group.number]
            extra = int(engine.g.done[group.number]) * len(doing.decoding) if doing is not None else 0
            used += float(ledger.cached[group.members].sum()) + float(ledger.cached[group.prompts].sum()) + extra
        chains = range(world.serving.instances)
        reserved = sum(engine.scheduler.reserved(c) for c in chains)
        unusable = sum(engine.scheduler.unusable(c) for c in chains)
        waiting = sum(len(queue) for queue in world.queues)
        self.rows.append((now, used, reserved, unusable, float(world.running.sum()), float(waiting)))
        if len(self.rows) >= MOST:
            self.rows = self.rows[::2]
            self.step_s = max(2.0 * self.step_s, (self.rows[-1][0] - self.rows[0][0]) / MOST)
        self.next_s = now + self.step_s

    def table(self) -> FloatArray:
        """Samples as rows of `COLUMNS`."""
        return np.array(self.rows).reshape(-1, len(COLUMNS))
