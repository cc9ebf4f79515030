"""A plan as a machine that serves: stages with the costs of their passes, links, room for caches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from objectives.pipeline.tables import CostTables
from placement.costs.build import build_tables
from placement.costs.engines import HostCosts, engine_notes, host_costs, serving_costs
from placement.costs.parts import span_costs_apart
from placement.costs.passes import BlockCosts, span_costs, token_grid
from placement.errors import InputError
from placement.plan.plan import PlacedChain, PlacedSpan, Plan
from placement.question.model import Model
from placement.question.request import CACHE, Request

from .kernels.events import FloatArray, Machine
from .options import EngineOptions

WITHOUT_WINDOW = 1 << 40
MOST_ROOM = float(1 << 50)  # tokens; counts of blocks have 63 bits
TABLED = ("products_s",)
PER_KIND = ("blocks", "attention_s", "cache_s", "kept_s", "state_s")
PER_STAGE = ("kinds", "rows", "window", "length", "bytes_in", *TABLED, *PER_KIND)


@dataclass(frozen=True, slots=True)
class Room:
    """Memory for caches in one instance.

    Attributes
    ----------
    tokens : float
        Tokens of cache for which the scarcest stage has room.
    token_bytes : float
        Cache of one token in all stages.
    sequence_tokens : float
        What a sequence takes beside its tokens, in tokens of the scarcest stage: state, windows.
    """

    tokens: float
    token_bytes: float
    sequence_tokens: float


@dataclass(frozen=True, slots=True)
class Serving:
    """What requests run on.

    Attributes
    ----------
    machine : Machine
        Arrays for the kernels.
    rooms : tuple of Room
        One per instance.
    nodes : tuple of str
        Names, one per row of the machine's nodes.
    weights : tuple of float
        Part of the requests that each instance is meant to get; they add up to 1.
    windows : tuple of int
        Tokens of context that blocks see, the unlimited ones first.
    layers, heads_bytes : int, float
        Blocks with a cache; bytes of a token's query and partial result in one of them, for attention elsewhere.
    host : HostCosts
    notes : tuple of str
    """

    machine: Machine
    rooms: tuple[Room, ...]
    nodes: tuple[str, ...]
    weights: tuple[float, ...]
    windows: tuple[int, ...]
    layers: int
    heads_bytes: float
    host: HostCosts
    notes: tuple[str, ...] = ()

    @property
    def instances(self) -> int:
        """Chains that serve side by side."""
        return len(self.rooms)


def serving_of(plan: Plan, request: Request, options: EngineOptions, *, copies: int = 1) -> Serving:
    """Build the machine that a plan makes of a cluster.

    Parameters
    ----------
    plan : Plan
        With a placement; a replicated one with its chains.
    request : Request
        The question that it answers: model, cluster and workload.
    options : EngineOptions
    copies : int
        So many equal machines side by side, linked as the first and the last node of one are.

    Raises
    ------
    InputError
        The plan names nodes or blocks that the question does not have, leaves no room for caches, or has no chains.
    """
    if plan.n_blocks != request.model.n_blocks:
        raise InputError(f"the plan has {plan.n_blocks} blocks, the model of the question {request.model.n_blocks}")
    if request.draft is not None or any(extra.prompt_flops for extra in request.model.extras):
        raise InputError("requests with speculation or images are not simulated", "extras")
    cache = next((away for away in request.away if away.part == CACHE), None)
    if cache is not None:
        raise InputError(f"the cache of '{cache.cards[0]}' lies in main memory, which is not simulated", "placement")
    stated = request.cluster
    request, known, engine = serving_costs(request)
    tables = build_tables(request, known, streams=False)
    host = options.host or host_costs(engine=engine)
    chains, weights = chains_of(plan)
    spans = [_spans(plan, chain) for chain in chains]
    windows = _windows(request.model)
    unique = list(dict.fromkeys(span for chain in spans for span in chain))
    costs = []
    for span in unique:
        node = request.cluster.nodes[request.cluster.index(span.node)]
        if any(span.node in away.cards for away in request.away):
            costs.append(span_costs_apart(request, span.node, (span.start, span.stop), known))
        else:
            costs.append(span_costs(node, request.model, request.workload, span.start, span.stop, known))
    rooms = _rooms(spans, request, tables, options)
    machine = _machine(unique, spans, costs, windows, request, tables, host)
    cached = [block for block in request.model.blocks if block.kv_bytes_per_token + block.kept_bytes_per_token > 0]
    serving = Serving(
        machine=machine,
        rooms=tuple(rooms),
        nodes=request.cluster.names,
        weights=tuple(weight / sum(weights) for weight in weights),
        windows=windows,
        layers=len(cached),
        heads_bytes=max((block.activation_bytes_per_token for block in cached), default=0.0) * 2.0,
        host=host,
        notes=(*engine_notes(stated, request.cluster), *_apart_notes(request), *request.model.notes, *stated.notes),
    )
    return serving if copies == 1 else copied(serving, copies)


def chains_of(plan: Plan) -> tuple[tuple[PlacedChain, ...], list[float]]:
    """The chains of a plan and how requests are spread over them; a pipeline is one chain."""
    if plan.status == "infeasible":
        raise InputError("expected a plan that fits, got one that breaks a rule", "status")
    if not plan.chains:
        if plan.routing or plan.ranges:
            raise InputError("expected chains in the plan, got none: solve it with chains", "chains")
        return (PlacedChain(tuple(span.node for span in plan.placement)),), [1.0]
    weights = [chain.tokens_per_s or chain.capacity or 1.0 for chain in plan.chains]
    return plan.chains, [float(weight) for weight in weights]


def _spans(plan: Plan, chain: PlacedChain) -> tuple[PlacedSpan, ...]:
    """The spans of a chain: what each of its nodes computes, in block order."""
    if not plan.chains:
        return merged(plan.placement)
    held = {span.node: span for span in plan.placement}
    found, at = [], 0
    for k, node in enumerate(chain.nodes):
        if node not in held:
            raise InputError(f"node '{node}' of a chain holds nothing", "chains")
        stop = chain.stops[k] if chain.stops else held[node].stop
        if not (held[node].start <= at < stop <= held[node].stop):
            raise InputError(f"a chain asks '{node}' for the blocks {at}:{stop}, which it does not hold", "chains")
        found.append(PlacedSpan(node, at, stop))
        at = stop
    if at != plan.n_blocks:
        raise InputError(f"a chain ends at block {at} of {plan.n_blocks}", "chains")
    return tuple(found)


def merged(spans: Sequence[PlacedSpan]) -> tuple[PlacedSpan, ...]:
    """Neighbouring spans of one node as one stage, whether parts of some blocks lie apart or not."""
    found: list[PlacedSpan] = []
    for span in spans:
        if found and found[-1].node == span.node and found[-1].stop == span.start:
            found[-1] = PlacedSpan(span.node, found[-1].start, span.stop)
        else:
            found.append(PlacedSpan(span.node, span.start, span.stop))
    return tuple(found)


def _apart_notes(request: Request) -> tuple[str, ...]:
    """What is left out where parts lie in main memory."""
    cards: dict[str, set[str]] = {}
    for away in request.away:
        cards.setdefault(away.home, set()).update(away.cards)
    return tuple(
        f"'{home}' computes the parts of each card as if the others left it alone"
        for home, served in cards.items()
        if len(served) > 1
    )


def _windows(model: Model) -> tuple[int, ...]:
    """Distinct windows, the unlimited one first."""
    limited = {block.kv_window_tokens for block in model.blocks if block.kv_window_tokens is not None}
    return (WITHOUT_WINDOW, *sorted(limited))


def _rooms(
    spans: Sequence[Sequence[PlacedSpan]], request: Request, tables: CostTables, options: EngineOptions
) -> list[Room]:
    """Room for caches by instance; instances that share a node share what it has left, by the spans that they use."""
    left: dict[str, float] = {}
    users: dict[str, int] = {}
    held: dict[str, set[int]] = {}
    for chain in spans:
        for span in chain:
            held.setdefault(span.node, set()).update(range(span.start, span.stop))
        for name in dict.fromkeys(span.node for span in chain):
            users[name] = users.get(name, 0) + 1
    for name, blocks in held.items():
        index = request.cluster.index(name)
        node = request.cluster.nodes[index]
        capacity = float(tables.capacity_bytes[index])
        if options.memory_share is not None:
            widest = max(block.activation_bytes_per_token for block in request.model.blocks)
            capacity = options.memory_share * node.memory_bytes - 4.0 * options.max_num_batched_tokens * widest
        left[name] = (capacity - float(tables.weight_bytes[sorted(blocks)].sum())) / users[name]
    return [_room(chain, request.model, left, options) for chain in spans]


def _room(spans: Sequence[PlacedSpan], model: Model, left: dict[str, float], options: EngineOptions) -> Room:
    by_node: dict[str, list[int]] = {}
    for span in spans:
        by_node.setdefault(span.node, []).extend(range(span.start, span.stop))
    token_share, sequence_share, token_bytes = 0.0, 0.0, 0.0
    for name, numbers in by_node.items():
        blocks = [model.blocks[number] for number in numbers]
        endless = [b.kv_bytes_per_token * (b.kv_window_tokens is None) + b.kept_bytes_per_token for b in blocks]
        fixed = sum(b.state_bytes + b.kv_bytes_per_token * (b.kv_window_tokens or 0) for b in blocks)
        growing = sum(endless)
        token_bytes += growing
        if growing + fixed == 0:
            continue
        if left[name] <= 0:
            raise InputError(f"node '{name}' has no memory left for caches", "placement")
        token_share = max(token_share, growing / left[name])
        sequence_share = max(sequence_share, fixed / left[name])
    if token_share == 0:
        what = "a cache that grows with the context" if sequence_share else "caches"
        raise InputError(f"expected a model whose blocks have {what}, got '{model.name}', which has none", "model")
    tokens = 1.0 / token_share
    if options.kv_blocks is not None:
        tokens = float(options.kv_blocks * options.block_size)
    return Room(min(tokens, MOST_ROOM), token_bytes, sequence_share / token_share)


def _machine(
    stages: Sequence[PlacedSpan],
    chains: Sequence[Sequence[PlacedSpan]],
    costs: Sequence[Sequence[BlockCosts]],
    windows: Sequence[int],
    request: Request,
    tables: CostTables,
    host: HostCosts,
) -> Machine:
    number, kinds = len(stages), max(len(found) for found in costs)
    grid = token_grid()
    flat: dict[str, FloatArray] = {name: np.zeros((number, kinds)) for name in PER_KIND}
    tabled = {name: np.zeros((number, kinds, len(grid))) for name in TABLED}
    rows, window = np.zeros((number, kinds), dtype=bool), np.zeros((number, kinds), dtype=np.int64)
    for s, found in enumerate(costs):
        for k, kind in enumerate(found):
            for name, array in (*flat.items(), *tabled.items()):
                array[s, k] = getattr(kind, "count" if name == "blocks" else name)
            rows[s, k] = kind.rows
            window[s, k] = windows.index(kind.window) if kind.window is not None else 0
    order = {span: k for k, span in enumerate(stages)}
    longest = max(len(chain) for chain in chains)
    chain_stages = np.zeros((len(chains), longest), dtype=np.int64)
    for c, chain in enumerate(chains):
        chain_stages[c, : len(chain)] = [order[span] for span in chain]
        _check_links(chain, request, tables)
    per_byte = np.zeros_like(tables.bandwidth_bytes_per_s)
    np.divide(1.0, tables.bandwidth_bytes_per_s, out=per_byte, where=tables.bandwidth_bytes_per_s > 0)
    return Machine(
        grid=grid,
        kinds=np.array([len(found) for found in costs], dtype=np.int64),
        rows=rows,
        window=window,
        node=np.array([request.cluster.index(span.node) for span in stages], dtype=np.int64),
        stages=chain_stages,
        length=np.array([len(chain) for chain in chains], dtype=np.int64),
        latency_s=tables.latency_s.copy(),
        per_byte_s=per_byte,
        bytes_in=np.array([tables.cut_bytes[span.start] for span in stages]),
        bytes_out=float(tables.cut_bytes[-1]),
        pass_s=host.pass_s,
        sequence_s=host.sequence_s,
        prompt_token_s=host.prompt_token_s,
        ahead=False,
        **flat,
        **tabled,
    )


def _check_links(chain: Sequence[PlacedSpan], request: Request, tables: CostTables) -> None:
    places = [tables.client, *(request.cluster.index(span.node) for span in chain), tables.client]
    names = (*request.cluster.names, "client")
    for a, b in pairwise(places):
        if a != b and tables.bandwidth_bytes_per_s[a, b] <= 0:
            raise InputError(f"there is no link from '{names[a]}' to '{names[b]}'", "network")


def copied(serving: Serving, copies: int) -> Serving:
    """So many equal machines side by side; between them the links that nodes of one machine have.

    Parameters
    ----------
    serving : Serving
    copies : int
        At least 1, at most 1024.
    """
    if not 1 <= copies <= 1024:
        raise InputError(f"expected a whole number from 1 to 1024, got {copies}", "copies")
    m, n = serving.machine, len(serving.nodes)

    def tiled(array: FloatArray) -> FloatArray:
        return np.concatenate([array] * copies)

    def linked(table: FloatArray) -> FloatArray:
        found = np.zeros((copies * n + 1, copies * n + 1))
        found[:-1, :-1] = np.tile(table[:-1, :-1], (copies, copies))
        found[-1, :-1], found[:-1, -1] = np.tile(table[-1, :-1], copies), np.tile(table[:-1, -1], copies)
        return found

    stages = len(m.node)
    shift = np.arange(copies)
    same: dict[str, Any] = {name: tiled(getattr(m, name)) for name in PER_STAGE}
    machine = m._replace(
        node=(shift[:, None] * n + m.node[None, :]).reshape(-1),
        stages=(shift[:, None, None] * stages + m.stages[None]).reshape(-1, m.stages.shape[1]),
        latency_s=linked(m.latency_s),
        per_byte_s=linked(m.per_byte_s),
        **same,
    )
    return Serving(
        machine=machine,
        rooms=serving.rooms * copies,
        nodes=tuple(f"{name}#{k + 1}" for k in range(copies) for name in serving.nodes),
        weights=tuple(weight / copies for _ in range(copies) for weight in serving.weights),
        windows=serving.windows,
        layers=serving.layers,
        heads_bytes=serving.heads_bytes,
        host=serving.host,
        notes=serving.notes,
    )
