"""Served throughput of a replicated placement: an estimate from routing, caches, queues and the round trip.

With N requests in flight, output tokens/s = N out / ((out - 1) step + prompt) by Little's law (J. D. C. Little,
Operations Research 9(3), 1961, doi:10.1287/opre.9.3.383). N is what the caches have room for, a
max flow of requests through them. A node serves all
that waits as one batch, so that requests go round in waves, and the rate and the waves are found together by a damped
fixed point of R = N / rate, the seconds of a round. What a step takes:

- its own services, in waves. The busiest node begins a wave every s seconds, s its service: a wave has N s / R requests
  in the mean. Where waves merge and break at random, sizes are geometric: a request finds itself in one of twice the
  mean, less one. But a prompt gathers all that catch up with it, and where nothing overtakes, this wave stays together:
  whoever breaks off its front finds the ring full of waves of one, as many as the busiest node begins in a round.
  Prompts of others ride along, one for each `out` requests of a wave of geometric size: a gathered one follows its own.
  A node gathers what comes while it serves: no wave is smaller than that, nor, where several nodes lead to it and who
  comes is chance, than load + exp(-load) (N. T. J. Bailey, "On queueing processes with bulk service", Journal of the
  Royal Statistical Society B 16(1), 1954). Without it slow nodes beside fast ones would serve more than they can.
- waits. In a ring in which nothing overtakes, whoever left the node before with a gap keeps it: nobody waits while the
  N requests, one by one, are served within a round, N s <= R. Beyond, waits grow up to the point where waves merge: one
  that meets another waits for what is left of its service, half of it in the mean, and for all of it at the busiest
  node, which never rests. Where several nodes lead to one, who comes next is chance, and waits for half a service where
  the node is busy.
- prompts in front, of those that do not ride along. A prompt loses L = sum of prompt less decode seconds on tokens.
  Those that come within L after it catch up, and are held up by L less the gap: L - R / 2 in the mean, L^2 / 2 R where
  L < R. Of more prompts that are met in a step each adds the busiest node's prompt.

No constant is fitted but `FILL`, `POWER` and `HEADROOM`; `python -m benchmarks.fidelity.estimate` has the errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..spans import Span
from .flow import SINK, SOURCE, Network, max_flow
from .tables import FloatArray, ReplicatedTables

# Part of the scarcest block's cache in use: a little more than all, as requests end early or late around their means;
# and requests for which there is no room in the mean, since the next one does not fit any more.
FILL, SPARE = 1.03, 0.5
ROUNDS = 12  # of the fixed point
# Rounds at most that shift routing away from nodes whose caches would overflow, and the part of their visits for which
# all of them have room in the end.
BALANCE, LEAST_SLACK = 8, 0.999
NO_ROOM = 1e-9  # instead of no slack at all, so that every share stays above 0
POWER = 1.5  # how much routing prefers fast nodes: weights are seconds per token to this power, inverted
# Raw capacity over max flow, at most: measured rates are those of the batches that a node's cache holds when it holds
# as many requests as it can; with less of a load nodes reach about twice as much. Held against the event simulation.
HEADROOM = 2.0
TIED = 1.0 - 1e-9  # of the busiest node's seconds: as busy as it


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
    for a in sorted(spans, key=lambda span: -span.stop):
        after[a.node] = [
            b.node
            for b in spans
            if b.node in useful
            and (b.start <= a.stop < b.stop if tables.partial else b.start == a.stop)
            and band[a.node, b.node] > 0
        ]
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
    rooms = tables.request_room
    room = {i: float(rooms[i, span.stop - span.start - 1]) for i, span in span_of.items()}
    flying = min(tables.concurrency, max(1.0, FILL * _room_of_chains(tables, spans, room, after) - SPARE))
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
            slack: dict[int, float] = {}
            for i in reversed(order[1:]):
                if visits[i] > 0.0:
                    slack[i] = max(FILL * room[i] / (flying * float(visits[i])), NO_ROOM)
                    if span_of[i].stop < tables.n_blocks:
                        slack[i] = min(slack[i], max(slack[b] for b in after[i]))
            if min(slack.values()) >= LEAST_SLACK:
                break
            for i, part in _shifted(span_of, visits, slack).items():
                factor[i] *= part
    return _fixed_point(tables, span_of, weights, visits, flying, flow)


def _shifted(span_of: dict[int, Span], visits: FloatArray, slack: dict[int, float]) -> dict[int, float]:
    """What multiplies each node's preference so that nodes of one start give visits to those with room.

    `slack` is for how many times its visits a node has room, and the best of those that may follow it. Below 1 visits
    fall by it; above 1 they rise by their part of what all nodes of the start could take.
    """
    given: dict[int, float] = {}
    free: dict[int, float] = {}
    for i, times in slack.items():
        to, more = (free, times - 1.0) if times > 1.0 else (given, 1.0 - times)
        to[span_of[i].start] = to.get(span_of[i].start, 0.0) + float(visits[i]) * more
    taken = {start: min(1.0, given.get(start, 0.0) / room) for start, room in free.items()}
    return {i: 1.0 + (times - 1.0) * taken[span_of[i].start] if times > 1.0 else times for i, times in slack.items()}


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


def _room_of_chains(
    tables: ReplicatedTables, spans: Sequence[Span], room: dict[int, float], after: dict[int, list[int]]
) -> float:
    """Requests for which chains have room: the max flow through the caches of useful nodes, whatever links carry."""
    useful = {b for row in after.values() for b in row}
    net, held = Network(), [span for span in spans if span.node in useful]
    for a in held:
        net.add(("in", a.node), ("position", a.stop), room[a.node])
        if a.start == 0:
            net.add(SOURCE, ("in", a.node), np.inf)
    for position in {a.stop for a in held}:
        if position == tables.n_blocks:
            net.add(("position", position), SINK, np.inf)
        for b in held:
            if b.start == position or (tables.partial and b.start < position < b.stop):
                net.add(("position", position), ("in", b.node), np.inf)
    return max_flow(net)[0]


@dataclass(frozen=True, slots=True)
class _Ring:
    """The nodes that requests pass, and what they share; U nodes.

    Attributes
    ----------
    tables : ReplicatedTables
    nodes : tuple of int
    held, visits, prompt_s : array (U,)
        Blocks; probability of a visit; seconds of a prompt.
    order : array (U,)
        Chance that two who come one after the other come from the same node: 1 where nothing overtakes.
    kept : float
        Chance that they do so for a whole round.
    step_hops_s, prompt_hops_s : float
        Links of a decode step and of a prompt, latencies included.
    lost_links_s : float
        Seconds that a prompt loses on a token on links that both take.
    """

    tables: ReplicatedTables
    nodes: tuple[int, ...]
    held: FloatArray
    visits: FloatArray
    prompt_s: FloatArray
    order: FloatArray
    kept: float
    step_hops_s: float
    prompt_hops_s: float
    lost_links_s: float

    def decode_s(self, sizes: FloatArray) -> FloatArray:
        """Seconds of decode steps of so many requests at each node."""
        at, rows = self.tables.decode_at, self.tables.decode_s
        found = [at_size(at, rows[i], size) for i, size in zip(self.nodes, sizes.tolist(), strict=True)]
        seconds: FloatArray = self.held * np.array(found)
        return seconds


def _ring(
    tables: ReplicatedTables, span_of: dict[int, Span], visits: FloatArray, links: Sequence[tuple[int, int, float]]
) -> _Ring:
    """Collect what the fixed point reads; links are from, to and share of the requests."""
    client, nodes = tables.client, tuple(i for i in span_of if visits[i] > 0)
    step, prompt, lost = 0.0, 0.0, 0.0
    # The client sends to the first nodes what the last ones send back.
    back = sum(share * share for _, b, share in links if b == client)
    order = dict.fromkeys(nodes, 0.0)
    for a, b, share in links:
        for_prompt, for_token = link_s(tables, a, b)
        step += share * (float(tables.latency_s[a, b]) + for_token)
        prompt += share * (float(tables.latency_s[a, b]) + for_prompt)
        lost += share * share * (for_prompt - for_token)
        if b != client:
            order[b] += (share / float(visits[b])) ** 2 * (back if a == client else 1.0)
    held = np.array([float(span_of[i].stop - span_of[i].start) for i in nodes])
    prompt_s = [at_size(tables.prompt_at, tables.prompt_s[i], tables.prompt_tokens) for i in nodes]
    own, mine = np.array(list(order.values())), visits[list(nodes)]
    kept = float(np.exp((mine * np.log(own)).sum()))
    return _Ring(tables, nodes, held, mine, held * np.array(prompt_s), own, kept, step, prompt, lost)


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
    links = [(a, b, float((1.0 if a == client else visits[a]) * weights[a, b])) for a in (client, *used) for b in used]
    links = [link for link in links if link[2] > 0]
    links += [(a, client, float(visits[a])) for a in used if span_of[a].stop == tables.n_blocks]
    ring = _ring(tables, span_of, visits, links)
    visit, most = ring.visits, np.maximum(1.0, flying * ring.visits)
    batch = np.ones(len(used))
    lone = ring.decode_s(batch)
    # A round lasts as long as the busiest node needs for all requests in the largest waves at least.
    least = float((flying * visit * (ring.decode_s(most) / most + ring.prompt_s / out)).max())
    light_step = ring.step_hops_s + float((visit * lone).sum())
    light_ttft = ring.prompt_hops_s + float((visit * ring.prompt_s).sum())
    step, ttft, trip, calm = light_step, light_ttft, _trip_s(light_step, light_ttft, out), light_step
    for _ in range(ROUNDS):
        alone = ring.decode_s(batch)
        served = alone + (batch - 1.0) / out * ring.prompt_s
        lost = float((visit * visit * np.maximum(ring.prompt_s - alone, 0.0)).sum()) + ring.lost_links_s
        gathered = ring.kept * min(1.0, lost / trip)
        waves = calm / max(float((visit * lone).max()), 1e-300) * visit / visit.max()
        chance = np.minimum(2.0 * batch - 1.0, most)
        found = _found(chance, most, np.minimum(np.maximum(1.0, waves), most), gathered)
        decode, ride = ring.decode_s(found), (chance - 1.0) / out * ring.prompt_s
        calm, busiest = ring.step_hops_s + float((visit * decode).sum()), float((visit * served).max())
        bare = calm + float((visit * ride).sum())
        trip = max(trip, bare)
        full = _full(flying * busiest, bare)
        waits = _waits_s(ring, served, decode, full, max(0.0, flying - 1.0) / trip)
        caught = _caught_s(lost, trip, max(0.0, flying - 1.0) / out, float((visit * ring.prompt_s).max()))
        beside = float((visit * ring.prompt_s * (chance - 1.0) / most).sum()) / max(
            float((visit * ring.prompt_s).sum()), 1e-300
        )
        calm += waits
        step = bare + waits + (1.0 - beside) * caught
        ttft = light_ttft + waits + full * float((visit * alone).sum())
        trip = max(least, float(np.sqrt(trip * _trip_s(step, ttft, out))))
        wave = flying * busiest / trip * visit / visit.max()
        own = _gathered(flying / trip * visit * (alone + batch / out * ring.prompt_s), ring.order)
        batch = np.minimum(np.maximum(wave, own), most)
    return Service(
        weights.copy(),
        visits.copy(),
        min(flying / trip, HEADROOM * flow * out / (tables.prompt_tokens + out)),
        flying,
        step,
        ttft,
        light_step,
        light_ttft,
        _best_chain_s(tables, span_of, links),
    )


def _trip_s(step: float, ttft: float, out: float) -> float:
    """Seconds of a request per output token: the first token comes with the prompt."""
    return ((out - 1.0) * step + ttft) / out


def _gathered(load: FloatArray, order: FloatArray) -> FloatArray:
    """Requests (U,) that a node takes at once in the mean if `load` come while it serves, one by one or by chance."""
    gathered: FloatArray = order * np.maximum(1.0, load) + (1.0 - order) * (load + np.exp(-load))
    return gathered


def _found(chance: FloatArray, most: FloatArray, waves: FloatArray, gathered: float) -> FloatArray:
    """Requests (U,) of the wave in which one finds itself: by chance, or one that gathered all but waves of one."""
    found: FloatArray = chance + gathered * np.maximum(0.0, 1.0 + (most - waves) ** 2 / most - chance)
    return found


def _full(one_by_one: float, bare: float) -> float:
    """How near waits are to those at which waves merge: half where requests one by one take 1.5 bare rounds."""
    more = max(0.0, one_by_one / max(bare, 1e-300) - 1.0)
    return more / (more + 0.5)


def _waits_s(ring: _Ring, served: FloatArray, decode: FloatArray, full: float, others_per_s: float) -> float:
    """Seconds that a request waits in a round, in the mean: as in a ring, and by chance where several lead to one."""
    load = others_per_s * ring.visits * served
    chance = load / (load + np.exp(-load))
    busy = ring.visits * served
    busiest = float(busy.max())
    share = busy / busiest if busiest > 0.0 else np.zeros_like(busy)
    waits = float((ring.visits * (ring.order * share * full + (1.0 - ring.order) * chance) * decode).sum())
    return (waits + full * float((ring.order * decode)[share >= TIED].max(initial=0.0))) / 2.0


def _caught_s(lost: float, trip: float, prompts: float, busiest_s: float) -> float:
    """Seconds of a step behind prompts in front; so many are met, each `lost` seconds slower than a token."""
    delay = lost * lost / (2.0 * trip) if lost < trip else lost - trip / 2.0
    met = 1.0 - float(np.exp(-prompts))
    return met * delay + (prompts - met) * min(busiest_s, delay)


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
