"""The additive part of a cost: sums over stages and hops, the form that every dynamic program and bound here works on.

Latency, time to first token, request time, energy and rent are sums; so is the round trip of any micro-batch size with
so many in flight, through which rates are searched. What is left (bottleneck, sequences in flight) becomes limits on
single stages and links: how long a stage may be, given what it must hold and how long it may be busy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..combine import TERMS
from .rounds import Rounds
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


@dataclass(frozen=True)
class Limit:
    """An additive cost and the most that it may be."""

    cost: Additive
    most: float


def prefix(values: FloatArray) -> FloatArray:
    """Prefix sums along the last axis, with a leading zero."""
    zeros = np.zeros((*values.shape[:-1], 1), dtype=values.dtype)
    return np.concatenate([zeros, values.cumsum(axis=-1)], axis=-1)


def step_cost(tables: CostTables, size: int) -> Additive:
    """Seconds of one decode step of a micro-batch ``batches[size]``."""
    volume = tables.cut_bytes * float(tables.batches[size])
    return Additive(prefix(tables.decode_s[size]), 1.0, volume, np.zeros(tables.n_nodes))


def round_cost(tables: CostTables, rates: Rounds, sizes: tuple[int, int], in_flight: int) -> Additive:
    """Seconds of a round trip per output token, see `rounds.py`; at most those of every size of a range.

    Parameters
    ----------
    tables : CostTables
    rates : Rounds
        Of a name in `combine.RATES`.
    sizes : (int, int)
        First and last index of the micro-batch sizes.
    in_flight : int
        Sequences; the seconds grow with it, and seconds by sequence fall.
    """
    span = slice(sizes[0], sizes[1] + 1)
    groups = in_flight / tables.batches[span].astype(np.float64)
    part = np.array([rates.long_share(sizes[0] + k, count) for k, count in enumerate(groups.tolist())])
    seconds = prefix((rates.short_s[span] + part[:, None, None] * rates.convoy_s[span]).min(axis=0))
    seconds[:, 1:] += rates.fixed_s[span].min()  # whoever holds the first block pays it
    sent = rates.tokens[span, None] * tables.cut_bytes
    sent = sent + (part * rates.prompts[span])[:, None] * tables.prompt_cut_bytes
    return Additive(seconds, float(rates.passes[span].min()), sent.min(axis=0), np.zeros(tables.n_nodes))


def term_cost(tables: CostTables, name: str) -> Additive:
    """Return one additive term by its name in `combine.TERMS`.

    Of a prompt whose chunks overlap, the part of the slowest stage is left out: the rest is a lower bound.
    """
    nothing = np.zeros((tables.n_nodes, tables.n_blocks + 1))
    idle = np.zeros(tables.n_nodes)
    if name == "latency":
        return step_cost(tables, 0)
    if name == "ttft":
        return Additive(
            prefix(tables.prefill_s) * (1.0 - tables.prompt_overlap), 1.0, tables.prompt_cut_bytes.copy(), idle
        )
    if name == "request_time":
        return term_cost(tables, "ttft") + step_cost(tables, 0) * (tables.output_tokens - 1)
    if name == "price":
        return Additive(nothing, 0.0, np.zeros(tables.n_blocks + 1), tables.price_per_hour.copy())
    if name == "energy":
        return Additive(prefix(tables.decode_s[0] * tables.power_w[:, None]), 0.0, np.zeros(tables.n_blocks + 1), idle)
    raise ValueError(f"'{name}' is not a sum over stages and hops")


def weighted_cost(tables: CostTables, weights: Mapping[str, float]) -> Additive:
    """Weighted sum of the additive terms among `weights`; the others are left out."""
    total = term_cost(tables, "price") * 0.0
    for name in TERMS:
        if name in ADDITIVE and weights.get(name, 0.0) > 0:
            total = total + term_cost(tables, name) * weights[name]
    return total
