"""Compiled estimate of what a replicated placement serves, over groups of like nodes: the twin of `served.py`."""

from __future__ import annotations

import numpy as np

from objectives.jit import fill, inner

from ..served import HEADROOM, ROUNDS, TIED
from .flow import COUNT, KIND, START, STOP
from .routing import list_joints, mark_useful, route, sort_groups

# Rows of the scratch `d.ring` (one column per group): visits of one node, most requests of a wave, seconds of a prompt
# at a node, and of a decode step of a wave of the mean size, requests that leave a node with a prompt over the rate.
EACH, MOST, PROMPT, ALONE, BEHIND = range(5)


@inner
def at_size(at, seconds, size):
    """Interpolate a measured curve; in proportion to the size beyond its end."""
    last = at.shape[0] - 1
    if size >= at[last]:
        return seconds[last] * size / at[last] if at[last] > 0.0 else 0.0
    low, high = 0, last
    while high - low > 1:
        middle = (low + high) // 2
        if at[middle] <= size:
            low = middle
        else:
            high = middle
    return seconds[low] + (size - at[low]) / (at[high] - at[low]) * (seconds[high] - seconds[low])


@inner
def best_chain_s(d, count, pairs):
    """Seconds of a decode step of a lone request along the fastest chain."""
    best, client = d.behind, d.own.shape[0]
    fill(best, count, np.inf)
    best[count] = 0.0
    least = np.inf
    for p in range(pairs):
        a, b = d.joint[0, p], d.joint[1, p]
        first, kind = group_kind(d, a, count), d.group[KIND, b]
        size = d.group[STOP, b] - d.group[START, b]
        seconds = best[a] + d.latency[first, kind] + d.token_link_s[first, kind]
        best[b] = min(best[b], seconds + size * at_size(d.decode_at, d.decode_s[kind], 1.0))
        # Pairs come in the order of stops, so this is final once b's own pairs are reached.
    for g in range(count):
        kind = d.group[KIND, g]
        if d.useful[g] and d.group[STOP, g] == d.n_blocks and d.sink[kind] > 0.0:
            least = min(least, best[g] + d.latency[kind, client] + d.token_link_s[kind, client])
    return least


@inner
def group_kind(d, a, count):
    """Return the kind of a group, the client's number for group `count`."""
    return d.group[KIND, a] if a < count else d.own.shape[0]


@inner
def links(d, count, pairs):
    """Fill `d.caught` with the chance of each group that nothing overtakes on the way to its nodes; return seconds.

    Of all links and latencies of a token and of a prompt, and those that a prompt loses on a token on links that both
    take. None depends on the load; see `_ring` in `served.py`.
    """
    group, visits, share, order, client = d.group, d.visits, d.share, d.caught, d.own.shape[0]
    fill(order, count, 0.0)
    far, far_prompt, lost, back = 0.0, 0.0, 0.0, 0.0
    for g in range(count):
        if d.useful[g] and group[STOP, g] == d.n_blocks:
            kind = group[KIND, g]
            far += visits[g] * (d.latency[kind, client] + d.token_link_s[kind, client])
            far_prompt += visits[g] * (d.latency[kind, client] + d.prompt_link_s[kind, client])
            back += visits[g] * visits[g] / group[COUNT, g]
    for p in range(pairs):
        a, b = d.joint[0, p], d.joint[1, p]
        if share[p] <= 0.0:
            continue
        first, kind = group_kind(d, a, count), group[KIND, b]
        far += share[p] * (d.latency[first, kind] + d.token_link_s[first, kind])
        far_prompt += share[p] * (d.latency[first, kind] + d.prompt_link_s[first, kind])
        many = float(group[COUNT, a]) if a < count else 1.0
        slower = d.prompt_link_s[first, kind] - d.token_link_s[first, kind]
        lost += share[p] * share[p] / (many * group[COUNT, b]) * slower
        again = share[p] / visits[b]
        order[b] += again * again / many * (1.0 if a < count else back)
    return far, far_prompt, lost


@inner
def kept_order(d, count):
    """Chance that two who come one after the other do so for a whole round; `d.caught` has that of each group."""
    total = 0.0
    for g in range(count):
        if d.useful[g] and d.visits[g] > 0.0:
            total += d.visits[g] * np.log(d.caught[g])
    return np.exp(total)


@inner
def follow_prompts(d, count, pairs):
    """Fill row BEHIND of `d.ring`; see `_ring` in `served.py`."""
    behind = d.ring[BEHIND]
    for g in range(count):
        behind[g] = d.ring[EACH, g] * d.ring[PROMPT, g]
    for p in range(pairs):
        a, b = d.joint[0, p], d.joint[1, p]
        if a < count and d.share[p] > 0.0:
            same = d.share[p] / (d.visits[a] * d.group[COUNT, b])
            behind[b] += d.share[p] / d.visits[b] * same * behind[a]


@inner
def find_waves(d, count, gathered, waves, most_visit, rate):
    """Fill `d.behind` with seconds of a step of the wave in which one finds itself.

    See `_found` and `_with_prompts` in `served.py`; `rate` is that of all requests, in tokens/s.
    """
    for g in range(count):
        if d.useful[g] and d.visits[g] > 0.0:
            visit, most = d.ring[EACH, g], d.ring[MOST, g]
            ones = min(max(1.0, waves * visit / most_visit), most)
            chance = min(2.0 * d.batch[g] - 1.0, most)
            found = chance + gathered * max(0.0, 1.0 + (most - ones) ** 2 / most - chance)
            wave = min(d.ring[BEHIND, g] * rate, most)
            d.behind[g] = group_s(d, g, found + min(1.0, wave / d.output_tokens) * max(0.0, wave - found))


@inner
def services(d, count):
    """Decode steps and prompts that ride along, over visits; part of the others beside whom a prompt rides.

    Also the busiest node's seconds of what it serves of a request.
    """
    decode, ride, prompts, beside, busiest, out = 0.0, 0.0, 0.0, 0.0, 0.0, d.output_tokens
    for g in range(count):
        if d.useful[g] and d.visits[g] > 0.0:
            visit, most, prompt = d.ring[EACH, g], d.ring[MOST, g], d.ring[PROMPT, g]
            more = min(2.0 * d.batch[g] - 1.0, most) - 1.0
            decode += d.visits[g] * d.behind[g]
            ride += d.visits[g] * more / out * prompt
            prompts += d.visits[g] * prompt
            beside += d.visits[g] * prompt * more / most
            busiest = max(busiest, visit * served_s(d, g))
    return decode, ride, beside / max(prompts, 1e-300), busiest


@inner
def served_s(d, g):
    """Seconds of a wave of the mean size at a node of a group, prompts that ride along included."""
    return d.ring[ALONE, g] + (d.batch[g] - 1.0) / d.output_tokens * d.ring[PROMPT, g]


@inner
def lost_s(d, count):
    """Seconds that a prompt loses on tokens at the nodes of its chain, by the chance that they take it too.

    Fills row ALONE of `d.ring` with decode steps of waves of the mean size.
    """
    lost = 0.0
    for g in range(count):
        if d.useful[g] and d.visits[g] > 0.0:
            d.ring[ALONE, g] = group_s(d, g, d.batch[g])
            lost += d.visits[g] * d.ring[EACH, g] * max(0.0, d.ring[PROMPT, g] - d.ring[ALONE, g])
    return lost


@inner
def group_s(d, g, size):
    """Seconds of a decode step of so many requests at a node of a group."""
    kind = d.group[KIND, g]
    return (d.group[STOP, g] - d.group[START, g]) * at_size(d.decode_at, d.decode_s[kind], size)


@inner
def prompt_of(d, g):
    """Seconds of a prompt at a node of a group."""
    return (d.group[STOP, g] - d.group[START, g]) * d.prompt_s[d.group[KIND, g]]


@inner
def queues(d, count, busiest, full, others_per_s):
    """Seconds that a request waits in a round, and decode steps of waves of the mean size over its visits."""
    waits, alone, last = 0.0, 0.0, 0.0
    for g in range(count):
        if d.useful[g] and d.visits[g] > 0.0:
            busy = d.ring[EACH, g] * served_s(d, g)
            load = others_per_s * busy
            share = busy / busiest if busiest > 0.0 else 0.0
            decode, order = d.behind[g], d.caught[g]
            part = order * share * full + (1.0 - order) * load / (load + np.exp(-load))
            waits += d.visits[g] * part * decode
            if share >= TIED:
                last = max(last, order * decode)
            alone += d.visits[g] * d.ring[ALONE, g]
    return (waits + full * last) / 2.0, alone


@inner
def serve(d, count, flow):
    """Return (output tokens/s, light s per token, light TTFT, best chain's s per token); zeros: nothing is served."""
    sort_groups(d, count)
    mark_useful(d, count)
    pairs = list_joints(d, count)
    if pairs <= 0 or flow <= 0.0 or d.joint[0, 0] != count:
        return 0.0, 0.0, 0.0, 0.0
    flying = route(d, count, pairs)
    far, far_prompt, lost_far = links(d, count, pairs)
    fill(d.batch, count, 1.0)
    out, others = d.output_tokens, max(0.0, flying - 1.0)
    kept = kept_order(d, count)
    step, prompt_s, lone, least, most_prompt, most_visit = far, 0.0, 0.0, 0.0, 0.0, 0.0
    for g in range(count):
        if d.useful[g] and d.visits[g] > 0.0:
            visit, prompt, one = d.visits[g] / d.group[COUNT, g], prompt_of(d, g), group_s(d, g, 1.0)
            most = max(1.0, flying * visit)
            d.ring[EACH, g], d.ring[MOST, g], d.ring[PROMPT, g] = visit, most, prompt
            step += d.visits[g] * one
            prompt_s += d.visits[g] * prompt
            lone = max(lone, visit * one)
            least = max(least, flying * visit * (group_s(d, g, most) / most + prompt / out))
            most_prompt = max(most_prompt, visit * prompt)
            most_visit = max(most_visit, visit)
    follow_prompts(d, count, pairs)
    light_step, light_ttft, calm = step, far_prompt + prompt_s, step
    trip = ((out - 1.0) * light_step + light_ttft) / out
    met = 1.0 - np.exp(-others / out)
    for _ in range(ROUNDS):
        lost = lost_s(d, count) + lost_far
        find_waves(d, count, kept * min(1.0, lost / trip), calm / max(lone, 1e-300), most_visit, flying / trip)
        decode, ride, beside, busiest = services(d, count)
        bare = far + decode + ride
        trip = max(trip, bare)
        more = max(0.0, flying * busiest / max(bare, 1e-300) - 1.0)
        full = more / (more + 0.5)
        waits, alone = queues(d, count, busiest, full, others / trip)
        calm = far + decode + waits
        delay = lost * lost / (2.0 * trip) if lost < trip else lost - trip / 2.0
        caught = met * delay + (others / out - met) * min(most_prompt, delay)
        step = bare + waits + (1.0 - beside) * caught
        ttft = light_ttft + waits + full * alone
        trip = max(least, np.sqrt(trip * ((out - 1.0) * step + ttft) / out))
        for g in range(count):
            if d.useful[g] and d.visits[g] > 0.0:
                wave = flying * busiest / trip * d.ring[EACH, g] / most_visit
                load = flying / trip * d.ring[EACH, g] * (d.ring[ALONE, g] + d.batch[g] / out * d.ring[PROMPT, g])
                own = d.caught[g] * max(1.0, load) + (1.0 - d.caught[g]) * (load + np.exp(-load))
                d.batch[g] = min(max(wave, own), d.ring[MOST, g])
    served = min(flying / trip, HEADROOM * flow * out / (d.prompt_tokens + out))
    return served, light_step, light_ttft, best_chain_s(d, count, pairs)


@inner
def lost(genome, d):
    """Probability that some block has no holder that is up; see `replicated_terms.survival`."""
    n, blocks, alive = d.n_nodes, d.n_blocks, d.cover
    fill(alive, blocks + 1, 0.0)
    alive[0] = 1.0
    for start in range(blocks):
        for i in range(n):
            stop = genome[n + i]
            if genome[i] != start or stop <= start:
                continue
            moved = 0.0
            for b in range(start, stop):
                moved += alive[b]
                alive[b] *= 1.0 - d.availability[i]
            alive[stop] += d.availability[i] * moved
        alive[start] = 0.0
    return 1.0 - alive[blocks]
