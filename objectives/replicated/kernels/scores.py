"""Packed data and compiled terms of replicated placements: the twin of `objectives/replicated/terms.py`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from objectives.combine import REPLICATED, Objective
from objectives.jit import fill, inner, kernel

from ..node_kinds import families, kinds, wide_links
from ..routing import at_size, links_s, own_s
from ..tables import FloatArray, IntArray, ReplicatedTables
from ..terms import idle_s
from .flow import COUNT, NEXT, START, STOP, grouped_flow, make_capacities, make_groups
from .served import lost, serve

TERMS = REPLICATED.names
N_TERMS = len(TERMS)
# Where the terms lie in a row of them.
SERVED, FLOW, REPLICAS = TERMS.index("throughput"), TERMS.index("flow"), TERMS.index("replicas")
STEP, FIRST_TOKEN, BEST_CHAIN = TERMS.index("latency"), TERMS.index("ttft"), TERMS.index("best_chain")
LOSS, RENT, MOVED = TERMS.index("survival"), TERMS.index("price"), TERMS.index("moved_bytes")


class ReplicatedData(NamedTuple):
    """Constants and scratch of the kernels; Q kinds of nodes that are alike, see `kinds`.

    Rates, links and cards are in tokens/s; `nic` has columns in from the client, in from nodes, out to the client,
    out to nodes. Scratch is reused by every call and never read across calls.
    """

    kind: IntArray
    rate: FloatArray
    nic: FloatArray
    link: FloatArray
    source: FloatArray
    sink: FloatArray
    most: IntArray
    price: FloatArray
    availability: FloatArray
    block_bytes: FloatArray
    running: IntArray
    weights: FloatArray
    limits: FloatArray
    group: IntArray
    head: IntArray
    bound: IntArray
    capacity: FloatArray
    first: IntArray
    after: IntArray
    to: IntArray
    level: IntArray
    todo: IntArray
    path: IntArray
    room: FloatArray
    cover: FloatArray
    overflow: FloatArray
    holders: IntArray
    stage: IntArray
    other: IntArray
    spare: IntArray
    table: FloatArray
    suffix: FloatArray
    sizes: IntArray
    own: FloatArray
    hop: FloatArray
    latency: FloatArray
    prompt_link_s: FloatArray
    token_link_s: FloatArray
    kv_room: FloatArray
    prompt_s: FloatArray
    decode_at: FloatArray
    decode_s: FloatArray
    order: IntArray
    useful: npt.NDArray[np.bool_]
    joint: IntArray
    raw: FloatArray
    share: FloatArray
    visits: FloatArray
    factor: FloatArray
    batch: FloatArray
    caught: FloatArray
    behind: FloatArray
    ring: FloatArray
    family: IntArray
    concurrency: float
    prompt_tokens: float
    output_tokens: float
    want_served: bool
    want_survival: bool
    n_nodes: int
    n_blocks: int
    min_replicas: int
    max_stages: int
    must: IntArray
    max_nodes: int
    partial: bool
    client_in: float
    client_out: float
    least: float
    idle_s: float
    soft: float
    unaligned: float
    ordered: bool


def replicated_data(
    tables: ReplicatedTables, objective: Objective, soft: float = 0.0, unaligned: float = 0.1, whole: bool = False
) -> ReplicatedData:
    """Pack tables and objective for the kernels.

    Parameters
    ----------
    soft : float
        Part of the cost that a search sees when all blocks are as scarce as the scarcest one; breaks ties.
    unaligned : float
        Probability of a move that ignores stages.
    whole : bool
        Compute every term, whether the objective needs it or not.
    """
    n, blocks = tables.n_nodes, tables.n_blocks
    served = whole or _wanted(objective, "throughput", "latency", "ttft", "best_chain")
    kind = kinds(tables, served)
    chosen = np.array([int(np.argmax(kind == q)) for q in range(int(kind.max()) + 1)])
    band, q = wide_links(tables), len(chosen)
    link = band[np.ix_(chosen, chosen)].copy()
    for number in range(q):
        # Within a kind the diagonal of its first member says nothing: look at two members.
        pair = np.flatnonzero(kind == number)[:2]
        link[number, number] = band[pair[0], pair[1]] if len(pair) > 1 else 0.0
    between = tables.token_bytes + tables.activation_bytes
    nic_in, nic_out = tables.nic_in[chosen], tables.nic_out[chosen]
    most_arcs = 2 * (n * n // (1 if tables.partial else 2) + 3 * n + 4)
    vertices = 2 * n + blocks + 4
    zeros = np.zeros
    return ReplicatedData(
        kind=kind,
        rate=np.ascontiguousarray(tables.rate[chosen]),
        nic=np.column_stack(
            [nic_in / tables.token_bytes, nic_in / between, nic_out / tables.token_bytes, nic_out / between]
        ),
        link=link,
        source=band[n, chosen].copy(),
        sink=band[chosen, n].copy(),
        most=tables.most_blocks[chosen],
        price=tables.price_per_hour.copy(),
        availability=tables.availability.copy(),
        block_bytes=np.concatenate([[0.0], tables.block_bytes.cumsum()]),
        running=tables.running.copy(),
        weights=objective.weight_vector(),
        limits=objective.limit_vector(),
        group=zeros((7, n), dtype=np.int64),
        head=zeros(blocks + 1, dtype=np.int64),
        bound=zeros(blocks + 1, dtype=np.int64),
        capacity=zeros(n),
        first=zeros(vertices, dtype=np.int64),
        after=zeros(most_arcs, dtype=np.int64),
        to=zeros(most_arcs, dtype=np.int64),
        level=zeros(vertices, dtype=np.int64),
        todo=zeros(vertices, dtype=np.int64),
        path=zeros(vertices, dtype=np.int64),
        room=zeros(most_arcs),
        cover=zeros(blocks + 1),
        overflow=np.zeros((2, blocks + 1)),
        holders=zeros(blocks + 1, dtype=np.int64),
        stage=zeros(n, dtype=np.int64),
        other=zeros(n, dtype=np.int64),
        spare=zeros(2 * n, dtype=np.int64),
        table=zeros((n + 2, tables.rate.shape[1] + 2)),
        suffix=zeros((n + 2, tables.rate.shape[1] + 2)),
        sizes=zeros((4, n + 2), dtype=np.int64),
        **_serving(tables, kind, chosen),
        order=zeros(n, dtype=np.int64),
        useful=zeros(n + 1, dtype=np.bool_),
        joint=zeros((2, most_arcs // 2), dtype=np.int64),
        raw=zeros(most_arcs // 2),
        share=zeros(most_arcs // 2),
        visits=zeros(n + 1),
        factor=zeros(n),
        batch=zeros(n),
        caught=zeros(n),
        behind=zeros(n + 1),
        ring=zeros((5, n)),
        family=families(tables),
        concurrency=tables.concurrency,
        prompt_tokens=tables.prompt_tokens,
        output_tokens=tables.output_tokens,
        want_served=served,
        want_survival=whole or _wanted(objective, "survival"),
        n_nodes=n,
        n_blocks=blocks,
        min_replicas=tables.min_replicas,
        max_stages=tables.max_stages,
        must=tables.must.copy(),
        max_nodes=tables.max_nodes,
        partial=tables.partial,
        client_in=tables.client_in / tables.token_bytes,
        client_out=tables.client_out / tables.token_bytes,
        least=1e-12 * float(tables.rate.max()),
        idle_s=idle_s(tables),
        soft=soft,
        unaligned=unaligned,
        ordered=order_matters(tables),
    )


def _wanted(objective: Objective, *names: str) -> bool:
    """Whether the objective needs one of these terms."""
    return any(name in objective.weights or name in objective.limits or name in objective.pareto for name in names)


def _serving(tables: ReplicatedTables, kind: IntArray, chosen: IntArray) -> dict[str, FloatArray]:
    """What the estimate of served throughput reads, by kind; the client is the last row and column of links."""
    n, width = tables.n_nodes, tables.rate.shape[1]
    prompt, token = links_s(tables)
    share = 1.0 / tables.output_tokens
    hop = tables.latency_s * (1.0 + share) + token + prompt * share
    ends = np.append(chosen, n)
    links = [table[np.ix_(ends, ends)].copy() for table in (hop, tables.latency_s, prompt, token)]
    for a, node in enumerate(chosen.tolist()):
        # Within a kind a link is that between two of its nodes, where there are two.
        other = int(np.flatnonzero(kind == a)[-1])
        for small, table in zip(links, (hop, tables.latency_s, prompt, token), strict=True):
            small[a, a] = table[node, other]
    hop, latency, prompt, token = links
    own = np.array([own_s(tables, node) for node in chosen.tolist()])[:, None] * np.arange(1, width + 1)
    return {
        "own": own,
        "hop": hop,
        "latency": latency,
        "prompt_link_s": prompt,
        "token_link_s": token,
        "kv_room": tables.request_room[chosen],
        "prompt_s": np.array([at_size(tables.prompt_at, tables.prompt_s[i], tables.prompt_tokens) for i in chosen]),
        "decode_at": tables.decode_at.copy(),
        "decode_s": tables.decode_s[chosen],
    }


def order_matters(tables: ReplicatedTables) -> bool:
    """Whether the order of stages can change a figure: False when all links are wide and equally long."""
    n, band = tables.n_nodes, wide_links(tables)
    fastest = tables.rate.max(axis=1)
    off = ~np.eye(n, dtype=bool)
    wide = (band[:n, :n] >= np.minimum(fastest[:, None], fastest[None, :]))[off].all()
    wide &= bool((band[n, :n] >= fastest).all() and (band[:n, n] >= fastest).all())
    latency = tables.latency_s
    return not (wide and np.ptp(latency[:n, :n][off]) == 0.0 and np.ptp(latency[n, :n]) == 0.0) if n > 1 else False


@inner
def coverage(d, count):
    """Fill `d.holders` and `d.cover` (tokens/s) per block; return (fewest holders, holders missing)."""
    holders, cover, group = d.holders, d.cover, d.group
    fill(holders, d.n_blocks + 1, 0)
    fill(cover, d.n_blocks + 1, 0.0)
    for g in range(count):
        start, stop = group[START, g], group[STOP, g]
        holders[start] += group[COUNT, g]
        holders[stop] -= group[COUNT, g]
        cover[start] += group[COUNT, g] * d.capacity[g]
        cover[stop] -= group[COUNT, g] * d.capacity[g]
    fewest, missing, held, total = holders[0], 0, 0, 0.0
    for b in range(d.n_blocks):
        held += holders[b]
        total += cover[b]
        holders[b] = held
        cover[b] = total
        fewest = min(fewest, held)
        missing += max(0, d.min_replicas - held)
    return fewest, missing


@inner
def reach(d, count):
    """Return (the furthest position that chains reach, the most nodes of a chain that reaches the end)."""
    depth, furthest, group = d.level, 0, d.group
    fill(depth, d.n_blocks + 1, -1)
    depth[0] = 0
    for position in range(d.n_blocks):
        if depth[position] < 0:
            continue
        furthest = position
        if d.partial:
            for g in range(count):
                if group[START, g] <= position < group[STOP, g]:
                    depth[group[STOP, g]] = max(depth[group[STOP, g]], depth[position] + 1)
        else:
            g = d.head[position]
            while g >= 0:
                depth[group[STOP, g]] = max(depth[group[STOP, g]], depth[position] + 1)
                g = group[NEXT, g]
    if depth[d.n_blocks] >= 0:
        furthest = d.n_blocks
    return furthest, depth[d.n_blocks]


@inner
def scarcity(d, flow):
    """Mean over blocks of (flow / capacity of the block)^8: 1 when every block is as scarce as the scarcest one."""
    total = 0.0
    for b in range(d.n_blocks):
        x = flow / d.cover[b]
        x *= x
        x *= x
        total += x * x
    return total / d.n_blocks


@inner
def replicated_terms(genome, d, terms):
    """Fill `terms` (in the order of `combine.REPLICATED`); return the violation."""
    count = make_groups(genome, d)
    make_capacities(d, count)
    flow = grouped_flow(d, count)
    fewest, missing = coverage(d, count)
    furthest, depth = reach(d, count)
    violation = missing / d.n_blocks
    if flow <= d.least:
        flow = 0.0
        violation += 1.0 + (d.n_blocks - furthest) / d.n_blocks
    violation += max(0, depth - d.max_stages)
    price, moved, used = 0.0, 0.0, 0
    for m in range(d.must.shape[0]):
        node, block = d.must[m, 0], d.must[m, 1]
        start, stop = genome[node], genome[d.n_nodes + node]
        if stop <= start or (block >= 0 and not start <= block < stop):
            violation += 1.0
    for i in range(d.n_nodes):
        start, stop = genome[i], genome[d.n_nodes + i]
        if stop > start:
            price += d.price[i]
            used += 1
            violation += max(0, stop - start - d.most[d.kind[i]])
            had, until = max(start, d.running[i, 0]), min(stop, d.running[i, 1])
            moved += d.block_bytes[stop] - d.block_bytes[start]
            if until > had:
                moved -= d.block_bytes[until] - d.block_bytes[had]
    if d.max_nodes > 0:
        violation += max(0, used - d.max_nodes)
    terms[FLOW] = 1.0 / flow if flow > 0.0 else d.idle_s
    terms[REPLICAS] = 1.0 / fewest if fewest > 0 else 2.0
    terms[RENT] = price
    terms[MOVED] = moved
    terms[LOSS] = 0.0
    for k in (SERVED, STEP, FIRST_TOKEN, BEST_CHAIN):
        terms[k] = d.idle_s
    if d.want_served:
        served, step, ttft, best = serve(d, count, flow)
        if served > 0.0:
            terms[SERVED], terms[STEP], terms[FIRST_TOKEN], terms[BEST_CHAIN] = 1.0 / served, step, ttft, best
    if d.want_survival:
        terms[LOSS] = lost(genome, d)
    for k in range(N_TERMS):
        if terms[k] > d.limits[k] * (1.0 + 1e-12):
            violation += terms[k] / d.limits[k] - 1.0
    return violation


@inner
def replicated_cost(genome, d):
    """Return (cost, violation) of one genome; the cost includes the part `d.soft` that breaks ties."""
    terms = np.empty(N_TERMS)
    violation = replicated_terms(genome, d, terms)
    cost = 0.0
    for k in range(N_TERMS):
        cost += d.weights[k] * terms[k]
    if d.soft > 0.0 and terms[FLOW] < d.idle_s:
        coverage(d, make_groups(genome, d))
        cost *= 1.0 + d.soft * scarcity(d, 1.0 / terms[FLOW])
    return cost, violation


@kernel
def replicated_batch(genomes, d, terms, violations):
    """Fill terms (n, terms) and violations (n,) of many genomes."""
    for k in range(genomes.shape[0]):
        violations[k] = replicated_terms(genomes[k], d, terms[k])
