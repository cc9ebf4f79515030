"""The cheapest nodes that reach a target: equal to trying every set."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from objectives.combine import PIPELINE
from placement.cli import run
from placement.errors import InfeasibleError, InputError
from placement.kinds.asked import ask
from placement.optimize import Search, answer
from placement.whatif.size import Wanted, from_catalog, from_nodes, sized
from placement.whatif.targets import Target, parse_targets
from tests.sampled import some_quick

MODEL: dict[str, Any] = {
    "name": "tiny",
    "blocks": [
        {"name": "layer", "repeat": 6, "weights": "1 GiB", "kv_per_token": "4 KiB", "activation_per_token": "8 KiB"}
    ],
}
NETWORK = {"default": {"bandwidth": "10 Gbit/s", "latency": "0.1 ms"}}


def case(seed: int) -> tuple[dict[str, Any], dict[str, Any], float]:
    """A small question, what can be had, and a rate that some sets reach."""
    rng = np.random.default_rng(seed)

    def node(name: str, **more: object) -> dict[str, object]:
        seconds = float(rng.uniform(0.005, 0.03))
        return {"name": name, "memory": f"{rng.integers(2, 7)}.5 GiB", "decode_seconds_per_block": seconds, **more}

    data = {
        "model": MODEL,
        "workload": {"prompt_tokens": 32, "output_tokens": 16, "concurrency": int(rng.integers(1, 4))},
        "nodes": [node("own")],
        "network": NETWORK,
    }
    shop = {"nodes": [node(name, price=f"{rng.uniform(0.2, 2.0):.3f} $/h", count=2) for name in ("p", "q")]}
    return data, shop, float(rng.uniform(5.0, 60.0))


def by_trying_all(data: dict[str, Any], shop: dict[str, Any], rate: float) -> float | None:
    """The least $/h of any set whose best plan reaches the rate; None where none does."""
    found = []
    for counts in product(range(3), repeat=2):
        cost, entries = 0.0, list(data["nodes"])
        for entry, count in zip(shop["nodes"], counts, strict=True):
            cost += count * float(entry["price"].split()[0])
            rest = {key: value for key, value in entry.items() if key != "count"}
            entries += [{**rest, "name": f"{entry['name']}{k}"} for k in range(count)]
        try:
            plan = answer(
                ask(None, {**data, "nodes": entries}, objective="throughput"), Search("exact", 5.0, simplest=False)
            ).plan
        except InfeasibleError:
            continue
        if plan.figures.tokens_per_s >= rate:
            found.append(cost)
    return min(found) if found else None


CASES = some_quick(range(50), 2)


@pytest.mark.parametrize("seed", CASES)
def test_equal_to_trying_every_set(seed: int) -> None:
    """The price of what is chosen is the least of all sets, and it is said to be proven."""
    data, shop, rate = case(seed)
    candidates = from_nodes(shop, "shop", None, 4)
    wanted = Wanted(data, (Target("throughput", rate, ""),), candidates, most=4, model=ask(None, data).question.model)
    found = sized(wanted, seconds=30.0)
    least = by_trying_all(data, shop, rate)
    assert found.proven
    assert (found.plan is None) == (least is None)
    if least is not None and found.plan is not None:
        assert found.price_per_hour == pytest.approx(least)
        assert found.plan.figures.tokens_per_s >= rate * (1 - 1e-9)


def test_an_unknown_device_is_named_with_its_place() -> None:
    """The file and the key, not the catalog's word alone."""
    with pytest.raises(InputError, match=r"shop.yaml: nodes\[0\].device: the catalog has no device 'nothing'"):
        from_nodes({"nodes": [{"device": "nothing"}]}, "shop.yaml", None, 2)


def test_a_second_target_is_a_limit() -> None:
    """Both hold in the plan that comes back."""
    data, shop, _ = case(3)
    targets = parse_targets(["decode_tokens_per_s >= 8", "price <= 50 $/h"], PIPELINE)
    found = sized(Wanted(data, targets, from_nodes(shop, "shop", None, 4), most=3), seconds=10.0)
    assert found.plan is not None
    assert found.plan.figures.decode_tokens_per_s >= 8
    assert found.plan.figures.price_per_hour <= 50


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tokens_per_s", "expected a figure and its value"),
        ("tokens_per_s <= 20", "tokens_per_s >= ..., of which more is better"),
        ("ttft >= 1 s", "ttft <= ..., of which less is better"),
        ("tokens >= 20", "unknown figure 'tokens'"),
        ("ttft <= 1 GiB", "expected a time"),
        ("tokens_per_s >= -3", "above 0"),
        ("ttft <= 1 s, ttft_s <= 2 s", "is given twice"),
        ("", "expected a figure"),
    ],
)
def test_targets_that_say_nothing_are_refused(text: str, message: str) -> None:
    """One line with what was expected."""
    with pytest.raises(InputError, match=message):
        parse_targets([text], PIPELINE)


def test_targets_have_the_units_of_their_figures() -> None:
    """With a unit or in the one of the figure."""
    one, other = parse_targets(["time_per_token <= 50 ms, tokens_per_s >= 20"], PIPELINE)
    assert (one.term, one.value) == ("latency", 0.05)
    assert (other.term, other.value) == ("throughput", 20.0)


def test_everything_of_the_catalog_has_a_price() -> None:
    """Only what somebody rents out can be chosen."""
    found = from_catalog("home", 2)
    assert len(found) > 10
    assert all(candidate.price_per_hour > 0 and candidate.entry["region"] == "home" for candidate in found)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What is there is enough; something must be added; nothing is enough; a price is missing."""
    monkeypatch.chdir(tmp_path)
    data, shop, _ = case(0)
    data["nodes"][0] |= {"memory": "20 GiB", "decode_seconds_per_block": 0.01}
    shop["nodes"] = [{"name": "p", "memory": "9 GiB", "decode_seconds_per_block": 0.005, "price": "1 $/h"}]
    Path("cluster.json").write_text(json.dumps(data))
    Path("shop.json").write_text(json.dumps(shop))
    words = ["size", "cluster.json", "--from", "shop.json", "--most", "2", "--time-limit", "10", "--target"]
    assert run([*words, "tokens_per_s >= 5"]) == 0
    assert "nothing: what is there is enough" in capsys.readouterr().out
    assert run([*words, "time_per_token <= 35 ms", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["add"] == [{"name": "p", "count": 1}]
    assert told["proven_cheapest"]
    assert run([*words, "time_per_token <= 1 ms"]) == 2
    assert "proven" in capsys.readouterr().err
    assert run([*words, "time_per_token <= 35 ms", "--budget", "0.5 $/h"]) == 2
    del shop["nodes"][0]["price"]
    Path("shop.json").write_text(json.dumps(shop))
    capsys.readouterr()
    assert run([*words, "tokens_per_s >= 10"]) == 1
    assert "shop.json: nodes[0]: the key 'price' is missing" in capsys.readouterr().err
