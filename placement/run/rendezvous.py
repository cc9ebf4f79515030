"""How the processes of a run come together for a plan: all loaded, of one version and alive, then connected."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch.distributed import PrefixStore  # type: ignore[attr-defined]

from ..plan.plan import VERSION, Plan
from .chains import BatchChains, Chain
from .control import Control, RunError
from .device_groups import DeviceGroups, make_device_group, make_group
from .job import Job
from .process_map import ProcessMap
from .transport import LinkDownError, Transport

CONNECT_LIMIT_S = 15.0


@dataclass(frozen=True, slots=True)
class Generation:
    """A plan of the run and the processes that follow it; the next one begins when a worker is lost.

    Attributes
    ----------
    number : int
        0 for the plan that the run began with.
    plan : Plan
    members : tuple of int
        Processes that take part.
    chains : tuple of chain
        Spans that micro-batches follow.
    of_batch : tuple of int
        Which of them each micro-batch follows, by its number.
    """

    number: int
    plan: Plan
    members: tuple[int, ...]
    chains: tuple[Chain, ...]
    of_batch: tuple[int, ...]

    @classmethod
    def of(cls, number: int, plan: Plan, members: tuple[int, ...], batches: int) -> Generation:
        """Make it with the chains of its plan for so many micro-batches."""
        found = BatchChains.of(plan, batches)
        return cls(number, plan, members, found.chains, found.of_batch)


@dataclass(frozen=True)
class Rendezvous:
    """Brings the members of a generation together.

    Attributes
    ----------
    job : Job
    here : ProcessMap
    store : Store
    control : Control
    interrupted : callable
        Says whether waiting makes no sense any more: somebody is lost, there is a newer plan, or the run is over.
    """

    job: Job
    here: ProcessMap
    store: Any
    control: Control
    interrupted: Callable[[], bool]

    def tensor_group(self, generation: Generation) -> Any:
        """Return the process group of the devices that compute together with this one; None when interrupted.

        Raises
        ------
        RunError
            One of them is late.
        """
        mates = list(self.here.together)  # every device has a process of the same number
        stem = f"tensor/{generation.number}/{mates[0]}"
        self.control.put(f"{stem}/{self.here.uid}", True)
        keys = [f"{stem}/{uid}" for uid in mates]
        # Devices load at their own pace: none waits in a connection for another that still reads.
        if not self.control.await_all(keys, self.job.start_limit_s, self.interrupted):
            if self.interrupted():
                return None
            late = [self.here.places[uid] for uid in mates if self.control.get(f"{stem}/{uid}") is None]
            raise RunError(f"not loaded after {self.job.start_limit_s:.0f} s: {', '.join(late)}")
        # Process groups name their keys by number, as the devices above did: theirs stand under a name of their own.
        store, rank = PrefixStore(f"{stem}/sums", self.store), mates.index(self.here.uid)
        if self.job.backend == "nccl":
            return make_device_group(store, rank, len(mates))
        try:
            return make_group(store, rank, len(mates), self.job.address_of(self.here.name), CONNECT_LIMIT_S)
        except RuntimeError as error:
            raise LinkDownError(str(error).splitlines()[0]) from None

    def meet(self, generation: Generation, read_bytes: int) -> bool:
        """Say that this process is ready and wait for the others; False when interrupted.

        Raises
        ------
        RunError
            Somebody is late, or runs another version.
        """
        self.control.put(self._hello(generation, self.here.uid), {"version": VERSION, "bytes_read": read_bytes})
        keys = {uid: self._hello(generation, uid) for uid in generation.members}
        if not self.control.await_all(keys.values(), self.job.start_limit_s, self.interrupted):
            if self.interrupted():
                return False
            late = [self.here.places[uid] for uid, key in keys.items() if self.control.get(key) is None]
            raise RunError(f"not ready after {self.job.start_limit_s:.0f} s: {', '.join(late)}")
        for uid, key in keys.items():
            version = self.control.get(key)["version"]
            if version != VERSION:
                raise RunError(f"'{self.here.places[uid]}' runs version {version}, '{self.here.name}' {VERSION}")
        return True

    def go(self, generation: Generation) -> bool:
        """Wait until the client has found everybody alive: nothing interrupts a connection to a dead process."""
        key = f"go/{generation.number}"
        if self.here.is_client:
            if not self._all_beat(generation):
                return False
            self.control.put(key, True)
        return self.control.await_all([key], self.job.start_limit_s, self.interrupted)

    def connect(self, generation: Generation) -> Transport:
        """Connect the members; raise `LinkDownError` when one of them has gone meanwhile."""
        try:
            return self._connect(generation)
        except RuntimeError as error:
            raise LinkDownError(str(error).splitlines()[0]) from None

    def _hello(self, generation: Generation, uid: int) -> str:
        return f"hello/{generation.number}/{uid}"

    def _all_beat(self, generation: Generation) -> bool:
        others = [uid for uid in generation.members if uid != self.here.uid]
        before = {uid: self.control.get(f"beat/{uid}") for uid in others}
        while not self.interrupted():
            if all(self.control.get(f"beat/{uid}") != before[uid] for uid in others):
                return True
            time.sleep(0.01)
        return False

    def _connect(self, generation: Generation) -> Transport:
        store = PrefixStore(f"group/{generation.number}", self.store)
        members, places = list(generation.members), self.here.places
        rank, ranks = members.index(self.here.uid), self.here.ranks(members)
        group = make_group(store, rank, len(members), self.job.address_of(self.here.name), CONNECT_LIMIT_S)
        links = {}
        for pair, figures in self.job.emulation.links.items():
            a, _, b = pair.partition(">")
            if a in places and b in places:
                links[places.index(a), places.index(b)] = figures
        between_gpus = None
        # The client alone has no groups between GPUs: tokens pass through host memory.
        if self.job.backend == "nccl" and self.here.node:
            between_gpus = self._between_gpus(generation, store, rank, ranks)
        return Transport(group, ranks, rank, links, between_gpus, self.job.devices.get(self.here.node, "cpu"))

    def _between_gpus(self, generation: Generation, store: Any, rank: int, ranks: list[int]) -> DeviceGroups:
        groups, at = DeviceGroups.make(store, rank, len(generation.members)), self.here.place_of
        hops = {(ranks[at(a.node)], ranks[at(b.node)]) for chain in generation.chains for a, b in pairwise(chain)}
        for devices in self.here.groups.values():
            head, *others = (ranks[self.here.places.index(name)] for name in devices)
            hops |= {(head, other) for other in others}
        groups.meet(rank, {(a, b) for a, b in hops if a != b}, self.job.devices[self.here.node])
        return groups
