"""Events of a closed stream of requests on a replicated placement; see `placement/simulate/closed_loop.py`.

Two ways to let requests in: whenever a chain has room for one (`fill` 1); or one by one (`fill` below 1), `GAP_S` after
another one has ended its prompt or its output, as long as the fullest block's caches are no fuller than that.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np

from objectives.replicated.tables import FloatArray, IntArray
from placement.search.kernels import inner, kernel

ARRIVAL, DONE, NEW = 0, 1, 2
TRIES = 4  # chains drawn before a request has to wait for room, or is given up
GAP_S = 0.1  # until a request that is let in after another one comes


class Stream(NamedTuple):
    """What the simulation reads; node N is the client.

    `weights` (N + 1, N) are routing weights, 0 where a chain cannot go. `prompts` and `outputs` are pairs of lengths in
    tokens that requests are drawn from; without any, lengths are uniform within half of their means. `fill` is the part
    of the fullest block's caches up to which requests are let in one by one, `node_fill` that of a single node's; at 1
    they come whenever there is room. Of those let in one by one `first` begin with their prompts; if it is
    0, as many as fill the caches are under way.
    """

    start: IntArray
    stop: IntArray
    weights: FloatArray
    kv_tokens: FloatArray
    per_byte: FloatArray
    latency: FloatArray
    prompt_at: FloatArray
    prompt_s: FloatArray
    decode_at: FloatArray
    decode_s: FloatArray
    token_bytes: float
    activation_bytes: float
    n_blocks: int
    prompt_tokens: float
    output_tokens: float
    concurrency: float
    prompts: FloatArray
    outputs: FloatArray
    fill: float
    node_fill: float
    first: int


@inner
def draw_lengths(s, rng):
    """Prompt and output tokens of a request."""
    if s.prompts.shape[0] > 0:
        k = int(rng.random() * s.prompts.shape[0])
        return s.prompts[k], s.outputs[k]
    prompt = max(1.0, np.round(s.prompt_tokens * (0.5 + rng.random())))
    return prompt, max(1.0, np.round(s.output_tokens * (0.5 + rng.random())))


@inner
def fullest(s, room):
    """Part of the caches of a block, all its holders together, that is taken, of the block where it is largest."""
    most = 0.0
    for block in range(s.n_blocks):
        taken, whole = 0.0, 0.0
        for j in range(s.kv_tokens.shape[0]):
            if s.start[j] <= block < s.stop[j]:
                taken += s.node_fill * s.kv_tokens[j] - room[j]
                whole += s.kv_tokens[j]
        if whole > 0.0:
            most = max(most, taken / whole)
    return most


@inner
def batch_s(at, seconds, size):
    """Interpolate a measured curve; in proportion to the size beyond its end."""
    if size <= 0.0:
        return 0.0
    if size >= at[-1]:
        return seconds[-1] * size / at[-1]
    k = np.searchsorted(at, size)
    part = (size - at[k - 1]) / (at[k] - at[k - 1])
    return seconds[k - 1] + part * (seconds[k] - seconds[k - 1])


@inner
def draw_chain(s, rng, room, tokens, chain):
    """Draw a chain by the routing weights among nodes with room for `tokens`; return its length, 0 for none."""
    n = s.kv_tokens.shape[0]
    at, length = n, 0
    while True:
        total = 0.0
        for j in range(n):
            if room[j] >= tokens:
                total += s.weights[at, j]
        if total <= 0.0:
            return 0
        pick, chosen = rng.random() * total, -1
        for j in range(n):
            if room[j] >= tokens and s.weights[at, j] > 0.0:
                chosen = j
                pick -= s.weights[at, j]
                if pick < 0.0:
                    break
        chain[length] = chosen
        length += 1
        at = chosen
        if s.stop[at] == s.n_blocks:
            return length


@kernel
def closed_loop(s, rng, warm_s, until_s, most):
    """Simulate until `until_s`; return (decode tokens/s, mean in flight, s per token, TTFT s) after `warm_s`."""
    n = s.kv_tokens.shape[0]
    room = s.node_fill * s.kv_tokens
    chain, length = np.zeros((most, n + 1), np.int64), np.zeros(most, np.int64)
    place, left, size = np.zeros(most, np.int64), np.zeros(most), np.zeros(most)
    prompt, born, reserved = np.zeros(most), np.zeros(most), np.zeros(most)
    sent = np.zeros(most)
    queue_next = np.full(most, -1)
    queue_head, queue_tail = np.full(n, -1), np.full(n, -1)
    batch_next = np.full(most, -1)
    batch_head = np.full(n, -1)
    busy = np.zeros(n, np.bool_)
    link_free = np.zeros((n + 1, n + 1))
    free = np.zeros(most, np.int64)
    for r in range(most):
        free[r] = most - 1 - r
    n_free, flying = most, 0
    heap = [(0.0, 0, 0, 0)]
    heappop(heap)
    number, now, flying_time = 0, 0.0, 0.0
    tokens, firsts, first_s, token_s, timed = 0, 0, 0.0, 0.0, 0
    one_by_one = s.fill < 1.0
    longest = s.outputs.max() if s.outputs.shape[0] > 0 else 1.5 * s.output_tokens + 1.0
    begun = one_by_one and s.first > 0
    admit = not begun
    if begun:
        for k in range(s.first):
            heappush(heap, (k * GAP_S, number, NEW, 0))
            number += 1
    while True:
        # Requests enter while there is room on some chain.
        while admit and n_free > 0 and flying < s.concurrency:
            p, o = draw_lengths(s, rng)
            while one_by_one and not begun and rng.random() * longest > o:
                p, o = draw_lengths(s, rng)  # those under way are there by the length of their outputs
            # Who lets in one by one does not know how long an output becomes.
            tokens_kept = p + (s.output_tokens if one_by_one else o)
            r, found = free[n_free - 1], 0
            for _ in range(TRIES):
                found = draw_chain(s, rng, room, tokens_kept, chain[r])
                if found > 0:
                    break
            if found == 0:
                if one_by_one and flying == 0:
                    heappush(heap, (now + GAP_S, number, NEW, 0))
                    number += 1
                break
            n_free -= 1
            flying += 1
            admit = not one_by_one
            length[r], place[r], prompt[r], reserved[r], born[r] = found, 0, p, tokens_kept, now
            left[r], size[r] = o, p
            if not begun:
                # The first ones are under way already, so that the stream starts near its steady state.
                left[r], size[r], born[r] = max(1.0, np.round(o * rng.random())), 1.0, -1.0
            for k in range(found):
                room[chain[r, k]] -= reserved[r]
            if one_by_one and not begun:
                admit = fullest(s, room) <= s.fill
            node = chain[r, 0]
            sent[r] = now
            leave = max(now, link_free[n, node]) + size[r] * s.token_bytes * s.per_byte[n, node]
            link_free[n, node] = leave
            heappush(heap, (leave + s.latency[n, node], number, ARRIVAL, r))
            number += 1
        begun, admit = True, False
        if len(heap) == 0:
            return 0.0, 0.0, 0.0, 0.0
        time, _, kind, who = heappop(heap)
        if time >= until_s:
            break
        if time > warm_s:
            flying_time += (time - max(now, warm_s)) * flying
        now = time
        if kind == NEW:
            admit = True
            continue
        if kind == ARRIVAL:
            r = who
            if place[r] == length[r]:
                # Back at the client with a token.
                if now > warm_s:
                    if size[r] > 1.0:
                        firsts += 1
                        first_s += now - sent[r]
                    else:
                        tokens += 1
                        token_s += now - sent[r]
                    timed += size[r] == 1.0
                left[r] -= 1.0
                ended = left[r] <= 0.0
                if ended:
                    for k in range(length[r]):
                        room[chain[r, k]] += reserved[r]
                    free[n_free] = r
                    n_free += 1
                    flying -= 1
                    admit = not one_by_one
                if one_by_one and (ended or size[r] > 1.0) and fullest(s, room) <= s.fill:
                    heappush(heap, (now + GAP_S, number, NEW, 0))
                    number += 1
                if ended:
                    continue
                place[r], size[r], sent[r] = 0, 1.0, now
                node = chain[r, 0]
                leave = max(now, link_free[n, node]) + s.token_bytes * s.per_byte[n, node]
                link_free[n, node] = leave
                heappush(heap, (leave + s.latency[n, node], number, ARRIVAL, r))
                number += 1
                continue
            node = chain[r, place[r]]
            queue_next[r] = -1
            if queue_head[node] < 0:
                queue_head[node] = r
            else:
                queue_next[queue_tail[node]] = r
            queue_tail[node] = r
        else:
            node = who
            busy[node] = False
            r = batch_head[node]
            while r >= 0:
                follower = batch_next[r]
                place[r] += 1
                to = chain[r, place[r]] if place[r] < length[r] else n
                carried = s.token_bytes if to == n else size[r] * (s.token_bytes + s.activation_bytes)
                leave = max(now, link_free[node, to]) + carried * s.per_byte[node, to]
                link_free[node, to] = leave
                heappush(heap, (leave + s.latency[node, to], number, ARRIVAL, r))
                number += 1
                r = follower
        if not busy[node] and queue_head[node] >= 0:
            # All that waits goes into one batch, in order, up to the largest sizes that were measured.
            held = float(s.stop[node] - s.start[node])
            prompts, decodes, count = 0.0, 0.0, 0
            last = -1
            while queue_head[node] >= 0:
                r = queue_head[node]
                before = s.stop[chain[r, place[r] - 1]] if place[r] > 0 else 0
                part = (s.stop[node] - before) / held
                if count > 0 and (
                    (size[r] > 1.0 and prompts + size[r] > s.prompt_at[-1])
                    or (size[r] == 1.0 and decodes + 1.0 > s.decode_at[-1])
                ):
                    break
                if size[r] > 1.0:
                    prompts += size[r] * part
                else:
                    decodes += part
                queue_head[node] = queue_next[r]
                batch_next[r] = -1
                if last < 0:
                    batch_head[node] = r
                else:
                    batch_next[last] = r
                last = r
                count += 1
            busy[node] = True
            seconds = held * (
                batch_s(s.prompt_at, s.prompt_s[node], prompts) + batch_s(s.decode_at, s.decode_s[node], decodes)
            )
            heappush(heap, (now + seconds, number, DONE, node))
            number += 1
    span = until_s - warm_s
    return (
        (tokens + firsts) / span,
        flying_time / span,
        token_s / max(timed, 1),
        first_s / max(firsts, 1),
    )
