"""What a closed stream of requests costs per output token under a serving engine, prompts included.

The stream: as many requests as are in flight, the next one when one is done; prompts and outputs spread evenly within
half of their means; vLLM's policy with chunked prefill, as `placement.simulate.serving` serves it, with at most one
micro-batch per stage. A pass of a micro-batch has the decode steps of its sequences and, now and then, chunks of the
prompts that join it; its costs are those of `passes.py`, weights read once for both. Held to the simulation by
``python -m benchmarks.fidelity.estimate``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from objectives.pipeline.rounds import Rounds, prompt_passes, together

from ..question.alike import kinds_of_nodes, one_of_each
from ..question.cluster import Node
from ..question.model import Model
from ..question.request import Request
from ..question.workload import Workload
from .engines import PASS_TOKENS, HostCosts, host_costs, serving_nodes
from .passes import BlockCosts, block_costs, token_grid
from .runtimes import RuntimeCosts

FloatArray = npt.NDArray[np.float64]
# Tokens that a running sequence has made, of the mean output: E[o^2] / 2 E[o]^2 of lengths within half of their mean.
MADE = 0.5 * (1.0 + 1.0 / 12.0)


@dataclass(frozen=True, slots=True)
class Passes:
    """How the passes of micro-batches look; B sizes.

    Attributes
    ----------
    per_request : array (B,)
        Passes that a request takes, the one that it misses as it waits to join included.
    decoding : array (B,)
        Decode steps in a pass, in the mean.
    prompt_tokens : array (B,)
        Tokens of prompts in a pass that carries some.
    share : array (B,)
        Part of the passes that do.
    """

    per_request: FloatArray
    decoding: FloatArray
    prompt_tokens: FloatArray
    share: FloatArray


def passes_of(work: Workload, batches: Sequence[int]) -> Passes:
    """How the passes of each micro-batch size look under a workload."""
    size = np.array(batches, dtype=np.float64)
    prompt, out = float(work.prompt_tokens), work.output_tokens
    room = np.maximum(PASS_TOKENS - size, 1.0)
    chunks = np.maximum(1.0, prompt / room)
    per_request, _ = prompt_passes(size, out, chunks)
    # Where prompts fill every pass, who waits for them makes passes more.
    per_request = np.maximum(per_request, size * prompt / room)
    joined = together(size * chunks / per_request)
    tokens = np.minimum(joined * np.minimum(prompt, room), room)
    share = np.minimum(1.0, size * prompt / (tokens * per_request))
    return Passes(per_request, size * (out - 1) / per_request, tokens, share)


def stream_rounds(request: Request, batches: Sequence[int]) -> Rounds:
    """The seconds and bytes of a stream of the requests that a question has.

    Parameters
    ----------
    request : Request
    batches : sequence of int
        Micro-batch sizes (B,).

    Returns
    -------
    Rounds
        For N nodes and L blocks.

    Raises
    ------
    InputError
        A node lacks a figure.
    """
    kinds = kinds_of_nodes(request.cluster.nodes)
    nodes, costs, engine = serving_nodes(request, one_of_each(request.cluster.nodes, kinds))
    model, work = request.model, request.workload
    looks, host = passes_of(work, batches), host_costs(engine=engine)
    rows = [_node_seconds(node, model, work, costs, looks) for node in nodes]
    per_token = looks.per_request / work.output_tokens
    scale = per_token[:, None, None]
    return Rounds(
        short_s=(scale * np.stack([short for short, _ in rows], axis=1))[:, kinds],
        convoy_s=(scale * np.stack([more for _, more in rows], axis=1))[:, kinds],
        share=looks.share,
        tokens=per_token * looks.decoding,
        prompts=per_token * looks.prompt_tokens / work.prompt_tokens,
        passes=per_token,
        fixed_s=_host_s(host, looks, per_token, work),
        staged=True,
    )


def _host_s(host: HostCosts, looks: Passes, per_token: FloatArray, work: Workload) -> FloatArray:
    """Seconds of the host per output token: of passes, and of requests before they can be scheduled."""
    prompts = host.prompt_token_s * work.prompt_tokens + host.request_s
    seconds: FloatArray = per_token * (host.pass_s + host.sequence_s * looks.decoding) + prompts / work.output_tokens
    return seconds


def _node_seconds(
    node: Node, model: Model, work: Workload, costs: RuntimeCosts, looks: Passes
) -> tuple[FloatArray, FloatArray]:
    """Seconds (B, L) of passes without prompts through each block of a node, and what prompts add."""
    kinds = block_costs(node, model, work, 0, model.n_blocks, costs)
    found = {number: _pass_seconds(kind, work, looks) for number, kind in {id(kind): kind for kind in kinds}.items()}
    both = [found[id(kind)] for kind in kinds]
    return np.stack([short for short, _ in both], axis=1), np.stack([more for _, more in both], axis=1)


def _pass_seconds(kind: BlockCosts, work: Workload, looks: Passes) -> tuple[FloatArray, FloatArray]:
    """Seconds (B,) of a pass without prompts through a block, and what the prompts of one that carries some add."""
    prompt, prompts = float(work.prompt_tokens), looks.prompt_tokens / work.prompt_tokens
    context = prompt + MADE * work.output_tokens
    window = float(kind.window) if kind.window is not None else np.inf
    alone = _products(kind, looks.decoding)
    both = _products(kind, looks.decoding + (prompts if kind.rows else looks.prompt_tokens))
    if kind.rows:
        return alone, np.maximum(both - alone, 0.0)
    seen = min(context, window)
    step = max(kind.attention_s * seen, kind.cache_s * seen + kind.kept_s * context + kind.state_s)
    pairs = prompt * prompt / 2.0 if prompt <= window else window * prompt - window * window / 2.0
    chunks = np.maximum(1.0, prompt / looks.prompt_tokens)
    read = kind.cache_s * min(prompt, window) * (chunks + 1.0) / 2.0 + kind.kept_s * prompt + kind.state_s
    attention = prompts * np.maximum(kind.attention_s * pairs, read)
    return alone + looks.decoding * step, np.maximum(both - alone, 0.0) + attention


def _products(kind: BlockCosts, tokens: FloatArray) -> FloatArray:
    found: FloatArray = np.interp(tokens, token_grid(), kind.products_s)
    return found
