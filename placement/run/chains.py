"""The chains that the micro-batches of a run follow: the one of a pipeline, or those that a plan's weights ask for.

Where a plan has routing weights, every node passes micro-batches on in turn, each successor as often as its weight says
(the interleaved weighted round robin of Helix, Y. Mei et al., ASPLOS 2025, doi:10.1145/3669940.3707215). Where it has
chains only, they take turns by the tokens/s that they carry, else by the sessions that they have room for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..errors import InputError
from ..plan.plan import PlacedChain, PlacedSpan, Plan
from ..question.cluster import CLIENT

Chain = tuple[PlacedSpan, ...]


@dataclass(frozen=True, slots=True)
class BatchChains:
    """Who follows which chain; every process of a run computes the same from its job.

    Attributes
    ----------
    chains : tuple of chain
        Different ones: spans in block order, neighbours on one node joined.
    of_batch : tuple of int
        The chain of each micro-batch, by its number.
    """

    chains: tuple[Chain, ...]
    of_batch: tuple[int, ...]

    @classmethod
    def of(cls, plan: Plan, batches: int) -> BatchChains:
        """Give each of so many micro-batches its chain; raise `InputError` when the plan has none."""
        _check_spans(plan)
        if plan.routing:
            source = _routed(plan)
        elif plan.chains:
            source = _in_turn(plan)
        else:
            return cls((pipeline_of(plan),), (0,) * batches)
        numbers: dict[Chain, int] = {}
        turns = tuple(numbers.setdefault(next(source), len(numbers)) for _ in range(batches))
        return cls(tuple(numbers), turns)


def has_choice(plan: Plan) -> bool:
    """Whether requests take different ways through the plan, so that it is no pipeline."""
    return bool(plan.routing or plan.chains)


def pipeline_of(plan: Plan) -> Chain:
    """Return the one chain of a plan in which each block lies on one node.

    Raises
    ------
    InputError
        Requests take different ways, nobody or more than one node holds a block, or a span is outside of the model.
    """
    if has_choice(plan):
        raise InputError("expected a pipeline: in this plan requests take different ways", "plan")
    _check_spans(plan)
    spans, at = sorted(plan.placement, key=lambda span: span.start), 0
    for span in spans:
        if span.start != at:
            what = "no node holds" if span.start > at else "two nodes hold"
            raise InputError(f"{what} block {min(span.start, at)}", "plan")
        at = span.stop
    if at != plan.n_blocks:
        raise InputError(f"no node holds block {at}", "plan")
    return _merged(spans)


def _check_spans(plan: Plan) -> None:
    """Raise `InputError` when a span is outside of the model."""
    for span in plan.placement:
        if not 0 <= span.start < span.stop <= plan.n_blocks:
            raise InputError(f"the span {span.start}:{span.stop} of '{span.node}' is outside 0:{plan.n_blocks}", "plan")


class _Turns:
    """Names that take turns: next comes who is furthest behind its share, the first named of equals."""

    def __init__(self, weights: Mapping[str | int, float]) -> None:
        total = sum(weights.values())
        self._shares = {name: weight / total for name, weight in weights.items()}
        self._had = dict.fromkeys(weights, 0)
        self._given = 0

    def next(self) -> str | int:
        self._given += 1
        name = max(self._shares, key=lambda name: self._shares[name] * self._given - self._had[name])
        self._had[name] += 1
        return name


def _routed(plan: Plan) -> Iterator[Chain]:
    weights: dict[str, dict[str | int, float]] = {}
    for route in plan.routing:
        if route.weight > 0:
            weights.setdefault(route.source, {})[route.target] = route.weight
    turns = {source: _Turns(row) for source, row in weights.items()}
    while True:
        here, at = CLIENT, 0
        chain: list[PlacedSpan] = []
        while at < plan.n_blocks:
            if here not in turns:
                raise InputError(f"no route leads on from '{here}' to block {at}", "plan: routing")
            here = str(turns[here].next())
            chain.append(_span_from(plan, here, at))
            at = chain[-1].stop
        yield _merged(chain)


def _in_turn(plan: Plan) -> Iterator[Chain]:
    ways = [_followed(plan, chain) for chain in plan.chains]
    turns = _Turns(dict(enumerate(_shares(plan.chains))))
    while True:
        yield ways[int(turns.next())]


def _shares(chains: Sequence[PlacedChain]) -> list[float]:
    for row in ([chain.tokens_per_s for chain in chains], [chain.capacity for chain in chains]):
        known = [float(value) for value in row if value is not None and value >= 0]
        if len(known) == len(chains) and any(known):
            return known
    return [1.0] * len(chains)


def _followed(plan: Plan, chain: PlacedChain) -> Chain:
    at, spans = 0, []
    for k, node in enumerate(chain.nodes):
        held = _span_from(plan, node, at)
        stop = chain.stops[k] if chain.stops else held.stop
        if not at < stop <= held.stop:
            raise InputError(f"a chain asks '{node}' for the blocks {at}:{stop}, it holds up to {held.stop}", "plan")
        spans.append(PlacedSpan(node, at, stop))
        at = stop
    if at != plan.n_blocks:
        raise InputError(f"the chain {', '.join(chain.nodes)[:80]} ends before block {at}", "plan: chains")
    return _merged(spans)


def _span_from(plan: Plan, node: str, at: int) -> PlacedSpan:
    """What a node does with requests that come to it at block `at`."""
    for span in plan.placement:
        if span.node == node and span.start <= at < span.stop:
            return PlacedSpan(node, at, span.stop)
    raise InputError(f"requests come to '{node}' at block {at}, which it does not hold", "plan")


def _merged(spans: Sequence[PlacedSpan]) -> Chain:
    merged: list[PlacedSpan] = []
    for span in spans:
        if merged and merged[-1].node == span.node:
            merged[-1] = PlacedSpan(span.node, merged[-1].start, span.stop)
        else:
            merged.append(span)
    return tuple(merged)
