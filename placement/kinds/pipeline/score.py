"""How good a split is that somebody already has: its plan beside the best one found, and where the difference lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from placement.errors import InputError
from placement.plan.plan import ObjectiveValue, PlacedSpan, Plan
from placement.quantities import percent, quantity, seconds, size

from .values import term_values

if TYPE_CHECKING:
    from placement.question.request import Request


@dataclass(frozen=True, slots=True)
class Scored:
    """A split and the best plan found for the same question.

    Attributes
    ----------
    yours, best : Plan
    broken : tuple of str
        Rules that the split breaks; empty when it is feasible.
    gap_to_best : float or None
        How much worse the split is, relative to the best plan; None when it breaks a rule.
    why : tuple of str
        What the difference is made of.
    """

    yours: Plan
    best: Plan
    broken: tuple[str, ...]
    gap_to_best: float | None
    why: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "status": "infeasible" if self.broken else self.best.status,
            "gap_to_best": self.gap_to_best,
            "why": list(self.why),
            "broken": list(self.broken),
            "yours": self.yours.to_dict(),
            "best": self.best.to_dict(),
            "version": self.yours.version,
        }


def parse_spans(text: str) -> tuple[PlacedSpan, ...]:
    """Read ``tower-0=0:42,tower-1=42:82``."""
    spans = []
    for part in text.split(","):
        node, equals, numbers = part.strip().rpartition("=")
        first, colon, last = numbers.partition(":")
        if not (node and equals and colon and first.strip().isdecimal() and last.strip().isdecimal()):
            raise InputError(f"expected node=start:stop, got '{part.strip()}'", "--spans")
        spans.append(PlacedSpan(node.strip(), int(first), int(last)))
    return tuple(spans)


def judge(request: Request, placement: Sequence[PlacedSpan]) -> tuple[Plan, tuple[str, ...]]:
    """Return the split as a plan with its figures, and the rules that it breaks."""
    from .build import checked_spans, problem_of
    from .infeasible import RULES
    from .plan import objective_value, plan_of

    problem = problem_of(request)
    spans = checked_spans(tuple(placement), request)
    score = problem.score(spans)
    plan = plan_of(request, problem, spans, objective_value(problem, score, problem.lower_bound()))
    _, found = problem.details(spans)
    names = request.cluster.names
    broken = [f"{names[k]} lacks {size(missing)}" for k, missing in enumerate(found.missing_bytes) if missing > 0]
    broken += [RULES_BROKEN.get(name, RULES[name]) for name in found.counts]
    limits, values = request.objective.limits, term_values(plan)
    broken += [
        f"{name} is {quantity(name, values[name])}, the limit {quantity(name, limits[name])}" for name in found.excess
    ]
    return replace(plan, solver="given", stopped_by="exhausted"), tuple(broken)


RULES_BROKEN = {
    "cuts": "a boundary lies where the model must not be cut",
    "pins": "a block lies on a node that must not hold it",
    "ties": "tied blocks lie on different nodes",
    "include": "a node in 'include' holds nothing",
    "max_nodes": "more nodes than max_nodes are used",
    "contiguous": "a node holds several runs of blocks, and contiguous is true",
    "links": "neighbouring stages have no link to each other",
}


def compare(yours: Plan, broken: tuple[str, ...], best: Plan) -> Scored:
    """Put a split beside the best plan found."""
    if broken:
        return Scored(yours, best, broken, None, ())
    gap = relative_gap(yours.objective, best.objective)
    return Scored(yours, best, (), gap, tuple(differences(yours, best)) if gap > 0 else ())


def relative_gap(yours: ObjectiveValue, best: ObjectiveValue) -> float:
    """How much worse the first value is, relative to the second; never below 0."""
    mine, other = yours.value, best.value
    if yours.sense == "maximize":
        mine, other = other, mine
    return max(0.0, mine / other - 1.0) if other > 0 else 0.0


def differences(yours: Plan, best: Plan) -> list[str]:
    """Say in words where a split loses: the bottleneck, hops, compute, and memory that is left over."""
    lines = []
    mine, other = yours.bottleneck, best.bottleneck
    if yours.figures.micro_batch == best.figures.micro_batch and mine.seconds > other.seconds * 1.001:
        more = percent(mine.seconds / other.seconds - 1.0) if other.seconds > 0 else "far"
        lines.append(
            f"bottleneck: {mine.kind} {mine.where} is busy {seconds(mine.seconds)} per micro-batch, "
            f"{more} more than the best plan's {other.where} ({seconds(other.seconds)})"
        )
    step, best_step = yours.figures.time_per_token_s, best.figures.time_per_token_s
    if step > best_step * 1.001:
        lines.append(f"time per token: {seconds(step)} instead of {seconds(best_step)}")
    hops, best_hops = hops_of(yours), hops_of(best)
    if hops > best_hops:
        lines.append(f"hops: {hops} between nodes instead of {best_hops}")
    if yours.figures.in_flight < best.figures.in_flight:
        lines.append(
            f"cache memory: {yours.figures.in_flight} sequences in flight instead of {best.figures.in_flight}, "
            f"limited by {tightest(yours)}"
        )
    spare, best_spare = wasted(yours), wasted(best)
    if spare > best_spare * 1.01 + 2**20:
        lines.append(f"memory left over on the nodes in use: {size(spare)} instead of {size(best_spare)}")
    unused = sorted({span.node for span in best.placement} - {span.node for span in yours.placement})
    if unused:
        lines.append(f"nodes that only the best plan uses: {', '.join(unused[:8])}{', ...' if len(unused) > 8 else ''}")
    extra = sorted({span.node for span in yours.placement} - {span.node for span in best.placement})
    if extra:
        lines.append(f"nodes that the best plan leaves out: {', '.join(extra[:8])}{', ...' if len(extra) > 8 else ''}")
    return lines


def hops_of(plan: Plan) -> int:
    """Hops between different nodes, the client's left out."""
    pairs = zip(plan.placement, plan.placement[1:], strict=False)
    return sum(left.node != right.node for left, right in pairs)


def wasted(plan: Plan) -> float:
    """Bytes that nodes in use have left."""
    used = {span.node for span in plan.placement}
    return sum(max(0.0, node.memory_bytes - node.memory_used_bytes) for node in plan.nodes if node.name in used)


def tightest(plan: Plan) -> str:
    """The node in use with the least memory left."""
    used = {span.node for span in plan.placement}
    nodes = [node for node in plan.nodes if node.name in used]
    return min(nodes, key=lambda node: node.memory_bytes - node.memory_used_bytes).name
