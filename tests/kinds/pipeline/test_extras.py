"""A draft and a vision tower have memory and a cost on the node that they lie with, and nothing forgets them."""

from __future__ import annotations

from typing import Any

import pytest

from placement import InputError, optimize
from placement.costs.build import build_tables
from placement.costs.speculation import tokens_per_round
from placement.kinds.asked import ask
from placement.optimize import judge
from placement.plan.plan import PlacedSpan, Plan
from placement.question.request import Draft
from placement.readers.cluster.read import read_request
from placement.simulate.serving.machine import serving_of
from placement.simulate.serving.options import EngineOptions

DRAFT = {"model": "llama-3.2-1b", "tokens": 4, "acceptance": 0.75}
TOWER = {"weights": "850 MB", "patches": 576, "images": 2}


def cluster(extras: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Two cards, of which neither holds the model alone."""
    card = {"memory": "12 GB", "memory_bandwidth": "900 GB/s", "compute": "100 TFLOP/s", "tensor_parallel": 1}
    return {
        "model": "llama-3.1-8b",
        "workload": {"prompt_tokens": 1024, "output_tokens": 64},
        "nodes": [{"name": "a", **card}, {"name": "b", **card}],
        "network": {"default": {"bandwidth": "10 GB/s", "latency": "20 us"}},
        **({"extras": extras} if extras else {}),
    } | more


SPLIT = (PlacedSpan("a", 0, 17), PlacedSpan("b", 17, 34))


def judged(data: dict[str, Any]) -> Plan:
    """The plan of one split."""
    return judge(None, data, SPLIT)[0]


def test_memory_of_both_is_where_they_lie() -> None:
    """The tower with the embedding, the draft and its cache with the head: the plan's bytes have them."""
    without, with_both = judged(cluster()), judged(cluster({"draft": DRAFT, "vision": TOWER}))
    more = [
        one.memory_used_bytes - other.memory_used_bytes
        for one, other in zip(with_both.nodes, without.nodes, strict=True)
    ]
    small = ask(None, cluster({"draft": DRAFT})).question.draft.model
    cache = sum(block.kv_bytes_per_token for block in small.blocks) * (1024 + 64)
    assert more[0] == pytest.approx(850e6)
    assert more[1] == pytest.approx(small.weight_bytes + cache)
    assert any("vision tower" in note for note in with_both.notes)


def test_a_layout_that_only_fits_without_them_is_not_planned() -> None:
    """The search leaves room: with a draft of 1.2 billion parameters, fewer layers lie with the head."""
    tight = {**cluster({"draft": DRAFT}), "nodes": [{**node, "memory": "10.7 GB"} for node in cluster()["nodes"]]}
    plan = optimize(None, tight, time_limit=2.0).plan
    assert all(use.memory_used_bytes <= use.memory_bytes for use in plan.nodes)
    layers = {span.node: span.stop - span.start for span in plan.placement}
    head = next(span.node for span in plan.placement if span.stop == 34)
    assert layers[head] < 17


def test_images_come_before_the_first_token() -> None:
    """Two operations for each weight, patch and image at the rate of the card; decode steps take no longer."""
    without, seeing = judged(cluster()), judged(cluster({"vision": TOWER}))
    tables = build_tables(read_request(cluster()))
    own = build_tables(read_request(cluster({"vision": TOWER})))
    added = own.prefill_s - tables.prefill_s
    assert added[:, 1:] == pytest.approx(0.0)
    assert seeing.figures.ttft_s - without.figures.ttft_s == pytest.approx(added[0, 0])
    assert added[0, 0] == pytest.approx(2 * 425e6 * 576 * 2 / 100e12)
    assert seeing.figures.time_per_token_s == without.figures.time_per_token_s
    assert seeing.figures.tokens_per_s < without.figures.tokens_per_s


@pytest.mark.parametrize(("acceptance", "tokens", "expected"), [(0.0, 4, 1.0), (1.0, 4, 5.0), (0.5, 2, 1.75)])
def test_tokens_of_a_round(acceptance: float, tokens: int, expected: float) -> None:
    """None right: the one that the model adds. All right: all of them and that one. Else the geometric sum."""
    model = read_request(cluster()).model
    assert tokens_per_round(Draft(model, tokens, acceptance, 0)) == pytest.approx(expected)


def test_the_gain_of_speculation_follows_from_the_acceptance() -> None:
    """Drafts that are always right gain, drafts that never are lose; the other figures stay those without."""
    plans = [judged(cluster({"draft": {**DRAFT, "acceptance": a}})) for a in (0.01, 0.75, 0.99)]
    times = [plan.figures.speculated_time_per_token_s for plan in plans]
    assert times[0] > plans[0].figures.time_per_token_s > times[1] > times[2]
    assert times[2] > plans[0].figures.time_per_token_s / 5
    assert plans[1].figures.time_per_token_s == judged(cluster()).figures.time_per_token_s
    assert "speculated_time_per_token_s" not in judged(cluster()).figures
    heads = judged(cluster({"draft": {"weights": "500 MB", "tokens": 1, "acceptance": 0.8}}))
    assert heads.figures.speculated_time_per_token_s < heads.figures.time_per_token_s
    assert any("exports leave the draft to you" in note for note in heads.notes)


@pytest.mark.parametrize(
    ("extras", "more", "message"),
    [
        ({"draft": {"acceptance": 0.5}}, {}, "extras.draft: expected model or weights, got neither"),
        ({"draft": {**DRAFT, "weights": "1 GB"}}, {}, "extras.draft: expected model or weights, got both"),
        ({"draft": {**DRAFT, "model": "nothing"}}, {}, "extras.draft.model: "),
        ({"draft": {"weights": "1 GB", "quantization": "q4_k_m", "acceptance": 0.5}}, {}, "expected no quantization"),
        ({"draft": {**DRAFT, "acceptance": 1.5}}, {}, "extras.draft.acceptance"),
        ({"vision": TOWER}, {"placement": "replicated"}, "extras: a draft and a tower go with one chain"),
    ],
)
def test_mistakes_are_one_line(extras: dict[str, Any], more: dict[str, Any], message: str) -> None:
    """The key and what was expected."""
    with pytest.raises(InputError, match=message) as caught:
        ask(None, cluster(extras, **more))
    assert "\n" not in str(caught.value)


def test_who_would_forget_them_refuses() -> None:
    """The simulation has no images; a card that was only measured does not tell what a tower takes."""
    request = read_request(cluster({"vision": TOWER}))
    with pytest.raises(InputError, match="extras: requests with speculation or images are not simulated"):
        serving_of(judged(cluster({"vision": TOWER})), request, EngineOptions())
    measured = {"memory": "20 GB", "decode_seconds_per_block": 0.001}
    data = cluster({"vision": TOWER}, nodes=[{"name": "a", **measured}, {"name": "b", **measured}])
    with pytest.raises(InputError, match=r"nodes\[a\]: what 'vision tower' takes is computed"):
        build_tables(read_request(data))
