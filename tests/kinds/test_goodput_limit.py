"""Goodput as a limit: the best plan by another objective of those that serve enough, or none with what it lacks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from placement import InfeasibleError, InputError, NotFoundError, optimize
from placement.cli import run
from placement.kinds import goodput
from placement.kinds.asked import ask
from placement.plan.plan import Plan
from placement.question.goodput import Goodput
from placement.question.request import Request

from .sessions.fleets import document
from .test_goodput import WORK, cluster, served

LIMITS = {"ttft": "500 ms", "time_per_token": "150 ms"}


def priced(least: object, rate: str = "4/s", **more: Any) -> dict[str, Any]:
    """The cluster of the tests of goodput with prices; what it is asked for is cheap and serves enough."""
    nodes = cluster()["nodes"]
    dear = [{**nodes[0], "price": "3 $/h"}, {**nodes[1], "price": "1 $/h"}]
    limits = {**LIMITS, "goodput": least}
    return cluster(rate, nodes=dear, objective="price", limits=limits, copies=1) | more


def solved(data: dict[str, Any], **more: Any) -> Plan:
    """Its best plan after a moment."""
    return optimize(None, data, time_limit=0.5, **more).plan


@pytest.fixture(autouse=True)
def fewer_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulations of a moment."""
    monkeypatch.setattr(goodput, "REQUESTS", 200)


def test_the_plan_serves_as_much_as_is_asked_and_says_so() -> None:
    """Goodput of the plan is what its simulation has, no less than the limit; the objective is the one asked for."""
    data = priced("3.9/s")
    plan = solved(data, seed=3)
    again = served(plan, data, seed=3)
    assert plan.objective.name == "price"
    assert plan.objective.value == plan.figures.price_per_hour
    assert plan.figures.goodput_per_s == pytest.approx(4.0 * again.good / 200)
    assert plan.figures.goodput_per_s >= 3.9
    assert plan.figures.simulated_ttft_p99_s == again.figures.ttft_s.p99
    assert "goodput of at least 3.9/s: simulated, 200 requests at 4/s (Poisson, seed 3), policy vllm" in plan.notes[0]
    assert Plan.from_dict(plan.to_dict()) == plan


@pytest.mark.slow
def test_more_costs_more() -> None:
    """The slow node alone is the cheapest plan, and too slow for some; a limit takes a dearer one that serves them."""
    little, much = solved(priced("3/s")), solved(priced("3.9/s"))
    cheapest = optimize(None, priced("1/s") | {"limits": {}}, time_limit=0.5).plan
    assert little.placement == cheapest.placement
    assert little.figures.price_per_hour < much.figures.price_per_hour
    assert 3.0 <= little.figures.goodput_per_s < 3.9 <= much.figures.goodput_per_s


@pytest.mark.parametrize("objective", ["throughput", {"price": 1.0, "latency": 10.0}], ids=["rate", "mix"])
@pytest.mark.slow
def test_rates_and_mixes_are_kept_in_their_order(objective: str | Mapping[str, float]) -> None:
    """No plan that a higher limit asks for is better by the objective."""
    plan = solved(priced("3/s", objective=objective))
    other = solved(priced("3.9/s", objective=objective))
    assert plan.figures.goodput_per_s >= 3.0
    sign = 1.0 if plan.objective.sense == "maximize" else -1.0
    assert sign * plan.objective.value >= sign * other.objective.value * (1 - 1e-9 * sign)


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {"copies": 2, "objective": "throughput"},
        {"copies": "auto", "objective": "throughput"},
        {"placement": "replicated"},
    ],
    ids=["copies", "auto", "replicated"],
)
def test_several_chains(more: dict[str, Any]) -> None:
    """Pipelines side by side and replicated placements keep the limit with all their chains."""
    data = priced("6/s", "8/s", **more)
    plan = solved(data)
    assert 6.0 <= plan.figures.goodput_per_s == pytest.approx(8.0 * served(plan, data).good / 200)


def test_a_plan_that_serves_too_little_is_an_attempt() -> None:
    """None serves so much: not found, never infeasible, with the best attempt and what it lacks."""
    with pytest.raises(
        NotFoundError, match=r"serves \S+ of the 4 requests/s wanted; simulated, 200 requests"
    ) as caught:
        solved(priced("4/s", nodes=priced(1)["nodes"][1:]))
    assert caught.value.best.status == "infeasible"
    assert 0.0 < caught.value.best.figures.goodput_per_s < 4.0


def test_more_than_comes_is_infeasible() -> None:
    """Nothing serves more requests within limits than come: that is a proof."""
    with pytest.raises(InfeasibleError, match="9 requests/s are to be served within the limits, and 4/s come"):
        solved(priced("9/s"))


def test_a_limit_of_the_layout_that_nothing_keeps_is_infeasible() -> None:
    """Other limits are kept in every search; that none can be kept is proven as without goodput."""
    data = priced("1/s")
    with pytest.raises(InfeasibleError, match="price"):
        solved(data | {"limits": {**data["limits"], "price": "0.5 $/h"}})


def test_in_python() -> None:
    """Limits by name beside an objective; the argument wins over the file."""
    data = cluster(None, objective="latency", limits={}, copies=1)
    work, limits = {**WORK, "rate_per_s": 3.0}, {"ttft": 1.0, "goodput": 2.5}
    plan = optimize(None, data, workload=work, limits=limits, time_limit=0.5).plan
    assert plan.objective.name == "latency"
    assert plan.figures.goodput_per_s >= 2.5
    found = ask(None, priced("1/s"), limits={"goodput": 2}).wish.goodput
    assert found == Goodput(4.0, 0.5, 0.15, 2.0)


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--limit goodput=1/s` beside `--rate`: a plan that serves so much, exit 0; more than any serves: exit 3."""
    file, out = tmp_path / "cluster.yaml", tmp_path / "plan.json"
    file.write_text(yaml.safe_dump(cluster(None, objective="latency", limits={}, copies=1)), encoding="utf-8")
    words = ["solve", str(file), "--rate", "2/s", "--limit", "goodput=1/s", "--time-limit", "0.5", "--quiet"]
    assert run([*words, "--limit", "ttft=1s", "--out", str(out)]) == 0
    assert Plan.load(out).figures.goodput_per_s >= 1.0
    assert run([*words, "--limit", "ttft=1ms"]) == 3
    assert "goodput: the best of" in capsys.readouterr().err


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no rate": ({"workload": WORK}, {}, "workload.rate: goodput needs the rate"),
    "nothing is good": ({"limits": {"goodput": "3/s"}}, {}, "limits: goodput needs ttft"),
    "zero": ({"limits": {**LIMITS, "goodput": 0}}, {}, "limits.goodput: expected requests by time above 0"),
    "tokens": ({"limits": {**LIMITS, "goodput": "4 token/s"}}, {}, "limits.goodput: expected requests by time above 0"),
    "zero in Python": ({}, {"limits": {"goodput": 0.0}}, "limits.goodput: expected requests/s above 0, got 0.0"),
    "text in Python": ({}, {"limits": {"goodput": "3/s"}}, "limits.goodput: expected requests/s above 0, got '3/s'"),
    "goodput twice": ({"objective": "goodput"}, {}, "limits.goodput: goodput is the objective"),
    "a front": ({"objective": ["price", "latency"]}, {}, "objective: goodput is a limit beside one objective or a mix"),
    "a function": (
        {},
        {"objective": lambda terms: terms.latency},
        "objective: goodput is a limit beside one objective",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_one_line(case: str) -> None:
    """What says too little, or cannot be simulated, is refused by name."""
    changes, more, words = REFUSED[case]
    with pytest.raises(InputError) as caught:
        optimize(None, priced("3/s", **changes), **more)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_kinds_and_other_doors_refuse() -> None:
    """Fleets have no model whose passes could be simulated, and `score` simulates nothing."""
    with pytest.raises(InputError, match=r"limits\.goodput: goodput is simulated, which sessions cannot be"):
        optimize(None, document(), limits={"goodput": 1.0})
    asked = ask(None, priced("3/s"))
    assert isinstance(asked.question, Request)
    with pytest.raises(InputError, match=r"limits\.goodput: a layout is not judged by goodput"):
        asked.judge(())
