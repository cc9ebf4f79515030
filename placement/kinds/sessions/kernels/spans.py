"""Moves on placements of server chains; the genome is that of `objectives/sessions/kernels/scores.py`."""

from __future__ import annotations

from objectives.jit import copy
from objectives.sessions.kernels.scores import ChainData, chain_cost
from placement.search.kernels import inner, kernel
from placement.search.kernels.draws import below, step_size
from placement.search.kernels.encoding import provide

N_MOVES = 11


@inner
def put(out, d, j, start, size):
    """Give server j a span, cut to what it can hold and to the blocks there are."""
    n = d.slots.shape[0]
    size = max(1, min(size, d.most[j]))
    out[j] = max(0, min(start, d.n_blocks - size))
    out[n + j] = size


@inner
def signed(rng, most):
    """Return a step of 1 .. most to either side, mostly small."""
    step = step_size(rng, most)
    return step if rng.random() < 0.5 else -step


@inner
def move_boundary(genome, d, rng, out, j):
    """Move the end of server j's span, with everything that ends or begins there."""
    n = d.slots.shape[0]
    cut = genome[j] + genome[n + j]
    step = signed(rng, 6)
    if cut == d.n_blocks:
        return
    for k in range(n):
        start, stop = genome[k], genome[k] + genome[n + k]
        if stop == cut:
            put(out, d, k, start, stop + step - start)
        elif start == cut:
            put(out, d, k, start + step, stop - start - step)


@inner
def attach(genome, d, rng, out, j):
    """Let server j begin where another one ends, or end where another one begins, its size nearly kept."""
    n = d.slots.shape[0]
    other = below(rng, n)
    size = genome[n + j] + (signed(rng, 3) if rng.random() < 0.5 else 0)
    draw = rng.random()
    if other == j:
        put(out, d, j, 0 if draw < 0.5 else d.n_blocks, size)
    elif draw < 0.4:
        put(out, d, j, genome[other] + genome[n + other], size)
    elif draw < 0.8:
        size = max(1, min(size, d.most[j]))
        put(out, d, j, genome[other] - size, size)
    else:
        put(out, d, j, genome[other], genome[n + other])


@inner
def turn_round(genome, d, rng, out, j):
    """Let server j and one that follows it change places."""
    n = d.slots.shape[0]
    stop = genome[j] + genome[n + j]
    first = below(rng, n)
    for k in range(n):
        other = (first + k) % n
        if genome[other] == stop:
            put(out, d, other, genome[j], genome[n + other])
            put(out, d, j, genome[j] + genome[n + other], genome[n + j])
            return


@inner
def bridge(genome, d, rng, out, j):
    """Let server j span from the end of one server to the beginning of another, where that fits."""
    n = d.slots.shape[0]
    before, after = below(rng, n + 1), below(rng, n + 1)
    start = genome[before] + genome[n + before] if before < n else 0
    stop = genome[after] if after < n else d.n_blocks
    if 0 < stop - start <= d.most[j]:
        put(out, d, j, start, stop - start)


@inner
def shift_between(genome, d, rng, out, j):
    """Shift every beginning and end between two cuts by one step, so that blocks go from servers to far ones."""
    n = d.slots.shape[0]
    k = below(rng, n)
    low, high = genome[j] + genome[n + j], genome[k] if rng.random() < 0.5 else genome[k] + genome[n + k]
    if low > high:
        low, high = high, low
    low, high = max(low, 1), min(high, d.n_blocks - 1)
    step = signed(rng, 3)
    for i in range(n):
        start, stop = genome[i], genome[i] + genome[n + i]
        first = start + step if low <= start <= high else start
        last = stop + step if low <= stop <= high else stop
        if first != start or last != stop:
            put(out, d, i, first, last - first)


@inner
def carry(genome, d, rng, out, j):
    """Take server j out of the line and put it in elsewhere; the servers between close up."""
    n = d.slots.shape[0]
    k = below(rng, n)
    size, start, stop = genome[n + j], genome[j], genome[j] + genome[n + j]
    if genome[k] >= stop:
        end = genome[k] + genome[n + k]
        put(out, d, j, end - size, size)
        for i in range(n):
            if i != j and genome[i] >= stop and genome[i] + genome[n + i] <= end:
                put(out, d, i, genome[i] - size, genome[n + i])
    elif genome[k] + genome[n + k] <= start:
        begin = genome[k]
        put(out, d, j, begin, size)
        for i in range(n):
            if i != j and genome[i] >= begin and genome[i] + genome[n + i] <= start:
                put(out, d, i, genome[i] + size, genome[n + i])


@kernel
def sessions_neighbour(genome, d, rng, out):
    """Write a placement one small change away into `out`."""
    n = d.slots.shape[0]
    copy(genome, out)
    j = below(rng, n)
    move = below(rng, N_MOVES)
    start, size = genome[j], genome[n + j]
    if move == 0:
        put(out, d, j, start, size + signed(rng, 4))
    elif move == 1:
        other = max(1, min(size + signed(rng, 4), d.most[j]))
        put(out, d, j, start + size - other, other)
    elif move == 2:
        put(out, d, j, start + signed(rng, 8), size)
    elif move == 3:
        k = below(rng, n)
        put(out, d, j, genome[k], genome[n + k])
        put(out, d, k, start, size)
    elif move == 4:
        k = below(rng, n)
        put(out, d, j, genome[k], size)
        put(out, d, k, start, genome[n + k])
    elif move == 5:
        move_boundary(genome, d, rng, out, j)
    elif move == 6:
        attach(genome, d, rng, out, j)
    elif move == 7:
        turn_round(genome, d, rng, out, j)
    elif move == 8:
        bridge(genome, d, rng, out, j)
    elif move == 9:
        shift_between(genome, d, rng, out, j)
    else:
        carry(genome, d, rng, out, j)


@kernel
def sessions_crossover(first, second, d, rng, out):
    """Take every server's span from one of two parents, most from the first."""
    n = d.slots.shape[0]
    share = 0.5 + 0.5 * rng.random()
    for j in range(n):
        mine = rng.random() < share
        out[j] = first[j] if mine else second[j]
        out[n + j] = first[n + j] if mine else second[n + j]


@kernel
def sessions_from_keys(keys, d, out):
    """Decode keys (2 J): the order in which servers line up front to back, and how much of its memory each fills."""
    n = d.slots.shape[0]
    cut = 0
    for rank in range(n):
        chosen = -1
        for j in range(n):
            smaller = 0
            for k in range(n):
                smaller += 1 if keys[k] < keys[j] or (keys[k] == keys[j] and k < j) else 0
            if smaller == rank:
                chosen = j
        put(out, d, chosen, cut, int(0.3 * d.most[chosen] + 0.7 * d.most[chosen] * keys[n + chosen]))
        cut = out[chosen] + out[n + chosen]
        cut = 0 if cut >= d.n_blocks else cut


provide(
    ChainData,
    evaluate=chain_cost,
    neighbour=sessions_neighbour,
    crossover=sessions_crossover,
    from_keys=sessions_from_keys,
)
