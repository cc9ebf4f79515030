"""A small event simulation of a replicated placement under a closed stream: a new request whenever there is room.

Iteration by iteration: a request draws a chain by the routing weights among nodes whose caches have room for it, sends
its prompt through, then token after token. Nodes serve all that waits as one batch, links are first come first served.

Where all of the caches may be filled, requests come whenever a chain has room for all their tokens. Where a part is
kept back (`cache_fill` of the tables) they are let in one by one, as by Helix's offline mode (Y. Mei et al., ASPLOS
2025, doi:10.1145/3669940.3707215): one more 0.1 s after any of them has ended its prompt or its output, if the fullest
block's caches, those of all its holders together, are no fuller than that part. A request is counted with its prompt
and the mean output; it goes to no node whose own caches it would fill by more than 0.05 beyond the part, and is given
up where it finds no way. The stream begins with caches that are as full as they may be, of requests that are under way;
`helix_run` begins with 20 new ones and measures 600 s after a minute, as Helix does. Its level is that of the first
generation of requests in part, whose prompts came within the minute, and up to 7% above the steady one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from objectives.replicated.tables import FloatArray, ReplicatedTables
from objectives.spans import Span

from .kernels.closed_loop import Stream, closed_loop
from .traffic import paired_lengths

NODE_SPARE = 0.05  # a node may be filled by so much more than the fullest block: Helix's 0.85 beside 0.8


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
    lengths: tuple[FloatArray, FloatArray] | None = None,
    first: int = 0,
) -> Served:
    """Simulate `seconds` of a closed stream after `warm_s` of warm-up.

    Parameters
    ----------
    tables : ReplicatedTables
    spans : sequence of Span
    weights : array (N + 1, N)
        Routing weights from each node, the client last, to each node that may follow; see `objectives.served`.
    rng : numpy Generator
    warm_s, seconds : float
    lengths : tuple of two arrays (R,), optional
        Prompt and output tokens of requests that each new one is drawn from. By default those of the tables: uniform
        within half of their means where they are independent, else `paired_lengths`.
    first : int
        Requests that begin, where they are let in one by one; 0: as many as fill the caches are under way.
    """
    if lengths is None:
        lengths = (np.zeros(0), np.zeros(0))
        if tables.length_product != 1.0:
            lengths = paired_lengths(tables.prompt_tokens, tables.output_tokens, tables.length_product)
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
        prompts=np.asarray(lengths[0], dtype=np.float64),
        outputs=np.asarray(lengths[1], dtype=np.float64),
        fill=tables.cache_fill,
        first=first,
        node_fill=min(1.0, tables.cache_fill + NODE_SPARE) if tables.cache_fill < 1.0 else 1.0,
    )
    return Served(*map(float, closed_loop(stream, rng, warm_s, warm_s + seconds, MOST_IN_FLIGHT)))


def helix_run(
    tables: ReplicatedTables,
    spans: Sequence[Span],
    weights: FloatArray,
    rng: np.random.Generator,
    lengths: tuple[FloatArray, FloatArray] | None = None,
) -> Served:
    """The run by which Helix's authors compare placements; parameters are those of `simulate`."""
    return simulate(tables, spans, weights, rng, warm_s=60.0, seconds=600.0, lengths=lengths, first=20)


MOST_IN_FLIGHT = 20_000
