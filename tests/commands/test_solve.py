"""`placement solve` end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from placement.plan.plan import Plan

from .conftest import ROOT, Cli

FIELDS = {
    "status": str,
    "objective": dict,
    "placement": list,
    "figures": dict,
    "nodes": list,
    "bottleneck": dict,
    "solver": str,
    "seed": int,
    "evaluations": int,
    "seconds": float,
    "stopped_by": str,
    "version": str,
}
FIGURES = {"time_per_token_s", "ttft_s", "tokens_per_s", "request_time_s", "price_per_hour", "energy_per_token_j"}


def test_table(cli: Cli, tiny: Path) -> None:
    """The table names stages, memory, the bottleneck and the idle node, within 80 columns and without colours."""
    done = cli("solve", tiny, "--time-limit", 5)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    for word in ("tiny: 8 blocks on 2 of 3 nodes", "embed ..", "GiB", "idle: c (1 GiB)", "bottleneck", "seed 0"):
        assert word in done.stdout
    assert "latency 98.1 ms" in done.stdout


@pytest.mark.slow
def test_table_without_unicode(process: Cli, tiny: Path) -> None:
    """A terminal that knows ASCII only gets bars of '#'."""
    done = process("solve", tiny, "--time-limit", 5, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert "###" in done.stdout


def test_json_is_one_document_and_nothing_else(cli: Cli, tiny: Path) -> None:
    """Every field that is promised is there, with its type."""
    done = cli("solve", tiny, "--json", "--time-limit", 5, "--seed", 3)
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    for name, kind in FIELDS.items():
        assert isinstance(data[name], kind), name
    assert data["status"] == "solved"
    assert data["seed"] == 3
    assert set(data["objective"]) == {"name", "value", "unit", "sense", "bound", "gap", "proven_optimal"}
    assert set(data["figures"]) >= FIGURES
    assert data["placement"][0]["start"] == 0
    assert data["placement"][-1]["stop"] == 8
    assert [set(node) for node in data["nodes"]] == [{"name", "memory_bytes", "memory_used_bytes", "busy_s"}] * 3
    assert set(data["bottleneck"]) == {"kind", "where", "seconds"}
    assert "pareto" not in data


def test_out_holds_the_plan(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    """The plan file reads back, and serves as a start."""
    assert cli("solve", tiny, "--quiet", "--out", "plan.json", "--time-limit", 5).stdout == ""
    plan = Plan.load(tmp_path / "plan.json")
    assert plan.objective.value == pytest.approx(0.0981, rel=0.01)
    again = cli("solve", tiny, "--start", "plan.json", "--json", "--solver", "annealing", "--time-limit", 1)
    assert json.loads(again.stdout)["objective"]["value"] <= plan.objective.value + 1e-12


def test_pareto_front(cli: Cli, tiny: Path) -> None:
    """Several objectives give a front in which no plan beats another one in everything."""
    done = cli("solve", tiny, "--objective", "latency,price", "--json", "--time-limit", 2)
    assert done.returncode == 0, done.stderr
    front = [point["values"] for point in json.loads(done.stdout)["pareto"]]
    assert len(front) >= 2
    for one in front:
        assert not any(other["latency"] < one["latency"] and other["price"] < one["price"] for other in front)


def test_set_and_model_win_over_the_file(cli: Cli, tiny: Path) -> None:
    """--set changes a key, --model the model."""
    done = cli("solve", tiny, "--set", "exclude=[b]", "--set", "nodes[2].memory='4 GiB'", "--json")
    nodes = {span["node"] for span in json.loads(done.stdout)["placement"]}
    assert nodes == {"a", "c"}
    done = cli("solve", tiny, "--model", "tinyllama-1.1b", "--json", "--time-limit", 1)
    assert json.loads(done.stdout)["model"] == "tinyllama-1.1b"


def test_report_is_one_page(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    """The page has drawings and commands, and needs no other file."""
    done = cli("solve", tiny, "--quiet", "--report", "page.html", "--time-limit", 5)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count("<svg") >= 6
    assert "llama-server" in text
    assert "http" not in text
    assert "src=" not in text


CLUSTERS = sorted(path.name for path in (ROOT / "examples").glob("*.yaml") if "\nnodes:" in path.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", CLUSTERS)
def test_every_example(cli: Cli, name: str) -> None:
    """Every example that is shipped is solved."""
    done = cli("solve", ROOT / "examples" / name, "--time-limit", 2, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "solved"


def test_explain(cli: Cli, tiny: Path) -> None:
    """A plan is shown beside its neighbours; the JSON document with them is still a plan."""
    done = cli("solve", tiny, "--time-limit", 1, "--explain")
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "this plan" in done.stdout
    assert "one node more" in done.stdout
    data = json.loads(cli("solve", tiny, "--time-limit", 1, "--explain", "--json").stdout)
    beside = {other["what"]: other for other in data["neighbours"]}
    assert beside["one node more"]["told_apart"] is True
    assert len(beside["one node more"]["placement"]) == 3
    assert data["intervals"]["ttft_s"][0] < data["figures"]["ttft_s"] < data["intervals"]["ttft_s"][1]
    assert "price_per_hour" not in data["intervals"]
    plan = Plan.from_dict(data)
    assert Plan.from_dict(plan.to_dict()) == plan
    start = tiny.parent / "start.json"
    plan.save(start)
    again = json.loads(cli("solve", tiny, "--time-limit", 1, "--explain", "--json", "--start", start).stdout)
    assert "what runs now" in [other["what"] for other in again["neighbours"]]


def test_explain_is_for_pipelines(cli: Cli, tiny: Path) -> None:
    """Kinds without neighbours refuse the option by name."""
    done = cli("solve", tiny, "--set", "placement=replicated", "--set", "objective=served", "--explain")
    assert done.returncode == 1
    assert "--explain: does not apply" in done.stderr
