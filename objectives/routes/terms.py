"""What a chain through a swarm is worth: its terms, the rules that limits make, and what it costs."""

from __future__ import annotations

import math

import numpy as np

from ..combine import Objective, TermSet
from .swarm import FloatArray, Route

ROUTES = TermSet(
    names=("latency", "throughput", "price", "reliability"),
    units={"latency": "s/token", "throughput": "tokens/s", "price": "$/token", "reliability": "probability"},
    limits={
        "time_per_token": "latency",
        "latency": "latency",
        "throughput": "throughput",
        "price": "price",
        "reliability": "reliability",
        "survival": "reliability",
    },
    inverse=frozenset({"throughput"}),
    complement=frozenset({"reliability"}),
    aliases={"time_per_token": "latency", "survival": "reliability"},
    figures={
        "latency": "time_per_token_s",
        "throughput": "tokens_per_s",
        "price": "price_per_token",
        "reliability": "survival",
    },
)
"""Reliability is the probability that every server of a chain stays for a session. Searches minimise its complement,
the probability that some server leaves; along a path they add up -ln of the servers' survival, which orders chains
alike."""

ADDED = ("latency", "price", "reliability")  # terms that add up along a chain; throughput is that of its slowest server


def route_values(route: Route) -> FloatArray:
    """Minimised values (4,) of a chain in the order of `ROUTES`: s, s/token of the slowest server, $, probability."""
    return np.array([route.latency_s, 1.0 / route.rate, route.price, -math.expm1(-route.loss)])


def added_value(route: Route, name: str) -> float:
    """What adds up along a chain for one of `ADDED`: s, $, or -ln of survival."""
    return {"latency": route.latency_s, "price": route.price, "reliability": route.loss}[name]


def excess(objective: Objective, values: FloatArray) -> dict[str, float]:
    """The limits that values (4,) break, each with the part of the value that lies beyond it (0 to 1)."""
    most = objective.limit_vector()
    return {
        name: float(1.0 - limit / value)
        for name, value, limit in zip(ROUTES.names, values, most, strict=True)
        if value > limit * (1.0 + 1e-12)
    }


def route_cost(objective: Objective, values: FloatArray) -> float:
    """The weighted sum of the terms."""
    return float(objective.weight_vector() @ values)
