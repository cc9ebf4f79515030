"""Changed questions: each is a file of its own, answered beside the one that was asked."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from placement.cli import run
from placement.errors import InputError
from placement.kinds.asked import ask
from placement.optimize import Search, answer
from placement.whatif.answers import OVER_S, answered, rooted
from placement.whatif.changes import own, usual
from placement.whatif.nodes import added, at_rate, formats_near, less, more, removed

from .test_servers import FLEET

ROOT = Path(__file__).parents[2]
EXAMPLES = ["home_lab", "mixed_cluster", "geo", "measured", "one_pc", "replicated", "petals_swarm"]
SMALL: dict[str, Any] = {
    "model": {
        "name": "tiny",
        "blocks": [{"name": "layer", "repeat": 6, "weights": "1 GiB", "activation_per_token": "8 KiB"}],
    },
    "nodes": [
        {"name": "a", "memory": "4.5 GiB", "decode_seconds_per_block": 0.01, "price": "1 $/h"},
        {"name": "b", "memory": "4.5 GiB", "decode_seconds_per_block": 0.02, "count": 2, "price": "1 $/h"},
    ],
    "pins": {0: "b-1"},
    "network": {
        "default": {"bandwidth": "1 Gbit/s", "latency": "1 ms"},
        "links": [{"nodes": ["a", "b-0"], "bandwidth": "10 Gbit/s", "latency": "1 ms"}],
    },
}


def example(name: str) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((ROOT / "examples" / f"{name}.yaml").read_text(encoding="utf-8"))
    return data


@pytest.mark.parametrize("data", [*map(example, EXAMPLES), FLEET], ids=[*EXAMPLES, "fleet"])
def test_every_usual_change_is_a_question(data: dict[str, Any]) -> None:
    """All are read without an error, differ from the file and from each other, and leave the file as it is."""
    before = copy.deepcopy(data)
    changes = list(usual(data))
    assert data == before
    assert len({change.what for change in changes}) == len(changes)
    for change in changes:
        assert change.document != before, change.what
        ask(None, change.document)


def test_one_more_and_one_less_are_that() -> None:
    """Nodes are counted; a twin has the links of the node that it is like."""
    names = ask(None, SMALL).question.cluster.names
    for k, gone in ((0, "a"), (1, "b-1")):
        assert len(ask(None, more(SMALL, k)).question.cluster.names) == len(names) + 1
        assert set(names) - set(ask(None, less(SMALL, k)).question.cluster.names) == {gone}
    cluster = ask(None, more(SMALL, 0)).question.cluster
    twin, other = cluster.index("a-2"), cluster.index("b-0")
    assert cluster.bandwidth_bytes_per_s[twin, other] == 10e9 / 8


def test_what_names_a_node_goes_with_it() -> None:
    """Pins and links of a node that is removed are gone too."""
    found = removed(SMALL, "b-1")
    assert found["pins"] == {}
    assert [entry.get("count") for entry in found["nodes"]] == [None, 1]
    assert removed(SMALL, "a")["network"]["links"] == []


def test_own_changes() -> None:
    """Devices are added in the region of the first node; unknown nodes are named."""
    found = own(example("home_lab"), ["rtx-4090*2"], ["box"], ["workload.concurrency=8"])
    assert found.what == "without box, with rtx-4090*2, workload.concurrency=8"
    request = ask(None, found.document).question
    assert "box" not in request.cluster.names
    assert request.workload.concurrency == 8
    assert {node.region for node in request.cluster.nodes if node.device == "rtx-4090"} == {"home"}
    with pytest.raises(InputError, match="there is no node 'c'"):
        removed(SMALL, "c")
    with pytest.raises(InputError, match=r"DEVICE\*COUNT"):
        added(SMALL, "rtx-4090*x")


def test_links_keep_their_latency() -> None:
    """A name of the catalog becomes its figures, with another bandwidth."""
    assert at_rate({"bandwidth": "1 Gbit/s", "latency": "1 ms"}, 10.0) == {
        "bandwidth": "1.25e+09 B/s",
        "latency": "1 ms",
    }
    found = at_rate("ethernet-1g", 0.1)
    assert found is not None
    assert set(found) == {"bandwidth", "latency"}


def test_formats_are_neighbours() -> None:
    """One step finer, one coarser; none for blocks given inline."""
    assert formats_near({"model": "llama-3.1-8b", "quantization": "q4_k_m"}) == ["q5_k_m", "q3_k_m"]
    assert formats_near({"model": "llama-3.1-8b", "dtype": "bfloat16"}) == ["fp8"]
    assert formats_near(SMALL) == []


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A row for each change; gains have the right sign; what cannot be is told; the report takes the table."""
    monkeypatch.chdir(tmp_path)
    Path("cluster.json").write_text(json.dumps({**SMALL, "pins": {}}))
    words = ["whatif", "cluster.json", "--time-limit", "4"]
    assert run([*words, "--json", "--out", "whatif.json"]) == 0
    told = json.loads(capsys.readouterr().out)
    rows = {row["change"]: row for row in told["changes"]}
    assert rows["one more a"]["gain"] > 0
    assert rows["one more a"]["gain_shown"].endswith("better")
    assert rows["one less a"]["gain"] < 0
    assert rows["default link 10 times slower"]["gain"] <= 0
    assert json.loads(Path("whatif.json").read_text()) == told
    assert run([*words, "--remove", "a", "--remove", "b-0"]) == 0
    assert "no plan" in capsys.readouterr().out
    assert run(["solve", "cluster.json", "--quiet", "--out", "plan.json", "--time-limit", "1"]) == 0
    assert run(["report", "plan.json", "--whatif", "whatif.json", "--html", "page.html"]) == 0
    assert "one more a" in Path("page.html").read_text()
    capsys.readouterr()
    assert run(["report", "plan.json", "--whatif", "plan.json", "--html", "page.html"]) == 1
    assert "plan.json: expected a JSON document with a list 'changes'" in capsys.readouterr().err


def test_changes_for_which_no_time_is_left_are_told() -> None:
    """None of them is asked, none is left out of the table."""
    base = ask(None, {**SMALL, "pins": {}})
    plan = answer(base, Search("auto", 0.3)).plan
    changes = list(usual(SMALL))
    rows = answered(base, plan, changes, seconds=-OVER_S)
    assert [row.change for row in rows] == [change.what for change in changes]
    assert {row.why for row in rows} == {"not asked: the time was over"}


@pytest.mark.parametrize("model", ["x" * 5000, "a\0b", "none/" * 900])
def test_a_model_that_no_file_can_be_called_stays_as_it_is(model: str, tmp_path: Path) -> None:
    """Whatever stands there, it is told by the reader of models, with its file."""
    assert rooted({"model": model}, tmp_path) == {"model": model}
