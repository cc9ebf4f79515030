"""Blocks in parts: a card holds the rest of a block, the CPU of its host computes a part that lies in main memory.

What the card does is a block without the part, what the CPU does a block that is the part alone; both have the costs of
any block. Between them the activation crosses the bus, there and back. A prompt is computed by the CPU, or the part's
weights are copied to the card and computed there, whichever is faster (what llama.cpp does from a batch of 32 tokens
on: ggml-backend.cpp, "offload_op"). The CPU works on one part at a time, whichever card waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from objectives.pipeline.rounds import Rounds
from objectives.pipeline.tables import CostTables

from ..question.cluster import Cluster, Node
from ..question.model import Block, Model, Part
from ..question.request import CACHE, PARTS, Away, Constraints, Request
from ..question.workload import Workload
from .passes import BlockCosts, block_costs, joined, token_grid
from .runtimes import RuntimeCosts

Build = Callable[[Request], CostTables]


def can_leave(block: Block, part: str) -> bool:
    """Whether a part of a block can lie apart from the rest."""
    if part == CACHE:
        return block.kv_bytes_per_token > 0 or block.kept_bytes_per_token > 0
    if part == "ffn" and block.experts:
        return False  # what lies beside the routed experts is small
    return any(piece.name == part and piece.weight_bytes > 0 for piece in block.parts) and len(block.parts) > 1


def without(block: Block, part: str) -> Block:
    """What is left of a block for the card."""
    if part == CACHE:
        return replace(block, kv_bytes_per_token=0.0, kept_bytes_per_token=0.0, attention_flops_per_token=0.0, parts=())
    gone = _piece(block, part)
    rest = replace(
        block,
        weight_bytes=max(0.0, block.weight_bytes - gone.weight_bytes),
        flops_per_token=max(0.0, block.flops_per_token - gone.flops_per_token),
        parts=tuple(piece for piece in block.parts if piece.name != part),
    )
    return replace(rest, expert_bytes=0.0, experts=0, experts_per_token=0) if part == "experts" else rest


def rest_of(request: Request, block: int) -> Block:
    """A block without what lies apart of it."""
    rest = request.model.blocks[block]
    for away in sorted(request.away_by_block.get(block, ()), key=lambda away: away.part == CACHE):
        rest = without(rest, away.part)
    return rest


def alone(block: Block, part: str) -> Block:
    """The part by itself, for the CPU."""
    bare = replace(block, state_bytes=0.0, parts=())
    if part == CACHE:
        return replace(bare, weight_bytes=0.0, expert_bytes=0.0, experts=0, experts_per_token=0, flops_per_token=0.0)
    piece = _piece(block, part)
    one = replace(
        bare,
        weight_bytes=piece.weight_bytes,
        flops_per_token=piece.flops_per_token,
        attention_flops_per_token=0.0,
        kv_bytes_per_token=0.0,
        kept_bytes_per_token=0.0,
    )
    if part == "experts":
        return replace(one, expert_bytes=piece.weight_bytes)
    return replace(one, expert_bytes=0.0, experts=0, experts_per_token=0)


def tables_apart(request: Request, build: Build) -> CostTables:
    """The cost tables of a question some of whose blocks lie in parts.

    Parameters
    ----------
    request : Request
        The homes and cards of its parts are nodes of the cluster.
    build : callable
        Makes the tables of a question whose blocks lie in one piece.
    """
    rest = tuple(rest_of(request, b) for b in range(request.model.n_blocks))
    tables = build(replace(request, model=replace(request.model, blocks=rest), away=()))
    for away in sorted(request.away, key=lambda away: (PARTS.index(away.part), away.home)):  # sums in one order
        tables = _with_part(tables, request, away, build)
    return tables


def _with_part(tables: CostTables, request: Request, away: Away, build: Build) -> CostTables:
    """The tables with what a part that lies apart costs; so far, nobody has it."""
    chosen, blocks = list(away.blocks), request.model.blocks
    host = [*away.cards, away.home]
    apart = build(_apart(request, away, host))
    cluster = request.cluster
    home = cluster.index(away.home)
    decode, prefill = tables.decode_s.copy(), tables.prefill_s.copy()
    act = np.array([blocks[b].activation_bytes_per_token for b in chosen])
    for row, name in enumerate(away.cards):
        card = cluster.index(name)
        latency, byte_s = _there_and_back(cluster, card, home)
        crossing = latency + tables.batches[:, None] * act[None, :] * byte_s
        decode[:, card, chosen] += apart.decode_s[:, -1, :] + crossing
        computed = apart.prefill_s[-1] + latency + request.workload.prompt_tokens * act * byte_s
        if away.part != CACHE:
            copied = apart.weight_bytes / cluster.bandwidth_bytes_per_s[home, card] + apart.prefill_s[row]
            computed = np.minimum(computed, copied)
        prefill[card, chosen] += computed
    allowed = tables.allowed.copy()
    others = [k for k, name in enumerate(cluster.names) if name not in away.cards]
    allowed[np.ix_(others, chosen)] = False
    room = tables.capacity_bytes.copy()
    room[home] -= apart.weight_bytes.sum() + request.workload.concurrency * apart.kv_bytes.sum()
    beside = np.zeros((len(tables.batches), tables.n_nodes)) if tables.beside_s is None else tables.beside_s.copy()
    beside[:, home] += apart.decode_s[:, -1, :].sum(axis=1)
    served = _served_apart(tables, apart, request, away)
    return replace(
        tables,
        decode_s=decode,
        prefill_s=prefill,
        allowed=allowed,
        capacity_bytes=room,
        beside_s=beside,
        served=served,
    )


def _there_and_back(cluster: Cluster, card: int, home: int) -> tuple[float, float]:
    """Latency in s, and seconds per byte, of the way from a card to main memory and back."""
    ways = ((card, home), (home, card))
    latency, byte_s = (
        (cluster.latency_s[way] for way in ways),
        (1.0 / cluster.bandwidth_bytes_per_s[way] for way in ways),
    )
    return float(sum(latency)), float(sum(byte_s))


def _served_apart(tables: CostTables, apart: CostTables, request: Request, away: Away) -> Rounds | None:
    """What a stream costs where blocks lie in parts: the rest on the card, the part on the CPU, and the bus."""
    if tables.served is None or apart.served is None:
        return None
    rest, part, cluster = tables.served, apart.served, request.cluster
    chosen, home = list(away.blocks), cluster.index(away.home)
    short, convoy = rest.short_s.copy(), rest.convoy_s.copy()
    act = np.array([request.model.blocks[b].activation_bytes_per_token for b in chosen])
    prompts = rest.prompts * request.workload.prompt_tokens
    for row, name in enumerate(away.cards):
        card = cluster.index(name)
        latency, byte_s = _there_and_back(cluster, card, home)
        short[:, card, chosen] += part.short_s[:, -1] + rest.passes[:, None] * latency
        short[:, card, chosen] += rest.tokens[:, None] * act * byte_s
        computed = part.convoy_s[:, -1] + prompts[:, None] * act * byte_s
        if away.part != CACHE:
            copied = apart.weight_bytes / cluster.bandwidth_bytes_per_s[home, card]
            computed = np.minimum(computed, rest.passes[:, None] * copied + part.convoy_s[:, row])
        convoy[:, card, chosen] += computed
    return replace(rest, short_s=short, convoy_s=convoy)


def span_costs_apart(request: Request, node: str, span: tuple[int, int], costs: RuntimeCosts) -> tuple[BlockCosts, ...]:
    """The costs of passes through a span some of whose blocks leave a part in main memory.

    Parameters
    ----------
    request : Request
        Whose parts apart are any but the cache.
    node : str
        The card.
    span : (int, int)
        First block, and the one after the last.
    costs : RuntimeCosts

    Returns
    -------
    tuple of BlockCosts
        The card's, and for each part what the CPU takes with the bus, or where it is less (long prompts) the copying of
        the part's weights to the card that computes it.
    """
    model, cluster, work = request.model, request.cluster, request.workload
    card, apart = cluster.index(node), request.away_by_block
    found: list[BlockCosts] = []
    for number in range(*span):
        block = model.blocks[number]
        if number not in apart:
            found += _alone_costs(cluster.nodes[card], model, work, block, costs)
            continue
        (away,) = apart[number]
        home = cluster.index(away.home)
        latency, byte_s = _there_and_back(cluster, card, home)
        part = alone(block, away.part)
        found += _alone_costs(cluster.nodes[card], model, work, without(block, away.part), costs)
        (there,) = _alone_costs(cluster.nodes[home], model, work, part, costs)
        (here,) = _alone_costs(cluster.nodes[card], model, work, part, costs)
        crossing = latency + token_grid() * block.activation_bytes_per_token * byte_s
        copied = part.weight_bytes / float(cluster.bandwidth_bytes_per_s[home, card]) + here.products_s
        seconds = np.minimum(there.products_s + crossing, copied)
        seconds[0] = 0.0
        found.append(replace(there, products_s=seconds))
    return joined(found)


def _alone_costs(node: Node, model: Model, work: Workload, block: Block, costs: RuntimeCosts) -> tuple[BlockCosts, ...]:
    """The costs of passes through one block on a node."""
    one = replace(model, blocks=(block,), ties=())
    return block_costs(node, one, work, 0, 1, costs)


def _piece(block: Block, part: str) -> Part:
    return next(piece for piece in block.parts if piece.name == part)


def _apart(request: Request, away: Away, host: list[str]) -> Request:
    """The parts as blocks of a question of their own, on the nodes of the host."""
    model = request.model
    parts = tuple(alone(model.blocks[b], away.part) for b in away.blocks)
    numbers = [request.cluster.index(name) for name in host]
    places = [*numbers, request.cluster.n_nodes]
    tables = np.ix_(places, places)
    cluster = Cluster(
        tuple(request.cluster.nodes[k] for k in numbers),
        request.cluster.latency_s[tables].copy(),
        request.cluster.bandwidth_bytes_per_s[tables].copy(),
    )
    plain = Model(model.name, parts, weights=model.weights, compute_dtype=model.compute_dtype)
    return replace(request, model=plain, cluster=cluster, constraints=Constraints(), away=())
