"""What the page of a pipeline draws: every figure comes from the tables that scores are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, islice

import numpy as np

from objectives.pipeline.tables import CostTables, FloatArray
from objectives.pipeline.terms import hops, node_sums, transfer_s
from objectives.spans import Span
from placement.costs.build import build_tables
from placement.costs.memory import capacity_bytes, workspace_bytes
from placement.costs.parts import alone
from placement.costs.runtimes import costs_or_generic
from placement.plan.picture import Line, Picture, Place, StageTime
from placement.plan.plan import Figures, Plan
from placement.question.cluster import CLIENT, Cluster
from placement.question.request import Request

from ..space.copies import devices_of, one_by_one, part_of
from ..space.variants import as_named, asked_for
from .spans import numbered_spans

MOST_LINES = 60  # of links that no chain uses


def picture_of(question: Request, plan: Plan) -> Picture:
    """Places, links and stages of a pipeline; of several, the places and links of all, and the stages of the first."""
    if len(plan.chains) > 1:
        return _beside_each_other(question, plan)
    placement = as_named(plan.placement, question)
    request = asked_for(placement, question)
    tables, spans = build_tables(request, streams=False), numbered_spans(placement, request)
    batch, flight = int(plan.figures.get("micro_batch", 1)), int(plan.figures.get("in_flight", 1))
    used = {(i, j) for i, j, _ in hops(tables, spans)}
    return Picture(
        places=places_of(request, tables, spans, flight),
        lines=lines_of(request.cluster, used),
        stages=stages_of(request, tables, spans, batch),
        batches=max(1, flight // max(1, batch)),
        prompt_overlap=tables.prompt_overlap,
        block_bytes=tuple(tables.weight_bytes.tolist()),
        work=f"a decode step of {batch} sequence{'s' if batch > 1 else ''}",
    )


def _beside_each_other(question: Request, plan: Plan) -> Picture:
    """Pipelines side by side, each drawn as an answer to its own question, and the nodes that none is on."""
    pictures, taken = [], set[int]()
    for chain, layout in zip(plan.chains, one_by_one(plan.placement), strict=True):
        part, flight = devices_of(question.cluster, layout), max(1, chain.capacity or 1)
        batch = min(int(plan.figures.get("micro_batch", 1)), flight)
        figures = Figures({**plan.figures, "in_flight": flight, "micro_batch": batch})
        alone = replace(plan, placement=tuple(layout), chains=(), figures=figures)
        pictures.append(picture_of(part_of(question, part, flight), alone))
        taken |= set(part)
    none = np.zeros(question.cluster.n_nodes)
    idle = [place for k, place in enumerate(kept_places(question, none, none)) if k not in taken]
    return replace(
        pictures[0],
        places=(*(place for picture in pictures for place in picture.places), *idle),
        lines=tuple(line for picture in pictures for line in picture.lines),
    )


def places_of(request: Request, tables: CostTables, spans: Sequence[Span], flight: int) -> tuple[Place, ...]:
    """The nodes with what their memory is used for, with so many sequences in flight."""
    weights = node_sums(tables, spans, tables.weight_bytes)
    caches = node_sums(tables, spans, tables.kv_bytes) * flight
    for away in request.away:
        home = request.cluster.index(away.home)
        for part in (alone(request.model.blocks[block], away.part) for block in away.blocks):
            weights[home] += part.weight_bytes
            caches[home] += flight * part.kv_bytes(request.workload.context_tokens)
    return kept_places(request, weights, caches)


def kept_places(request: Request, weights: FloatArray, caches: FloatArray) -> tuple[Place, ...]:
    """Places from bytes of weights and caches by node (N,); nothing passes through a node without weights."""
    costs = costs_or_generic(request.runtime or request.costs)
    per_pass = workspace_bytes(request.model, request.workload, costs)
    room = [capacity_bytes(node, request.model, request.workload, costs) for node in request.cluster.nodes]
    return tuple(
        Place(
            name=node.name,
            region=node.region,
            host=node.host,
            device=node.device,
            weights_bytes=float(weights[k]),
            cache_bytes=float(caches[k]),
            pass_bytes=float(per_pass) if weights[k] > 0 else 0.0,
            beside_bytes=float(max(0.0, node.memory_bytes - room[k] - per_pass)),
            memory_bytes=float(node.memory_bytes),
            main_memory=node.main_memory,
        )
        for k, node in enumerate(request.cluster.nodes)
    )


def lines_of(cluster: Cluster, used: set[tuple[int, int]]) -> tuple[Line, ...]:
    """Links that are used, and the fastest one between any two other hosts (or nodes without a host)."""
    names = (*cluster.names, CLIENT)
    shown = dict.fromkeys(sorted(used), True)
    sites: dict[str, int] = {}
    for k, node in enumerate(cluster.nodes):
        sites.setdefault(f"host {node.host}" if node.host else f"node {node.name}", k)
    pairs = ((i, j) for i, j in combinations(sorted(sites.values()), 2) if not {(i, j), (j, i)} & shown.keys())
    shown.update(dict.fromkeys(islice(pairs, MOST_LINES), False))
    return tuple(
        Line(names[i], names[j], float(cluster.latency_s[i, j]), _finite(cluster.bandwidth_bytes_per_s[i, j]), used_)
        for (i, j), used_ in shown.items()
        if cluster.bandwidth_bytes_per_s[i, j] > 0
    )


def _finite(bandwidth: float) -> float:
    return float(bandwidth) if np.isfinite(bandwidth) else 0.0


def stages_of(request: Request, tables: CostTables, spans: Sequence[Span], batch: int) -> tuple[StageTime, ...]:
    """Seconds of each stage and of the hop into it; the last one is the way back to the client."""
    row = int(np.searchsorted(tables.batches, batch))
    names = request.cluster.names
    into = {(j, cut): (i, j, cut) for i, j, cut in hops(tables, spans)}

    def hop(node: int, cut: int, n_bytes: float) -> float:
        found = into.get((node, cut))
        return float(tables.latency_s[found[0], node]) + transfer_s(tables, found, n_bytes) if found else 0.0

    found = [
        StageTime(
            names[span.node],
            float(tables.decode_s[row, span.node, span.start : span.stop].sum()),
            float(tables.prefill_s[span.node, span.start : span.stop].sum()),
            hop(span.node, span.start, batch * float(tables.cut_bytes[span.start])),
            hop(span.node, span.start, float(tables.prompt_cut_bytes[span.start])),
        )
        for span in spans
    ]
    end = tables.n_blocks
    back = hop(tables.client, end, batch * float(tables.cut_bytes[end]))
    return (*found, StageTime(CLIENT, 0.0, 0.0, back, hop(tables.client, end, float(tables.prompt_cut_bytes[end]))))
