"""Goodput as the objective: what is promised is what is simulated, and no finalist would have served more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from placement import InputError, optimize
from placement.kinds import goodput
from placement.kinds.asked import ask
from placement.kinds.goodput import Trial, arrivals, tried
from placement.plan.plan import Plan
from placement.question.goodput import Goodput
from placement.question.request import Request
from placement.readers.cluster.read import read_request
from placement.search.stop import Progress

from .sessions.fleets import document

WORK = {"prompt_tokens": 64, "output_tokens": 16, "concurrency": 2}


def cluster(rate: str | float | None = "3/s", **more: Any) -> dict[str, Any]:
    """Two fast nodes that hold half of the model each, far apart, and a slow one that holds it all."""
    layer = {"weights": "400 MiB", "kv_per_token": "4 KiB", "activation_per_token": "8 KiB"}
    fast = {"memory": "2 GiB", "decode_seconds_per_block": 0.004, "prefill_seconds_per_block": 0.010}
    slow = {"memory": "4 GiB", "decode_seconds_per_block": 0.006, "prefill_seconds_per_block": 0.012}
    return {
        "model": {"name": "tiny", "blocks": [{"name": "layer", "repeat": 8, **layer}]},
        "workload": WORK if rate is None else {**WORK, "rate": rate},
        "objective": "goodput",
        "limits": {"ttft": "500 ms", "time_per_token": "150 ms"},
        "nodes": [{"name": "fast", "count": 2, **fast}, {"name": "slow", **slow}],
        "network": {"default": {"bandwidth": "1 Gbit/s", "latency": "20 ms"}},
        "copies": 1,  # a look at several takes its time
    } | more


def solved(data: dict[str, Any], **more: Any) -> Plan:
    """Its best plan after a moment."""
    return optimize(None, data, time_limit=1.0, **more).plan


def served(plan: Plan, data: dict[str, Any], seed: int = 0) -> Trial:
    """What a plan serves of the question's requests."""
    request = read_request(data)
    wanted = Goodput.of(request.workload, request.objective.limits)
    trial, ended = tried(plan, request, arrivals(request.workload, wanted.rate_per_s, seed), wanted)
    assert ended
    return trial


@pytest.fixture(autouse=True)
def fewer_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulations of a moment."""
    monkeypatch.setattr(goodput, "REQUESTS", 200)


def test_the_plan_has_what_was_simulated() -> None:
    """Value and figures of the plan are those of its simulation, with a note of how; no bound is claimed."""
    data = cluster()
    plan = solved(data, seed=3)
    again = served(plan, data, seed=3)
    assert plan.objective.name == "goodput"
    assert plan.objective.unit == "requests/s"
    assert plan.objective.value == plan.figures.goodput_per_s == pytest.approx(3.0 * again.good / 200)
    assert plan.figures.simulated_ttft_p99_s == again.figures.ttft_s.p99
    assert plan.figures.simulated_time_per_token_p50_s == again.figures.time_per_token_s.p50
    assert (plan.objective.bound, plan.objective.gap, plan.objective.proven_optimal) == (None, None, False)
    assert "200 requests at 3/s (Poisson, seed 3), policy vllm, TTFT up to 500 ms" in plan.notes[0]
    assert Plan.from_dict(plan.to_dict()) == plan


@pytest.mark.slow
def test_no_answer_to_another_objective_serves_more() -> None:
    """Neither the best throughput nor the best latency nor the best TTFT has more requests within the limits."""
    data = cluster("8/s")
    best = served(optimize(None, data, time_limit=10.0).plan, data)  # each of its searches has the seconds of one below
    for name in ("throughput", "latency", "ttft"):
        other = optimize(None, data | {"limits": {}}, objective=name, time_limit=1.0).plan
        assert best.good >= served(other, data).good, name


def test_more_requests_count_first_then_ttft_then_nodes() -> None:
    """Finalists are ranked by requests within the limits, then by the p99 of TTFT, then by how few nodes they take."""
    data = cluster()
    trial = served(solved(data), data)
    first = replace(trial.figures.ttft_s, p99=trial.figures.ttft_s.p99 / 2)
    assert replace(trial, good=trial.good + 1).rank() < trial.rank()
    assert replace(trial, figures=replace(trial.figures, ttft_s=first)).rank() < trial.rank()
    more = (*trial.plan.placement, replace(trial.plan.placement[0], node="another"))
    assert trial.rank() < replace(trial, plan=replace(trial.plan, placement=more)).rank()


def test_limits_that_nobody_meets_are_an_answer() -> None:
    """Goodput 0 is an answer, with a note of what the best finalist has."""
    plan = solved(cluster(limits={"ttft": "1 ms"}))
    assert plan.objective.value == 0.0
    assert any("no finalist serves any request within the limits" in note for note in plan.notes)


@pytest.mark.parametrize(
    "more",
    [
        {"copies": 2},
        {"copies": "auto"},
        pytest.param({"copies": None}, marks=pytest.mark.slow),
        {"placement": "replicated"},
    ],
    ids=["copies", "auto", "nobody says", "replicated"],
)
def test_several_chains(more: dict[str, Any]) -> None:
    """Pipelines side by side and replicated placements are simulated with all their chains."""
    data = cluster("6/s", **more)
    plan = solved(data)
    assert plan.objective.value > 0
    assert plan.objective.value == pytest.approx(6.0 * served(plan, data).good / 200)
    assert len(plan.chains) == 2 or more != {"copies": 2}


def test_ctrl_c_in_a_simulation_keeps_the_best_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulation that was stopped does not count; the answer is the best of those before, and says interrupted."""
    seen: list[Plan] = []

    def stopped(plan: Plan, *rest: Any) -> tuple[Trial, bool]:
        seen.append(plan)
        return tried(plan, *rest)[0], len(seen) < 2

    monkeypatch.setattr(goodput, "tried", stopped)
    plan = solved(cluster("8/s"))
    assert len(seen) == 2
    assert (plan.status, plan.placement) == ("interrupted", seen[0].placement)


def test_a_bar_moves_while_finalists_are_simulated() -> None:
    """Progress tells what is searched for, then which finalist is served and how far all of them are."""
    seen: list[Progress] = []
    plan = solved(cluster("8/s"), progress=seen.append)
    words = [one.doing for one in seen]
    assert any(text.startswith("finalists by throughput, ") for text in words)
    simulated = [one for one in seen if one.doing.startswith("simulating finalist ")]
    shares = [one.share for one in simulated]
    assert shares == sorted(shares)
    assert len(set(shares)) > 3
    assert 0.0 <= shares[0] < shares[-1] <= 1.0
    assert simulated[-1].doing.endswith("of 200 requests served")
    assert plan.status == "solved"


def test_other_limits_are_kept() -> None:
    """A price limit is one of the layout, which every finalist keeps."""
    nodes = cluster()["nodes"]
    dear = [{**nodes[0], "price": "5 $/h"}, {**nodes[1], "price": "1 $/h"}]
    plan = solved(cluster(nodes=dear, limits={"ttft": "500 ms", "price": "2 $/h"}))
    assert plan.figures.price_per_hour <= 2.0


def test_in_python_by_name_with_workload_and_limits() -> None:
    """`optimize` takes the objective by name, the rate in the workload and the limits beside it."""
    data = cluster(None, objective="latency", limits={})
    plan = optimize(
        None, data, workload={**WORK, "rate_per_s": 3.0}, objective="goodput", limits={"ttft": 1.0}, time_limit=1.0
    ).plan
    assert plan.objective.value == pytest.approx(3.0)


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no rate": ({"rate": None}, {}, "workload.rate: goodput needs the rate"),
    "rate zero": ({"rate": 0}, {}, "workload.rate: expected requests by time above 0 such as '4/s', got 0"),
    "negative rate": ({"rate": "-4/s"}, {}, "workload.rate: expected requests by time above 0"),
    "rate of tokens": ({"rate": "4 token/s"}, {}, "workload.rate: expected requests by time above 0"),
    "no limits": ({"limits": {}}, {}, "limits: goodput needs ttft, time_per_token or both"),
    "no limits that help": ({"limits": {"price": "3 $/h"}}, {}, "limits: goodput needs ttft"),
    "a front in the file": ({"objective": ["goodput", "latency"]}, {}, "goodput is simulated, and stands alone"),
    "a front by name": ({}, {"objective": "latency,goodput"}, "goodput is simulated, and stands alone"),
    "weights": ({}, {"objective": {"goodput": 1.0}}, "goodput is simulated, and stands alone"),
    "a choice": ({"workload": {"concurrency": "max", "rate": 1}}, {}, "leaves no context, concurrency or format open"),
    "rate in Python": ({}, {"workload": {"rate_per_s": 0.0}}, "workload.rate_per_s: expected requests/s above 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_one_line(case: str) -> None:
    """What cannot be simulated, or says too little, is refused by name."""
    changes, more, words = REFUSED[case]
    with pytest.raises(InputError, match=words.replace("(", r"\(").replace("[", r"\[")) as caught:
        optimize(None, cluster(**changes), **more)
    assert "\n" not in str(caught.value)


def test_other_kinds_refuse() -> None:
    """Fleets have no model whose passes could be simulated."""
    with pytest.raises(InputError, match="goodput is simulated, which sessions cannot be"):
        optimize(None, document(), objective="goodput")


def test_layouts_are_not_judged_by_goodput() -> None:
    """`score` refuses: a simulation says what a layout serves."""
    asked = ask(None, cluster())
    with pytest.raises(InputError, match="placement simulate"):
        asked.judge(())


def test_a_rate_for_another_objective_is_noted() -> None:
    """A rate that the objective does not ask for is told, not ignored in silence."""
    question = ask(None, cluster(), objective="latency").question
    assert isinstance(question, Request)
    assert question.cluster.notes[-1] == "workload.rate says nothing to the objective latency: it is for goodput"
