"""Compiled routing of requests over groups of like nodes: which follow each other, shares, and room of their caches.

The twin of `routing.py` one folder above.
"""

from __future__ import annotations

import numpy as np

from objectives.jit import fill, inner

from ..routing import BALANCE, FILL, LEAST_SLACK, NO_ROOM, POWER, SPARE
from .flow import COUNT, KIND, NEXT, START, STOP, add_arc, dinic, meets, put_arc


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
def staged_room(d, count):
    """Requests for which chains have room where useful groups line up in stages; -1 where they do not.

    It adds up and compares as the max flow does, so that the two agree to the last bit.
    """
    group, wide, stop = d.group, d.cover, d.bound
    fill(stop, d.n_blocks, 0)
    for g in range(count):
        if d.useful[g]:
            start = group[START, g]
            if stop[start] == 0:
                stop[start], wide[start] = group[STOP, g], 0.0
            elif stop[start] != group[STOP, g]:
                return -1.0
            wide[start] += group[COUNT, g] * group_room(d, g)
    position, room = 0, np.inf
    while position < d.n_blocks:
        room = min(room, wide[position])
        position = stop[position]
    return room if room > d.least else 0.0


@inner
def room_of_chains(d, count):
    """Requests for which chains have room: the max flow through the caches of useful groups."""
    if not d.partial:
        room = staged_room(d, count)
        if room >= 0.0:
            return room
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
    """Shift preferences from groups whose caches overflow, or those of all that may follow them, to others.

    See `_shifted` there. Returns whether any overflows.
    """
    slack, given, free, worst = d.behind, d.overflow[0], d.overflow[1], np.inf
    fill(given, d.n_blocks + 1, 0.0)
    fill(free, d.n_blocks + 1, 0.0)
    p = pairs
    for k in range(count - 1, -1, -1):
        g = d.order[k]
        if not d.useful[g]:
            continue
        most, start, visits = 0.0, d.group[START, g], d.visits[g]
        while p > 0 and d.joint[0, p - 1] == g:
            p -= 1
            most = max(most, slack[d.joint[1, p]])
        slack[g] = max(FILL * d.group[COUNT, g] * group_room(d, g) / (flying * visits), NO_ROOM)
        if d.group[STOP, g] < d.n_blocks:
            slack[g] = min(slack[g], most)
        worst = min(worst, slack[g])
        if slack[g] > 1.0:
            free[start] += visits * (slack[g] - 1.0)
        else:
            given[start] += visits * (1.0 - slack[g])
    for g in range(count):
        if d.useful[g]:
            start, times = d.group[START, g], slack[g]
            if times > 1.0:
                times = 1.0 + (times - 1.0) * min(1.0, given[start] / free[start])
            d.factor[g] *= times
    return worst < LEAST_SLACK


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
        if turn == BALANCE or not shift(d, count, pairs, flying):
            break
    return flying
