"""When the servers of a swarm come and go: exponential lifetimes and gaps, drawn once for all rules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Event:
    """Server `server` comes (`joins`) or goes at `at_s`."""

    at_s: float
    server: int
    joins: bool


def drawn_events(
    n_servers: int, life_s: float, gap_s: float, *, seed: int, seconds: float = DAY_S
) -> tuple[Event, ...]:
    """Draw joins and leaves, in order; at the beginning a server is there with its share of the time.

    Parameters
    ----------
    n_servers : int
        Places for servers.
    life_s, gap_s : float
        Mean lifetime of a server, and mean time until another one comes in its place; exponential, in s.
    seed : int
        Equal seeds give equal events, so that all rules meet the same ones.
    seconds : float
        Length of the run.

    Returns
    -------
    tuple of Event
        Sorted by time, then by server; `at_s` is less than `seconds`.
    """
    rng = np.random.default_rng(seed)
    events: list[Event] = []
    for j in range(n_servers):
        there = first = rng.random() < life_s / (life_s + gap_s)
        turns: list[Event] = []
        at = float(rng.exponential(life_s if there else gap_s))
        while at < seconds:
            there = not there
            turns.append(Event(at, j, there))
            at += float(rng.exponential(life_s if there else gap_s))
        if first:  # one after another, and none after it has gone
            events.append(Event(min(1e-3 * j, turns[0].at_s if turns else seconds / 2), j, True))
        events += turns
    return tuple(sorted(events, key=lambda event: (event.at_s, event.server)))
