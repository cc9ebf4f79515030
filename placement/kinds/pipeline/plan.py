"""From placements of node numbers to plans with named nodes and predicted figures."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

from objectives.pipeline.terms import Terms
from objectives.spans import Span
from placement.costs.intervals import cost_notes, intervals_of
from placement.costs.parts import alone
from placement.costs.speculation import round_s, tokens_per_round
from placement.plan.plan import BESIDE, Figures, Limiter, NodeUse, ObjectiveValue, PlacedGroup, PlacedSpan, Plan
from placement.question.request import PARTS, Request

from .problem import PipelineProblem


def plan_of(request: Request, problem: PipelineProblem, spans: Sequence[Span], value: ObjectiveValue) -> Plan:
    """A plan from spans of node numbers; every figure comes from the reference code.

    Parameters
    ----------
    request : Request
        Names of nodes and blocks.
    problem : PipelineProblem
        Its tables and objective.
    spans : sequence of Span
        In block order.
    value : ObjectiveValue
        Of the objective, as people read it.
    """
    terms, broken = problem.details(spans)
    names = (*request.cluster.names, "client")
    nodes = tuple(
        NodeUse(
            node.name,
            max(
                node.memory_bytes - node.reserve_bytes,
                float(problem.tables.capacity_bytes[k])
                + bytes_away(request, node.name, request.workload.concurrency),  # taken off before
            ),
            terms.memory_bytes[k] + bytes_away(request, node.name, terms.in_flight),
            terms.busy_s[k],
        )
        for k, node in enumerate(request.cluster.nodes)
    )
    limiter, figures = terms.bottleneck, figures_of(terms)
    spoken, told = speculated(request, spans, figures)
    figures = Figures({**figures, **spoken})
    used = {names[span.node] for span in spans}
    return Plan(
        kind="pipeline",
        status="solved" if broken.total == 0 else "infeasible",
        model=request.model.name,
        n_blocks=request.model.n_blocks,
        block_names=tuple(block.name for block in request.model.blocks),
        placement=tuple(placed for span in spans for placed in placed_spans(request, names[span.node], span)),
        objective=value,
        figures=figures,
        intervals=intervals_of(request, used, figures),
        nodes=nodes,
        bottleneck=Limiter(limiter.kind, " -> ".join(names[k] for k in limiter.where), limiter.seconds),
        groups=groups_of(request, used),
        weights=request.model.weights,
        context_tokens=request.workload.context_tokens,
        notes=(
            *request.model.notes,
            *request.cluster.notes,
            *flight_note(request, terms),
            *stream_note(request, terms),
            *told,
            *cost_notes(request, used),
        ),
    )


def placed_spans(request: Request, node: str, span: Span) -> list[PlacedSpan]:
    """A run of blocks, cut where a part of them begins or ends to lie apart."""
    known = request.away_by_block
    apart = [known.get(block, ()) for block in range(span.start, span.stop)]
    cuts = [k for k in range(1, len(apart)) if apart[k] != apart[k - 1]]
    found = []
    for start, stop in pairwise([0, *cuts, len(apart)]):
        parts = sorted((away.part for away in apart[start]), key=PARTS.index)
        where = (BESIDE.join(parts), apart[start][0].home) if parts else (None, None)
        found.append(PlacedSpan(node, span.start + start, span.start + stop, *where))
    return found


def bytes_away(request: Request, node: str, in_flight: int) -> float:
    """Bytes of parts that lie on a node while others hold the rest of their blocks."""
    blocks = request.model.blocks
    parts = [alone(blocks[block], away.part) for away in request.away if away.home == node for block in away.blocks]
    context = request.workload.context_tokens
    return sum(part.weight_bytes + in_flight * part.kv_bytes(context) for part in parts)


def groups_of(request: Request, used: Collection[str]) -> tuple[PlacedGroup, ...]:
    """The groups among the nodes in use that were formed from nodes of the file."""
    nodes = (node for node in request.cluster.nodes if node.members and node.name in used)
    return tuple(PlacedGroup(node.name, node.members, node.shares) for node in nodes)


def figures_of(terms: Terms) -> Figures:
    """The figures that people read.

    ``tokens_per_s`` is served to a closed stream in micro-batches of `micro_batch`, prompts included;
    ``decode_tokens_per_s`` is the rate of decode steps alone with `in_flight` sequences, for which memory has room.
    """
    values = terms.values
    return Figures(
        time_per_token_s=values["latency"],
        ttft_s=values["ttft"],
        tokens_per_s=1.0 / values["throughput"] if values["throughput"] > 0 else float("inf"),
        request_time_s=values["request_time"],
        price_per_hour=values["price"],
        energy_per_token_j=values["energy"],
        bottleneck_s=values["bottleneck"],
        decode_tokens_per_s=1.0 / values["decode_rate"] if values["decode_rate"] > 0 else float("inf"),
        in_flight=terms.in_flight,
        micro_batch=terms.micro_batch,
    )


def speculated(
    request: Request, spans: Sequence[Span], figures: Figures
) -> tuple[Mapping[str, float], tuple[str, ...]]:
    """The time per token of a sequence alone with the draft of a question, and a note on it; nothing without one."""
    draft = request.draft
    if draft is None:
        return {}, ()
    seconds, tokens = round_s(request, spans), tokens_per_round(draft)
    faster = figures["time_per_token_s"] * tokens / seconds
    told = (
        f"speculation: {draft.tokens} tokens of {draft.model.name} at a time, each right in "
        f"{100 * draft.acceptance:.3g} % of the cases: {tokens:.3g} tokens in a round of {1e3 * seconds:.3g} ms, "
        f"{faster:.3g} times the speed of one sequence without; the other figures are those without, and exports leave "
        "the draft to you"
    )
    return {"speculated_time_per_token_s": seconds / tokens}, (told,)


def flight_note(request: Request, terms: Terms) -> tuple[str, ...]:
    """Say when memory holds fewer sequences than the workload wants."""
    want = request.workload.concurrency
    if terms.in_flight >= want:
        return ()
    return (f"cache memory holds {terms.in_flight} of the {want} sequences that the workload wants in flight",)


def stream_note(request: Request, terms: Terms) -> tuple[str, ...]:
    """Say what throughput stands for."""
    count, rate = request.workload.concurrency, terms.values["decode_rate"]
    alone = f", {1.0 / rate:.4g} tokens/s of decode steps alone (decode_rate)" if rate > 0 else ""
    who = "one request" if count == 1 else f"{count} requests"
    return (f"throughput: a closed stream of {who}, scheduled as vLLM does, prompts included{alone}",)
