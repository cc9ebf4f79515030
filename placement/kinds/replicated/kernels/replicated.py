"""Moves on replicated placements, and their registration with the search loops.

Most moves change the ordered partition of nodes into stages and size all stages anew (`stages.py`): for the flow, or
for the requests in flight where those count, since sizes that are best for one may be far from it for the other. A part
``d.unaligned`` of them moves boundaries or single spans as they are, so that chains need not line up.
"""

from __future__ import annotations

from objectives.jit import copy, fill
from objectives.replicated.kernels.scores import ReplicatedData, replicated_cost
from placement.search.kernels import inner, kernel
from placement.search.kernels.draws import below, step_size
from placement.search.kernels.encoding import provide

from .stages import compact, decode_stages, read_stages, write_stages

BY_CACHES = 0.5  # part of the moves that size stages for requests in flight


@inner
def move_nodes(stage, count, d, rng):
    """Change the partition by one random step; return the new number of stages."""
    n = d.n_nodes
    if d.ordered and rng.random() < 0.1:
        return move_family(stage, count, d, rng)
    move = rng.random()
    i = below(rng, n)
    if move < 0.35:
        # To another stage, or now and then out of use.
        target = below(rng, count)
        stage[i] = -1 if rng.random() < 0.03 else target
    elif move < 0.7:
        # Exchange two nodes of different kinds.
        j = below(rng, n)
        for _ in range(8):
            if d.kind[i] != d.kind[j] and stage[i] != stage[j]:
                break
            j = below(rng, n)
        stage[i], stage[j] = stage[j], stage[i]
        if rng.random() < 0.25:
            j = below(rng, n)
            stage[i], stage[j] = stage[j], stage[i]
    elif move < 0.8:
        # A stage of its own, somewhere in the order.
        where = below(rng, count + 1)
        for j in range(n):
            if stage[j] >= where:
                stage[j] += 1
        stage[i] = where
        count += 1
    elif move < 0.87 and count > 1:
        # Join two stages.
        a, b = below(rng, count), below(rng, count)
        for j in range(n):
            if stage[j] == a:
                stage[j] = b
    elif move < 0.94:
        # Split a stage in two.
        a = below(rng, count)
        for j in range(n):
            if stage[j] > a or (stage[j] == a and rng.random() < 0.5):
                stage[j] += 1
        count += 1
    else:
        # Dissolve a stage over the others.
        a = below(rng, count)
        for j in range(n):
            if stage[j] == a and count > 1:
                stage[j] = below(rng, count)
    return count


@inner
def move_family(stage, count, d, rng):
    """Move the nodes of one family that lie in one stage, or are idle; return the new number of stages.

    To another stage, or to one of their own: nodes that serve as a stage do not serve one by one.
    """
    n = d.n_nodes
    i = below(rng, n)
    family, source = d.family[i], stage[i]
    target = below(rng, count)
    if rng.random() < 0.5:
        target = below(rng, count + 1)
        for j in range(n):
            if stage[j] >= target:
                stage[j] += 1
        source = source + 1 if source >= target else source
        count += 1
    elif source >= 0 and rng.random() < 0.2:
        target = -1
    for j in range(n):
        if d.family[j] == family and stage[j] == source:
            stage[j] = target
    return count


@inner
def reorder(stage, count, d, rng, out):
    """Exchange two stages with their sizes, move or turn round a run of them: what matters where links are slow."""
    sizes, rank, old = d.sizes[0], d.sizes[2], d.sizes[1]
    a, b = below(rng, count), below(rng, count)
    for s in range(count):
        rank[s] = s
    move = rng.random()
    if move < 0.3:
        # A run changes places with the one behind it, or is turned round.
        a, b = min(a, b), max(a, b) + 1
        middle = a + below(rng, b - a)
        for s in range(count):
            old[s] = sizes[s]
        for s in range(a, b):
            if move < 0.2:
                rank[s] = s + b - middle if s < middle else s + a - middle
            else:
                rank[s] = a + b - 1 - s
            sizes[rank[s]] = old[s]
    elif move < 0.6:
        rank[a], rank[b] = b, a
        sizes[a], sizes[b] = sizes[b], sizes[a]
    else:
        step = 1 if b > a else -1
        size = sizes[a]
        for s in range(a, b, step):
            rank[s + step] = s
            sizes[s] = sizes[s + step]
        rank[a] = b
        sizes[b] = size
    for i in range(d.n_nodes):
        if stage[i] >= 0:
            stage[i] = rank[stage[i]]
    write_stages(stage, count, d, out)


@inner
def shift_spans(genome, d, rng, out):
    """Move a boundary or a single span, whatever the stages are."""
    n, blocks = d.n_nodes, d.n_blocks
    copy(genome, out)
    i = below(rng, n)
    move = rng.random()
    if move < 0.4:
        # A boundary, for all nodes that touch it.
        cut = genome[i] if rng.random() < 0.5 else genome[n + i]
        if cut <= 0 or cut >= blocks:
            return
        step = step_size(rng, 4)
        to = cut + step if rng.random() < 0.5 else cut - step
        to = min(max(to, 1), blocks - 1)
        for j in range(n):
            if genome[n + j] > genome[j]:
                if genome[j] == cut:
                    out[j] = to
                elif genome[n + j] == cut:
                    out[n + j] = to
                if out[n + j] <= out[j] or out[n + j] - out[j] > d.most[d.kind[j]]:
                    out[j], out[n + j] = 0, 0
        return
    j, k = below(rng, n), below(rng, n)
    if move < 0.6:
        # The span of another node.
        start, stop = genome[j], genome[n + j]
    elif move < 0.8:
        # From the start of one to the stop of another.
        start, stop = genome[j], genome[n + k]
    else:
        start, stop = genome[i], genome[n + i]
        step = step_size(rng, 4)
        step = step if rng.random() < 0.5 else -step
        side = rng.random()
        if side < 0.67:
            start += step
        if side > 0.33:
            stop += step
    start, stop = max(start, 0), min(stop, blocks)
    if 0 < stop - start <= d.most[d.kind[i]]:
        out[i], out[n + i] = start, stop


@inner
def some_worth(d, rng):
    """What the stages of a move are sized for: tokens/s, or requests in flight, which decide what many are served."""
    return d.kv_room if d.want_served and rng.random() < BY_CACHES else d.rate


@inner
def replicated_neighbour(genome, d, rng, out):
    """Write a genome one random move away into `out` (a copy when the move drawn is impossible)."""
    if rng.random() < d.unaligned:
        shift_spans(genome, d, rng, out)
        if rng.random() < 0.3:
            # Chains that part often need two nodes to move at once.
            copy(out, d.spare)
            shift_spans(d.spare, d, rng, out)
        return
    count = read_stages(genome, d, d.stage)
    if count == 0:
        # No chain at all: deal the nodes out anew.
        count = random_stages(d, rng)
        if not decode_stages(d.stage, count, d, some_worth(d, rng), out):
            copy(genome, out)
        return
    if d.ordered and rng.random() < 0.25:
        count = compact(d.stage, count, d)
        reorder(d.stage, count, d, rng, out)
        return
    count = move_nodes(d.stage, count, d, rng)
    if not decode_stages(d.stage, count, d, some_worth(d, rng), out):
        copy(genome, out)


@inner
def random_stages(d, rng):
    """Deal the nodes out to a random number of stages; return that number."""
    total, least = 0, 1
    for i in range(d.n_nodes):
        total += d.most[d.kind[i]]
    least = max(1, d.n_blocks * d.n_nodes // max(total, 1))
    count = min(least + below(rng, d.n_nodes), d.n_nodes, d.max_stages)
    for i in range(d.n_nodes):
        d.stage[i] = below(rng, count)
    return count


@inner
def replicated_crossover(first, second, d, rng, out):
    """Stages of the first parent, but for some nodes those of the second, sized anew."""
    a = read_stages(first, d, d.stage)
    b = read_stages(second, d, d.other)
    if a == 0 or b == 0:
        copy(first if a > 0 else second, out)
        return
    share = rng.random()
    for i in range(d.n_nodes):
        if rng.random() < share:
            d.stage[i] = d.other[i] * a // b if d.other[i] >= 0 else -1
    if not decode_stages(d.stage, a, d, some_worth(d, rng), out):
        copy(first, out)


@kernel
def replicated_from_keys(keys, d, out):
    """Random keys: the last one is the number of stages, the others place the nodes; 1 and more idles a node."""
    n = d.n_nodes
    count = 1 + min(max(int(keys[n] * n), 0), min(n, d.max_stages) - 1)
    while count <= min(n, d.max_stages):
        for i in range(n):
            key = keys[i]
            d.stage[i] = min(max(int(key * count), 0), count - 1) if key < 1.0 else -1
        if decode_stages(d.stage, count, d, d.rate, out):
            return
        # Too few stages to hold all blocks.
        count += 1
    fill(out, 2 * n, 0)


provide(
    ReplicatedData,
    evaluate=replicated_cost,
    neighbour=replicated_neighbour,
    crossover=replicated_crossover,
    from_keys=replicated_from_keys,
)
