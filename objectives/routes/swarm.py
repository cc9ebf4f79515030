"""A swarm as a client sees it, and what a chain through it costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..petals.routing import HOP_S as HOP_S

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Shape = Literal["star", "chain"]


@dataclass(frozen=True)
class Swarm:
    """J servers with spans of L blocks; the client is the last row and column of the round trips.

    Attributes
    ----------
    names : tuple of str
    starts, stops : int array (J,)
        Blocks ``start <= b < stop`` of each server.
    block_s : array (J,)
        Seconds of one block for one token.
    rates : array (J,)
        Tokens/s that a server can give to a chain.
    rtt_s : array (J + 1, J + 1)
        Round trips in s.
    n_blocks : int
    hop_s : float
        Overhead of a hop in s.
    price, survival : array (J,)
        Price of a block and token in $; probability that the server stays for a session.
    """

    names: tuple[str, ...]
    starts: IntArray
    stops: IntArray
    block_s: FloatArray
    rates: FloatArray
    rtt_s: FloatArray
    n_blocks: int
    hop_s: float = HOP_S
    price: FloatArray | None = None
    survival: FloatArray | None = None

    @property
    def n_servers(self) -> int:
        """J."""
        return len(self.names)

    @cached_property
    def missing(self) -> int | None:
        """First block that nobody holds, or None."""
        held = np.zeros(self.n_blocks, dtype=bool)
        for start, stop in zip(self.starts, self.stops, strict=True):
            held[start:stop] = True
        return None if held.all() else int(np.argmin(held))

    def enter_s(self, shape: Shape) -> FloatArray:
        """Seconds (J + 1, J) from one server, or the client (last row), into another.

        Star: every server answers the client, which is what released Petals runs. Chain: servers hand over to each
        other, which is what its Dijkstra assumes.
        """
        return self._hops[shape][0]

    def leave_s(self, shape: Shape) -> FloatArray:
        """Seconds (J,) from the last server back to the client."""
        return self._hops[shape][1]

    @cached_property
    def _hops(self) -> dict[Shape, tuple[FloatArray, FloatArray]]:
        """Ways in and back for each shape, read-only: every chain that is scored asks for them."""
        n = self.n_servers
        star = np.tile(self.rtt_s[n, :n] + self.hop_s, (n + 1, 1)), np.zeros(n)
        chain = self.rtt_s[:, :n] / 2.0 + self.hop_s, self.rtt_s[:n, n] / 2.0
        for table in (*star, *chain):
            table.setflags(write=False)
        return {"star": star, "chain": chain}

    @cached_property
    def block_price(self) -> FloatArray:
        """$ of a block and token at each server (J,); 0 where no price is known."""
        return np.zeros(self.n_servers) if self.price is None else self.price

    @cached_property
    def loss(self) -> FloatArray:
        """-ln of the probability that each server stays for a session (J,); 0 where none is known."""
        return np.zeros(self.n_servers) if self.survival is None else -np.log(self.survival)


@dataclass(frozen=True, slots=True)
class Route:
    """A chain: the server of every block, and its values.

    Attributes
    ----------
    servers : tuple of int
        Server of each block.
    latency_s : float
        Seconds per token.
    rate : float
        Tokens/s: that of the slowest server.
    price : float
        $/token.
    loss : float
        -ln of the probability that every server of the chain stays for a session: it adds up along the chain.
    """

    servers: tuple[int, ...]
    latency_s: float
    rate: float
    price: float = 0.0
    loss: float = 0.0

    @property
    def stages(self) -> tuple[tuple[int, int, int], ...]:
        """(server, start, stop) in block order."""
        cuts = [0, *(b for b in range(1, len(self.servers)) if self.servers[b] != self.servers[b - 1])]
        ends = [*cuts[1:], len(self.servers)]
        return tuple((self.servers[start], start, stop) for start, stop in zip(cuts, ends, strict=True))


def route_of(swarm: Swarm, servers: tuple[int, ...], shape: Shape) -> Route:
    """Cost of a chain, in plain Python: the reference."""
    enter, leave, block_price, loss = swarm.enter_s(shape), swarm.leave_s(shape), swarm.block_price, swarm.loss
    at, latency, price, lost = swarm.n_servers, 0.0, 0.0, 0.0
    for j in servers:
        if j != at:
            latency += enter[at, j]
            lost += loss[j]
        latency += swarm.block_s[j]
        price += block_price[j]
        at = j
    rate = min(float(swarm.rates[j]) for j in servers)
    return Route(tuple(servers), float(latency + leave[at]), rate, float(price), float(lost))
