"""Tiny hosts drawn at random, and the best plan of all groupings, orders and cuts by plain enumeration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, combinations, permutations
from typing import Any

import numpy as np

from objectives.pipeline.limits import violation
from objectives.pipeline.terms import cost, pipeline_terms
from objectives.spans import Span
from placement.costs.build import build_tables
from placement.costs.parts import alone, can_leave
from placement.kinds.space.groups import ways
from placement.kinds.space.variants import with_groups
from placement.question.request import Away, Request

CPU: dict[str, Any] = {
    "name": "cpu",
    "host": "pc",
    "main_memory": True,
    "memory": "64 GiB",
    "compute": "2 TFLOP/s",
    "memory_bandwidth": "60 GB/s",
}
"""Main memory beside the cards of a PC."""
OBJECTIVES = ("latency", "throughput", "ttft", "price", "request_time")


def host(rng: np.random.Generator, devices: int, blocks: int, *, alike: bool) -> dict[str, Any]:
    """A cluster file of one host whose devices may join."""
    heads = int(rng.choice([4, 8, 12]))
    layers = blocks - 2
    weights = rng.uniform(0.5, 1.5)
    need = layers * weights + 0.6
    nodes = [
        {
            "name": f"g{k}",
            "host": "pc",
            "tensor_parallel": "auto",
            "memory": f"{1 + need * rng.uniform(0.3, 1.3):.3f} GB",
            "memory_bandwidth": f"{rng.uniform(100, 1000):.0f} GB/s",
            "compute": f"{rng.uniform(5, 100):.0f} TFLOP/s",
            "overhead": f"{rng.uniform(0, 50):.0f} us",
            "price": f"{rng.uniform(0.1, 2):.2f} $/h",
        }
        for k in range(devices)
    ]
    if alike:
        nodes = [{**nodes[0], "name": node["name"]} for node in nodes]
    return {
        "model": {
            "heads": heads,
            "kv_heads": int(rng.choice([heads, 2, 1])),
            "blocks": [
                {"name": "embed", "weights": "0.3 GB", "activation_per_token": "8 kB", "lookup": True},
                {
                    "name": "layer",
                    "repeat": layers,
                    "weights": f"{weights:.3f} GB",
                    "kv_per_token": "100 kB",
                    "activation_per_token": "8 kB",
                    "flops_per_token": "2 GFLOP",
                },
                {"name": "head", "weights": "0.3 GB", "flops_per_token": "0.6 GFLOP", "last_token_only": True},
            ],
        },
        "workload": {"prompt_tokens": 256, "output_tokens": 64, "concurrency": int(rng.choice([1, 4, 16]))},
        "objective": str(rng.choice(OBJECTIVES)),
        "nodes": nodes,
        "network": {"default": _link(rng)},
    }


def _link(rng: np.random.Generator) -> dict[str, str]:
    return {"bandwidth": f"{rng.uniform(2, 60):.0f} GB/s", "latency": f"{rng.uniform(1, 40):.0f} us"}


def partitions(items: Sequence[int]) -> Iterator[tuple[tuple[int, ...], ...]]:
    """All partitions of a set."""
    if not items:
        yield ()
        return
    for rest in partitions(items[1:]):
        yield ((items[0],), *rest)
        for k, part in enumerate(rest):
            yield (*rest[:k], (items[0], *part), *rest[k + 1 :])


def possible(request: Request, group: Sequence[int]) -> bool:
    """Whether a group may be formed: equal shares need heads that they divide, unlike devices share as they like."""
    nodes = [request.cluster.nodes[k] for k in group]
    if len({(node.memory_bytes, node.memory_bandwidth_bytes_per_s) for node in nodes}) > 1:
        return True
    heads, pieces = request.model.heads, request.model.kv_heads
    return heads % len(group) == 0 and (pieces % len(group) == 0 or len(group) % pieces == 0)


def best_by_hand(request: Request) -> float:
    """The least cost of any grouping, order and cut; infinite where nothing fits."""
    best = np.inf
    for partition in partitions(range(request.cluster.n_nodes)):
        groups = tuple(part for part in partition if len(part) > 1)
        if not all(possible(request, group) for group in groups):
            continue
        for how in ways(request.cluster, groups) if groups else ("equal",):
            variant = with_groups(request, groups, how) if groups else request
            assert variant is not None
            best = min(best, best_split(variant))
    return best


def best_split(request: Request) -> float:
    """The least cost of any order of nodes and any cuts between them."""
    tables = build_tables(request)
    best = np.inf
    for stages in range(1, tables.n_nodes + 1):
        for order in permutations(range(tables.n_nodes), stages):
            for cuts in combinations(range(1, tables.n_blocks), stages - 1):
                ends = (0, *cuts, tables.n_blocks)
                spans = [Span(node, ends[k], ends[k + 1]) for k, node in enumerate(order)]
                terms = pipeline_terms(tables, spans)
                if violation(tables, request.objective, spans, terms).total == 0:
                    best = min(best, cost(request.objective, terms))
    return best


def minimised(value: float, maximised: bool) -> float:
    """A plan's value as the enumeration has it."""
    return 1.0 / value if maximised else value


def offloading(
    rng: np.random.Generator, cards: int, blocks: int, *, mixed: bool = False, cached: bool = False
) -> dict[str, Any]:
    """A cluster file of cards that may leave the FFN of their layers in the main memory of their host.

    `mixed`: some of the layers have routed experts, which may leave too; `cached`: caches are large, and may leave.
    """
    data = host(rng, cards, blocks, alike=bool(rng.integers(2)))
    layer = float(data["model"]["blocks"][1]["weights"].split()[0])
    ffn = 0.7 * layer
    data["model"]["blocks"][1]["ffn_weights"] = f"{ffn:.3f} GB"
    for node in data["nodes"]:
        node |= {"tensor_parallel": 1, "offload": ["experts"] * mixed + ["ffn"] + ["cache"] * cached}
    need = (blocks - 2) * layer
    if cached:
        cache = layer * rng.uniform(0.2, 1.5)
        data["model"]["blocks"][1]["kv_per_token"] = f"{1e6 * cache / 320:.0f} kB"  # prompt and output
        need += (blocks - 2) * cache
    data["nodes"].append(
        {
            "name": "cpu",
            "host": "pc",
            "main_memory": True,
            "memory": f"{need * rng.uniform(0.5, 1.5):.3f} GB",
            "memory_bandwidth": f"{rng.uniform(20, 100):.0f} GB/s",
            "compute": f"{rng.uniform(0.5, 4):.1f} TFLOP/s",
        }
    )
    if mixed:
        _mix(rng, data["model"]["blocks"], layer)
    return data


def _mix(rng: np.random.Generator, blocks: list[dict[str, Any]], layer: float) -> None:
    """Give some of the alike layers routed experts."""
    dense = blocks[1]
    experts = {key: value for key, value in dense.items() if key != "ffn_weights"} | {
        "name": "mixture",
        "weights": f"{layer * rng.uniform(1.0, 1.6):.3f} GB",
        "expert_weights": f"{layer * rng.uniform(0.5, 0.9):.3f} GB",
        "experts": 8,
        "experts_per_token": int(rng.integers(1, 4)),
    }
    first = int(rng.integers(1, dense["repeat"]))
    blocks[1:2] = [{**dense, "repeat": first}, {**experts, "repeat": dense["repeat"] - first}]


def choices(request: Request, cards: Sequence[str] = ()) -> list[Request]:
    """The question with every choice of blocks whose FFN or experts lie in main memory, as far as that holds them.

    Where cards may leave their caches, once more with those of all layers there.
    """
    cards, model = tuple(cards) or request.cluster.names[:-1], request.model
    caches = tuple(b for b, block in enumerate(model.blocks) if can_leave(block, "cache"))
    cache = Away("cache", caches, "cpu", cards)
    bases = [request]
    if all("cache" in node.offload for node in request.cluster.nodes[:-1]):
        bases.append(replace(request, away=(cache,)))
    return [choice for base in bases for choice in _beside(base, cards)]


def _beside(request: Request, cards: tuple[str, ...]) -> list[Request]:
    """Every choice of weights beside what is away already, as far as main memory holds both."""
    model = request.model
    able = {b: part for b, block in enumerate(model.blocks) for part in ("experts", "ffn") if can_leave(block, part)}
    room = float(build_tables(request).capacity_bytes[-1])
    subsets = chain.from_iterable(combinations(able, k) for k in range(1, len(able) + 1))
    size = {b: alone(model.blocks[b], part).weight_bytes for b, part in able.items()}
    found = [request] if room >= 0 else []
    for chosen in subsets:
        if sum(size[b] for b in chosen) <= room:
            parts = {part: tuple(b for b in chosen if able[b] == part) for part in ("experts", "ffn")}
            aways = tuple(Away(part, blocks, "cpu", cards) for part, blocks in parts.items() if blocks)
            found.append(replace(request, away=(*request.away, *aways)))
    return found
