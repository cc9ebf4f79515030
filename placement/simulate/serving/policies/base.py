"""What a serving policy is: who is taken in, what the next pass computes, who must go when memory runs out.

A policy is a frozen value with a method `start`, which makes the scheduler of one simulation. Schedulers are asked once
for every pass in which something may change; the passes between are the engine's. To write one, inherit `Scheduler` and
give `admit`, `batch` and, where decode steps claim memory as they go, `evict`; see docs/serving.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..kernels.events import IntArray

if TYPE_CHECKING:
    from ..world import World

NONE: IntArray = np.zeros(0, dtype=np.int64)


@dataclass(slots=True)
class Group:
    """A micro-batch of one instance.

    Attributes
    ----------
    number, chain : int
        Its own, and that of its instance.
    members : int array
        Requests that have their prompts behind them, in the order of admission.
    prompts : list of int
        Requests whose prompts are still to be computed, in the order of admission.
    seen : float
        Time until which arrivals may be in its next pass, in s.
    """

    number: int
    chain: int
    members: IntArray = field(default_factory=lambda: NONE)
    prompts: list[int] = field(default_factory=list)
    seen: float = 0.0

    @property
    def size(self) -> int:
        """Requests in it."""
        return len(self.members) + len(self.prompts)


@dataclass(frozen=True, slots=True)
class Pass:
    """What a pass computes.

    Attributes
    ----------
    decoding : int array
        Requests of `members` that make one token each.
    chunks : sequence of (int, int)
        Requests of `prompts`, each with the tokens of its prompt that are computed.
    padding : int
        Tokens that are computed for nobody.
    steps : int
        Most decode steps before the policy is asked again; 0: as many as nothing changes in.
    extra_s : float
        Seconds before it, for caches that are moved.
    remote_s : float
        Seconds more at every stage: attention where the cache lies, beside what the lender computes.
    lender : int
        Instance that lends memory; -1: none.
    lent_s : float
        Seconds of the lender's stages that it takes.
    remote_tokens : float
        Tokens of cache of its sequences that others read.
    """

    decoding: IntArray
    chunks: Sequence[tuple[int, int]] = ()
    padding: int = 0
    steps: int = 0
    extra_s: float = 0.0
    remote_s: float = 0.0
    lender: int = -1
    lent_s: float = 0.0
    remote_tokens: float = 0.0


class Policy(Protocol):
    """A serving technique with its settings."""

    def start(self, world: World) -> Scheduler:
        """The scheduler of one simulation."""
        ...


class Scheduler:
    """What policies share; they give `admit`, `batch` and `evict`.

    Parameters
    ----------
    world : World
        Requests, instances with their room, options.

    Attributes
    ----------
    block : int
        Tokens of a cache block that a decode step claims by itself when it needs one; 0: all is reserved beforehand.
    together : bool
        The members of a group leave when the last of them is done.
    ahead : bool
        Passes are usually prepared one ahead.
    """

    block = 0
    together = False
    ahead = False

    def __init__(self, world: World) -> None:
        self.world = world

    def fits(self, request: int, chain: int) -> bool:
        """Whether an instance could ever hold a request, all alone."""
        world = self.world
        longest = world.ledger.longest(request)
        return longest <= world.capacity(chain) and longest < world.options.max_model_len

    def route(self, request: int) -> int:
        """The instance for a request that has come."""
        return self.world.least_loaded(self.world.serving_chains)

    def has_place(self, group: Group) -> bool:
        """Whether a group could take in a request, memory apart."""
        return self.world.may_take(group, self.world.options.max_num_seqs) > 0

    def admit(self, group: Group, now: float) -> None:
        """Take requests that wait into a group, whose next pass begins `now`."""
        raise NotImplementedError

    def batch(self, group: Group, now: float) -> Pass | None:
        """The next pass of a group; None when it has nothing to compute."""
        raise NotImplementedError

    def evict(self, group: Group, blocks: int) -> bool:
        """Make room for so many cache blocks; False when nobody in the group can go."""
        return False

    def done(self, group: Group, request: int, now: float) -> bool:
        """A prompt is computed; False when the request goes on elsewhere."""
        return True

    def passed(self, group: Group, doing: Pass, steps: int) -> None:
        """So many passes of a kind are done."""

    def leave(self, request: int) -> None:
        """Give back what a finished request held."""
        raise NotImplementedError

    def reserved(self, chain: int) -> float:
        """Tokens of cache that an instance has given away."""
        raise NotImplementedError

    def unusable(self, chain: int) -> float:
        """Tokens of cache that are free and too scattered to be given away."""
        return 0.0
