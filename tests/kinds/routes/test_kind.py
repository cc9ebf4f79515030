"""Swarms through the one door: `optimize`, `placement solve|score`, and the alias `placement route`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from objectives.routes.swarm import Swarm
from placement import InfeasibleError, InputError, Plan, optimize
from placement.cli import run
from placement.kinds.routes.solvers.exact import Exact
from placement.optimize import judge
from placement.plan.plan import PlacedSpan
from placement.question.routes import RoutesQuestion
from placement.readers.routes import routes_of
from placement.readers.swarm import read_swarm, swarm_of
from placement.search.stop import max_evaluations

from .swarms import document, drawn

EXAMPLE = Path(__file__).parents[3] / "examples" / "petals_swarm.yaml"


def written(folder: Path, **changes: object) -> str:
    """The example with other keys, as a file."""
    path = folder / "swarm.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(EXAMPLE.read_text()) | changes))
    return str(path)


def test_optimize_answers_a_swarm_file() -> None:
    """The whole front of latency against throughput, the fastest chain as the placement, chains beside it."""
    result = optimize(None, EXAMPLE)
    plan = result.plan
    assert (plan.kind, plan.status, plan.n_blocks) == ("routes", "solved", 32)
    assert len(plan.pareto) == len(plan.chains) == len(result.pareto) >= 3
    assert plan.objective.name == "latency,throughput"
    assert plan.objective.proven_optimal
    seconds = [chain.seconds for chain in plan.chains]
    rates = [chain.tokens_per_s for chain in plan.chains]
    assert seconds == sorted(seconds)  # type: ignore[type-var]
    assert rates == sorted(rates)  # type: ignore[type-var]
    assert plan.placement == plan.pareto[0].placement
    assert plan.figures == plan.pareto[0].figures
    assert plan.bottleneck.where in plan.chains[0].nodes
    assert 1.0 / plan.bottleneck.seconds == pytest.approx(plan.figures.tokens_per_s)
    assert set(plan.figures) == {"time_per_token_s", "tokens_per_s", "price_per_token", "survival"}
    assert any("star" in note for note in plan.notes)


def test_a_swarm_made_in_python_is_a_question_too() -> None:
    """Bare, or with its shape; the values differ, since a star goes through the client at every hop."""
    swarm = read_swarm(EXAMPLE)
    star = optimize(None, swarm, objective="latency").plan
    chain = optimize(None, RoutesQuestion(swarm, "chain"), objective="latency").plan
    assert star.objective.proven_optimal
    assert star.objective.gap == 0.0
    assert star.objective.bound == pytest.approx(star.objective.value)
    assert chain.objective.value < star.objective.value
    assert len(star.chains) == 1
    with pytest.raises(InputError, match="model does not apply"):
        optimize("llama-3.1-8b", swarm)
    with pytest.raises(InputError, match="'star' or 'chain'"):
        RoutesQuestion(swarm, "ring")  # type: ignore[arg-type]


def test_one_seed_one_plan() -> None:
    """NSGA-II too, where evaluations end the search."""
    swarm, names = drawn(5, servers=8, blocks=8), ["latency", "throughput"]

    def found() -> Plan:
        result = optimize(
            None, swarm, objective=names, solver="nsga2", stop=max_evaluations(1500), seed=7, time_limit=600
        )
        return replace(result.plan, seconds=0.0)

    assert found() == found()


def test_solve_writes_what_it_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON document, a plan file that loads as the same plan, and a table for people."""
    out = tmp_path / "plan.json"
    assert run(["solve", str(EXAMPLE), "--json", "--out", str(out)]) == 0
    shown = json.loads(capsys.readouterr().out)
    plan = Plan.load(out)
    assert plan.to_dict() == shown
    assert Plan.from_dict(shown) == plan
    assert shown["objective"]["sense"] == "minimize"
    assert run(["solve", str(EXAMPLE), "--quiet", "--start", str(out)]) == 0
    capsys.readouterr()
    assert run(["solve", str(EXAMPLE)]) == 0
    text = capsys.readouterr().out
    assert "ms/token" in text
    assert "the front is exact" in " ".join(text.split())


@pytest.mark.parametrize("options", [["--third", "price"], ["--third", "reliability", "--shape", "chain"], []])
def test_route_is_solve_with_its_own_keys_beside(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The alias keeps its options and its JSON keys; the plan is the one that `solve` gives."""
    picture = tmp_path / "front.svg"
    assert run(["route", str(EXAMPLE), "--json", "--nsga2", "0.2", "--plot", str(picture), *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "throughput, tokens/s" in picture.read_text(encoding="utf-8")
    # A coarse front may be beaten by its precision in both of the values that it is coarse in.
    assert found["nsga2_hypervolume_ratio"] <= (1.0 + found["precision"]) ** 2 + 1e-9
    assert found["precision"] == (0.02 if options else 0.0)
    assert found["shape"] == ("chain" if "chain" in options else "star")
    assert len(found["front"]) == len(found["pareto"]) >= 3
    first = found["front"][0]
    assert first["stages"] == [
        {"server": span["node"], "start": span["start"], "stop": span["stop"]} for span in found["placement"]
    ]
    assert first["latency_s"] == found["figures"]["time_per_token_s"]
    third = {"price": "price_per_token", "reliability": "survival"}.get(options[1] if options else "")
    assert set(first) == {"latency_s", "tokens_per_s", "stages", *([third] if third else [])}

    objective = ",".join(["latency", "throughput", *options[1:2]])
    shape = ["--set", f"shape={found['shape']}"]
    assert run(["solve", str(EXAMPLE), "--json", "--objective", objective, *shape]) == 0
    solved = json.loads(capsys.readouterr().out)
    assert solved["pareto"] == found["pareto"]


def test_a_file_says_shape_objective_limits_and_precision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Keys of the question stand in the file; options win over them; advice reads the shape."""
    file = written(tmp_path, shape="chain", objective="latency", limits={"throughput": "10 tokens/s"}, precision=0.5)
    plan = optimize(None, file).plan
    assert plan.objective.name == "latency"
    assert plan.figures.tokens_per_s >= 10
    assert any("hand over" in note for note in plan.notes)
    slower = optimize(None, file, limits={"throughput": 18}).plan
    assert slower.figures.tokens_per_s >= 18
    assert slower.figures.time_per_token_s > plan.figures.time_per_token_s
    assert run(["route", file, "--json", "--nsga2", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["shape"] == "chain"
    assert run(["route", file, "--json", "--nsga2", "0", "--shape", "star"]) == 0
    assert json.loads(capsys.readouterr().out)["shape"] == "star"
    figures = {}
    for shape in ("star", "chain"):
        assert run(["petals", "advise", file, "--json", "--shape", shape]) == 0
        figures[shape] = json.loads(capsys.readouterr().out)["now"]
    assert run(["petals", "advise", file, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["now"] == figures["chain"] != figures["star"]


def test_a_limit_that_nobody_meets_is_proven_infeasible(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Alone: with the best possible value. Together: with the chain that comes nearest."""
    with pytest.raises(InfeasibleError, match=r"limits.throughput: 99 tokens/s cannot be met: .* 25 tokens/s, proven"):
        optimize(None, EXAMPLE, limits={"throughput": 99})
    with pytest.raises(InfeasibleError, match="no chain meets all limits together"):
        optimize(None, EXAMPLE, objective="latency", limits={"throughput": 25, "latency": 0.2})
    file = written(tmp_path, limits={"latency": "1 ms"})
    assert run(["solve", file, "--json"]) == 2
    captured = capsys.readouterr()
    assert "best possible is 126 ms, proven" in captured.err
    assert json.loads(captured.out)["status"] == "infeasible"


def test_ctrl_c_keeps_what_was_found() -> None:
    """The front so far, with the status and a note that it is not whole."""

    class Interrupted:
        def search(self, problem: Any, rng: np.random.Generator, start: np.ndarray) -> Any:
            yield from (proposal for proposal in Exact().search(problem, rng, start) if proposal.whole_front is None)
            raise KeyboardInterrupt

    plan = optimize(None, EXAMPLE, solver=Interrupted()).plan
    assert (plan.status, plan.stopped_by) == ("interrupted", "interrupted")
    assert len(plan.pareto) >= 3
    assert not plan.objective.proven_optimal
    assert any("not proven" in note for note in plan.notes)


def test_a_chain_that_somebody_has_is_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its figures, its gap, the limits that it breaks; what is no chain is one line."""
    chain = [PlacedSpan("tok-h100", 0, 32)]
    plan, broken = judge(None, EXAMPLE, chain, objective="latency", limits={"latency": 0.2})
    assert plan.status == "infeasible"
    assert broken == ("latency is 285 ms, the limit 200 ms",)
    assert run(["score", str(EXAMPLE), "--spans", "tok-h100=0:32", "--objective", "latency", "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert scored["gap_to_best"] == pytest.approx(0.2854 / 0.1258 - 1, rel=1e-3)
    for spans, message in (
        ("tok-h1=0:32", "did you mean 'tok-h100'"),
        ("ber-a100=0:32", "holds the blocks 0:14"),
        ("tok-h100=0:8", "end at block 8"),
        ("tok-h100=0:8,tok-h100=9:32", "start at block 8"),
    ):
        assert run(["score", str(EXAMPLE), "--spans", spans, "--objective", "latency"]) == 1
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "llama-3.1-8b"], "--model: does not apply"),
        (["--runtime", "petals"], "--runtime: does not apply"),
        (["--edges", "exact"], "--edges: does not apply"),
        (["--explain"], "--explain: does not apply"),
        (["--objective", "ttft"], "unknown objective 'ttft'"),
        (["--solver", "milp"], "'milp' does not solve routes plans"),
        (["--solver", "exact", "--objective", "latency,price,reliability"], "at most two of latency, price"),
        (["--set", "shape=ring"], "shape: expected 'star' or 'chain', got 'ring'"),
        (["--set", "precision=1.5"], "precision: expected a part of at least 0 and below 1, got 1.5"),
        (["--set", "objective=[]"], "objective: expected at least one objective"),
        (["--set", "objective={latency: -1}"], "objective: expected a weight above 0"),
        (["--set", "objective=7"], "objective: expected a name"),
        (["--set", "limits.ttft=3"], "unknown key 'ttft'"),
        (["--set", "limits={latency: 1 s, time_per_token: 2 s}"], "limits: a limit is given twice"),
        (["--set", "block=3"], "did you mean 'blocks'"),
    ],
)
def test_what_does_not_apply_is_refused_by_name(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit 1, nothing written."""
    assert run(["solve", str(EXAMPLE), *words]) == 1
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
    assert not Path("page.html").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shape", "ring"], "'ring' is not one of 'star', 'chain'"),
        (["--third", "colour"], "'colour' is not one of 'price', 'reliability'"),
        (["--nsga2", "-1"], "--nsga2"),
        (["--precision", "2"], "precision: expected a part"),
        (["--plot", "/nowhere/front.png"], "no such folder"),
    ],
)
def test_mistakes_in_the_options_of_route_are_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The option, what was expected and what was found."""
    assert run(["route", str(EXAMPLE), *words]) == 1
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"rtt_ms": {}}, "round trip between a .* and b"),
        (
            {"servers": [{"name": "a", "site": "x", "blocks": "0:4", "ms_per_block": 2, "tokens_per_s": 0}]},
            "tokens_per_s",
        ),
        ({"servers": [{"name": "a", "site": "x", "blocks": "0:9", "ms_per_block": 2, "tokens_per_s": 1}]}, "0:4"),
        ({"block": 3}, "did you mean 'blocks'"),
    ],
)
def test_bad_swarms_name_the_key(changes: dict[str, object], part: str) -> None:
    """A mistake is one line with the place."""
    with pytest.raises(InputError, match=part):
        routes_of(document(**changes), "swarm.yaml")


def test_a_block_of_nobody_is_named() -> None:
    """Infeasible, with the block's number; a swarm made in Python too."""
    holes = document(servers=[{"name": "a", "site": "x", "blocks": "0:2", "ms_per_block": 2, "tokens_per_s": 5}])
    with pytest.raises(InfeasibleError, match="block 2 is held by nobody"):
        optimize(None, holes)
    swarm: Swarm = swarm_of(holes, whole=False)
    with pytest.raises(InfeasibleError, match="block 2 is held by nobody"):
        optimize(None, swarm)
