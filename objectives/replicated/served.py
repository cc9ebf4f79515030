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
  Who shares a node with a prompt leaves it together with the prompt, some go with it to the next node as well, and
  others come while it is served there: its wave is that of the node before, times the part that takes the same way, and
  those who come during the prompt. One of `out` visits has a prompt, so that a request meets such a wave as often as it
  has members.
- waits. In a ring in which nothing overtakes, whoever left the node before with a gap keeps it: nobody waits while the
  N requests, one by one, are served within a round, N s <= R. Beyond, waits grow up to the point where waves merge: one
  that meets another waits for what is left of its service, half of it in the mean, and for all of it at the busiest
  node, which never rests. Where several nodes lead to one, who comes next is chance, and waits for half a service where
  the node is busy.
- prompts in front, of those that do not ride along. A prompt loses L = sum of prompt less decode seconds on tokens.
  Those that come within L after it catch up, and are held up by L less the gap: L - R / 2 in the mean, L^2 / 2 R where
  L < R. Of more prompts that are met in a step each adds the busiest node's prompt.

No constant is fitted but `HEADROOM` here, and `FILL` and `POWER` of routing. The errors are those of
`python -m benchmarks.fidelity.estimate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..spans import Span
from .routing import at_size, link_s, route
from .tables import FloatArray, ReplicatedTables

ROUNDS = 12  # of the fixed point
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


def serve(tables: ReplicatedTables, spans: Sequence[Span], flow: float) -> Service:
    """Estimate what a placement serves; `flow` is its max flow in tokens/s."""
    routed = route(tables, spans)
    if not routed.in_flight or flow <= 0:
        return Service(routed.weights, routed.visits, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    return _fixed_point(tables, routed.spans, routed.weights, routed.visits, routed.in_flight, flow)


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
    behind_s : array (U,)
        Requests that leave a node together with a prompt, over the rate of all: seconds.
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
    behind_s: FloatArray
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
    prompt_s = held * [at_size(tables.prompt_at, tables.prompt_s[i], tables.prompt_tokens) for i in nodes]
    own, mine = np.array(list(order.values())), visits[list(nodes)]
    kept = float(np.exp((mine * np.log(own)).sum()))
    behind = dict(zip(nodes, (mine * prompt_s).tolist(), strict=True))
    for a, b, share in sorted(links, key=lambda link: span_of[link[0]].stop if link[0] != client else 0):
        if client not in (a, b):
            behind[b] += share / float(visits[b]) * share / float(visits[a]) * behind[a]
    behind_s = np.array(list(behind.values()))
    return _Ring(tables, nodes, held, mine, prompt_s, own, kept, behind_s, step, prompt, lost)


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
        found = _with_prompts(found, np.minimum(ring.behind_s * flying / trip, most), out)
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


def _with_prompts(found: FloatArray, behind: FloatArray, out: float) -> FloatArray:
    """Requests (U,) of the wave in which one finds itself, where some waves are those of so many behind a prompt."""
    larger: FloatArray = found + np.minimum(1.0, behind / out) * np.maximum(0.0, behind - found)
    return larger


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
