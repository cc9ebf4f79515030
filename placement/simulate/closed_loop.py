"""A small event simulation of a replicated placement under a closed stream: a new request whenever there is room.

Iteration by iteration: a request draws a chain by the routing weights among nodes whose caches have room for all its
tokens, sends its prompt through, then token after token. Nodes serve all that waits as one batch, links are first come
first served. Enough to rank placements; lengths are uniform within half of their means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from objectives.replicated.tables import FloatArray, ReplicatedTables
from objectives.spans import Span

from .kernels.closed_loop import Stream, closed_loop


@dataclass(frozen=True, slots=True)
class Served:
    """What a simulation measured.

    Attributes
    ----------
    tokens_per_s : float
        Output tokens/s of all requests together.
    in_flight : float
        Mean number of requests in flight.
    time_per_token_s : float
        Mean seconds of a decode step of one request.
    ttft_s : float
        Mean seconds from admission to the first token.
    """

    tokens_per_s: float
    in_flight: float
    time_per_token_s: float
    ttft_s: float


def simulate(
    tables: ReplicatedTables,
    spans: Sequence[Span],
    weights: FloatArray,
    rng: np.random.Generator,
    *,
    warm_s: float = 60.0,
    seconds: float = 180.0,
) -> Served:
    """Simulate `seconds` of a closed stream after `warm_s` of warm-up.

    Parameters
    ----------
    weights : array (N + 1, N)
        Routing weights from each node, the client last, to each node that may follow; see `objectives.served`.
    """
    n = tables.n_nodes
    start, stop, kv = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64), np.zeros(n)
    for span in spans:
        start[span.node], stop[span.node] = span.start, span.stop
        kv[span.node] = tables.kv_tokens[span.node, span.stop - span.start - 1]
    per_byte = np.zeros((n + 1, n + 1))
    np.divide(1.0, tables.bandwidth_bytes_per_s, out=per_byte, where=tables.bandwidth_bytes_per_s > 0)
    stream = Stream(
        start=start,
        stop=stop,
        weights=weights.copy(),
        kv_tokens=kv,
        per_byte=per_byte,
        latency=tables.latency_s.copy(),
        prompt_at=tables.prompt_at.copy(),
        prompt_s=tables.prompt_s.copy(),
        decode_at=tables.decode_at.copy(),
        decode_s=tables.decode_s.copy(),
        token_bytes=tables.token_bytes,
        activation_bytes=tables.activation_bytes,
        n_blocks=tables.n_blocks,
        prompt_tokens=tables.prompt_tokens,
        output_tokens=tables.output_tokens,
        concurrency=min(tables.concurrency, float(MOST_IN_FLIGHT)),
    )
    return Served(*map(float, closed_loop(stream, rng, warm_s, warm_s + seconds, MOST_IN_FLIGHT)))


MOST_IN_FLIGHT = 20_000
