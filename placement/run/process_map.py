"""Which process of a run hosts which place: a process for every device, and the client beside them or on the first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .control import RunError
from .job import Job, devices_of, places_of


@dataclass(frozen=True, slots=True)
class ProcessMap:
    """The processes of a run, seen from one of them.

    Attributes
    ----------
    places : tuple of str
        Nodes in the order of `placement.run.job.places_of`, the client last.
    uid, size : int
        Number of this process, and how many there are.
    groups : mapping of str to (str, ...)
        Devices of each tensor parallel group; the first is its head, which other stages send to.
    """

    places: tuple[str, ...]
    uid: int
    size: int
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, job: Job, uid: int, size: int) -> ProcessMap:
        """Return the map of a job; raise `RunError` when the number of processes does not fit its plan."""
        places = places_of(job)
        nodes = len(places) - 1
        if size not in (nodes, nodes + 1):
            raise RunError(f"the plan needs {nodes} processes (or {nodes + 1}, one for the client), got {size}")
        used = {span.node: devices_of(job.plan, span.node) for span in job.plan.placement}
        return cls(places, uid, size, {name: devices for name, devices in used.items() if len(devices) > 1})

    @property
    def client_place(self) -> int:
        """Number of the client among the places."""
        return len(self.places) - 1

    @property
    def client_uid(self) -> int:
        """Process that hosts the client: one of its own, or the first node's where there is none."""
        return self.size - 1 if self.size == len(self.places) else 0

    @property
    def is_client(self) -> bool:
        """Whether this process hosts the client."""
        return self.uid == self.client_uid

    @property
    def node(self) -> str:
        """The device that this process hosts; empty where it is the client alone."""
        return self.places[self.uid] if self.uid < self.client_place else ""

    @property
    def stage(self) -> str:
        """The node of the plan that this process computes for: its device, or the group of that."""
        return next((name for name, devices in self.groups.items() if self.node in devices), self.node)

    @property
    def together(self) -> tuple[int, ...]:
        """Places of the devices that compute with this one, itself included; the head comes first."""
        return tuple(self.places.index(name) for name in self.groups.get(self.stage, (self.node,) if self.node else ()))

    @property
    def is_head(self) -> bool:
        """Whether other stages send to this process, and it to them."""
        return bool(self.node) and self.place_of(self.stage) == self.places.index(self.node)

    def place_of(self, node: str) -> int:
        """Place that messages for a node of the plan go to."""
        return self.places.index(self.groups.get(node, (node,))[0])

    @property
    def name(self) -> str:
        """What messages call this process."""
        return self.places[self.uid]

    def ranks(self, members: list[int]) -> list[int]:
        """Return the rank among `members` that hosts each place, -1 for a place whose process is gone."""
        hosts = [*range(self.client_place), self.client_uid]
        return [members.index(uid) if uid in members else -1 for uid in hosts]
