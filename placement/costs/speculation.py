"""Speculation: a draft proposes tokens, the model looks at all of them in one pass.

Of k drafted tokens, each right with probability a, a round yields (1 - a ** (k + 1)) / (1 - a) tokens in the mean
(Y. Leviathan, M. Kalman, Y. Matias, "Fast inference from transformers via speculative decoding", ICML 2023,
arXiv:2211.17192). A round takes k steps of the draft on its node, one behind the other, and one pass of k + 1 rows
through the pipeline, which reads weights and cache once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from objectives.pipeline.terms import step_s
from objectives.spans import Span

from ..errors import InputError
from ..question.model import Block, Model
from ..question.request import Draft, Request
from .build import build_tables
from .roofline import decode_table
from .runtimes import costs_or_generic


def tokens_per_round(draft: Draft) -> float:
    """Tokens that a round yields in the mean: those accepted, and the one that the model adds."""
    a, k = draft.acceptance, draft.tokens
    return k + 1.0 if a >= 1.0 else (1.0 - a ** (k + 1)) / (1.0 - a)


def round_s(request: Request, spans: Iterable[Span]) -> float:
    """Seconds of a round of one sequence on a layout.

    Parameters
    ----------
    request : Request
        With a draft.
    spans : iterable of Span
        In block order.

    Returns
    -------
    float

    Raises
    ------
    InputError
        What a step of the draft takes on its node is not known.
    """
    draft, spans = request.draft, list(spans)
    if draft is None:
        raise InputError("this question has no draft model", "extras.draft")
    rows = draft.tokens + 1
    looked_at = replace(request, model=_read_once(request.model, rows))
    tables = build_tables(looked_at, sizes=(1, rows), streams=False)
    return step_s(tables, spans, 1) + draft.tokens * draft_step_s(request, draft, spans)


def draft_step_s(request: Request, draft: Draft, spans: Iterable[Span]) -> float:
    """Seconds of one step of the draft of one sequence on the node that holds its block."""
    home = next(span.node for span in spans if span.start <= draft.block < span.stop)
    node, costs = request.cluster.nodes[home], costs_or_generic(request.runtime or request.costs)
    own = replace(node, decode_s_per_block=(), decode_table={}, prefill_s_per_block=())
    try:
        return float(decode_table(own, draft.model, request.workload, (1,), costs).sum())
    except InputError:
        raise InputError(
            f"what the draft takes on '{node.name}' is computed: expected a device, or compute and memory_bandwidth",
            f"nodes[{node.name}]",
        ) from None


def _read_once(model: Model, rows: int) -> Model:
    """The model for a pass of several rows of one sequence: as of so many sequences, whose caches are one."""
    return replace(model, blocks=tuple(_block(block, rows) for block in model.blocks))


def _block(block: Block, rows: int) -> Block:
    return replace(
        block,
        kv_bytes_per_token=block.kv_bytes_per_token / rows,
        kept_bytes_per_token=block.kept_bytes_per_token / rows,
        state_bytes=block.state_bytes / rows,
        parts=tuple(
            replace(
                part,
                kv_bytes_per_token=part.kv_bytes_per_token / rows,
                kept_bytes_per_token=part.kept_bytes_per_token / rows,
                state_bytes=part.state_bytes / rows,
            )
            for part in block.parts
        ),
    )
