"""What the page of a replicated placement draws."""

from __future__ import annotations

import numpy as np

from placement.costs.build import build_tables
from placement.plan.picture import Line, Picture, Place, StageTime
from placement.plan.plan import Plan
from placement.question.case import ReplicatedCase
from placement.question.cluster import CLIENT
from placement.question.request import Request

from ..pipeline.picture import kept_places, lines_of

MOST_HOPS = 200


def picture_of(question: Request | ReplicatedCase, plan: Plan) -> Picture:
    """Places and links; the stages are those of the chain that carries most."""
    ways = [(route.source, route.target) for route in sorted(plan.routing, key=lambda route: -route.weight)]
    ends = [(chain.nodes[-1], CLIENT) for chain in plan.chains]  # the way back is no choice, and has no weight
    used = list(dict.fromkeys((*ways[:MOST_HOPS], *ends[:MOST_HOPS])))
    if isinstance(question, ReplicatedCase):
        return _of_case(question, used)
    request, names = question, (*question.cluster.names, CLIENT)
    tables, place = build_tables(request), {name: k for k, name in enumerate(names)}
    weights, caches = np.zeros(tables.n_nodes), np.zeros(tables.n_nodes)
    for span in plan.placement:
        if span.node in place and span.node != CLIENT:
            weights[place[span.node]] += tables.weight_bytes[span.start : span.stop].sum()
            room = float(tables.capacity_bytes[place[span.node]])
            caches[place[span.node]] = max(0.0, room - weights[place[span.node]])
    pairs = {(place[a], place[b]) for a, b in used if a in place and b in place and a != b}
    best = max(plan.chains, key=lambda chain: chain.tokens_per_s or 0.0, default=None)
    stages: list[StageTime] = []
    reached, at, spans = 0, tables.n_nodes, {span.node: span for span in plan.placement}
    for name in best.nodes if best is not None else ():
        node, stop = place.get(name, -1), spans[name].stop if name in spans else 0
        if node < 0 or stop <= reached or node == tables.client:
            continue
        decode, prefill = (table[node, reached:stop].sum() for table in (tables.decode_s[0], tables.prefill_s))
        hop = float(tables.latency_s[at, node])
        wide = float(tables.bandwidth_bytes_per_s[at, node])
        prompt = hop + (float(tables.prompt_cut_bytes[reached]) / wide if wide > 0 else 0.0)
        stages.append(StageTime(name, float(decode), float(prefill), hop, prompt))
        reached, at = stop, node
    return Picture(
        kept_places(request, weights, caches),
        lines_of(request.cluster, pairs),
        tuple(stages),
        work="one token on the chain that carries most",
        block_bytes=tuple(tables.weight_bytes.tolist()),
    )


def _of_case(case: ReplicatedCase, used: list[tuple[str, str]]) -> Picture:
    """Places and links of a case that is given by tables: bytes of memory are not known."""
    places = zip(case.node_names, case.regions, case.node_types, strict=True)
    index = {name: k for k, name in enumerate((*case.node_names, CLIENT))}
    tables = case.tables
    return Picture(
        tuple(Place(name, region=region, device=kind) for name, region, kind in places),
        tuple(
            Line(
                a,
                b,
                float(tables.latency_s[index[a], index[b]]),
                float(min(tables.bandwidth_bytes_per_s[index[a], index[b]], 1e15)),
            )
            for a, b in used
            if a in index and b in index and a != b
        ),
    )
