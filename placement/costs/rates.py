"""The rates of one node under one runtime and one model: what the roofline divides by."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..catalog import hardware
from ..catalog.hardware import lineage
from ..question.cluster import Node
from ..question.model import Model
from .runtimes import GENERIC, RuntimeCosts, class_of

WIDE = frozenset({"bfloat16", "float16", "float32", "bf16", "f16", "f32", "fp16", "fp32"})
FLOPS_PER_SCORE = 4.0 * 128
"""Operations per attention score, twice 2 per value of a head: 128 values, as most models have."""
CORE_FLOPS_PER_S = 80e9
"""Of one core in 32 bits: 32 operations per clock at 2.5 GHz. Where nobody says how many a CPU has, its peak does."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Sustained rates and overheads; the defaults leave a plain roofline.

    Attributes
    ----------
    weights_bytes_per_s, cache_bytes_per_s : float
        Reading weights, and caches.
    score_bytes_per_flop : float
        Bytes at the rate of caches that attention scores of a prompt take per operation; 0 with fused attention.
    flops_per_s : float
        Matrix products of many rows.
    decode_flops_per_s : float
        Products of one row, unpacking counted.
    attention_flops_per_s, step_attention_flops_per_s : float
        Attention scores of a prompt and of a decode step, in kernels of their own; 0: with the products, at their rate.
    half_rows, small_rows : float
        A product of m rows takes as long as m + min(half_rows, small_rows * (m - 1)) at the full rate, less one row
        where traffic comes on top.
    expert_half_rows, expert_small_rows : float
        The same for the m rows that are routed to one expert.
    overhead_s, expert_overhead_s, sequence_s : float
        Per block and pass; more for a block with experts; per block-free pass and sequence.
    launches_overlap : bool
        A block takes the longer of launches and work.
    all_reduce_s : float
        One all-reduce, beside its link.
    serial_share : float
        Part of a block that tensor parallelism does not split.
    power : float
        A block whose arithmetic and memory traffic take a and t takes (a ** power + t ** power) ** (1 / power):
        infinite where they hide each other (a plain roofline, and prefetching CPUs), 1 where they add up.
    star : bool
        One root speaks with all others in turn in an all-reduce; else a ring.
    """

    weights_bytes_per_s: float
    cache_bytes_per_s: float
    flops_per_s: float
    decode_flops_per_s: float
    score_bytes_per_flop: float = 0.0
    attention_flops_per_s: float = 0.0
    step_attention_flops_per_s: float = 0.0
    half_rows: float = 0.0
    small_rows: float = 0.0
    expert_half_rows: float = 0.0
    expert_small_rows: float = 0.0
    overhead_s: float = 0.0
    expert_overhead_s: float = 0.0
    sequence_s: float = 0.0
    launches_overlap: bool = False
    all_reduce_s: float = 0.0
    serial_share: float = 0.0
    power: float = math.inf
    star: bool = False

    def attention_s(self, flops: float, cache_bytes: float, *, decode: bool) -> float:
        """Seconds of attention scores in kernels of their own, which read their caches beside them.

        Parameters
        ----------
        flops : float
            Operations of the scores.
        cache_bytes : float
            Bytes of cache read.
        decode : bool
            Of a decode step; else of a prompt.
        """
        rate = self.step_attention_flops_per_s if decode else self.attention_flops_per_s
        scores_s = 0.0 if decode else flops * self.score_bytes_per_flop / self.cache_bytes_per_s  # of one token, few
        return max(flops / (rate or self.flops_per_s), cache_bytes / self.cache_bytes_per_s) + scores_s

    @property
    def attention_joins(self) -> bool:
        """Whether attention is a part of one plain roofline with the products; else kernels of its own follow them."""
        return math.isinf(self.power) and not self.attention_flops_per_s

    def rows(self, rows: float) -> float:
        """Rows at the full rate that take as long as a product of `rows` rows.

        Where arithmetic and traffic do not hide each other, the first row hides behind the weights
        that are read for it.
        """
        return self._padded(rows, self.half_rows, self.small_rows)

    def expert_rows(self, rows: float) -> float:
        """The same for a product of the rows that are routed to one expert."""
        return self._padded(rows, self.expert_half_rows, self.expert_small_rows)

    def _padded(self, rows: float, half: float, small: float) -> float:
        more = max(0.0, rows - 1.0)
        return (rows if math.isinf(self.power) else more) + min(half, small * more)

    def busy_s(self, arithmetic_s: float, memory_s: float) -> float:
        """Seconds of arithmetic and memory traffic together."""
        less, most = sorted((arithmetic_s, memory_s))
        if math.isinf(self.power) or not less:
            return most
        return float(most * (1.0 + (less / most) ** self.power) ** (1.0 / self.power))


def rates_of(node: Node, model: Model, costs: RuntimeCosts) -> Rates:
    """Return the rates of a node: the file's own efficiencies and overhead win over those of the runtime.

    Parameters
    ----------
    node : Node
    model : Model
        Its number format picks the peak, and what quantized weights reach.
    costs : RuntimeCosts

    Returns
    -------
    Rates
    """
    bandwidth, compute, overhead_s = efficiencies(node, model, costs)
    kind, wide = class_of(node), model.weights.lower() in WIDE
    width = node.memory_bandwidth_bytes_per_s * bandwidth
    if costs.name == GENERIC:
        sustained = node.peak_flops_per_s(model.compute_dtype) * compute
        return Rates(width, width, sustained, sustained, overhead_s=overhead_s)
    get, peak = _Figures(costs, kind, model.weights), _peak(node, model, costs, kind)
    accelerator = {"cpu", "edge"}.isdisjoint(lineage(kind))
    cached = get("cache_bandwidth", 1.0)
    share = 1.0 if wide else get("quantized_bandwidth", 1.0)
    work = 1.0 if wide else get("work", 0.0)
    vectors = float(node.compute_flops_per_s.get("float32", peak))
    by_core = not wide and "bandwidth" not in _stated(node)  # what was measured of a machine has its cores inside
    unpacked = get("core_gb_s", 0.0) * 1e9 * _cores(node) if by_core else 0.0
    return Rates(
        weights_bytes_per_s=min(width * share, unpacked) if unpacked else width * share,
        cache_bytes_per_s=width * cached,
        score_bytes_per_flop=get("score_bytes", 0.0) * cached / FLOPS_PER_SCORE,
        flops_per_s=peak * compute * get("format_compute", 1.0),
        attention_flops_per_s=vectors * get("attention_compute", 0.0),
        step_attention_flops_per_s=vectors * get("step_attention_compute", 0.0),
        decode_flops_per_s=peak * node.compute_efficiency / work if work else float("inf"),
        half_rows=get("half_rows", 0.0),
        small_rows=get("small_rows", 0.0),
        expert_half_rows=get("expert_half_rows", get("half_rows", 0.0)),
        expert_small_rows=get("expert_small_rows", get("small_rows", 0.0)),
        overhead_s=overhead_s,
        expert_overhead_s=get("expert_overhead_us", 0.0) * 1e-6 + _waits_s(node, get),
        sequence_s=get("sequence_us", 0.0) * 1e-6,
        launches_overlap=costs.launches_overlap and accelerator,
        all_reduce_s=get("all_reduce_us", 0.0) * 1e-6,
        serial_share=get("serial_share", 0.0),
        power=costs.power if accelerator else math.inf,
        star=costs.hops.star,
    )


def efficiencies(node: Node, model: Model, costs: RuntimeCosts) -> tuple[float, float, float]:
    """Bandwidth and compute, sustained over peak, and seconds of overhead per block: the file's, else the runtime's.

    Parameters
    ----------
    node : Node
    model : Model
        Its number format decides which compute counts.
    costs : RuntimeCosts

    Returns
    -------
    (float, float, float)
    """
    bandwidth, compute, overhead_s = node.bandwidth_efficiency, node.compute_efficiency, node.overhead_s
    if costs.name == GENERIC:
        return bandwidth, compute, overhead_s
    get, own = _Figures(costs, class_of(node), model.weights), _stated(node)
    if "bandwidth" not in own:
        bandwidth = get("bandwidth", bandwidth)
    if "overhead" not in own:
        overhead_s = get("overhead_us", overhead_s * 1e6) * 1e-6 + _waits_s(node, get)
    if "compute" not in own:
        compute = get("compute", compute)
        if model.weights.lower() not in WIDE:
            compute = get("quantized_compute", compute)
    return bandwidth, compute, overhead_s


def _waits_s(node: Node, get: _Figures) -> float:
    """Seconds of a block in which the threads of a CPU wait for each other; a block with experts waits twice that."""
    return get("barrier_us", 0.0) * 1e-6 * _cores(node) / node.tensor_parallel


def _cores(node: Node) -> float:
    """Cores of a CPU, stated or guessed from its peak."""
    return node.cores or node.peak_flops_per_s("float32") / CORE_FLOPS_PER_S


def _peak(node: Node, model: Model, costs: RuntimeCosts, kind: str) -> float:
    """Peak FLOP/s of the format that matrix products are done in."""
    own = node.peak_flops_per_s(model.compute_dtype)
    if model.weights.lower() in WIDE:
        # The listed rates of tensor units are those of 32-bit accumulation, half of the other one on consumer cards.
        twice = costs.half_accumulation and "consumer" in lineage(kind)
        return 2.0 * own if twice else own
    number = next((costs.quantized_in[name] for name in lineage(kind) if name in costs.quantized_in), "")
    return float(node.compute_flops_per_s.get(number, own))


def pass_overhead_s(node: Node, costs: RuntimeCosts) -> float:
    """Return the seconds that a pass of a stage takes once: the node's own figure, or the runtime's."""
    return node.pass_overhead_s or (costs.figure(class_of(node), "pass_us") or 0.0) * 1e-6


@dataclass(frozen=True, slots=True)
class _Figures:
    """Figures of a class, those of the number format first."""

    costs: RuntimeCosts
    kind: str
    weights: str

    def __call__(self, key: str, otherwise: float) -> float:
        of_format = self.costs.formats.get(self.weights.lower(), {})
        for figures in (of_format, *(of_format.get(name, {}) for name in lineage(self.kind, key))):
            if key in figures:
                return float(figures[key])
        found = self.costs.figure(self.kind, key)
        return otherwise if found is None else found


def _stated(node: Node) -> frozenset[str]:
    """Which figures the user gave: those that differ from the catalog's of the device (or from 1 without a device)."""
    if node.device:
        device = hardware.device(node.device)
        usual = (device.bandwidth_efficiency, device.compute_efficiency, device.overhead_s)
    else:
        usual = (1.0, 1.0, 0.0)
    found = (node.bandwidth_efficiency, node.compute_efficiency, node.overhead_s)
    names = ("bandwidth", "compute", "overhead")
    return frozenset(name for name, a, b in zip(names, usual, found, strict=True) if a != b)
