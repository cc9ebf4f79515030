"""Fleets as questions: files in, plans out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from objectives.sessions.baselines import all_servers, best_rate
from objectives.sessions.chains import broken_rules, total_rate
from placement.cli import run
from placement.errors import InfeasibleError, InputError
from placement.kinds.sessions.spans import composition_of
from placement.optimize import judge, optimize
from placement.plan.plan import PlacedSpan, Plan
from placement.readers.fleet import fleet_of
from placement.simulate.sessions import simulate

from .fleets import document, fleet


def test_too_many_arrivals_are_proven_infeasible() -> None:
    """Arrivals beyond the bound on the rate end at once, with both figures."""
    with pytest.raises(InfeasibleError, match=r"no placement serves more than .* and 1e\+04 sessions/s arrive"):
        optimize(None, fleet(3, arrivals=1e4), objective="response", time_limit=1.0)


@pytest.mark.parametrize("objective", ["rate", "response"])
def test_never_below_the_reference(objective: str) -> None:
    """The search keeps the rules and is no worse than GBP-CR at its best capacity."""
    few = fleet(3, servers=8, arrivals=0.3)
    plan = optimize(None, few, objective=objective, time_limit=1.0).plan
    figures = plan.figures
    assert not broken_rules(few, composition_of(plan, few))
    assert figures.rate_per_s <= figures.rate_bound_of_this_placement_per_s + 1e-6 <= figures.rate_bound_per_s + 2e-6
    reference = best_rate(few, all_servers)
    assert reference is not None
    if objective == "rate":
        assert figures.rate_per_s >= total_rate(few, reference.chains) - 1e-9
    else:
        assert figures.response_simulated_s <= 1.05 * simulate(few, reference.chains).mean_s


FIGURES = {
    "rate_per_s",
    "rate_bound_per_s",
    "rate_bound_of_this_placement_per_s",
    "arrivals_per_s",
    "sessions_at_once",
    "response_bound_s",
    "response_lower_bound_s",
    "response_upper_bound_s",
    "response_simulated_s",
    "response_simulated_p95_s",
}


@pytest.mark.parametrize("objective", ["rate", "response"])
def test_figures_are_numbers(objective: str) -> None:
    """Every figure that is promised is there, whatever was asked for; bounds lie on the right side."""
    plan = optimize(None, fleet(1, arrivals=0.2), objective=objective, time_limit=0.3).plan
    data = plan.to_dict()
    assert set(data["figures"]) == FIGURES
    assert all(isinstance(value, int | float) for value in data["figures"].values())
    figures = plan.figures
    assert figures.response_bound_s <= figures.response_lower_bound_s <= figures.response_upper_bound_s
    assert figures.rate_per_s <= figures.rate_bound_per_s
    assert data["objective"]["unit"] == {"rate": "sessions/s", "response": "s"}[objective]


def test_no_response_time_where_the_queue_grows() -> None:
    """More arrivals than the rate: the response figures are left out, and a note says why."""
    plan = optimize(None, fleet(1, arrivals=1e3), time_limit=0.3).plan
    assert not [name for name in plan.figures if name.startswith("response")]
    assert any(note.startswith("not stable") for note in plan.notes)
    assert plan.status == "solved"


def test_memory_and_seconds_by_server() -> None:
    """Weights and reserved caches fit; the seconds of a session over all servers are those of the chains."""
    few = fleet(2)
    plan = optimize(None, few, time_limit=0.3).plan
    assert all(node.memory_used_bytes <= node.memory_bytes for node in plan.nodes)
    rates = [(chain.capacity or 0) / (chain.seconds or 1.0) for chain in plan.chains]
    mean = sum(rate * (chain.seconds or 0.0) for rate, chain in zip(rates, plan.chains, strict=True)) / sum(rates)
    assert sum(node.busy_s for node in plan.nodes) == pytest.approx(mean)


def test_a_file_and_a_plan_come_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`optimize` and the command take the file, and what `--out` writes loads as the same plan."""
    path, out = tmp_path / "fleet.json", tmp_path / "plan.json"
    path.write_text(json.dumps(document()))
    result = optimize(None, path, time_limit=0.3)
    assert result.plan.chains[0].stops[-1] == 12
    assert run(["solve", str(path), "--time-limit", "0.3", "--json", "--out", str(out)]) == 0
    data = json.loads(capsys.readouterr().out)
    plan = Plan.load(out)
    assert plan.to_dict() == data == json.loads(out.read_text())
    assert Plan.from_dict(plan.to_dict()) == plan
    chain = data["chains"][0]
    assert chain["servers"] == chain["nodes"]  # as version 0.1 wrote it
    assert sum(chain["blocks"]) == 12


def test_a_running_plan_is_a_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--start` takes a plan of the same servers: the answer is no worse, and other fleets are refused by name."""
    path, out = tmp_path / "fleet.json", tmp_path / "plan.json"
    path.write_text(json.dumps(document()))
    for options in (["--out", str(out)], ["--start", str(out)]):
        assert run(["solve", str(path), "--time-limit", "0.3", "--quiet", *options]) == 0
    few = fleet(4)
    best = optimize(None, few, time_limit=0.5).plan
    again = optimize(None, few, time_limit=0.05, start=best).plan
    assert again.objective.value >= best.objective.value - 1e-9
    with pytest.raises(InputError, match="which the fleet lacks"):
        optimize(
            None, fleet_of(document()), start=Plan.from_dict({**best.to_dict(), "n_blocks": 12, "block_names": []})
        )
    capsys.readouterr()


@pytest.mark.parametrize(
    ("option", "value"), [("--model", "llama-3.1-8b"), ("--runtime", "vllm"), ("--edges", "exact")]
)
def test_options_of_other_kinds_are_refused(
    option: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is ignored silently."""
    path = tmp_path / "fleet.json"
    path.write_text(json.dumps(document()))
    assert run(["solve", str(path), option, value]) == 1
    assert f"{path}: {option}: does not apply" in capsys.readouterr().err.replace("\n", " ")


def test_a_layout_is_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`placement score` packs chains into given spans; one that leaves blocks out breaks a rule."""
    path = tmp_path / "fleet.json"
    path.write_text(json.dumps(document()))
    assert run(["score", str(path), "--spans", "a=0:12,b=0:6", "--time-limit", "0.3", "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert 0 < scored["yours"]["objective"]["value"] <= scored["best"]["objective"]["value"]
    few = fleet_of(document())
    plan, broken = judge(None, few, [PlacedSpan("a", 0, 6)])
    assert (plan.status, len(broken)) == ("infeasible", 1)
    plan, broken = judge(None, few, [PlacedSpan("a", 0, 12), PlacedSpan("b", 0, 12)], objective="response")
    assert (plan.status, broken) == ("solved", ())


def test_limits_and_fronts() -> None:
    """A limit that nothing meets is told with the bound; a front trades the rate against the response time."""
    few = fleet(5, servers=4, arrivals=0.3)
    with pytest.raises(InfeasibleError, match=r"limits\.rate cannot be met: no placement serves more than"):
        optimize(None, few, limits={"rate": 1e6}, time_limit=0.5)
    with pytest.raises(InfeasibleError, match=r"limits\.response cannot be met: no placement has a mean"):
        optimize(None, few, limits={"response": 1e-3}, time_limit=0.5)
    result = optimize(None, few, objective="rate,response", time_limit=0.5)
    assert result.pareto
    points = [(point.values["rate"], point.values["response"]) for point in result.plan.pareto]
    assert points == sorted(points, key=lambda point: -point[0])
    limited = optimize(None, few, limits={"response": 1.5 * points[-1][1]}, time_limit=0.5).plan
    assert limited.figures.response_simulated_s <= 1.5 * points[-1][1]


def test_the_command_takes_a_file_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`placement solve CASE.json --json` lists spans, chains and capacities."""
    path = tmp_path / "case.json"
    path.write_text(json.dumps(document()))
    assert run(["solve", str(path), "--objective", "rate", "--time-limit", "0.5", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["kind"] == "sessions"
    assert data["chains"][0]["stops"][-1] == 12
    assert data["objective"]["value"] <= data["objective"]["bound"]
    assert {span["node"] for span in data["placement"]} <= {"a", "b"}


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"num_blocks": 0}, "num_blocks"),
        ({"servers": []}, "servers"),
        ({"block_gb": -1}, "block_gb"),
        ({"servers": [{"id": "a", "memory_gb": 20, "tau_c_s": 0, "tau_p_s": 0}]}, "servers[0].tau_p_s"),
        ({"servers": [{"id": "a", "tau_c_s": 0, "tau_p_s": 1}]}, "servers[0].memory_gb"),
    ],
)
def test_bad_files_name_the_key(changes: dict[str, object], part: str) -> None:
    """A mistake is one line with the key's path."""
    with pytest.raises(InputError, match=part.replace("[", r"\[")):
        fleet_of(document(**changes))


def test_a_server_that_is_too_small_holds_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The plan goes without it and says so by name."""
    server = {"tau_c_s": 0.3, "tau_p_s": 0.1}
    servers = [{"id": name, "memory_gb": size, **server} for name, size in (("a", 20), ("tiny", 1.05), ("b", 14))]
    path = tmp_path / "case.json"
    path.write_text(json.dumps(document(servers=servers)))
    for objective in ("rate", "response"):
        assert run(["solve", str(path), "--objective", objective, "--time-limit", "0.3", "--json"]) == 0
        data = json.loads(capsys.readouterr().out)
        assert {span["node"] for span in data["placement"]} <= {"a", "b"}
        assert "tiny holds nothing" in data["notes"][0]


def test_infeasible_fleets_say_why(tmp_path: Path) -> None:
    """Servers that cannot hold one block, or not all blocks, are infeasible: exit 2, with names."""
    with pytest.raises(InfeasibleError, match="no server holds one block"):
        fleet_of(document(block_gb=30.0))
    with pytest.raises(InfeasibleError, match="held by nobody"):
        fleet_of(document(num_blocks=100))
    path = tmp_path / "case.json"
    path.write_text(json.dumps(document(num_blocks=100)))
    assert run(["solve", str(path), "--json"]) == 2
