"""What schedulers see: requests, instances and their queues, room, options."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from placement.errors import InputError

from .kernels.events import IntArray
from .ledger import Ledger
from .machine import Serving
from .options import EngineOptions
from .policies.base import Group


class World:
    """The state of a simulation apart from its clock.

    Attributes
    ----------
    serving : Serving
    options : EngineOptions
    ledger : Ledger
    groups : tuple of Group
        Micro-batches of all instances.
    queues : tuple of deque of int
        Requests that wait, by instance.
    free : int array (C,)
        Cache blocks that nobody has; the kernels take some by themselves.
    places : int array (groups,)
        Where each group is on its chain; negative: it has no pass under way.
    running : int array (C,)
        Requests that have been taken in and are not done.
    freed, short : set of int
        Instances of which something was given back since groups were asked; and those whose first request in the queue
        found no room in memory.
    alarms : list of (float, int)
        A heap of times at which groups of an instance are asked.
    events : dict of str to float
        What policies count: preemptions, bytes moved, messages.
    """

    def __init__(self, serving: Serving, options: EngineOptions, ledger: Ledger) -> None:
        self.serving, self.options, self.ledger = serving, options, ledger
        chains = serving.instances
        lengths = serving.machine.length
        self.per_chain = [options.micro_batches or int(lengths[c]) for c in range(chains)]
        self.most = [options.max_num_seqs] * chains
        if options.instances:
            if len(options.instances) != chains:
                raise InputError(f"expected {chains} instances, got {len(options.instances)}", "instances")
            self.most, self.per_chain = (list(column) for column in zip(*options.instances, strict=True))
        members = [c for c in range(chains) for _ in range(self.per_chain[c])]
        self.groups = tuple(Group(k, c) for k, c in enumerate(members))
        self.of_chain = [tuple(group for group in self.groups if group.chain == c) for c in range(chains)]
        self.queues: tuple[deque[int], ...] = tuple(deque() for _ in range(chains))
        self.free: IntArray = np.array([int(self.blocks(c)) for c in range(chains)], dtype=np.int64)
        self.running: IntArray = np.zeros(chains, dtype=np.int64)
        self.ready_s = ledger.arrival_s + serving.host.request_s
        self.serving_chains: Sequence[int] = range(chains)
        self.places: IntArray = np.full(len(self.groups), -1, dtype=np.int64)
        self.freed: set[int] = set()
        self.short: set[int] = set()
        self.alarms: list[tuple[float, int]] = []
        self.events: dict[str, float] = {}

    def capacity(self, chain: int) -> int:
        """Tokens of cache for which an instance has room, what a sequence takes beside its tokens counted once."""
        room = self.serving.rooms[chain]
        return int(room.tokens - room.sequence_tokens)

    def blocks(self, chain: int) -> int:
        """Cache blocks of an instance when as many sequences run as may."""
        room, options = self.serving.rooms[chain], self.options
        beside = room.sequence_tokens * self.most[chain] if room.sequence_tokens else 0.0
        return max(int((room.tokens - min(beside, room.tokens / 2.0)) // options.block_size), 1)

    def room_tokens(self, chain: int) -> float:
        """Tokens of cache for which an instance has room."""
        return self.serving.rooms[chain].tokens

    def count(self, name: str, more: float = 1.0) -> None:
        """Add to what is counted under a name."""
        self.events[name] = self.events.get(name, 0.0) + more

    def least_loaded(self, chains: Sequence[int]) -> int:
        """The instance with the fewest requests for its weight."""
        weights = self.serving.weights

        def load(c: int) -> tuple[float, int]:
            return ((self.running[c] + len(self.queues[c]) + 1) / max(weights[c], 1e-12), c)

        return min(chains, key=load)

    def may_take(self, group: Group, most: int) -> int:
        """How many more requests a group may take in: `most` are shared out among the groups of an instance evenly."""
        groups = self.per_chain[group.chain]
        wanted = int(self.running[group.chain]) + len(self.queues[group.chain])
        return min(-(-min(most, self.most[group.chain]) // groups), -(-wanted // groups)) - group.size

    def waiting(self, group: Group) -> int | None:
        """The first request in the queue that the group's next pass may have; None when there is none."""
        queue = self.queues[group.chain]
        return queue[0] if queue and self.ready_s[queue[0]] <= group.seen else None

    def take(self, group: Group) -> int:
        """Move the first request of the queue into a group, its prompt still to be computed."""
        request = self.queues[group.chain].popleft()
        group.prompts.append(request)
        self.running[group.chain] += 1
        return request

    def asleep(self, group: Group) -> bool:
        """Whether a group has no pass under way."""
        return bool(self.places[group.number] < 0)

    def put_back(self, group: Group, request: int, now: float, *, freed: bool = True) -> None:
        """A request of a group goes to the front of the queue, ready `now`; `freed` says whether it had memory."""
        if request in group.prompts:
            group.prompts.remove(request)
        else:
            group.members = group.members[group.members != request]
        self.running[group.chain] -= 1
        self.ready_s[request] = now
        self.queues[group.chain].appendleft(request)
        if freed:
            self.freed.add(group.chain)
