"""Routing of a replicated placement: how requests choose among the nodes that may come next, and how many there are.

Fast and near nodes are preferred. Where a node's caches would overflow, or those of all that may follow it, its visits
go to nodes of the same start with room, round by round until all fit. That they can is known from the max flow of
requests through the caches, which says how many are in flight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..spans import Span
from .flow import SINK, SOURCE, Network, max_flow
from .tables import FloatArray, ReplicatedTables

# Part of the scarcest block's cache in use: a little more than all, as requests end early or late around their means;
# and requests for which there is no room in the mean, since the next one does not fit any more.
FILL, SPARE = 1.03, 0.5
# Rounds at most that shift routing away from nodes whose caches would overflow, and the part of their visits for which
# all of them have room in the end.
BALANCE, LEAST_SLACK = 8, 0.999
NO_ROOM = 1e-9  # instead of no slack at all, so that every share stays above 0
POWER = 1.5  # how much routing prefers fast nodes: weights are seconds per token to this power, inverted


@dataclass(frozen=True, slots=True)
class Routing:
    """How requests are spread over a placement.

    Attributes
    ----------
    spans : dict
        The span of each node that holds one.
    weights : array (N + 1, N)
        Routing weights, rows sum to 1 where a chain goes on; the client is the last row.
    visits : array (N,)
        Probability that a request passes a node.
    in_flight : float
        Requests in flight; 0 when no chain holds all blocks.
    """

    spans: dict[int, Span]
    weights: FloatArray
    visits: FloatArray
    in_flight: float


def at_size(at: FloatArray, seconds: FloatArray, size: float) -> float:
    """Interpolate a measured curve; in proportion to the size beyond its end."""
    if size >= at[-1]:
        return float(seconds[-1] * size / at[-1]) if at[-1] > 0 else 0.0
    return float(np.interp(size, at, seconds))


def followers(tables: ReplicatedTables, spans: Sequence[Span]) -> dict[int, list[int]]:
    """Nodes that may follow each node on a chain from the client to the end; the client is a key too."""
    band, client = tables.bandwidth_bytes_per_s, tables.client
    rates = {span.node: float(tables.rate[span.node, span.stop - span.start - 1]) for span in spans}
    useful: set[int] = set()
    after: dict[int, list[int]] = {client: []}
    for a in sorted(spans, key=lambda span: -span.stop):
        after[a.node] = [
            b.node
            for b in spans
            if b.node in useful
            and (b.start <= a.stop < b.stop if tables.partial else b.start == a.stop)
            and band[a.node, b.node] > 0
        ]
        ends = a.stop == tables.n_blocks and band[a.node, client] > 0
        if rates[a.node] > 0 and (ends or after[a.node]):
            useful.add(a.node)
    after[client] = [b.node for b in spans if b.start == 0 and b.node in useful and band[client, b.node] > 0]
    reached = set(after[client])
    for a in sorted(spans, key=lambda span: span.stop):
        after[a.node] = after[a.node] if a.node in reached else []
        reached.update(after[a.node])
    return after


def route(tables: ReplicatedTables, spans: Sequence[Span]) -> Routing:
    """Spread requests over the chains of a placement."""
    n, client = tables.n_nodes, tables.client
    spans = [span for span in spans if 0 < span.stop - span.start <= tables.rate.shape[1]]
    span_of = {span.node: span for span in spans}
    after = followers(tables, spans)
    weights, visits = np.zeros((n + 1, n)), np.zeros(n)
    if not after[client]:
        return Routing(span_of, weights, visits, 0.0)
    own = {i: (span.stop - span.start) * own_s(tables, i) for i, span in span_of.items()}
    raw = {(a, b): (own[b] + hop_s(tables, a, b)) ** -POWER for a, row in after.items() for b in row}
    rooms = tables.request_room
    room = {i: float(rooms[i, span.stop - span.start - 1]) for i, span in span_of.items()}
    flying = min(tables.concurrency, max(1.0, FILL * _room_of_chains(tables, spans, room, after) - SPARE))
    factor = dict.fromkeys(span_of, 1.0)
    order = [client, *(span.node for span in sorted(spans, key=lambda span: span.stop))]
    for turn in range(BALANCE + 1):
        visits[:] = 0.0
        weights[:] = 0.0
        for a in order:
            share = 1.0 if a == client else visits[a]
            total = sum(raw[a, b] * factor[b] for b in after[a])
            for b in after[a]:
                weights[a, b] = raw[a, b] * factor[b] / total
                visits[b] += share * weights[a, b]
        if turn < BALANCE:
            slack: dict[int, float] = {}
            for i in reversed(order[1:]):
                if visits[i] > 0.0:
                    slack[i] = max(FILL * room[i] / (flying * float(visits[i])), NO_ROOM)
                    if span_of[i].stop < tables.n_blocks:
                        slack[i] = min(slack[i], max(slack[b] for b in after[i]))
            if min(slack.values()) >= LEAST_SLACK:
                break
            for i, part in _shifted(span_of, visits, slack).items():
                factor[i] *= part
    return Routing(span_of, weights, visits, flying)


def _shifted(span_of: dict[int, Span], visits: FloatArray, slack: dict[int, float]) -> dict[int, float]:
    """What multiplies each node's preference so that nodes of one start give visits to those with room.

    `slack` is for how many times its visits a node has room, and the best of those that may follow it. Below 1 visits
    fall by it; above 1 they rise by their part of what all nodes of the start could take.
    """
    given: dict[int, float] = {}
    free: dict[int, float] = {}
    for i, times in slack.items():
        to, more = (free, times - 1.0) if times > 1.0 else (given, 1.0 - times)
        to[span_of[i].start] = to.get(span_of[i].start, 0.0) + float(visits[i]) * more
    taken = {start: min(1.0, given.get(start, 0.0) / room) for start, room in free.items()}
    return {i: 1.0 + (times - 1.0) * taken[span_of[i].start] if times > 1.0 else times for i, times in slack.items()}


def own_s(tables: ReplicatedTables, node: int) -> float:
    """Seconds of a block on a node per output token of a lone request, its prompt spread over the output."""
    decode = at_size(tables.decode_at, tables.decode_s[node], 1.0)
    return decode + at_size(tables.prompt_at, tables.prompt_s[node], tables.prompt_tokens) / tables.output_tokens


def links_s(tables: ReplicatedTables) -> tuple[FloatArray, FloatArray]:
    """Seconds that a prompt and a token keep each link busy, arrays (N + 1, N + 1); 0 where there is no link.

    To the client goes one token of either.
    """
    client = tables.client
    size = np.full_like(tables.bandwidth_bytes_per_s, tables.token_bytes + tables.activation_bytes)
    size[client, :] = size[:, client] = tables.token_bytes
    token = np.zeros_like(size)
    np.divide(size, tables.bandwidth_bytes_per_s, out=token, where=tables.bandwidth_bytes_per_s > 0)
    prompt = token * tables.prompt_tokens
    prompt[:, client] = token[:, client]
    return prompt, token


def hop_s(tables: ReplicatedTables, a: int, b: int) -> float:
    """Seconds of a hop per output token of a lone request, its prompt spread over the output."""
    prompt, decode = link_s(tables, a, b)
    share = 1.0 / tables.output_tokens
    return float(tables.latency_s[a, b]) * (1.0 + share) + decode + prompt * share


def link_s(tables: ReplicatedTables, a: int, b: int) -> tuple[float, float]:
    """Seconds that a prompt and a token keep one link busy; see `links_s`."""
    client, band = tables.client, float(tables.bandwidth_bytes_per_s[a, b])
    size = tables.token_bytes + (0.0 if client in (a, b) else tables.activation_bytes)
    prompt = 1.0 if b == client else tables.prompt_tokens
    return (prompt * size / band, size / band) if band > 0 else (0.0, 0.0)


def _room_of_chains(
    tables: ReplicatedTables, spans: Sequence[Span], room: dict[int, float], after: dict[int, list[int]]
) -> float:
    """Requests for which chains have room: the max flow through the caches of useful nodes, whatever links carry."""
    useful = {b for row in after.values() for b in row}
    net, held = Network(), [span for span in spans if span.node in useful]
    for a in held:
        net.add(("in", a.node), ("position", a.stop), room[a.node])
        if a.start == 0:
            net.add(SOURCE, ("in", a.node), np.inf)
    for position in {a.stop for a in held}:
        if position == tables.n_blocks:
            net.add(("position", position), SINK, np.inf)
        for b in held:
            if b.start == position or (tables.partial and b.start < position < b.stop):
                net.add(("position", position), ("in", b.node), np.inf)
    return max_flow(net)[0]
