"""The terms of a replicated placement, in plain Python: the reference that the kernels are held equal to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..combine import REPLICATED, Objective
from ..spans import Span
from .flow import flow_value
from .served import Service, serve
from .tables import IntArray, ReplicatedTables


@dataclass(frozen=True, slots=True)
class ReplicatedTerms:
    """All figures of one replicated placement.

    Attributes
    ----------
    values : mapping of str to float
        One value for each name in `combine.REPLICATED`, minimised.
    flow : float
        Max flow in tokens/s.
    service : Service
        Routing weights, requests in flight and served tokens/s.
    holders : tuple of int
        Nodes that hold each block.
    reached : int
        The furthest block position that chains from the client reach.
    depth : int
        Most nodes of a chain through all blocks; 0 when there is none.
    """

    values: Mapping[str, float]
    flow: float
    service: Service
    holders: tuple[int, ...]
    reached: int
    depth: int


def holders(tables: ReplicatedTables, spans: Sequence[Span]) -> IntArray:
    """Nodes that hold each block, array (L,)."""
    count = np.zeros(tables.n_blocks, dtype=np.int64)
    for span in spans:
        count[span.start : span.stop] += 1
    return count


def reach(tables: ReplicatedTables, spans: Sequence[Span]) -> tuple[int, int]:
    """Return the furthest position that chains reach, and the most nodes of a chain through all blocks."""
    depth = {0: 0}
    for position in range(tables.n_blocks):
        if position in depth:
            for span in spans:
                enters = span.start <= position < span.stop if tables.partial else span.start == position
                if enters:
                    depth[span.stop] = max(depth.get(span.stop, 0), depth[position] + 1)
    return max(depth), depth.get(tables.n_blocks, 0)


def survival(tables: ReplicatedTables, spans: Sequence[Span]) -> float:
    """Probability that every block has a holder that is up, nodes failing independently.

    By the furthest position up to which all blocks are held, over spans by their starts: a state that a later start
    leaves behind is lost.
    """
    alive = np.zeros(tables.n_blocks + 1)
    alive[0] = 1.0
    for span in sorted(spans, key=lambda span: (span.start, span.stop)):
        up = float(tables.availability[span.node])
        alive[: span.start] = 0.0
        moved = up * alive[span.start : span.stop].sum()
        alive[span.start : span.stop] *= 1.0 - up
        alive[span.stop] += moved
    return float(alive[tables.n_blocks])


def moved_bytes(tables: ReplicatedTables, spans: Sequence[Span]) -> float:
    """Bytes of blocks that nodes must load because they do not hold them in the running placement."""
    total = 0.0
    for span in spans:
        start, stop = tables.running[span.node]
        total += sum(
            float(tables.block_bytes[block]) for block in range(span.start, span.stop) if not start <= block < stop
        )
    return total


def idle_s(tables: ReplicatedTables) -> float:
    """Seconds per token that stand for "serves nothing": worse than every placement that serves."""
    rates = tables.rate[tables.rate > 0]
    return float(tables.n_blocks / rates.min()) if len(rates) else float(tables.n_blocks)


def replicated_terms(tables: ReplicatedTables, spans: Sequence[Span]) -> ReplicatedTerms:
    """Compute every term of a replicated placement."""
    spans = [span for span in spans if span.stop > span.start]
    flow = flow_value(tables, spans)
    flow = flow if flow > 1e-12 * float(tables.rate.max()) else 0.0
    held = holders(tables, spans)
    reached, depth = reach(tables, spans)
    fewest = int(held.min())
    values = dict.fromkeys(REPLICATED.names, 0.0)
    values["flow"] = 1.0 / flow if flow > 0 else idle_s(tables)
    service = serve(tables, spans, flow)
    if service.tokens_per_s > 0:
        values["throughput"] = 1.0 / service.tokens_per_s
        values["latency"], values["ttft"] = service.light_time_per_token_s, service.light_ttft_s
        values["best_chain"] = service.best_chain_s
    else:
        values.update(dict.fromkeys(("throughput", "latency", "ttft", "best_chain"), idle_s(tables)))
    values["replicas"] = 1.0 / fewest if fewest > 0 else 2.0
    values["survival"] = 1.0 - survival(tables, spans)
    values["price"] = float(sum(tables.price_per_hour[span.node] for span in spans))
    values["moved_bytes"] = moved_bytes(tables, spans)
    return ReplicatedTerms(values, flow, service, tuple(held.tolist()), reached, depth)


@dataclass(frozen=True, slots=True)
class ReplicatedViolation:
    """The parts of a violation; `total` is 0 when the placement is allowed.

    Attributes
    ----------
    missing : int
        Holders that blocks lack, all blocks together.
    broken : float
        0 when some chain carries tokens through all blocks; else 1 and the part of the blocks never reached.
    too_long : int
        Nodes by which the longest chain exceeds the limit.
    too_many : int
        Blocks beyond what the nodes can hold.
    unmet : tuple of (int, int)
        Nodes that lack the block that they must hold; block -1: any.
    spare : int
        Nodes in use beyond the most allowed.
    excess : dict of str to float
        Relative excess over each limit that is exceeded.
    """

    missing: int
    broken: float
    too_long: int
    too_many: int
    unmet: tuple[tuple[int, int], ...]
    spare: int
    excess: dict[str, float]
    total: float


def replicated_violation(
    tables: ReplicatedTables, objective: Objective, spans: Sequence[Span], terms: ReplicatedTerms
) -> ReplicatedViolation:
    """Measure every broken rule; reference for the kernels."""
    blocks = tables.n_blocks
    missing = sum(max(0, tables.min_replicas - count) for count in terms.holders)
    broken = 0.0 if terms.flow > 0 else 1.0 + (blocks - terms.reached) / blocks
    too_long = max(0, terms.depth - tables.max_stages)
    most = tables.most_blocks
    too_many = sum(max(0, span.stop - span.start - int(most[span.node])) for span in spans)
    held = {span.node: span for span in spans if span.stop > span.start}
    unmet = tuple((node, block) for node, block in tables.must.tolist() if not _holds(held.get(node), block))
    spare = max(0, len(held) - tables.max_nodes) if tables.max_nodes else 0
    excess = {
        name: terms.values[name] / limit - 1.0
        for name, limit in zip(REPLICATED.names, objective.limit_vector(), strict=True)
        if terms.values[name] > limit * (1 + 1e-12)
    }
    total = missing / blocks + broken + too_long + too_many + len(unmet) + spare + sum(excess.values())
    return ReplicatedViolation(missing, broken, too_long, too_many, unmet, spare, excess, total)


def _holds(span: Span | None, block: int) -> bool:
    return span is not None and (block < 0 or span.start <= block < span.stop)
