"""How good a split is that somebody already has: its plan beside the best one found, and where the difference lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from ..quantities import percent, seconds, size
from .plan import ObjectiveValue, PlacedSpan, Plan


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


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A plan that somebody might have expected instead of the one found.

    Attributes
    ----------
    what : str
        Such as "one node less".
    plan : Plan
    broken : tuple of str
        Rules that it breaks; empty when it is feasible.
    told_apart : bool or None
        Whether predictions can tell which of the two is better; None where this one breaks a rule.
    """

    what: str
    plan: Plan
    broken: tuple[str, ...]
    told_apart: bool | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: the split, the objective's value, figures with intervals."""
        data = self.plan.to_dict()
        kept = ("placement", "objective", "figures", "intervals")
        beside = {"what": self.what, "told_apart": self.told_apart, "broken": list(self.broken)}
        return beside | {name: data[name] for name in kept if name in data}


def parse_spans(text: str) -> tuple[PlacedSpan, ...]:
    """Read ``tower-0=0:42,tower-1=42:82``."""
    spans = []
    for part in text.split(","):
        node, equals, numbers = part.strip().rpartition("=")
        first, colon, last = numbers.partition(":")
        whole = all(word.strip().isdecimal() and len(word) < 10 for word in (first, last))
        if not (node and equals and colon and whole):
            raise InputError(f"expected node=start:stop, got '{part.strip()[:60]}'", "--spans")
        spans.append(PlacedSpan(node.strip(), int(first), int(last)))
    return tuple(spans)


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
    batches = [plan.figures.get("micro_batch") for plan in (yours, best)]
    if mine.kind and batches[0] == batches[1] and mine.seconds > other.seconds * 1.001:
        more = percent(mine.seconds / other.seconds - 1.0) if other.seconds > 0 else "far"
        lines.append(
            f"bottleneck: {mine.kind} {mine.where} is busy {seconds(mine.seconds)} per micro-batch, "
            f"{more} more than the best plan's {other.where} ({seconds(other.seconds)})"
        )
    step, best_step = (plan.figures.get("time_per_token_s", 0.0) for plan in (yours, best))
    if step > best_step * 1.001:
        lines.append(f"time per token: {seconds(step)} instead of {seconds(best_step)}")
    hops, best_hops = hops_of(yours), hops_of(best)
    if not yours.routing and hops > best_hops:
        lines.append(f"hops: {hops} between nodes instead of {best_hops}")
    if yours.nodes and yours.figures.get("in_flight", 0) < best.figures.get("in_flight", 0):
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
