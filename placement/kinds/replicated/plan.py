"""The plan of a replicated placement: spans, routing weights, chains, figures."""

from __future__ import annotations

from objectives.replicated.flow import decompose
from objectives.replicated.terms import ReplicatedTerms
from objectives.spans import Span
from placement.plan.plan import Figures, ObjectiveValue, PlacedChain, PlacedSpan, Plan, Route
from placement.question.case import ReplicatedCase

from .problem import ReplicatedProblem

MOST_CHAINS = 200


def plan_of(
    case: ReplicatedCase,
    problem: ReplicatedProblem,
    spans: tuple[Span, ...],
    value: ObjectiveValue,
    *,
    chains: bool = True,
) -> Plan:
    """Make a plan; every figure comes from the reference code.

    Parameters
    ----------
    case : ReplicatedCase
        Names of nodes and blocks.
    problem : ReplicatedProblem
        Its tables and objective.
    spans : tuple of Span
        One per node that holds something.
    value : ObjectiveValue
    chains : bool
        Take the max flow apart into chains; without, the plan has none.
    """
    terms, broken = problem.details(spans)
    names = (*case.node_names, "client")
    genome = problem.encode(spans).tolist()
    n, weights = problem.tables.n_nodes, terms.service.weights
    parts = decompose(problem.tables, spans)[:MOST_CHAINS] if chains else ()
    return Plan(
        kind="replicated",
        status="solved" if broken.total == 0 else "infeasible",
        model=case.name,
        n_blocks=problem.tables.n_blocks,
        block_names=case.block_names,
        placement=tuple(PlacedSpan(names[span.node], span.start, span.stop) for span in spans),
        objective=value,
        figures=figures_of(terms),
        chains=tuple(
            PlacedChain(tuple(names[node] for node in chain.nodes), tokens_per_s=chain.tokens_per_s) for chain in parts
        ),
        routing=tuple(
            Route(names[a], names[b], float(weights[a, b]))
            for a in (n, *range(n))
            for b in range(n)
            if weights[a, b] > 0
        ),
        edges="partial" if problem.tables.partial else "exact",
        ranges=tuple(zip(genome[:n], genome[n:], strict=True)),
    )


def figures_of(terms: ReplicatedTerms) -> Figures:
    """The figures that people read.

    ``flow_tokens_per_s`` counts prompt and output tokens through nodes and links; ``served_tokens_per_s`` output tokens
    with `in_flight` requests and the plan's routing weights, an estimate. ``time_per_token_s`` and ``ttft_s`` are those
    of a request under that load, ``light_...`` those of a single request, ``best_chain_s`` a decode step on the fastest
    chain. ``stages`` are the nodes of the longest chain, ``min_holders`` the holders of the rarest block, ``survival``
    the probability that every block has a holder that is up, ``moved_bytes`` what nodes must load against the running
    placement.
    """
    service, values = terms.service, terms.values
    return Figures(
        flow_tokens_per_s=terms.flow,
        served_tokens_per_s=service.tokens_per_s,
        in_flight=service.in_flight,
        time_per_token_s=service.time_per_token_s,
        ttft_s=service.ttft_s,
        light_time_per_token_s=service.light_time_per_token_s,
        light_ttft_s=service.light_ttft_s,
        best_chain_s=service.best_chain_s,
        stages=terms.depth,
        min_holders=min(terms.holders),
        survival=1.0 - values["survival"],
        price_per_hour=values["price"],
        moved_bytes=values["moved_bytes"],
    )
