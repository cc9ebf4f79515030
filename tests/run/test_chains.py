"""Which chain each micro-batch follows: by routing weights, by the chains of a plan, or the one of a pipeline."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.errors import InputError
from placement.plan.plan import PlacedChain, PlacedSpan, Plan, Route
from placement.run.chains import BatchChains, pipeline_of
from placement.run.job import Job, cluster_to_data
from tests.run.tiny_models import plan_by_hand, small_cluster

TWICE = (("a", 0, 3), ("b", 0, 4), ("c", 3, 6), ("d", 4, 6))


def replicated(*weights: tuple[str, str, float], **changes: Any) -> Plan:
    """Blocks on two nodes each, with routing weights; d can only follow b unless spans are entered anywhere."""
    return plan_by_hand(*TWICE, kind="replicated", routing=tuple(Route(*weight) for weight in weights), **changes)


def followed(plan: Plan, batches: int) -> list[str]:
    """The nodes of every micro-batch's chain, as one word each."""
    found = BatchChains.of(plan, batches)
    return ["".join(span.node for span in found.chains[number]) for number in found.of_batch]


def test_routing_weights_are_kept_at_every_node() -> None:
    """One in four goes to b; of those, half go on to c in the middle of its span, at block 4."""
    weights = (("client", "a", 0.75), ("client", "b", 0.25), ("a", "c", 1.0), ("b", "c", 0.5), ("b", "d", 0.5))
    plan = replicated(*weights, edges="partial")
    assert Counter(followed(plan, 16)) == {"ac": 12, "bc": 2, "bd": 2}
    chain = next(chain for chain in BatchChains.of(plan, 16).chains if [s.node for s in chain] == ["b", "c"])
    assert chain == (PlacedSpan("b", 0, 4), PlacedSpan("c", 4, 6))


@given(st.lists(st.floats(0.01, 10.0), min_size=2, max_size=6), st.integers(1, 60))
def test_no_node_is_far_from_its_share(weights: list[float], batches: int) -> None:
    """Holders that take turns have had their share at any time, to less than the number of them."""
    names = "abcdefgh"[: len(weights)]
    routing = tuple(Route("client", name, weight) for name, weight in zip(names, weights, strict=True))
    plan = plan_by_hand(*((name, 0, 6) for name in names), kind="replicated", routing=routing)
    counts = Counter(followed(plan, batches))
    shares = {name: batches * weight / sum(weights) for name, weight in zip(names, weights, strict=True)}
    assert all(abs(counts[name] - shares[name]) < len(names) for name in names)


def test_chains_without_routing_take_turns_by_what_they_carry() -> None:
    """Tokens/s, else room for sessions, else all alike; a chain may leave blocks of a node aside."""
    ways = (("a", "c"), ("b", "d"))
    rates, rooms = (30.0, 10.0), (1, 2)
    by_rate = tuple(PlacedChain(way, tokens_per_s=rate) for way, rate in zip(ways, rates, strict=True))
    by_room = tuple(PlacedChain(way, capacity=room) for way, room in zip(ways, rooms, strict=True))
    assert Counter(followed(plan_by_hand(*TWICE, chains=by_rate), 8)) == {"ac": 6, "bd": 2}
    assert Counter(followed(plan_by_hand(*TWICE, chains=by_room), 9)) == {"ac": 3, "bd": 6}
    assert followed(plan_by_hand(*TWICE, chains=tuple(map(PlacedChain, ways))), 4) == ["ac", "bd", "ac", "bd"]
    early = plan_by_hand(*TWICE, chains=(PlacedChain(("b", "c"), stops=(3, 6)),))
    assert BatchChains.of(early, 1).chains == ((PlacedSpan("b", 0, 3), PlacedSpan("c", 3, 6)),)


def test_a_pipeline_has_one_chain() -> None:
    """Neighbouring spans of a node are one; whoever needs a pipeline refuses a plan with several ways."""
    plan = plan_by_hand(("a", 0, 2), ("a", 2, 3), ("b", 3, 6))
    joined = (PlacedSpan("a", 0, 3), PlacedSpan("b", 3, 6))
    assert BatchChains.of(plan, 3) == BatchChains((joined,), (0, 0, 0))
    assert pipeline_of(plan) == joined
    with pytest.raises(InputError, match="expected a pipeline"):
        pipeline_of(replicated(("client", "a", 1.0)))


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (plan_by_hand(("a", 0, 2), ("b", 3, 6)), "no node holds block 2"),
        (plan_by_hand(("a", 0, 3), ("b", 2, 6)), "two nodes hold block 2"),
        (plan_by_hand(("a", 0, 2), ("b", 2, 5)), "no node holds block 5"),
        (plan_by_hand(("a", 0, 2), ("b", 2, 7)), "outside"),
        (replicated(("client", "a", 1.0)), "no route leads on from 'a' to block 3"),
        (replicated(("client", "a", 0.0)), "no route leads on from 'client' to block 0"),
        (replicated(("client", "a", 1.0), ("a", "d", 1.0)), "come to 'd' at block 3, which it does not hold"),
        (replicated(("client", "x", 1.0)), "come to 'x' at block 0, which it does not hold"),
        (plan_by_hand(*TWICE, chains=(PlacedChain(("a",)),)), "the chain a ends before block 3"),
        (plan_by_hand(*TWICE, chains=(PlacedChain(("a", "c"), stops=(4, 6)),)), "it holds up to 3"),
    ],
)
def test_plans_without_a_way_through_the_model(plan: Plan, message: str) -> None:
    """Holes, overlaps without chains, and ways that lead nowhere are named."""
    with pytest.raises(InputError, match=message):
        BatchChains.of(plan, 1)


def test_only_pipelines_are_planned_anew() -> None:
    """A run with several ways that asks for recovery is refused before anything starts."""
    plan = replicated(("client", "a", 1.0), ("a", "c", 1.0))
    with pytest.raises(InputError, match="only pipelines are planned anew"):
        Job(plan, "m", ((1,),), 1, replan="m:f", cluster=cluster_to_data(small_cluster(4)))
