"""Proven bounds on what a replicated placement serves and how fast it answers, by the estimates of `served.py`.

They cover every placement that breaks no rule, under both edge rules, and the estimate itself, not a simulation of it.

- In flight: sum_i max_k k room_i(k) / L requests at most, as every block needs a holder with room for each of them.
- Round trip: a chain has held_i <= most_i blocks on node i and L at least in all; the fastest nodes filled first give
  the least sum of held_i s_i. It has a hop from the client, one back, and those between the fewest nodes that hold L.
- Served: the smaller one, as the estimate takes it, of in flight / round trip and of the bound on the flow.
"""

from __future__ import annotations

import numpy as np

from .flow_bounds import capped_bound
from .routing import FILL, at_size, links_s
from .served import HEADROOM
from .tables import FloatArray, ReplicatedTables


def block_s(tables: ReplicatedTables) -> tuple[FloatArray, FloatArray]:
    """Least seconds of a block for a decode step, at any batch, and for a prompt; arrays (N,)."""
    large = tables.decode_at >= 1.0
    decode = np.array(
        [min(at_size(tables.decode_at, row, 1.0), *row[large], np.inf) for row in tables.decode_s], dtype=np.float64
    )
    prompt = np.array([at_size(tables.prompt_at, row, tables.prompt_tokens) for row in tables.prompt_s])
    return decode, prompt


def fastest_chain_s(tables: ReplicatedTables, per_block_s: FloatArray) -> float:
    """Least seconds that the nodes of a chain need for L blocks, node after node; infinite where they hold fewer."""
    left, total = tables.n_blocks, 0.0
    for node in np.argsort(per_block_s, kind="stable"):
        held = min(left, int(tables.most_blocks[node]))
        total += held * float(per_block_s[node])
        left -= held
        if left == 0:
            return total
    return np.inf


def least_hops(tables: ReplicatedTables) -> int:
    """Hops between nodes of a chain at least."""
    held = np.cumsum(np.sort(tables.most_blocks)[::-1])
    return int(np.searchsorted(held, tables.n_blocks))


def hops_s(tables: ReplicatedTables, busy_s: FloatArray) -> float:
    """Least seconds on links of a chain, `busy_s` (N + 1, N + 1) being those that what is sent keeps each one busy."""
    client = tables.client
    spent = np.where(tables.bandwidth_bytes_per_s > 0, tables.latency_s + busy_s, np.inf)
    inner = spent[:client, :client].copy()
    np.fill_diagonal(inner, np.inf)
    between = least_hops(tables)
    total = float(spent[client, :client].min() + spent[:client, client].min())
    return total + (between * float(inner.min()) if between else 0.0)


def round_trip_bound_s(tables: ReplicatedTables) -> tuple[float, float]:
    """Least seconds of a decode step, and of a prompt up to its first token, of a request on any chain."""
    decode, prompt = block_s(tables)
    for_prompt, for_token = links_s(tables)
    step = fastest_chain_s(tables, decode) + hops_s(tables, for_token)
    return step, fastest_chain_s(tables, prompt) + hops_s(tables, for_prompt)


def in_flight_bound(tables: ReplicatedTables) -> float:
    """Requests in flight at most."""
    blocks = np.arange(1, tables.rate.shape[1] + 1)
    room = tables.request_room * (tables.rate > 0)
    most = float((blocks * room).max(axis=1).sum()) / tables.n_blocks
    return min(tables.concurrency, max(1.0, FILL * most))


def served_bound(tables: ReplicatedTables) -> float:
    """Output tokens/s that the estimate of no placement exceeds."""
    step, ttft = round_trip_bound_s(tables)
    out = tables.output_tokens
    queued = in_flight_bound(tables) * out / max((out - 1.0) * step + ttft, 1e-300)
    raw = HEADROOM * capped_bound(tables) * out / (tables.prompt_tokens + out)
    return float(max(0.0, min(queued, raw)))
