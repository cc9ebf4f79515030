"""Served throughput of a replicated placement: an estimate from routing, caches, queues and the round trip.

With N requests in flight, output tokens/s = N / (L_decode + L_prompt / output tokens) by Little's law (J. D. C. Little,
Operations Research 9(3), 1961, doi:10.1287/opre.9.3.383). N is set by the scarcest block's cache. A node serves all
that waits as one batch: with a arrivals per service time it is busy a / (a + exp(-a)) of the time, and an arrival waits
the residual E[S^2] / (2 E[S]) of the batch under way, which prompts make long. Tokens travel in waves: those that were
served together arrive together, and tokens cannot overtake a prompt that they caught up with. The rate decides the
waves and the waves the round trip, so both are found together by a damped fixed point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..spans import Span
from .meeting import Meeting
from .tables import FloatArray, ReplicatedTables

# Part of the scarcest block's cache in use: a little more than all, as requests end early or late around their means.
FILL = 1.03
ROUNDS = 10  # of the fixed point
BALANCE = 4  # rounds that shift routing away from nodes whose caches would overflow
POWER = 1.5  # how much routing prefers fast nodes: weights are seconds per token to this power, inverted
# Of a wave: part that is left of it a node later, and how much of its parts meet again behind nodes of one stage. Held
# against the event simulation.
KEPT, MEET = 0.98, 0.5
SHARPNESS = 4.0  # of the smooth minimum of what queues and what raw capacity allow
# Raw capacity over max flow: measured rates are those of the batches that a node's cache holds when it holds as many
# requests as it can; with less of a load nodes reach about twice as much. Held against the event simulation.
HEADROOM = 2.0


@dataclass(frozen=True, slots=True)
class Service:
    """What a placement serves.

    Attributes
    ----------
    weights : array (N + 1, N)
        Routing weights, rows sum to 1 where a chain goes on; the client is the last row.
    visits : array (N,)
        Probability that a request passes a node.
    tokens_per_s : float
        Output tokens/s; 0 when no chain holds all blocks.
    in_flight : float
        Requests in flight.
    time_per_token_s, ttft_s : float
        Decode step and prompt of a request under that load.
    light_time_per_token_s, light_ttft_s : float
        The same for a single request.
    best_chain_s : float
        Decode step of a single request along the fastest chain.
    """

    weights: FloatArray
    visits: FloatArray
    tokens_per_s: float
    in_flight: float
    time_per_token_s: float
    ttft_s: float
    light_time_per_token_s: float
    light_ttft_s: float
    best_chain_s: float


def at_size(at: FloatArray, seconds: FloatArray, size: float) -> float:
    """Interpolate a measured curve; in proportion to the size beyond its end."""
    if size >= at[-1]:
        return float(seconds[-1] * size / at[-1]) if at[-1] > 0 else 0.0
    return float(np.interp(size, at, seconds))


def followers(tables: ReplicatedTables, spans: Sequence[Span]) -> dict[int, list[int]]:
    """Nodes that may follow each node on a chain from the client to the end; the client is a key too."""
    band, client = tables.bandwidth_bytes_per_s, tables.client
    rates = {span.node: float(tables.rate[span.node, span.stop - span.start - 1]) for span in spans}
    useful: set[int] = set()
    after: dict[int, list[int]] = {client: []}
    meeting = Meeting(spans, partial=tables.partial)
    for a in sorted(spans, key=lambda span: -span.stop):
        after[a.node] = [b.node for b in meeting.after(a) if b.node in useful and band[a.node, b.node] > 0]
        ends = a.stop == tables.n_blocks and band[a.node, client] > 0
        if rates[a.node] > 0 and (ends or after[a.node]):
            useful.add(a.node)
    after[client] = [b.node for b in spans if b.start == 0 and b.node in useful and band[client, b.node] > 0]
    reached = set(after[client])
    for a in sorted(spans, key=lambda span: span.stop):
        after[a.node] = after[a.node] if a.node in reached else []
        reached.update(after[a.node])
    return after


def serve(tables: ReplicatedTables, spans: Sequence[Span], flow: float) -> Service:
    """Estimate what a placement serves; `flow` is its max flow in tokens/s."""
    n, client = tables.n_nodes, tables.client
    spans = [span for span in spans if 0 < span.stop - span.start <= tables.rate.shape[1]]
    after = followers(tables, spans)
    weights, visits = np.zeros((n + 1, n)), np.zeros(n)
    if not after[client] or flow <= 0:
        return Service(weights, visits, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    span_of = {span.node: span for span in spans}
    own = {i: (span.stop - span.start) * own_s(tables, i) for i, span in span_of.items()}
    raw = {(a, b): (own[b] + hop_s(tables, a, b)) ** -POWER for a, row in after.items() for b in row}
    tokens = tables.prompt_tokens + tables.output_tokens
    room = {i: float(tables.kv_tokens[i, span.stop - span.start - 1]) / tokens for i, span in span_of.items()}
    flying = min(tables.concurrency, max(1.0, FILL * _scarcest(tables, spans, room, after)))
    factor = dict.fromkeys(span_of, 1.0)
    order = [client, *(span.node for span in sorted(spans, key=lambda span: span.stop))]
    for turn in range(BALANCE + 1):
        visits[:] = 0.0
        weights[:] = 0.0
        for a in order:
            share = 1.0 if a == client else visits[a]
            total = sum(raw[a, b] * factor[b] for b in after[a])
            for b in after[a]:
                weights[a, b] = raw[a, b] * factor[b] / total
                visits[b] += share * weights[a, b]
        if turn < BALANCE:
            for i in span_of:
                factor[i] /= max(1.0, flying * float(visits[i]) / room[i])
    return _fixed_point(tables, span_of, weights, visits, flying, flow)


def own_s(tables: ReplicatedTables, node: int) -> float:
    """Seconds of a block on a node per output token of a lone request, its prompt spread over the output."""
    decode = at_size(tables.decode_at, tables.decode_s[node], 1.0)
    return decode + at_size(tables.prompt_at, tables.prompt_s[node], tables.prompt_tokens) / tables.output_tokens


def links_s(tables: ReplicatedTables) -> tuple[FloatArray, FloatArray]:
    """Seconds that a prompt and a token keep each link busy, arrays (N + 1, N + 1); 0 where there is no link.

    To the client goes one token of either.
    """
    client = tables.client
    size = np.full_like(tables.bandwidth_bytes_per_s, tables.token_bytes + tables.activation_bytes)
    size[client, :] = size[:, client] = tables.token_bytes
    token = np.zeros_like(size)
    np.divide(size, tables.bandwidth_bytes_per_s, out=token, where=tables.bandwidth_bytes_per_s > 0)
    prompt = token * tables.prompt_tokens
    prompt[:, client] = token[:, client]
    return prompt, token


def hop_s(tables: ReplicatedTables, a: int, b: int) -> float:
    """Seconds of a hop per output token of a lone request, its prompt spread over the output."""
    prompt, decode = link_s(tables, a, b)
    share = 1.0 / tables.output_tokens
    return float(tables.latency_s[a, b]) * (1.0 + share) + decode + prompt * share


def link_s(tables: ReplicatedTables, a: int, b: int) -> tuple[float, float]:
    """Seconds that a prompt and a token keep one link busy; see `links_s`."""
    client, band = tables.client, float(tables.bandwidth_bytes_per_s[a, b])
    size = tables.token_bytes + (0.0 if client in (a, b) else tables.activation_bytes)
    prompt = 1.0 if b == client else tables.prompt_tokens
    return (prompt * size / band, size / band) if band > 0 else (0.0, 0.0)


def _scarcest(
    tables: ReplicatedTables, spans: Sequence[Span], room: dict[int, float], after: dict[int, list[int]]
) -> float:
    """Requests for which the useful holders of the scarcest block have room."""
    useful = {b for row in after.values() for b in row}
    per_block = np.zeros(tables.n_blocks)
    for span in spans:
        if span.node in useful:
            per_block[span.start : span.stop] += room[span.node]
    return float(per_block.min())


def _fixed_point(
    tables: ReplicatedTables,
    span_of: dict[int, Span],
    weights: FloatArray,
    visits: FloatArray,
    flying: float,
    flow: float,
) -> Service:
    client, out = tables.client, tables.output_tokens
    used = [i for i in span_of if visits[i] > 0]
    rows = np.array([client, *used], dtype=np.int64)
    shares = np.append(1.0, visits[used])[:, None] * weights[np.ix_(rows, rows[1:])]
    links = [(int(rows[a]), used[b], float(shares[a, b])) for a, b in zip(*np.nonzero(shares > 0), strict=True)]
    links += [(a, client, float(visits[a])) for a in used if span_of[a].stop == tables.n_blocks]
    on_links = _on_links(tables, links)
    order = sorted(used, key=lambda i: span_of[i].stop)
    into = _sources(span_of, weights, visits, used, tables)
    behind, platoon = _behind_s(tables, span_of, links)
    batch = dict.fromkeys(used, 1.0)
    rate, light, step, ttft = 0.0, (0.0, 0.0), 0.0, 0.0
    others = max(0.0, flying - 1.0)
    for turn in range(ROUNDS + 1):
        step, ttft, own, met, last = 0.0, 0.0, 0.0, 0.0, dict(batch)
        for i in order:
            held, visit, most = span_of[i].stop - span_of[i].start, float(visits[i]), flying * float(visits[i])
            decode = held * at_size(tables.decode_at, tables.decode_s[i], batch[i])
            prompt = held * at_size(tables.prompt_at, tables.prompt_s[i], tables.prompt_tokens)
            prompts = batch[i] / out if turn else 0.0
            mean = decode + prompts * prompt
            square = decode * decode + prompts * (2.0 * decode * prompt + prompt * prompt)
            load = rate * visit * (1.0 + 1.0 / out) * mean
            alone = float(np.exp(-load))
            wait = load / (load + alone) * square / (2.0 * mean) if mean > 0 else 0.0
            # A prompt shares a batch with those who gather; those who come along are behind it.
            joined = min(1.0, (load + alone) / batch[i]) if turn else 0.0
            step += visit * (wait + decode + joined * prompts * prompt)
            own += visit * (decode + _decode_wait_s(rate * visit * decode, decode) * others / flying)
            met += visit * visit * prompt
            ttft += visit * (joined * (wait + decode) + prompt)
            if turn:
                # Those who gather while the node is busy and those who come along, as independent parts.
                size = float(np.hypot(load + alone, KEPT * _companions(into[i], batch, last, visit)))
                batch[i] = min(max(1.0, size, _swept(rate / out * visit * behind[i], out, most)), max(1.0, most))
        step, own, met, ttft = step + on_links[0], own + on_links[0], met + on_links[1], ttft + on_links[2]
        # While a request makes its tokens each of the others sends one prompt, and holds it up by that at most.
        step = min(step + _caught_s(platoon, rate / out), own + others / out * met)
        new = flying / (step + ttft / out)
        if turn == 0:
            light, rate = (step, ttft), new
        else:
            rate = float(np.sqrt(rate * new))
    raw = HEADROOM * flow * out / (tables.prompt_tokens + out)
    tokens_per_s = (rate**-SHARPNESS + raw**-SHARPNESS) ** (-1.0 / SHARPNESS)
    return Service(
        weights.copy(),
        visits.copy(),
        float(tokens_per_s),
        flying,
        step,
        ttft,
        *light,
        _best_chain_s(tables, span_of, links),
    )


def _on_links(tables: ReplicatedTables, links: Sequence[tuple[int, int, float]]) -> tuple[float, float, float]:
    """Seconds of a token on all links of its way, of the prompts that it meets there, and of its own prompt."""
    decode, met, prompts = 0.0, 0.0, 0.0
    for a, b, share in links:
        prompt, token = link_s(tables, a, b)
        decode += share * (float(tables.latency_s[a, b]) + token)
        met += share * share * prompt if b != tables.client else 0.0
        prompts += share * (float(tables.latency_s[a, b]) + prompt)
    return decode, met, prompts


def _decode_wait_s(load: float, decode: float) -> float:
    """Seconds that an arrival waits for the decode steps under way, where nodes are busy with nothing else."""
    return load / (load + float(np.exp(-load))) * decode / 2.0


def _sources(
    span_of: dict[int, Span], weights: FloatArray, visits: FloatArray, used: Sequence[int], tables: ReplicatedTables
) -> dict[int, list[tuple[int, float, float, bool]]]:
    """Nodes whose batches reach each node: node, part of the traffic, the routing's weight, whether by the client.

    From the last nodes of a chain, requests come back to the first ones by way of the client.
    """
    client = tables.client
    ends = [a for a in used if span_of[a].stop == tables.n_blocks]
    into: dict[int, list[tuple[int, float, float, bool]]] = {}
    for b in used:
        before = [(a, float(visits[a]), float(weights[a, b]), False) for a in used]
        before += [(a, float(visits[a]), float(weights[client, b]), True) for a in ends]
        into[b] = [(a, share * weight, weight, back) for a, share, weight, back in before if weight > 0]
    return into


def _companions(
    sources: Sequence[tuple[int, float, float, bool]], batch: dict[int, float], last: dict[int, float], visit: float
) -> float:
    """Requests that reach a node at once: what routing leaves together of the waves of the nodes before.

    Parts of one wave that went through several nodes come back together in part. Those that come back by way of the
    client left their nodes in the round before (`last`).
    """
    together = 0.0
    for a, share, weight, back in sources:
        together += (last if back else batch)[a] * weight * ((1.0 - MEET) * share / visit + MEET)
    return together


def _swept(prompts: float, out: float, most: float) -> float:
    """Tokens that prompts gather behind them at a node, as a token finds them in the mean.

    `prompts` is how many pass in the time by which they fall behind tokens, `out` the tokens per prompt.
    """
    caught = 1.0 - float(np.exp(-prompts))
    return caught * min(out * caught, most)


def _behind_s(
    tables: ReplicatedTables, span_of: dict[int, Span], links: Sequence[tuple[int, int, float]]
) -> tuple[dict[int, float], float]:
    """Seconds by which a prompt has fallen behind a token of the same start as it leaves each node.

    Where chains part, both go on together with the square of the routing's probability. Also half the squared time
    (s^2) that a token that caught up spends behind a prompt on links; nodes serve it in the wave that follows.
    """
    into: dict[int, list[tuple[int, float]]] = {}
    for a, b, share in links:
        into.setdefault(b, []).append((a, share))
    behind, total = {tables.client: 0.0}, 0.0
    for i in [span.node for span in sorted(span_of.values(), key=lambda span: span.stop) if span.node in into]:
        visit, caught = sum(share for _, share in into[i]), 0.0
        for a, share in into[i]:
            prompt, decode = link_s(tables, a, i)
            total += share * share * (prompt - decode) * (behind[a] + (prompt - decode) / 2.0)
            caught += share * share / (visit * visit) * (behind[a] + prompt - decode)
        held = span_of[i].stop - span_of[i].start
        extra = at_size(tables.prompt_at, tables.prompt_s[i], tables.prompt_tokens)
        extra -= at_size(tables.decode_at, tables.decode_s[i], 1.0)
        behind[i] = caught + max(0.0, held * extra)
    return behind, total


def _caught_s(platoon: float, prompts_per_s: float) -> float:
    """Mean wait of a token behind prompts: E[max(0, D - U)], U the exponential time since the last, D^2 = 2 platoon."""
    longest = float(np.sqrt(2.0 * platoon))
    if prompts_per_s * longest < 1e-6:
        return prompts_per_s * platoon
    return longest - (1.0 - float(np.exp(-prompts_per_s * longest))) / prompts_per_s


def _best_chain_s(tables: ReplicatedTables, span_of: dict[int, Span], links: Sequence[tuple[int, int, float]]) -> float:
    """Seconds of a decode step of a lone request along the fastest of the chains that routing uses."""
    client = tables.client
    best: dict[int, float] = {client: 0.0}
    end = np.inf
    for a, b, _ in sorted(links, key=lambda link: span_of[link[0]].stop if link[0] != client else 0):
        seconds = best[a] + float(tables.latency_s[a, b]) + link_s(tables, a, b)[1]
        if b == client:
            end = min(end, seconds)
            continue
        span = span_of[b]
        seconds += (span.stop - span.start) * at_size(tables.decode_at, tables.decode_s[b], 1.0)
        best[b] = min(best.get(b, np.inf), seconds)
    return float(end)
