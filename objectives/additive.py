"""The additive part of a cost: sums over stages and hops, the form that every dynamic program and bound here works on.

Latency, time to first token, request time, energy and rent are sums; so is the step time of any micro-batch size,
through which throughput is searched. What is left (bottleneck, sequences in flight) becomes limits on single stages
and links: how long a stage may be, given what it must hold and how long it may be busy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .combine import TERMS
from .tables import CostTables

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
ADDITIVE = ("latency", "ttft", "request_time", "price", "energy")


@dataclass(frozen=True)
class Additive:
    """A cost that is a sum over stages and hops, linear in its parts; N nodes, L blocks.

    Attributes
    ----------
    stage : array (N, L + 1)
        Cost of the blocks before `l` on a node: a stage costs ``stage[i, stop] - stage[i, start]``.
    latency : float
        Cost of a second of link latency.
    volume : array (L + 1,)
        Bytes across a cut times the cost of a second that they take: a hop costs ``volume / bandwidth``.
    fixed : array (N,)
        Cost of using a node at all.
    """

    stage: FloatArray
    latency: float
    volume: FloatArray
    fixed: FloatArray

    def __add__(self, other: Additive) -> Additive:
        return Additive(
            self.stage + other.stage,
            self.latency + other.latency,
            self.volume + other.volume,
            self.fixed + other.fixed,
        )

    def __mul__(self, factor: float) -> Additive:
        return Additive(self.stage * factor, self.latency * factor, self.volume * factor, self.fixed * factor)


def prefix(values: FloatArray) -> FloatArray:
    """Prefix sums along the last axis, with a leading zero."""
    zeros = np.zeros((*values.shape[:-1], 1), dtype=values.dtype)
    return np.concatenate([zeros, values.cumsum(axis=-1)], axis=-1)


def step_cost(tables: CostTables, size: int) -> Additive:
    """Seconds of one decode step of a micro-batch ``batches[size]``."""
    volume = tables.cut_bytes * float(tables.batches[size])
    return Additive(prefix(tables.decode_s[size]), 1.0, volume, np.zeros(tables.n_nodes))


def term_cost(tables: CostTables, name: str) -> Additive:
    """Return one additive term by its name in `combine.TERMS`."""
    nothing = np.zeros((tables.n_nodes, tables.n_blocks + 1))
    idle = np.zeros(tables.n_nodes)
    if name == "latency":
        return step_cost(tables, 0)
    if name == "ttft":
        return Additive(prefix(tables.prefill_s), 1.0, tables.prompt_cut_bytes.copy(), idle)
    if name == "request_time":
        return term_cost(tables, "ttft") + step_cost(tables, 0) * (tables.output_tokens - 1)
    if name == "price":
        return Additive(nothing, 0.0, np.zeros(tables.n_blocks + 1), tables.price_per_hour.copy())
    if name == "energy":
        return Additive(
            prefix(tables.decode_s[0] * tables.power_w[:, None]), 0.0, np.zeros(tables.n_blocks + 1), idle
        )
    raise ValueError(f"'{name}' is not a sum over stages and hops")


def weighted_cost(tables: CostTables, weights: Mapping[str, float]) -> Additive:
    """Weighted sum of the additive terms among `weights`; the others are left out."""
    total = term_cost(tables, "price") * 0.0
    for name in TERMS:
        if name in ADDITIVE and weights.get(name, 0.0) > 0:
            total = total + term_cost(tables, name) * weights[name]
    return total


def node_classes(tables: CostTables) -> IntArray:
    """Return for every node the class (0, 1, ...) of nodes that it can be exchanged with, all costs staying the same.

    Two nodes are exchangeable when swapping them leaves every table as it is, links included. Exchanges compose, so
    one comparison with any member of a class decides.
    """
    n = tables.n_nodes
    rows = [tables.decode_s.transpose(1, 0, 2).reshape(n, -1), tables.prefill_s, tables.allowed]
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
