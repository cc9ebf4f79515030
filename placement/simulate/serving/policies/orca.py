"""Iteration-level scheduling with caches reserved per request: Orca.

Requests join and leave between passes; a pass takes the prompts of new requests and one decode step of all others
(selective batching). The cache of a request is one contiguous piece, reserved when it is taken in: for the longest
sequence that the model allows ("max"), for its prompt and the power of two above its output ("pow2"), or for its true
length ("oracle"), from a buddy allocator as in the comparison by vLLM's authors (G.-I. Yu et al., "Orca", OSDI 2022;
W. Kwon et al., SOSP 2023, doi:10.1145/3600006.3613165).
"""

from __future__ import annotations

from dataclasses import dataclass

from placement.errors import InputError

from ..buddy import Buddy
from ..world import World
from .base import Group, Pass, Scheduler

RESERVES = ("max", "pow2", "oracle")


@dataclass(frozen=True, slots=True)
class Orca:
    """Iteration-level scheduling.

    Attributes
    ----------
    reserve : str
        "max", "pow2" or "oracle": for how many tokens the cache of a request is reserved.
    """

    reserve: str = "max"

    def __post_init__(self) -> None:
        if self.reserve not in RESERVES:
            raise InputError(f"expected one of {', '.join(RESERVES)}, got '{self.reserve}'", "reserve")

    def start(self, world: World) -> OrcaScheduler:
        """The scheduler of one simulation."""
        return OrcaScheduler(world, self.reserve)


class Contiguous(Scheduler):
    """Schedulers whose requests hold one contiguous piece each.

    Parameters
    ----------
    world : World
    reserve : str
        One of `RESERVES`.
    """

    def __init__(self, world: World, reserve: str) -> None:
        super().__init__(world)
        self.reserve = reserve
        self.buddies = [Buddy(world.capacity(c)) for c in range(world.serving.instances)]
        self.places: dict[int, int] = {}

    def fits(self, request: int, chain: int) -> bool:
        """Whether its piece fits into an empty instance."""
        within = self.world.ledger.longest(request) < self.world.options.max_model_len
        return within and self.buddies[chain].fits(self.wanted(request))

    def wanted(self, request: int) -> int:
        """Tokens that are reserved for a request."""
        ledger, longest = self.world.ledger, self.world.options.max_model_len
        prompt, output = int(ledger.prompt[request]), int(ledger.output[request])
        if self.reserve == "max":
            return longest
        if self.reserve == "pow2":
            return min(prompt + (1 << (output - 1).bit_length()), longest)
        return prompt + output

    def place(self, request: int, chain: int) -> bool:
        """Reserve a piece; False when there is none."""
        tokens = self.wanted(request)
        found = self.buddies[chain].take(tokens)
        if found is None:
            return False
        self.places[request] = found
        self.world.ledger.held[request] = tokens
        return True

    def leave(self, request: int) -> None:
        """Its piece is free."""
        ledger = self.world.ledger
        chain = int(ledger.chain[request])
        self.buddies[chain].give_back(self.places.pop(request))
        ledger.held[request] = 0

    def reserved(self, chain: int) -> float:
        """Tokens of all pieces, as they were asked for."""
        return float(self.buddies[chain].asked)

    def unusable(self, chain: int) -> float:
        """What pieces have more than was asked for; while requests wait, pieces too small for the first of them too."""
        buddy, queue = self.buddies[chain], self.world.queues[chain]
        rounding = buddy.given - buddy.asked
        return float(rounding + (buddy.below(self.wanted(queue[0])) if queue else 0))


class OrcaScheduler(Contiguous):
    """What `Orca` decides."""

    def admit(self, group: Group, now: float) -> None:
        """First come, first served, while the instance has pieces and sequences to spare."""
        world, options = self.world, self.world.options
        most = world.may_take(group, options.max_num_seqs)
        while most > 0 and (request := world.waiting(group)) is not None:
            if not self.place(request, group.chain):
                world.short.add(group.chain)
                return
            world.take(group)
            most -= 1

    def batch(self, group: Group, now: float) -> Pass | None:
        """A step of everybody, and the whole prompts of those who have just come."""
        ledger = self.world.ledger
        chunks = [(request, int(ledger.target[request])) for request in group.prompts]
        return Pass(group.members, chunks) if group.size else None
