"""Spans with the names of servers as ranges, one for each server, and the rules that they break in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from objectives.combine import SESSIONS
from objectives.sessions.chains import Chain, Composition, Fleet, total_rate
from objectives.spans import Range
from placement.errors import InputError, nearest
from placement.plan.plan import PlacedSpan, Plan
from placement.quantities import quantity, seconds

from .bound import Proven
from .plan import Looked
from .problem import SessionsProblem


def numbered_spans(placement: Sequence[PlacedSpan], fleet: Fleet, n_blocks: int | None = None) -> tuple[Range, ...]:
    """Ranges of blocks, one for each server; (0, 0) for one that holds nothing.

    Parameters
    ----------
    placement : sequence of PlacedSpan
        At most one for each server.
    fleet : Fleet
        Whose servers and blocks they are.
    n_blocks : int, optional
        How many blocks the plan says it has.

    Raises
    ------
    InputError
        A server is unknown or named twice, or holds blocks that the model does not have.
    """
    if n_blocks is not None and n_blocks != fleet.n_blocks:
        raise InputError(f"the plan is for {n_blocks} blocks, the fleet's model has {fleet.n_blocks}")
    held: dict[str, Range] = {}
    for span in placement:
        if span.node not in fleet.names:
            known = nearest(span.node, fleet.names)
            raise InputError(f"the plan uses server '{span.node[:80]}', which the fleet lacks{known}")
        if span.node in held:
            raise InputError(f"expected one span for server '{span.node}', got two")
        if not 0 <= span.start < span.stop <= fleet.n_blocks:
            found = f"{span.start}:{span.stop}"
            raise InputError(f"expected blocks from 0 to {fleet.n_blocks} on server '{span.node}', got {found}")
        held[span.node] = (span.start, span.stop)
    return tuple(held.get(name, (0, 0)) for name in fleet.names)


def composition_of(plan: Plan, fleet: Fleet) -> Composition:
    """A plan of sessions with server numbers: what `broken_rules`, `total_rate` and the simulation take."""
    number = {name: j for j, name in enumerate(fleet.names)}
    chains = tuple(
        Chain(tuple(number[node] for node in chain.nodes), chain.stops, chain.capacity or 0) for chain in plan.chains
    )
    return Composition(numbered_spans(plan.placement, fleet, plan.n_blocks), chains)


def overfull(fleet: Fleet, spans: Sequence[Range]) -> tuple[str, ...]:
    """Servers whose blocks are more than their memory, a line each."""
    return tuple(
        f"server {name} needs {fleet.block_bytes * (stop - start) / 1e9:g} GB for its blocks and has {memory / 1e9:g}"
        for name, memory, (start, stop) in zip(fleet.names, fleet.memory_bytes, spans, strict=True)
        if fleet.block_bytes * (stop - start) > memory
    )


def unmet(problem: SessionsProblem, looked: Looked) -> tuple[str, ...]:
    """What a plan does not keep: a chain at all, the arrivals, limits; a sentence each."""
    fleet, plan = problem.fleet, looked.plan
    if not plan.chains:
        return (f"no chain of servers covers all {fleet.n_blocks} blocks",)
    rate = total_rate(fleet, plan.chains)
    lines = []
    if problem.response and looked.simulated is None:
        lines.append(f"it serves {rate:.4g} sessions/s, {arrivals(fleet)}")
    response = looked.simulated.mean_s if looked.simulated else np.inf
    for name, limit in problem.objective.limits.items():
        unit = SESSIONS.units[name]
        value = rate if name == "rate" else response
        if np.isfinite(value) and (value < limit if name == "rate" else value > limit):
            lines.append(f"{name} is {quantity(value, unit)}, the limit {quantity(limit, unit)}")
    return tuple(lines)


def impossible(problem: SessionsProblem, proven: Proven) -> tuple[str, ...]:
    """What no placement keeps, by bounds over all of them; a sentence each."""
    lines, limits = [], problem.objective.limits
    most = f"no placement serves more than {proven.rate:.4g} sessions/s"
    if problem.response and problem.fleet.arrivals_per_s >= proven.rate:
        lines.append(f"{most}, {arrivals(problem.fleet)}")
    if limits.get("rate", 0.0) > proven.rate:
        lines.append(f"limits.rate cannot be met: {most}, not {quantity(limits['rate'], SESSIONS.units['rate'])}")
    if limits.get("response", np.inf) < proven.response_s < np.inf:
        least = f"no placement has a mean response below {seconds(proven.response_s)}"
        lines.append(f"limits.response cannot be met: {least}, the limit is {seconds(limits['response'])}")
    return tuple(lines)


def arrivals(fleet: Fleet) -> str:
    """How many sessions arrive."""
    return f"and {fleet.arrivals_per_s:.4g} sessions/s arrive"
