"""Values of the terms of routes for people."""

from __future__ import annotations

from objectives.routes.terms import ROUTES
from placement.quantities import seconds


def worded(name: str, value: float) -> str:
    """A value with its unit: '152 ms', '5 tokens/s', '2e-06 $/token', '0.9512'."""
    if name == "latency":
        return seconds(value)
    if name == "reliability":
        return f"{value:.4f}"
    return f"{value:.4g} {ROUTES.units[name]}"
