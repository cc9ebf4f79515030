"""The plan of a replicated placement: spans, routing weights, chains, figures. JSON out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from objectives.replicated.flow import decompose
from objectives.replicated.terms import ReplicatedTerms
from placement.errors import InputError
from placement.files import plain, write_atomic
from placement.plan.plan import VERSION, ObjectiveValue, PlacedSpan, span_of
from placement.question.case import ReplicatedCase
from placement.search.loop import OPTIMAL_GAP, Outcome
from placement.search.stop import StoppedBy

from .problem import ReplicatedProblem

MOST_CHAINS = 200


@dataclass(frozen=True, slots=True)
class Route:
    """Part `weight` of the requests at node `source` goes on to node `target`; "client" is where they begin."""

    source: str
    target: str
    weight: float


@dataclass(frozen=True, slots=True)
class FlowChain:
    """A chain of nodes and the tokens/s of the max flow that it carries."""

    nodes: tuple[str, ...]
    tokens_per_s: float


@dataclass(frozen=True, slots=True)
class ReplicatedFigures:
    """Predicted figures.

    Attributes
    ----------
    flow_tokens_per_s : float
        Max flow of prompt and output tokens through nodes and links.
    served_tokens_per_s : float
        Output tokens/s with `in_flight` requests and the plan's routing weights, an estimate.
    in_flight : float
        Requests that the caches hold.
    time_per_token_s, ttft_s : float
        Of a request under that load.
    light_time_per_token_s, light_ttft_s, best_chain_s : float
        Of a single request: expected over the routing, and a decode step on the fastest chain.
    stages : int
        Nodes of the longest chain.
    min_holders : int
        Holders of the block that has fewest.
    survival : float
        Probability that every block has a holder that is up.
    price_per_hour : float
    moved_bytes : float
        Bytes of blocks that nodes must load, against the running placement.
    """

    flow_tokens_per_s: float
    served_tokens_per_s: float
    in_flight: float
    time_per_token_s: float
    ttft_s: float
    light_time_per_token_s: float
    light_ttft_s: float
    best_chain_s: float
    stages: int
    min_holders: int
    survival: float
    price_per_hour: float
    moved_bytes: float


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """A placement of a Pareto front, with the values of the objectives by name."""

    values: Mapping[str, float]
    placement: tuple[PlacedSpan, ...]


@dataclass(frozen=True, slots=True)
class ReplicatedPlan:
    """A replicated placement with everything that was predicted about it.

    Attributes
    ----------
    status : str
        "solved", "interrupted" or "infeasible".
    ranges : tuple of (int, int)
        Start and stop of every node in the cluster's order, (0, 0) where it holds nothing.
    notes : tuple of str
        What was proven, for people.
    block_names : tuple of str
    pareto : tuple of FrontPoint
        With several objectives: placements that no other one found dominates, sorted by the first objective.
    """

    status: str
    model: str
    n_blocks: int
    edges: str
    placement: tuple[PlacedSpan, ...]
    ranges: tuple[tuple[int, int], ...]
    objective: ObjectiveValue
    figures: ReplicatedFigures
    routing: tuple[Route, ...]
    chains: tuple[FlowChain, ...]
    solver: str = ""
    seed: int = 0
    evaluations: int = 0
    seconds: float = 0.0
    stopped_by: str = ""
    kind: str = "replicated"
    notes: tuple[str, ...] = ()
    block_names: tuple[str, ...] = ()
    pareto: tuple[FrontPoint, ...] = ()
    version: str = VERSION

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)

    def to_json(self) -> str:
        """Return a JSON document; numbers that JSON cannot hold become null."""
        return json.dumps(plain(self.to_dict()), indent=2)

    def save(self, path: str | Path) -> None:
        """Write the plan as JSON: beside the target first, then renamed."""
        write_atomic(Path(path), self.to_json() + "\n")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ReplicatedPlan:
        """Build a plan from plain data; raise `InputError` when it is not one."""
        try:
            known = {item.name: data[item.name] for item in fields(cls) if item.name in data}
            known["placement"] = tuple(span_of(span) for span in data["placement"])
            known["ranges"] = tuple((int(start), int(stop)) for start, stop in data["ranges"])
            known["objective"] = ObjectiveValue(**data["objective"])
            known["figures"] = ReplicatedFigures(**data["figures"])
            known["routing"] = tuple(Route(**route) for route in data["routing"])
            known["chains"] = tuple(FlowChain(tuple(c["nodes"]), c["tokens_per_s"]) for c in data["chains"])
            known["notes"] = tuple(data.get("notes", ()))
            known["block_names"] = tuple(data.get("block_names", ()))
            known["pareto"] = tuple(
                FrontPoint(dict(point["values"]), tuple(span_of(span) for span in point["placement"]))
                for point in data.get("pareto", ())
            )
            return cls(**known)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"not a plan of this version ({type(error).__name__}: {error})") from None


def plan_of(
    case: ReplicatedCase, problem: ReplicatedProblem, outcome: Outcome, *, solver: str, seed: int
) -> ReplicatedPlan:
    """Make the plan of an outcome; every figure comes from the reference code."""
    terms, broken = problem.details(outcome.spans)
    names = (*case.node_names, "client")
    status = "interrupted" if outcome.stopped_by is StoppedBy.INTERRUPTED else "solved"
    status = status if broken.total == 0 else "infeasible"
    genome = problem.encode(outcome.spans).tolist()
    n, weights = problem.tables.n_nodes, terms.service.weights
    routing = tuple(
        Route(names[a], names[b], float(weights[a, b])) for a in (n, *range(n)) for b in range(n) if weights[a, b] > 0
    )
    chains = tuple(
        FlowChain(tuple(names[node] for node in chain.nodes), chain.tokens_per_s)
        for chain in decompose(problem.tables, outcome.spans)[:MOST_CHAINS]
    )
    return ReplicatedPlan(
        status=status,
        model=case.name,
        n_blocks=problem.tables.n_blocks,
        edges="partial" if problem.tables.partial else "exact",
        placement=tuple(PlacedSpan(names[span.node], span.start, span.stop) for span in outcome.spans),
        ranges=tuple(zip(genome[:n], genome[n:], strict=True)),
        objective=objective_value(problem, outcome),
        figures=figures_of(terms),
        routing=routing,
        chains=chains,
        solver=f"{solver} ({outcome.winner})" if outcome.winner and outcome.winner != solver else solver,
        seed=seed,
        evaluations=outcome.evaluations,
        seconds=outcome.seconds,
        stopped_by=outcome.stopped_by.name.lower(),
        notes=(outcome.remark,) if outcome.remark else (),
        block_names=case.block_names,
        pareto=front_of(problem, outcome, names),
    )


def front_of(problem: ReplicatedProblem, outcome: Outcome, names: Sequence[str]) -> tuple[FrontPoint, ...]:
    """The Pareto front with names, in people's units."""
    objective = problem.objective
    return tuple(
        FrontPoint(
            {
                name: objective.terms.readable(name, value)
                for name, value in zip(objective.pareto, point.values, strict=True)
            },
            tuple(PlacedSpan(names[span.node], span.start, span.stop) for span in point.spans),
        )
        for point in sorted(outcome.pareto, key=lambda point: point.values)
    )


def figures_of(terms: ReplicatedTerms) -> ReplicatedFigures:
    """The figures that people read."""
    service, values = terms.service, terms.values
    return ReplicatedFigures(
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


def objective_value(problem: ReplicatedProblem, outcome: Outcome) -> ObjectiveValue:
    """Value, bound and gap as people read them."""
    objective, score = problem.objective, outcome.score
    known = outcome.bound > 0 and score.violation == 0
    gap = max(0.0, score.cost / outcome.bound - 1.0) if known else None
    return ObjectiveValue(
        name=objective.name,
        value=objective.value(score.cost),
        unit=objective.terms.units[objective.single] if objective.single and not objective.pareto else "",
        sense="maximize" if objective.maximised else "minimize",
        bound=objective.value(outcome.bound) if known else None,
        gap=gap,
        proven_optimal=gap is not None and gap <= OPTIMAL_GAP and not objective.pareto,
    )
