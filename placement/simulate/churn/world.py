"""What a churning swarm is made of: servers with lifetimes, sites, sessions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class World:
    """A simulated swarm.

    Attributes
    ----------
    n_blocks : int
    sizes : tuple of int
        Most blocks of each of the J places for servers.
    speeds : array (J,)
        Blocks per second and session of each server.
    sites : array (J,)
        Site of each server.
    rtt_s : array (sites, sites)
        Round trips in s; the client stands at site 0.
    block_bytes : float
        Bytes to load for one block.
    load_bytes_per_s : float
        Download rate of a server.
    life_s, gap_s : float
        Mean lifetime of a server, and mean time until another one comes in its place; exponential.
    arrivals_per_s : float
        Sessions per second, Poisson.
    tokens : int
        Tokens of a session.
    """

    n_blocks: int
    sizes: tuple[int, ...]
    speeds: FloatArray
    sites: npt.NDArray[np.int64]
    rtt_s: FloatArray
    block_bytes: float = 1.32e9
    load_bytes_per_s: float = 1.25e7
    life_s: float = 4 * 3600.0
    gap_s: float = 1200.0
    arrivals_per_s: float = 0.02
    tokens: int = 100
    hop_s: float = 0.018

    @property
    def n_servers(self) -> int:
        """J."""
        return len(self.sizes)


@dataclass(frozen=True, slots=True)
class Event:
    """Server `server` comes (`joins`) or goes at `at_s`."""

    at_s: float
    server: int
    joins: bool


def drawn_world(seed: int, servers: int = 20, n_blocks: int = 80, sites: int = 5) -> World:
    """Draw a world: three kinds of servers, sites on a map."""
    rng = np.random.default_rng(50_000 + seed)
    kind = rng.choice(3, servers, p=[0.3, 0.4, 0.3])
    sizes = np.array([24, 14, 8])[kind] + rng.integers(-2, 3, servers)
    speeds = np.array([500.0, 250.0, 110.0])[kind] * rng.uniform(0.8, 1.2, servers)
    place = rng.uniform(0.0, 0.05, (sites, 2))
    rtt = 2.0 * np.linalg.norm(place[:, None] - place[None, :], axis=2) + 0.002
    return World(n_blocks, tuple(sizes.tolist()), speeds, rng.integers(0, sites, servers), rtt)


def life(world: World, seed: int, seconds: float = DAY_S) -> tuple[Event, ...]:
    """Joins and leaves of one run, in order; most servers are there at the beginning. Equal for all rules."""
    rng = np.random.default_rng(seed)
    events = []
    for j in range(world.n_servers):
        there = rng.random() < world.life_s / (world.life_s + world.gap_s)
        at = 0.0
        if there:
            events.append(Event(1e-3 * j, j, True))
        while True:
            at += float(rng.exponential(world.life_s if there else world.gap_s))
            if at >= seconds:
                break
            there = not there
            events.append(Event(at, j, there))
    return tuple(sorted(events, key=lambda event: (event.at_s, event.server)))
