"""Request-level batches: FasterTransformer, the baseline of Orca's and vLLM's authors.

A batch is made up of requests that wait, padded to the longest prompt, and runs until its longest output is done; only
then the next one begins. Every request has a contiguous cache of the longest sequence that the model allows, and its
answer is handed out when the whole batch is done.
"""

from __future__ import annotations

from dataclasses import dataclass

from placement.errors import InputError

from ..world import World
from .base import Group, Pass
from .orca import Contiguous


@dataclass(frozen=True, slots=True)
class RequestLevel:
    """Request-level batches.

    Attributes
    ----------
    max_batch_size : int
        Requests in a batch of one instance; 0: `max_num_seqs` of the engine.
    """

    max_batch_size: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.max_batch_size, bool) or not 0 <= self.max_batch_size <= 1_000_000:
            raise InputError(f"expected a whole number of at least 0, got {self.max_batch_size!r}", "max_batch_size")

    def start(self, world: World) -> RequestScheduler:
        """The scheduler of one simulation."""
        return RequestScheduler(world, self)


class RequestScheduler(Contiguous):
    """What `RequestLevel` decides.

    Parameters
    ----------
    world : World
    policy : RequestLevel
    """

    together = True

    def __init__(self, world: World, policy: RequestLevel) -> None:
        super().__init__(world, "max")
        self.most = policy.max_batch_size or world.options.max_num_seqs

    def admit(self, group: Group, now: float) -> None:
        """A batch of those who wait, once the one before is done."""
        world = self.world
        if group.size:
            return
        most = world.may_take(group, self.most)
        while most > 0 and (request := world.waiting(group)) is not None:
            if not self.place(request, group.chain):
                return
            world.take(group)
            most -= 1

    def batch(self, group: Group, now: float) -> Pass | None:
        """All prompts, padded to the longest; then a step of everybody, the finished too."""
        ledger = self.world.ledger
        if group.prompts:
            chunks = [(request, int(ledger.target[request])) for request in group.prompts]
            longest = max(tokens for _, tokens in chunks)
            return Pass(group.members, chunks, padding=longest * len(chunks) - sum(tokens for _, tokens in chunks))
        return Pass(group.members) if group.size else None
