"""Compiled max flow of replicated placements: the twin of `objectives/replicated/flow.py`.

Nodes that are alike (a *kind*) and hold the same span act as one *group* with several times the capacity: by symmetry
some max flow treats them alike. At a boundary where no link can bind, every pair of nodes meets in one vertex; so most
placements reduce to a few arcs between block positions, and staged ones to a minimum of sums.

Genome: starts in ``g[:N]``, stops in ``g[N:]``; a node with equal start and stop holds nothing.
"""

from __future__ import annotations

import numpy as np

from objectives.jit import fill, inner, kernel

# Rows of the integer scratch `d.group` (one column per group).
START, STOP, KIND, COUNT, NEXT, FED, LEADS = range(7)


@inner
def make_groups(genome, d):
    """Fill `d.group`, and `d.head` with the first group of each start; return how many groups there are."""
    n, count = d.n_nodes, 0
    group, head = d.group, d.head
    fill(head, head.shape[0], -1)
    for i in range(n):
        start, stop = genome[i], genome[n + i]
        if stop <= start:
            continue
        kind = d.kind[i]
        g = head[start]
        while g >= 0 and (group[STOP, g] != stop or group[KIND, g] != kind):
            g = group[NEXT, g]
        if g >= 0:
            group[COUNT, g] += 1
            continue
        group[START, count], group[STOP, count] = start, stop
        group[KIND, count], group[COUNT, count] = kind, 1
        group[NEXT, count] = head[start]
        head[start] = count
        count += 1
    return count


@inner
def meets(d, a, b):
    """Whether a chain may go from group a to group b."""
    group = d.group
    stop = group[STOP, a]
    if group[START, b] == stop or (d.partial and group[START, b] < stop and stop < group[STOP, b]):
        return d.link[group[KIND, a], group[KIND, b]] > 0.0
    return False


@inner
def mark_edges(d, count):
    """Partial rule: set FED and LEADS of every group, in the one pass that `flow.edges` makes."""
    group = d.group
    for a in range(count):
        group[FED, a] = 0
        leads = group[STOP, a] == d.n_blocks and d.sink[group[KIND, a]] > 0.0
        b = 0
        while not leads and b < count:
            leads = meets(d, a, b)
            b += 1
        group[LEADS, a] = leads
    # FED: 1 reached at all, 2 reached from a node that is itself reached.
    for b in range(count):
        if not group[LEADS, b]:
            continue
        if group[START, b] == 0 and d.source[group[KIND, b]] > 0.0:
            group[FED, b] = 1
        for a in range(count):
            if meets(d, a, b):
                group[FED, b] = 1
                break
    for b in range(count):
        if group[FED, b] > 0:
            for a in range(count):
                if group[FED, a] > 0 and meets(d, a, b):
                    group[FED, b] = 2
                    break


@inner
def make_capacities(d, count):
    """Fill `d.capacity` of one node of each group: compute, network cards, and a client link that only it can use."""
    group = d.group
    if d.partial:
        mark_edges(d, count)
    for g in range(count):
        kind, start, stop = group[KIND, g], group[START, g], group[STOP, g]
        size = stop - start
        rate = d.rate[kind, size - 1] if size <= d.rate.shape[1] else 0.0
        first = start == 0 and d.source[kind] > 0.0 and (not d.partial or group[FED, g] == 1)
        last = stop == d.n_blocks
        rate = min(rate, d.nic[kind, 0 if first else 1], d.nic[kind, 2 if last else 3])
        if last:
            rate = min(rate, d.sink[kind])
        if start == 0 and (first or not d.partial):
            rate = min(rate, d.source[kind])
        d.capacity[g] = rate


@inner
def mark_bound(d, count):
    """Set `d.bound` where a link could bind at a boundary; return whether any does."""
    group, found = d.group, False
    fill(d.bound, d.bound.shape[0], 0)
    for a in range(count):
        stop = group[STOP, a]
        if stop == d.n_blocks or d.bound[stop]:
            continue
        row = d.link[group[KIND, a]]
        if d.partial:
            for b in range(count):
                inside = group[START, b] <= stop < group[STOP, b]
                if inside and row[group[KIND, b]] < min(d.capacity[a], d.capacity[b]):
                    d.bound[stop] = 1
                    found = True
                    break
            continue
        b = d.head[stop]
        while b >= 0:
            if row[group[KIND, b]] < min(d.capacity[a], d.capacity[b]):
                d.bound[stop] = 1
                found = True
                break
            b = group[NEXT, b]
    return found


@inner
def staged_flow(d):
    """Flow of a placement whose spans line up in stages and whose links are free; -1 when they do not line up."""
    group, position, flow = d.group, 0, min(d.client_out, d.client_in)
    while position < d.n_blocks:
        g = d.head[position]
        if g < 0:
            return 0.0
        stop, total = group[STOP, g], 0.0
        while g >= 0:
            if group[STOP, g] != stop:
                return -1.0
            total += group[COUNT, g] * d.capacity[g]
            g = group[NEXT, g]
        flow = min(flow, total)
        position = stop
    return flow


@inner
def add_arc(d, arcs, tail, head, capacity):
    """Add an arc and its reverse; an arc that is already there is widened. Returns the number of arcs."""
    a = d.first[tail]
    while a >= 0:
        if d.to[a] == head and a % 2 == 0:
            d.room[a] += capacity
            return arcs
        a = d.after[a]
    d.to[arcs], d.room[arcs], d.after[arcs] = head, capacity, d.first[tail]
    d.first[tail] = arcs
    d.to[arcs + 1], d.room[arcs + 1], d.after[arcs + 1] = tail, 0.0, d.first[head]
    d.first[head] = arcs + 1
    return arcs + 2


@inner
def put_arc(d, arcs, tail, head, capacity):
    """Add an arc that is known to be new."""
    d.to[arcs], d.room[arcs], d.after[arcs] = head, capacity, d.first[tail]
    d.first[tail] = arcs
    d.to[arcs + 1], d.room[arcs + 1], d.after[arcs + 1] = tail, 0.0, d.first[head]
    d.first[head] = arcs + 1
    return arcs + 2


@inner
def build(d, count):
    """Build the network: vertex 0 the client's output, 1 its input, 2 + c position c, then groups.

    Returns the number of vertices.
    """
    group, blocks = d.group, d.n_blocks
    inputs, outputs = blocks + 3, blocks + 3 + count
    fill(d.first, outputs + count, -1)
    arcs = 0
    for g in range(count):
        start, stop, kind = group[START, g], group[STOP, g], group[KIND, g]
        total = group[COUNT, g] * d.capacity[g]
        head = outputs + g if d.bound[stop] == 1 else 2 + stop
        if stop == blocks:
            head = 1
        if d.partial:
            tail = inputs + g
            if start == 0 and d.source[kind] > 0.0:
                arcs = put_arc(d, arcs, 0, tail, group[COUNT, g] * d.source[kind])
        elif start == 0:
            tail = 0
        else:
            tail = inputs + g if d.bound[start] else 2 + start
        arcs = add_arc(d, arcs, tail, head, total)
        if stop == blocks:
            continue
        if d.partial:
            if d.bound[stop] == 2:
                continue
            for b in range(count):
                if group[START, b] <= stop < group[STOP, b]:
                    if d.bound[stop] == 0:
                        arcs = put_arc(d, arcs, head, inputs + b, np.inf)
                    elif d.link[kind, group[KIND, b]] > 0.0:
                        wide = group[COUNT, g] * group[COUNT, b] * d.link[kind, group[KIND, b]]
                        arcs = put_arc(d, arcs, head, inputs + b, wide)
            if d.bound[stop] == 0:
                # The groups that end here share one vertex, now joined to all that may follow.
                d.bound[stop] = 2
        elif d.bound[stop]:
            b = d.head[stop]
            while b >= 0:
                wide = d.link[kind, group[KIND, b]]
                if wide > 0.0:
                    arcs = put_arc(d, arcs, head, inputs + b, group[COUNT, g] * group[COUNT, b] * wide)
                b = group[NEXT, b]
    return outputs + count


@inner
def dinic(d, vertices):
    """Max flow from vertex 0 to vertex 1 over the arcs built (E. A. Dinic, Soviet Math. Dokl. 11, 1970)."""
    first, after, to, room = d.first, d.after, d.to, d.room
    level, todo, path = d.level, d.todo, d.path
    least, total = d.least, 0.0
    while True:
        fill(level, vertices, -1)
        level[0] = 0
        path[0] = 0
        begin, end = 0, 1
        while begin < end and level[1] < 0:
            tail = path[begin]
            begin += 1
            a = first[tail]
            while a >= 0:
                if room[a] > least and level[to[a]] < 0:
                    level[to[a]] = level[tail] + 1
                    path[end] = to[a]
                    end += 1
                a = after[a]
        if level[1] < 0:
            return total
        for v in range(vertices):
            todo[v] = first[v]
        # `path` now holds the arcs of the path under way.
        depth, vertex = 0, 0
        while True:
            if vertex == 1:
                amount = room[path[0]]
                cut = 0
                for k in range(1, depth):
                    if room[path[k]] < amount:
                        amount = room[path[k]]
                        cut = k
                for k in range(depth):
                    room[path[k]] -= amount
                    room[path[k] ^ 1] += amount
                total += amount
                depth = cut
                vertex = to[path[cut] ^ 1]
            a = todo[vertex]
            while a >= 0 and not (room[a] > least and level[to[a]] == level[vertex] + 1):
                a = after[a]
            todo[vertex] = a
            if a >= 0:
                path[depth] = a
                depth += 1
                vertex = to[a]
            elif depth == 0:
                break
            else:
                depth -= 1
                vertex = to[path[depth] ^ 1]
                todo[vertex] = after[todo[vertex]]


@inner
def grouped_flow(d, count):
    """Max flow in tokens/s of the groups in `d`, their capacities filled."""
    bound = mark_bound(d, count)
    if not bound and not d.partial:
        flow = staged_flow(d)
        if flow >= 0.0:
            return flow
    return min(dinic(d, build(d, count)), d.client_out, d.client_in)


@inner
def flow_of(genome, d):
    """Max flow in tokens/s of a genome."""
    count = make_groups(genome, d)
    make_capacities(d, count)
    return grouped_flow(d, count)


@kernel
def flow_batch(genomes, d, flows):
    """Fill max flows (n,) of genomes (n, 2 N)."""
    for k in range(genomes.shape[0]):
        flows[k] = flow_of(genomes[k], d)
