"""Nodes that can be exchanged, and the stages and hops between such types as the kernels see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .additive import Additive, FloatArray, IntArray, prefix
from .kernels.stages import StageData, windows
from .rounds import Rounds
from .tables import CostTables


class Busy(NamedTuple):
    """Stages and links are busy for at most `most` seconds per sequence of some micro-batch size of a range."""

    rates: Rounds
    first: int
    last: int
    most: float


@dataclass(frozen=True)
class Caps:
    """What stages and links must keep to.

    Attributes
    ----------
    in_flight : int
        Sequences whose caches must fit beside the weights.
    busy : tuple of Busy
    """

    in_flight: int = 1
    busy: tuple[Busy, ...] = ()


def memory_need(tables: CostTables, in_flight: int) -> tuple[FloatArray, FloatArray]:
    """Return prefix sums (L + 1,) of the bytes that blocks need, and what each node (N,) may hold.

    The slacks are those of `limits.violation` and `terms.sequences_in_flight`.
    """
    if in_flight <= 1:
        return prefix(tables.weight_bytes + tables.kv_bytes), tables.capacity_bytes * (1 + 1e-12) + 1e-6
    return prefix(tables.weight_bytes + (in_flight - 1e-9) * tables.kv_bytes), tables.capacity_bytes.copy()


def busy_sums(tables: CostTables, node: int, rates: Rounds, first: int, last: int) -> FloatArray:
    """Prefix sums (L + 1,) of busy seconds per sequence: the least over the micro-batch sizes `first` to `last`."""
    span = slice(first, last + 1)
    seconds = rates.short_s[span, node] + rates.share[span, None] * rates.convoy_s[span, node]
    least: FloatArray = (seconds / tables.batches[span, None].astype(np.float64)).min(axis=0)
    return prefix(least)


def busy_bytes(tables: CostTables, cap: Busy) -> FloatArray:
    """Bytes (L + 1,) across each cut per sequence: the least over the micro-batch sizes of a cap."""
    span = slice(cap.first, cap.last + 1)
    rates = cap.rates
    sent = rates.tokens[span, None] * tables.cut_bytes
    sent = sent + (rates.share[span] * rates.prompts[span])[:, None] * tables.prompt_cut_bytes
    least: FloatArray = (sent / tables.batches[span, None].astype(np.float64)).min(axis=0)
    return least


def stage_data(tables: CostTables, members: tuple[IntArray, ...], cost: Additive, caps: Caps) -> StageData:
    """Costs and limits of stages and hops between types of nodes; `members` lists the nodes of each type."""
    heads = type_heads(members)
    need, capacity = memory_need(tables, caps.in_flight)
    low = np.zeros((len(heads), tables.n_blocks + 1), dtype=np.int64)
    for t, node in enumerate(heads):
        low[t] = first_starts(tables, caps, node, float(capacity[node]), need)
    latency, bandwidth = type_links(tables, members)
    per_byte = np.zeros_like(bandwidth)
    np.divide(1.0, bandwidth, out=per_byte, where=bandwidth > 0)
    # Of several caps the one that a cut strains most: bytes/s that a link must carry at least.
    strain = np.zeros(tables.n_blocks + 1)
    for cap in caps.busy:
        np.maximum(strain, busy_bytes(tables, cap) / max(cap.most, 1e-300), out=strain)
    most_bytes = np.full_like(per_byte, np.inf)
    np.divide(1 + 1e-12, per_byte, out=most_bytes, where=per_byte > 0)
    return StageData(
        stage=np.ascontiguousarray(cost.stage[heads]),
        fixed=cost.fixed[heads],
        low=low,
        high=np.tile(np.arange(-1, tables.n_blocks, dtype=np.int64), (len(heads), 1)),
        latency=np.where(bandwidth > 0, cost.latency * latency, np.inf),
        per_byte=per_byte,
        volume=cost.volume,
        cut_bytes=strain,
        most_bytes=most_bytes,
        cut_allowed=tables.cut_allowed.copy(),
    )


def first_starts(
    tables: CostTables, caps: Caps, node: int, capacity: float, need: FloatArray, taken: int = 0
) -> IntArray:
    """For every stop the first start of a stage that fits a node, beside the first `taken` blocks on the same node."""
    low, row = np.zeros(tables.n_blocks + 1, dtype=np.int64), np.empty(tables.n_blocks + 1, dtype=np.int64)
    refused = prefix((~tables.allowed[node]).astype(np.int64))
    nothing = np.zeros(tables.n_blocks + 1)
    caps_here = [(busy_sums(tables, node, cap.rates, cap.first, cap.last), cap.most) for cap in caps.busy]
    for busy, seconds in caps_here or [(nothing, np.inf)]:
        windows(need, capacity - need[taken], busy, seconds * (1 + 1e-12) - busy[taken], refused, row)
        np.maximum(low, row, out=low)
    return low


def type_heads(members: tuple[IntArray, ...]) -> IntArray:
    """One node of each type; a type without nodes is never used."""
    return np.array([nodes[0] if len(nodes) else 0 for nodes in members])


def type_links(tables: CostTables, members: tuple[IntArray, ...]) -> tuple[FloatArray, FloatArray]:
    """Latency and bandwidth between types (T + 1, T + 1), the client last.

    Within a type of several nodes the link is that between any two of them; within a type of one there is none.
    """
    ends = np.concatenate([type_heads(members), [tables.client]])
    pick = np.ix_(ends, ends)
    latency, bandwidth = tables.latency_s[pick].copy(), tables.bandwidth_bytes_per_s[pick].copy()
    for t, nodes in enumerate(members):
        if len(nodes) > 1:
            latency[t, t] = tables.latency_s[nodes[0], nodes[1]]
            bandwidth[t, t] = tables.bandwidth_bytes_per_s[nodes[0], nodes[1]]
        else:
            bandwidth[t, t] = 0.0
    return latency, bandwidth


def type_members(tables: CostTables) -> tuple[IntArray, ...]:
    """Nodes of each type."""
    classes = node_classes(tables)
    return tuple(np.flatnonzero(classes == t) for t in range(int(classes.max()) + 1))


def node_classes(tables: CostTables) -> IntArray:
    """Return for every node the class (0, 1, ...) of nodes that it can be exchanged with, all costs staying the same.

    Two nodes are exchangeable when swapping them leaves every table as it is, links included. Exchanges compose, so
    one comparison with any member of a class decides.
    """
    n = tables.n_nodes
    rows = [tables.decode_s.transpose(1, 0, 2).reshape(n, -1), tables.prefill_s, tables.allowed]
    if tables.served is not None:
        rows += [part.transpose(1, 0, 2).reshape(n, -1) for part in (tables.served.short_s, tables.served.convoy_s)]
    rows += [tables.capacity_bytes[:, None], tables.price_per_hour[:, None], tables.power_w[:, None]]
    links = (tables.latency_s, tables.bandwidth_bytes_per_s)
    rows.append(tables.required[:, None])
    own = np.eye(n + 1, dtype=bool)
    for link in links:
        # Sorted, a row does not depend on the numbering: it only tells quickly which nodes differ.
        rows += [np.sort(np.where(own, -1.0, side)[:n], axis=1) for side in (link, link.T)]
    marks = [b"".join(np.ascontiguousarray(table[i]).tobytes() for table in rows) for i in range(n)]
    classes = np.empty(n, dtype=np.int64)
    heads: dict[bytes, list[int]] = {}
    count = 0
    for i, mark in enumerate(marks):
        known = heads.setdefault(mark, [])
        twin = next((j for j in known if _exchangeable(links, i, j)), -1)
        if twin < 0:
            known.append(i)
            classes[i] = count
            count += 1
        else:
            classes[i] = classes[twin]
    return classes


def _exchangeable(links: tuple[FloatArray, ...], i: int, j: int) -> bool:
    others = np.ones(len(links[0]), dtype=bool)
    others[[i, j]] = False
    return all(
        np.array_equal(link[i, others], link[j, others])
        and np.array_equal(link[others, i], link[others, j])
        and link[i, j] == link[j, i]
        for link in links
    )
