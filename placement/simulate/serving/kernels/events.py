"""Passes of micro-batches through stages and links, event by event, until a policy has something to decide.

A group is a micro-batch that is under way or has just come back: a list of sequences that step together. What happens
to it between two decisions needs no policy: one token more for each sequence, a cache block now and then, the next
pass. That is compiled here; a group goes back to Python when its decode steps are used up, when a request has come
that it could take in, or when cache blocks run out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from . import inner, kernel

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

NOBODY = -1
HOST = 0  # a group's next event: its pass is prepared, begins at a stage, or is back
DECIDE, BLOCKS = 1, 2  # why a group comes back


class Machine(NamedTuple):
    """What does not change: stages S, kinds of blocks K, windows W, tokens G, nodes N, chains C of at most L stages."""

    grid: FloatArray
    kinds: IntArray  # (S,) kinds of blocks of each stage
    blocks: FloatArray  # (S, K) how many of each kind
    rows: BoolArray  # (S, K)
    window: IntArray  # (S, K) column of the context sums
    products_s: FloatArray  # (S, K, G)
    attention_s: FloatArray  # (S, K)
    cache_s: FloatArray  # (S, K)
    kept_s: FloatArray  # (S, K)
    state_s: FloatArray  # (S, K)
    node: IntArray  # (S,)
    stages: IntArray  # (C, L)
    length: IntArray  # (C,)
    latency_s: FloatArray  # (N + 1, N + 1)
    per_byte_s: FloatArray  # (N + 1, N + 1)
    bytes_in: FloatArray  # (S,) per token, across the cut before the stage
    bytes_out: float  # per sequence, back to the client
    pass_s: float  # of the host, per pass
    sequence_s: float  # of the host, per sequence in a pass
    prompt_token_s: float  # of the host, per prompt token in a pass
    ahead: bool  # passes are prepared one ahead: who comes while one runs is in the next but one


class Groups(NamedTuple):
    """What changes, by group."""

    chain: IntArray
    place: IntArray  # stages done of the pass under way; -1: it does not run
    time: FloatArray  # of its next event in s
    launched: FloatArray  # begin of the pass under way
    seen: FloatArray  # a request that came until then may be in its next pass
    tokens: IntArray
    rows: IntArray
    sequences: IntArray  # whose caches are read
    pairs: FloatArray  # (groups, W) tokens x context
    cache: FloatArray  # (groups, W) tokens of cache read
    grows: FloatArray  # (groups, W) sequences whose context grows by a token a step
    left: IntArray  # decode steps until a decision
    done: IntArray  # passes since the last decision
    phase: IntArray  # (groups, block) sequences by tokens until each needs its next cache block
    shift: IntArray  # where `phase` begins
    extra_s: FloatArray  # more seconds of this pass: caches that are moved
    remote_s: FloatArray  # more seconds at every stage of every pass: attention where the cache lies
    lender: IntArray  # chain whose stages work for `lent_s` beside it
    lent_s: FloatArray


class Shared(NamedTuple):
    """What groups share; C chains, N nodes."""

    free: IntArray  # (C,) cache blocks
    ask: FloatArray  # (groups,) a group that has seen that time is asked when it comes back
    node_free: FloatArray  # (N,) s
    link_free: FloatArray  # (N + 1, N + 1) s
    host_free: FloatArray  # (C,) s
    busy: FloatArray  # (N, bins) s
    bin_s: FloatArray  # (1,)
    gantt: FloatArray  # (rows, 5): node, group, begin, end, tokens
    begins: FloatArray  # (groups, 3): group, time and prompt tokens of passes that begin next
    noted: IntArray  # (3,) rows of the Gantt chart, passes, rows of `begins`


@inner
def place_of(grid, tokens):
    """Index below `tokens` and the part of the way to the next one."""
    if tokens <= 64:
        return tokens, 0.0
    low, high = 64, grid.shape[0] - 1
    while high - low > 1:
        middle = (low + high) // 2
        if grid[middle] <= tokens:
            low = middle
        else:
            high = middle
    return low, (tokens - grid[low]) / (grid[high] - grid[low])


@inner
def stage_seconds(m, stage, tokens, rows, sequences, pairs, cache):
    """Seconds of a pass through a stage; see `placement.costs.passes`."""
    total = 0.0
    last = m.grid.shape[0] - 1
    at, part = place_of(m.grid, tokens)
    at_rows, part_rows = place_of(m.grid, rows)
    for k in range(m.kinds[stage]):
        i, share, passing = at, part, tokens
        if m.rows[stage, k]:
            i, share, passing = at_rows, part_rows, rows
        if passing == 0:
            continue
        j, w = min(i + 1, last), m.window[stage, k]
        products = (1.0 - share) * m.products_s[stage, k, i] + share * m.products_s[stage, k, j]
        read = m.cache_s[stage, k] * cache[w] + m.kept_s[stage, k] * cache[0] + m.state_s[stage, k] * sequences
        total += m.blocks[stage, k] * (products + max(m.attention_s[stage, k] * pairs[w], read))
    return total


@kernel
def one_pass(m, stage, tokens, rows, sequences, pairs, cache):
    """Seconds of one pass, for tests and estimates."""
    return stage_seconds(m, stage, tokens, rows, sequences, pairs, cache)


@inner
def launch(m, g, s, i, now, prompts):
    """Begin a pass of group i: the host prepares it, then its tokens are on their way to the first stage."""
    c = g.chain[i]
    begin = max(now, s.host_free[c])
    ready = begin + m.pass_s + m.sequence_s * g.sequences[i] + m.prompt_token_s * prompts + g.extra_s[i]
    s.host_free[c] = ready
    g.extra_s[i] = 0.0
    g.launched[i] = now
    n = s.node_free.shape[0]
    first = m.stages[c, 0]
    to = m.node[first]
    leave = max(ready, s.link_free[n, to]) + g.tokens[i] * m.bytes_in[first] * m.per_byte_s[n, to]
    s.link_free[n, to] = leave
    g.time[i] = leave + m.latency_s[n, to]
    g.place[i] = 0


@inner
def at_stage(m, g, s, i):
    """Group i is at its next stage: it waits for the node, passes, and is sent on."""
    c = g.chain[i]
    stage = m.stages[c, g.place[i]]
    node = m.node[stage]
    n = s.node_free.shape[0]
    start = max(g.time[i], s.node_free[node])
    seconds = stage_seconds(m, stage, g.tokens[i], g.rows[i], g.sequences[i], g.pairs[i], g.cache[i])
    if g.lender[i] >= 0:
        seconds += g.remote_s[i]
        lending = m.node[m.stages[g.lender[i], min(g.place[i], m.length[g.lender[i]] - 1)]]
        s.node_free[lending] = max(s.node_free[lending], start) + g.lent_s[i]
        s.busy[lending, min(np.int64(start / s.bin_s[0]), s.busy.shape[1] - 1)] += g.lent_s[i]
    end = start + seconds
    s.node_free[node] = end
    s.busy[node, min(np.int64(start / s.bin_s[0]), s.busy.shape[1] - 1)] += seconds
    row = s.noted[0]
    if row < s.gantt.shape[0]:
        s.gantt[row, 0], s.gantt[row, 1], s.gantt[row, 2], s.gantt[row, 3] = node, i, start, end
        s.gantt[row, 4] = g.tokens[i]
        s.noted[0] = row + 1
    g.place[i] += 1
    if g.place[i] < m.length[c]:
        following = m.stages[c, g.place[i]]
        to, carried = m.node[following], g.tokens[i] * m.bytes_in[following]
    else:
        to, carried = n, g.rows[i] * m.bytes_out
    leave = max(end, s.link_free[node, to]) + carried * m.per_byte_s[node, to]
    s.link_free[node, to] = leave
    g.time[i] = leave + m.latency_s[node, to]


@kernel
def run(m, g, s, until):
    """Go on until a group needs a decision, or to the last event before `until`; return (group, why, time).

    Passes that policies have made up begin first, in the order in which they were made.
    """
    for row in range(s.noted[2]):
        i = np.int64(s.begins[row, 0])
        launch(m, g, s, i, s.begins[row, 1], s.begins[row, 2])
    s.noted[2] = 0
    while True:
        i, now = np.int64(NOBODY), np.inf
        for k in range(g.time.shape[0]):
            if g.place[k] >= 0 and g.time[k] < now:
                i, now = np.int64(k), g.time[k]
        if i < 0 or now > until:
            return NOBODY, DECIDE, until
        c = g.chain[i]
        if g.place[i] < m.length[c]:
            at_stage(m, g, s, i)
            continue
        # Back with a token for each sequence.
        g.done[i] += 1
        g.left[i] -= 1
        s.noted[1] += 1
        g.seen[i] = g.launched[i] if m.ahead else now
        if g.left[i] <= 0 or s.ask[i] <= g.seen[i]:
            g.place[i] = -1
            return i, DECIDE, now
        block = g.phase.shape[1]
        needed = g.phase[i, g.shift[i]]
        if needed > s.free[c]:
            g.place[i] = -1
            return i, BLOCKS, now
        s.free[c] -= needed
        g.shift[i] = (g.shift[i] + 1) % block
        for w in range(g.cache.shape[1]):
            g.cache[i, w] += g.grows[i, w]
            g.pairs[i, w] += g.grows[i, w]
        launch(m, g, s, i, now, 0)
