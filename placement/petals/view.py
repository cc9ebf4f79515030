"""A swarm as a client or a planner sees it: servers by peer id, with what they announce."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from objectives.petals.routing import BLOCKS_PER_S
from objectives.routes.swarm import HOP_S, Swarm

from .imputed import BoolMatrix, impute

CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Server:
    """What a server announces in the DHT.

    Attributes
    ----------
    name : str
        Peer id.
    start, stop : int
        Blocks ``start <= b < stop``.
    throughput : float
        Announced tokens/s.
    blocks_per_s : float or None
        `inference_rps`; None where it announces none.
    cache_tokens : int or None
        `cache_tokens_left`: tokens of keys, or of values, of one block.
    pings_s : mapping of str to float
        Round trips in s to other servers.
    state : str
        "online" or "joining".
    label, version : str
        Public name, release of Petals.
    """

    name: str
    start: int
    stop: int
    throughput: float
    blocks_per_s: float | None = None
    cache_tokens: int | None = None
    pings_s: Mapping[str, float] = field(default_factory=dict)
    state: str = "online"
    label: str = ""
    version: str = ""

    @property
    def block_s(self) -> float:
        """Seconds of a block for one token."""
        return 1.0 / (self.blocks_per_s or BLOCKS_PER_S)


@dataclass(frozen=True)
class View:
    """Servers of one model and what the client knows of the ways to them.

    Attributes
    ----------
    n_blocks : int
    servers : tuple of Server
    client_s : mapping of str to float
        Round trips in s between the client and servers.
    """

    n_blocks: int
    servers: tuple[Server, ...]
    client_s: Mapping[str, float] = field(default_factory=dict)

    def round_trips(self) -> tuple[np.ndarray, BoolMatrix]:
        """Round trips in s of all servers and the client, which is last, and which of them are imputed."""
        place = {server.name: j for j, server in enumerate(self.servers)}
        n = len(self.servers)
        known = {
            (place[a.name], place[b]): seconds
            for a in self.servers
            for b, seconds in a.pings_s.items()
            if b in place and place[a.name] != place[b]
        }
        known |= {(n, place[name]): seconds for name, seconds in self.client_s.items() if name in place}
        return impute(known, n + 1)

    def swarm(self, hop_s: float = HOP_S) -> Swarm:
        """The same for routing; a server's rate is what it announces."""
        servers = self.servers
        return Swarm(
            tuple(server.name for server in servers),
            np.array([server.start for server in servers], dtype=np.int64),
            np.array([server.stop for server in servers], dtype=np.int64),
            np.array([server.block_s for server in servers]),
            np.array([max(server.throughput, 1e-9) for server in servers]),
            self.round_trips()[0],
            self.n_blocks,
            hop_s,
        )
