"""Compiled estimate of what a replicated placement serves, over groups of like nodes: the twin of `served.py`."""

from __future__ import annotations

import numpy as np

from objectives.jit import fill, inner

from ..served import BALANCE, FILL, HEADROOM, POWER, ROUNDS, SPARE, TIED
from .flow import COUNT, KIND, NEXT, START, STOP, add_arc, dinic, meets, put_arc


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
def sort_groups(d, count):
    """Fill `d.order` with the groups by their stops."""
    for g in range(count):
        k = g
        while k > 0 and d.group[STOP, d.order[k - 1]] > d.group[STOP, g]:
            d.order[k] = d.order[k - 1]
            k -= 1
        d.order[k] = g


@inner
def mark_useful(d, count):
    """Set `d.useful` of the groups from which a chain gets to the end."""
    for k in range(count - 1, -1, -1):
        a = d.order[k]
        kind, size = d.group[KIND, a], d.group[STOP, a] - d.group[START, a]
        good = False
        if size <= d.rate.shape[1] and d.rate[kind, size - 1] > 0.0:
            good = d.group[STOP, a] == d.n_blocks and d.sink[kind] > 0.0
            if not good:
                for later in range(k + 1, count):
                    b = d.order[later]
                    if d.useful[b] and meets(d, a, b):
                        good = True
                        break
        d.useful[a] = good


@inner
def list_joints(d, count):
    """Fill the pairs of groups that chains pass, by their first group; the client is group `count`. Returns how many.

    Groups that no chain reaches are no longer useful afterwards.
    """
    pairs, reached = 0, d.batch
    fill(reached, count, 0.0)
    for k in range(-1, count):
        a = d.order[k] if k >= 0 else count
        if k >= 0 and (not d.useful[a] or reached[a] == 0.0):
            continue
        if k >= 0 and not d.partial:
            b = d.head[d.group[STOP, a]] if d.group[STOP, a] < d.n_blocks else -1
            while b >= 0:
                if d.useful[b] and meets(d, a, b):
                    d.joint[0, pairs], d.joint[1, pairs] = a, b
                    reached[b] = 1.0
                    pairs += 1
                b = d.group[NEXT, b]
            continue
        for b in range(count):
            if not d.useful[b]:
                continue
            joined = meets(d, a, b) if k >= 0 else d.group[START, b] == 0 and d.source[d.group[KIND, b]] > 0.0
            if joined:
                d.joint[0, pairs], d.joint[1, pairs] = a, b
                reached[b] = 1.0
                pairs += 1
    for g in range(count):
        d.useful[g] = d.useful[g] and reached[g] > 0.0
    return pairs


@inner
def group_room(d, g):
    """Requests for which a node of a group has room."""
    return d.kv_room[d.group[KIND, g], d.group[STOP, g] - d.group[START, g] - 1]


@inner
def room_of_chains(d, count):
    """Requests for which chains have room: the max flow through the caches of useful groups."""
    group, blocks, arcs = d.group, d.n_blocks, 0
    inputs = blocks + 3
    fill(d.first, inputs + count, -1)
    fill(d.bound, d.bound.shape[0], 0)
    for g in range(count):
        if not d.useful[g]:
            continue
        start, stop = group[START, g], group[STOP, g]
        head = 1 if stop == blocks else 2 + stop
        tail = inputs + g if d.partial else (0 if start == 0 else 2 + start)
        arcs = add_arc(d, arcs, tail, head, group[COUNT, g] * group_room(d, g))
        if not d.partial:
            continue
        if start == 0:
            arcs = put_arc(d, arcs, 0, tail, np.inf)
        if stop < blocks and d.bound[stop] == 0:
            d.bound[stop] = 1
            for b in range(count):
                if d.useful[b] and group[START, b] <= stop < group[STOP, b]:
                    arcs = put_arc(d, arcs, head, inputs + b, np.inf)
    return dinic(d, inputs + count)


@inner
def shift(d, count, pairs, flying):
    """Divide the factors of groups by how far their caches overflow, or those of all that may follow them."""
    over = d.behind
    fill(over, count, 0.0)
    p = pairs
    for k in range(count - 1, -1, -1):
        g = d.order[k]
        if not d.useful[g]:
            continue
        room, least = group_room(d, g), np.inf
        mine = flying * d.visits[g] / (d.group[COUNT, g] * room) if room > 0.0 else 1e9
        while p > 0 and d.joint[0, p - 1] == g:
            p -= 1
            least = min(least, over[d.joint[1, p]])
        over[g] = max(1.0, mine)
        if d.group[STOP, g] < d.n_blocks and least < np.inf:
            over[g] = max(over[g], least)
        d.factor[g] /= over[g]


@inner
def route(d, count, pairs):
    """Fill `d.visits` and `d.share` by routing weights shifted off caches that overflow; return in flight."""
    group, visits, factor, share, raw = d.group, d.visits, d.factor, d.share, d.raw
    for g in range(count):
        factor[g] = 1.0
    flying = min(d.concurrency, max(1.0, FILL * room_of_chains(d, count) - SPARE))
    for p in range(pairs):
        a, b = d.joint[0, p], d.joint[1, p]
        kind = group[KIND, b]
        first = group[KIND, a] if a < count else d.own.shape[0]
        seconds = d.own[kind, group[STOP, b] - group[START, b] - 1] + d.hop[first, kind]
        raw[p] = group[COUNT, b] * seconds**-POWER
    for turn in range(BALANCE + 1):
        fill(visits, count, 0.0)
        visits[count] = 1.0
        p = 0
        while p < pairs:
            a, end, total = d.joint[0, p], p, 0.0
            while end < pairs and d.joint[0, end] == a:
                total += raw[end] * factor[d.joint[1, end]]
                end += 1
            for k in range(p, end):
                share[k] = visits[a] * raw[k] * factor[d.joint[1, k]] / total
                visits[d.joint[1, k]] += share[k]
            p = end
        if turn < BALANCE:
            shift(d, count, pairs, flying)
    return flying


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
def find_waves(d, count, flying, gathered, waves, most_visit):
    """Fill `d.behind` with the requests of the wave in which one finds itself; see `_found` in `served.py`."""
    for g in range(count):
        if d.useful[g] and d.visits[g] > 0.0:
            visit = d.visits[g] / d.group[COUNT, g]
            most = max(1.0, flying * visit)
            ones = min(max(1.0, waves * visit / most_visit), most)
            chance = min(2.0 * d.batch[g] - 1.0, most)
            d.behind[g] = chance + gathered * max(0.0, 1.0 + (most - ones) ** 2 / most - chance)


@inner
def services(d, count, flying):
    """Decode steps and prompts that ride along, over visits; part of the others beside whom a prompt rides.

    Also the busiest node's seconds of what it serves of a request.
    """
    decode, ride, prompts, beside, busiest, out = 0.0, 0.0, 0.0, 0.0, 0.0, d.output_tokens
    for g in range(count):
        if d.useful[g] and d.visits[g] > 0.0:
            visit, prompt = d.visits[g] / d.group[COUNT, g], prompt_of(d, g)
            more = min(2.0 * d.batch[g] - 1.0, max(1.0, flying * visit)) - 1.0
            decode += d.visits[g] * group_s(d, g, d.behind[g])
            ride += d.visits[g] * more / out * prompt
            prompts += d.visits[g] * prompt
            beside += d.visits[g] * prompt * more / max(1.0, flying * visit)
            busiest = max(busiest, visit * served_s(d, g))
    return decode, ride, beside / max(prompts, 1e-300), busiest


@inner
def served_s(d, g):
    """Seconds of a wave of the mean size at a node of a group, prompts that ride along included."""
    return group_s(d, g, d.batch[g]) + (d.batch[g] - 1.0) / d.output_tokens * prompt_of(d, g)


@inner
def lost_s(d, count):
    """Seconds that a prompt loses on tokens at the nodes of its chain, by the chance that they take it too."""
    lost = 0.0
    for g in range(count):
        if d.useful[g] and d.visits[g] > 0.0:
            visit = d.visits[g] / d.group[COUNT, g]
            lost += d.visits[g] * visit * max(0.0, prompt_of(d, g) - group_s(d, g, d.batch[g]))
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
            busy = d.visits[g] / d.group[COUNT, g] * served_s(d, g)
            load = others_per_s * busy
            share = busy / busiest if busiest > 0.0 else 0.0
            decode, order = group_s(d, g, d.behind[g]), d.caught[g]
            part = order * share * full + (1.0 - order) * load / (load + np.exp(-load))
            waits += d.visits[g] * part * decode
            if share >= TIED:
                last = max(last, order * decode)
            alone += d.visits[g] * group_s(d, g, d.batch[g])
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
            visit = d.visits[g] / d.group[COUNT, g]
            step += d.visits[g] * group_s(d, g, 1.0)
            prompt_s += d.visits[g] * prompt_of(d, g)
            lone = max(lone, visit * group_s(d, g, 1.0))
            most = max(1.0, flying * visit)
            least = max(least, flying * visit * (group_s(d, g, most) / most + prompt_of(d, g) / out))
            most_prompt = max(most_prompt, visit * prompt_of(d, g))
            most_visit = max(most_visit, visit)
    light_step, light_ttft, calm = step, far_prompt + prompt_s, step
    trip = ((out - 1.0) * light_step + light_ttft) / out
    met = 1.0 - np.exp(-others / out)
    for _ in range(ROUNDS):
        lost = lost_s(d, count) + lost_far
        find_waves(d, count, flying, kept * min(1.0, lost / trip), calm / max(lone, 1e-300), most_visit)
        decode, ride, beside, busiest = services(d, count, flying)
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
                visit = d.visits[g] / d.group[COUNT, g]
                wave = flying * busiest / trip * visit / most_visit
                d.batch[g] = min(max(1.0, wave), max(1.0, flying * visit))
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
