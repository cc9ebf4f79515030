"""Compiled estimate of what a replicated placement serves, over groups of like nodes: the twin of `served.py`."""

from __future__ import annotations

import numpy as np

from objectives.jit import fill, inner

from ..served import BALANCE, FILL, HEADROOM, KEPT, MEET, POWER, ROUNDS, SHARPNESS
from .flow import COUNT, KIND, NEXT, START, STOP, meets


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
def route(d, count, pairs):
    """Fill `d.visits` and `d.share` by routing weights shifted off caches that overflow; return in flight."""
    group, visits, factor, share, raw = d.group, d.visits, d.factor, d.share, d.raw
    fill(d.cover, d.n_blocks + 1, 0.0)
    for g in range(count):
        factor[g] = 1.0
        if d.useful[g]:
            room = group[COUNT, g] * d.kv_room[group[KIND, g], group[STOP, g] - group[START, g] - 1]
            d.cover[group[START, g]] += room
            d.cover[group[STOP, g]] -= room
    scarcest, held = np.inf, 0.0
    for b in range(d.n_blocks):
        held += d.cover[b]
        scarcest = min(scarcest, held)
    flying = min(d.concurrency, max(1.0, FILL * scarcest))
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
            for g in range(count):
                if d.useful[g]:
                    room = d.kv_room[group[KIND, g], group[STOP, g] - group[START, g] - 1]
                    over = flying * visits[g] / (group[COUNT, g] * room) if room > 0.0 else 1e9
                    if over > 1.0:
                        factor[g] /= over
    return flying


@inner
def fall_behind(d, count, pairs):
    """Fill `d.behind` with the seconds that prompts have fallen behind tokens; return half the squared ones on links.

    See `_behind_s` in `served.py`.
    """
    group, visits, caught, behind = d.group, d.visits, d.caught, d.behind
    fill(caught, count, 0.0)
    behind[count] = 0.0
    total, p = 0.0, 0
    client = d.own.shape[0]
    for k in range(-1, count):
        a = d.order[k] if k >= 0 else count
        many = 1.0
        if k >= 0:
            if visits[a] <= 0.0:
                while p < pairs and d.joint[0, p] == a:
                    p += 1
                continue
            kind, size, many = group[KIND, a], group[STOP, a] - group[START, a], float(group[COUNT, a])
            extra = max(0.0, size * (d.prompt_s[kind] - at_size(d.decode_at, d.decode_s[kind], 1.0)))
            behind[a] = caught[a] + extra
        first = group[KIND, a] if a < count else client
        while p < pairs and d.joint[0, p] == a:
            b, share = d.joint[1, p], d.share[p]
            slower = d.prompt_link_s[first, group[KIND, b]] - d.token_link_s[first, group[KIND, b]]
            total += share * share / (many * group[COUNT, b]) * slower * (behind[a] + slower / 2.0)
            caught[b] += share * share / (many * visits[b] * visits[b]) * (behind[a] + slower)
            p += 1
    return total


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
def swept(prompts, out, most):
    """Tokens that prompts gather behind them at a node, as a token finds them in the mean; see `served.py`."""
    caught = 1.0 - np.exp(-prompts)
    return caught * min(out * caught, most)


@inner
def waves(d, count, pairs, flying, rate, turn):
    """One round over all nodes in the order of chains: set `d.batch`; return seconds of a decode step and of TTFT.

    Then those of a step that meets no prompt, and of prompts at nodes that two requests have in common.
    """
    group, visits, batch, together, out = d.group, d.visits, d.batch, d.caught, d.output_tokens
    fill(together, count, 0.0)
    back, back_all, step, ttft, own, met, p = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0
    others = max(0.0, flying - 1.0)
    for g in range(count):
        if d.useful[g] and group[STOP, g] == d.n_blocks:
            back += visits[g] * batch[g]
            back_all += group[COUNT, g] * batch[g]
    for k in range(-1, count):
        g = d.order[k] if k >= 0 else count
        if k >= 0 and d.useful[g] and visits[g] > 0.0:
            kind, size, visit = group[KIND, g], group[STOP, g] - group[START, g], visits[g] / group[COUNT, g]
            decode = size * at_size(d.decode_at, d.decode_s[kind], batch[g])
            prompt = size * d.prompt_s[kind]
            prompts = batch[g] / out if turn > 0 else 0.0
            mean = decode + prompts * prompt
            square = decode * decode + prompts * (2.0 * decode * prompt + prompt * prompt)
            load = rate * visit * (1.0 + 1.0 / out) * mean
            alone = np.exp(-load)
            wait = load / (load + alone) * square / (2.0 * mean) if mean > 0.0 else 0.0
            joined = min(1.0, (load + alone) / batch[g]) if turn > 0 else 0.0
            step += visits[g] * (wait + decode + joined * prompts * prompt)
            busy = rate * visit * decode
            own += visits[g] * (decode + busy / (busy + np.exp(-busy)) * decode / 2.0 * others / flying)
            met += visits[g] * visit * prompt
            ttft += visits[g] * (joined * (wait + decode) + prompt)
            if turn > 0:
                gathered = np.sqrt((load + alone) ** 2 + (KEPT * together[g]) ** 2)
                gathered = max(1.0, gathered, swept(rate / out * visit * d.behind[g], out, flying * visit))
                batch[g] = min(gathered, max(1.0, flying * visit))
        # A group without visits has no pairs with a share.
        while p < pairs and d.joint[0, p] == g:
            b, share = d.joint[1, p], d.share[p]
            if share > 0.0:
                near = back if g == count else visits[g] * batch[g]
                every = back_all if g == count else group[COUNT, g] * batch[g]
                part = (1.0 - MEET) * share / visits[b] * near / visits[g] + MEET * every
                together[b] += share / (visits[g] * group[COUNT, b]) * part
            p += 1
    return step, ttft, own, met


@inner
def links(d, count, pairs):
    """Seconds of all links and latencies of a token and of a prompt, and of prompts on links that two requests share.

    They do not depend on the load.
    """
    far, far_prompt, met, client = 0.0, 0.0, 0.0, d.own.shape[0]
    for p in range(pairs):
        first, kind = group_kind(d, d.joint[0, p], count), d.group[KIND, d.joint[1, p]]
        far += d.share[p] * (d.latency[first, kind] + d.token_link_s[first, kind])
        far_prompt += d.share[p] * (d.latency[first, kind] + d.prompt_link_s[first, kind])
        many = d.group[COUNT, d.joint[1, p]] * (d.group[COUNT, d.joint[0, p]] if d.joint[0, p] < count else 1.0)
        met += d.share[p] * d.share[p] / many * d.prompt_link_s[first, kind]
    for g in range(count):
        if d.useful[g] and d.group[STOP, g] == d.n_blocks:
            kind = d.group[KIND, g]
            far += d.visits[g] * (d.latency[kind, client] + d.token_link_s[kind, client])
            far_prompt += d.visits[g] * (d.latency[kind, client] + d.prompt_link_s[kind, client])
    return far, far_prompt, met


@inner
def serve(d, count, flow):
    """Return (output tokens/s, light s per token, light TTFT, best chain's s per token); zeros: nothing is served."""
    sort_groups(d, count)
    mark_useful(d, count)
    pairs = list_joints(d, count)
    if pairs <= 0 or flow <= 0.0 or d.joint[0, 0] != count:
        return 0.0, 0.0, 0.0, 0.0
    flying = route(d, count, pairs)
    platoon = fall_behind(d, count, pairs)
    longest = np.sqrt(2.0 * platoon)
    far, far_prompt, far_met = links(d, count, pairs)
    fill(d.batch, count, 1.0)
    out = d.output_tokens
    rate, light_step, light_ttft = 0.0, 0.0, 0.0
    for turn in range(ROUNDS + 1):
        step, ttft, own, met = waves(d, count, pairs, flying, rate, turn)
        arrivals = rate / out
        if arrivals * longest < 1e-6:
            caught = arrivals * platoon
        else:
            caught = longest - (1.0 - np.exp(-arrivals * longest)) / arrivals
        step, ttft = step + far + caught, ttft + far_prompt
        step = min(step, own + far + max(0.0, flying - 1.0) / out * (met + far_met))
        new = flying / (step + ttft / out)
        if turn == 0:
            light_step, light_ttft, rate = step, ttft, new
        else:
            rate = np.sqrt(rate * new)
    most = HEADROOM * flow * out / (d.prompt_tokens + out)
    served = (rate**-SHARPNESS + most**-SHARPNESS) ** (-1.0 / SHARPNESS)
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
