"""Cost and violation of a pipeline in one pass over its stages: the compiled twin of `terms.py` and `limits.py`.

A pipeline is one row of integers, the *genome*: ``g[0]`` stages, their nodes in ``g[1 : 1 + S]`` and the block after
each one's last in ``g[1 + S : 1 + 2 * S]``, S being the most stages that the row can hold.
"""

from __future__ import annotations

import numpy as np

from objectives.jit import inner, kernel

from .packed import (
    BOTTLENECK,
    CAPACITY,
    CUT_ALLOWED,
    CUT_BYTES,
    DECODE_RATE,
    ENERGY,
    FIRST_TOKEN,
    FIXED,
    KV,
    LATENCY,
    LINKED,
    N_TERMS,
    PASSES,
    PER_BYTE,
    POWER,
    PRICE,
    PROMPT_BYTES,
    PROMPTS,
    RENT,
    REQUIRED,
    SHARE,
    SHORT_LOG,
    STEP,
    THROUGHPUT,
    TOKENS,
    WEIGHT,
    WHOLE_REQUEST,
)


@inner
def owner(genome, d, block):
    """Return the stage that holds a block."""
    stage = 0
    while genome[1 + d.max_stages + stage] <= block:
        stage += 1
    return stage


@inner
def explained(genome, d, node, start, stop):
    """Return whether a tie to an earlier run of the same node explains one more run of it."""
    for t in range(d.ties.shape[0]):
        for side in range(2):
            if start <= d.ties[t, side] < stop:
                other = d.ties[t, 1 - side]
                if other < start and genome[1 + owner(genome, d, other)] == node:
                    return True
    return False


@inner
def broken_rules(genome, d, used, n_required):
    """Count ties apart, nodes beyond `max_nodes`, and required nodes left out."""
    count = max(0, used - d.max_nodes) + (d.n_required - n_required)
    for t in range(d.ties.shape[0]):
        if genome[1 + owner(genome, d, d.ties[t, 0])] != genome[1 + owner(genome, d, d.ties[t, 1])]:
            count += 1
    return count


@inner
def add_hops(genome, d, repeats, with_served, out):
    """Write latency, seconds per token on links, seconds per prompt, and the busiest link; return broken rules.

    With `with_served` the busiest link of each micro-batch size follows, prompts included.
    """
    stages, width = genome[0], d.max_stages
    latency, on_link, prompt, widest, count = 0.0, 0.0, 0.0, 0.0, 0
    before, cut = d.n_nodes, 0
    if with_served:
        for k in range(d.n_batches):
            out[4 + k] = 0.0
    for s in range(stages + 1):
        node = genome[1 + s] if s < stages else d.n_nodes
        if d.links[before, node, LINKED] == 0.0:
            count += 1
        if 0 < s < stages and d.cuts[cut, CUT_ALLOWED] == 0.0:
            count += 1
        latency += d.links[before, node, LATENCY]
        per_byte = d.links[before, node, PER_BYTE]
        seconds, prompt_s = d.cuts[cut, CUT_BYTES] * per_byte, d.cuts[cut, PROMPT_BYTES] * per_byte
        on_link += seconds
        prompt += prompt_s
        if repeats:
            # A link that the pipeline crosses twice is busy twice.
            for r in range(s):
                if (genome[r] if r > 0 else d.n_nodes) == before and genome[1 + r] == node:
                    crossed = genome[width + r] if r > 0 else 0
                    seconds += d.cuts[crossed, CUT_BYTES] * per_byte
                    prompt_s += d.cuts[crossed, PROMPT_BYTES] * per_byte
        widest = max(widest, seconds)
        if with_served:
            for k in range(d.n_batches):
                sent = d.sizes[k, TOKENS] * seconds + d.sizes[k, SHARE] * d.sizes[k, PROMPTS] * prompt_s
                out[4 + k] = max(out[4 + k], sent)
        before = node
        cut = genome[1 + width + s] if s < stages else cut
    out[0], out[1], out[2], out[3] = latency, on_link, prompt, widest
    return count


@inner
def sum_repeats(genome, d, n_batches, with_served):
    """Redo the sums per node where nodes hold several runs; returns (missing bytes, sequences in flight).

    Scratch row of a node: weights, caches, seen, busy seconds by micro-batch size, those with prompts; row N + 1 gets
    the busiest node's.
    """
    missing, fly, start = 0.0, float(d.concurrency), 0
    scratch, width, b = d.scratch, d.max_stages, d.n_batches
    for s in range(genome[0]):
        for k in range(3 + 2 * b):
            scratch[genome[1 + s], k] = 0.0
    for s in range(genome[0]):
        node, stop = genome[1 + s], genome[1 + width + s]
        scratch[node, 0] += d.cuts[stop, WEIGHT] - d.cuts[start, WEIGHT]
        scratch[node, 1] += d.cuts[stop, KV] - d.cuts[start, KV]
        for k in range(n_batches):
            scratch[node, 3 + k] += d.seconds[node, stop, k] - d.seconds[node, start, k]
            busy = scratch[node, 3 + k] + d.beside[node, k]
            scratch[d.n_nodes + 1, 3 + k] = max(scratch[d.n_nodes + 1, 3 + k], busy)
        for k in range(b if with_served else 0):
            scratch[node, 3 + b + k] += served_busy(d, node, start, stop, k)
            busy = scratch[node, 3 + b + k] + d.sizes[k, PASSES] * d.beside[node, k]
            scratch[d.n_nodes + 1, 3 + b + k] = max(scratch[d.n_nodes + 1, 3 + b + k], busy)
        start = stop
    for s in range(genome[0]):
        node = genome[1 + s]
        if scratch[node, 2] == 0.0:
            scratch[node, 2] = 1.0
            short, fits = room(d, node, scratch[node, 0], scratch[node, 1])
            missing += short
            fly = min(fly, fits)
    return missing, fly


@inner
def served_busy(d, node, start, stop, size):
    """Busy seconds of a run of blocks per micro-batch and output token, prompts included."""
    more = size + d.n_batches
    short = d.served[node, stop, size] - d.served[node, start, size]
    return short + d.sizes[size, SHARE] * (d.served[node, stop, more] - d.served[node, start, more])


@inner
def room(d, node, weight, kv):
    """Bytes missing on a node for its weights and one cache, and how many caches fit."""
    capacity = d.nodes[node, CAPACITY]
    free = capacity - weight
    short = max(0.0, kv - free - capacity * 1e-12 - 1e-6)
    if free < 0.0:
        return short, 0.0
    return short, np.floor(free / kv + 1e-9) if kv > 0.0 else np.inf


@inner
def decode_rate(d, n_batches, fly, totals, mosts, hops):
    """Seconds per token of decode steps alone, at the best micro-batch size."""
    best = np.inf
    for k in range(n_batches):
        batch = d.batches[k]
        if k > 0 and batch > fly:
            break
        busiest = max(mosts[k], batch * hops[3])
        best = min(best, max((totals[k] + hops[0] + batch * hops[1]) / fly, busiest / batch))
    return best


@inner
def served_rate(d, fly, stages, totals, mosts, hops):
    """Seconds per token with prompts at the best micro-batch size, and that size; see `rounds.py`."""
    best, chosen, b = np.inf, 1.0, d.n_batches
    for k in range(b):
        batch = d.batches[k]
        if k > 0 and batch > fly:
            break
        busiest = max(mosts[b + k], hops[4 + k]) / batch
        if busiest >= best:
            continue
        size = d.sizes[k]
        flying = batch * min(np.floor(fly / batch), float(stages)) if d.staged else fly
        part = 1.0 - np.exp(max(1.0, flying / batch) * size[SHORT_LOG])
        trip = totals[b + k] + part * totals[2 * b + k] + size[PASSES] * hops[0] + size[FIXED]
        trip += size[TOKENS] * hops[1] + part * size[PROMPTS] * hops[2]
        seconds = max(trip / flying, busiest)
        if seconds < best:
            best, chosen = seconds, batch
    return best, chosen


@inner
def pipeline_terms(genome, d, terms, with_served, with_decode):
    """Fill `terms` (in the order of `combine.TERMS`, then in-flight and micro-batch); return the violation.

    Without `with_served`, throughput is left at 0; without `with_decode`, so is the rate of decode steps, and only the
    first micro-batch size is looked at for those.
    """
    stages, width, last = genome[0], d.max_stages, d.n_batches
    n_batches, n_served = last if with_decode else 1, last if with_served else 0
    scratch, seconds, n = d.scratch, d.seconds, d.n_nodes
    totals, mosts, hops = scratch[n, 3:], scratch[n + 1, 3:], scratch[n + 2]
    for k in range(n_batches):
        totals[k], mosts[k] = 0.0, d.beside[n, k]
    for k in range(n_served):
        totals[last + k], totals[2 * last + k] = 0.0, 0.0
        mosts[last + k] = d.sizes[k, PASSES] * d.beside[n, k]
    violation, missing, prefill, slowest, energy, price = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    fly = float(d.concurrency)
    used, n_required, start = 0, 0, 0
    for s in range(stages):
        node, stop = genome[1 + s], genome[1 + width + s]
        if scratch[node, 2] == 0.0:
            scratch[node, 2] = 1.0
            used += 1
            price += d.nodes[node, PRICE]
            n_required += int(d.nodes[node, REQUIRED])
        elif d.contiguous and not explained(genome, d, node, start, stop):
            violation += 1.0
        weight, kv = d.cuts[stop, WEIGHT] - d.cuts[start, WEIGHT], d.cuts[stop, KV] - d.cuts[start, KV]
        short, fits = room(d, node, weight, kv)
        missing += short
        fly = min(fly, fits)
        for k in range(n_batches):
            busy = seconds[node, stop, k] - seconds[node, start, k]
            totals[k] += busy
            mosts[k] = max(mosts[k], busy + d.beside[node, k])
        for k in range(n_served):
            busy = d.served[node, stop, k] - d.served[node, start, k]
            convoy = d.served[node, stop, last + k] - d.served[node, start, last + k]
            totals[last + k] += busy
            totals[2 * last + k] += convoy
            busy += d.sizes[k, SHARE] * convoy + d.sizes[k, PASSES] * d.beside[node, k]
            mosts[last + k] = max(mosts[last + k], busy)
        energy += d.nodes[node, POWER] * (seconds[node, stop, 0] - seconds[node, start, 0])
        prompt = seconds[node, stop, last] - seconds[node, start, last]
        prefill += prompt
        slowest = max(slowest, prompt)
        violation += seconds[node, stop, last + 1] - seconds[node, start, last + 1]
        start = stop
    if used < stages:
        missing, fly = sum_repeats(genome, d, n_batches, with_served)
    for s in range(stages):
        scratch[genome[1 + s], 2] = 0.0
    violation += missing / d.scale + broken_rules(genome, d, used, n_required)
    violation += add_hops(genome, d, used < stages, with_served, hops)
    fly = max(fly, 1.0)
    terms[STEP] = totals[0] + hops[0] + hops[1]
    terms[FIRST_TOKEN] = (1.0 - d.overlap) * prefill + d.overlap * slowest + hops[0] + hops[2]
    terms[WHOLE_REQUEST] = terms[FIRST_TOKEN] + (d.output_tokens - 1) * terms[STEP]
    terms[THROUGHPUT], terms[N_TERMS + 1] = 0.0, 1.0
    if with_served:
        terms[THROUGHPUT], terms[N_TERMS + 1] = served_rate(d, fly, stages, totals, mosts, hops)
    terms[RENT] = price
    terms[ENERGY] = energy
    terms[BOTTLENECK] = max(mosts[0], hops[3])
    terms[DECODE_RATE] = decode_rate(d, n_batches, fly, totals, mosts, hops) if with_decode else 0.0
    terms[N_TERMS] = fly
    for k in range(N_TERMS):
        if terms[k] > d.limits[k] * (1.0 + 1e-12):
            violation += terms[k] / d.limits[k] - 1.0
    return violation


@inner
def pipeline_cost(genome, d):
    """Return (cost, violation) of one genome."""
    terms = np.empty(N_TERMS + 2)
    violation = pipeline_terms(genome, d, terms, d.with_served, d.with_decode)
    cost = 0.0
    for k in range(N_TERMS):
        cost += d.weights[k] * terms[k]
    return cost, violation


@kernel
def pipeline_batch(genomes, d, terms, violations):
    """Fill terms (n, terms + 2) and violations (n,) of many genomes."""
    for k in range(genomes.shape[0]):
        violations[k] = pipeline_terms(genomes[k], d, terms[k], True, True)
