"""Replicated placements on the command line: one plan file for solve, score and export; the running one; Ctrl-C."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from placement.plan.plan import Plan

from .conftest import TINY, Cli, python
from .test_interrupt import PRESS

REPLICATED = TINY.replace("objective: latency", "placement: replicated\nmin_replicas: 2").replace(
    "nodes:\n", "nodes:\n  - {name: d, memory: 2 GiB, decode_seconds_per_block: 0.02, prefill_seconds_per_block: 0.1}\n"
)


@pytest.fixture
def swarm(tmp_path: Path) -> Path:
    """Four nodes that hold every block twice."""
    path = tmp_path / "swarm.yaml"
    path.write_text(REPLICATED.replace("2 GiB", "4 GiB"), encoding="utf-8")
    return path


@pytest.fixture
def plan(swarm: Path, cli: Cli, tmp_path: Path) -> Path:
    """What `solve` wrote."""
    done = cli("solve", swarm, "--time-limit", "0.5", "--out", "plan.json")
    assert done.returncode == 0, done.stderr
    return tmp_path / "plan.json"


def test_score_and_export_take_what_solve_wrote(swarm: Path, plan: Path, cli: Cli) -> None:
    """The file is read back as it was; scored the same; written for Petals, refused for vLLM with the reason."""
    loaded = Plan.load(plan)
    assert loaded.kind == "replicated"
    assert json.loads(loaded.to_json()) == json.loads(plan.read_text())
    assert loaded.figures.min_holders >= 2
    scored = cli("score", swarm, "--plan", plan, "--time-limit", "0.3", "--json")
    assert scored.returncode == 0, scored.stderr
    data = json.loads(scored.stdout)
    assert data["yours"]["figures"] == json.loads(plan.read_text())["figures"]
    assert data["gap_to_best"] >= 0.0
    petals = cli("export", plan, "--to", "petals", "--model", "M")
    assert petals.returncode == 0, petals.stderr
    assert petals.stdout.count("--block_indices") == len(loaded.placement)
    vllm = cli("export", plan, "--to", "vllm")
    assert vllm.returncode == 1
    assert "vllm holds every block once, the plan has several copies" in vllm.stderr


def test_broken_rules_are_named(swarm: Path, cli: Cli) -> None:
    """One holder where two are wanted: exit code 2, the blocks are counted."""
    done = cli("score", swarm, "--spans", "a=0:4,b=4:8", "--time-limit", "0.3")
    assert done.returncode == 2
    assert "8 blocks have fewer than 2 holders, the first is 0" in done.stdout
    assert "best found" in done.stdout
    unknown = cli("score", swarm, "--spans", "a=0:4,z=4:8")
    assert unknown.returncode == 1
    assert "node 'z', which the cluster lacks" in unknown.stderr


@pytest.mark.slow
def test_moved_bytes_count_against_the_running_plan(swarm: Path, plan: Path, cli: Cli) -> None:
    """Staying is free; a front trades bytes against tokens; the limit holds."""
    stay = cli("solve", swarm, "--from", plan, "--objective", "moved_bytes", "--time-limit", "0.3", "--json")
    assert stay.returncode == 0, stay.stderr
    assert json.loads(stay.stdout)["figures"]["moved_bytes"] == 0
    fresh = cli("solve", swarm, "--time-limit", "0.3", "--json")
    assert json.loads(fresh.stdout)["figures"]["moved_bytes"] > 0
    front = cli("solve", swarm, "--from", plan, "--objective", "flow,moved_bytes", "--time-limit", "0.5", "--json")
    points = json.loads(front.stdout)["pareto"]
    assert points
    assert all(set(point["values"]) == {"flow", "moved_bytes"} for point in points)
    limited = cli(
        "solve",
        swarm,
        "--from",
        plan,
        "--objective",
        "flow",
        "--set",
        "limits.moved_bytes=1 MiB",
        "--time-limit",
        "0.3",
        "--json",
    )
    assert json.loads(limited.stdout)["figures"]["moved_bytes"] <= 2**20


def test_objectives_and_limits_of_the_file(swarm: Path, tiny: Path, cli: Cli) -> None:
    """The file may name them; those of the other kind are one line."""
    done = cli("solve", swarm, "--set", "objective=flow", "--set", "limits.replicas=3", "--time-limit", "0.3", "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["objective"]["name"] == "flow"
    assert data["figures"]["min_holders"] >= 3
    wrong = cli("solve", tiny, "--set", "limits.replicas=3")
    assert wrong.returncode == 1
    assert "limits.replicas: this is a limit of replicated placements" in wrong.stderr
    wrong = cli("solve", swarm, "--set", "objective=energy")
    assert "'energy' is an objective of pipelines" in wrong.stderr


def test_patterns_is_refused_on_pipelines(swarm: Path, tiny: Path, cli: Cli) -> None:
    """It solves a flow and says what it proved; on a pipeline it is one line."""
    done = cli("solve", swarm, "--solver", "patterns", "--objective", "flow")
    assert done.returncode == 0, done.stderr
    assert "no placement carries more than" in " ".join(done.stdout.split())
    refused = cli("solve", tiny, "--solver", "patterns")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "'patterns' does not solve pipeline plans" in refused.stderr


def test_one_loader_takes_every_kind(plan: Path) -> None:
    """A plan that holds blocks several times loads like any other, and comes back as it was."""
    loaded = Plan.load(plan)
    assert loaded.kind == "replicated"
    assert loaded.routing
    assert Plan.from_dict(loaded.to_dict()) == loaded


@pytest.mark.slow
def test_ctrl_c_gives_the_best_so_far(swarm: Path, tmp_path: Path) -> None:
    """The signal comes once placements were scored: exit code 130, the plan on stdout and in the file."""
    arguments = ["solve", str(swarm), "--json", "--out", "plan.json"]
    done = python(PRESS, *arguments, cwd=tmp_path)
    assert done.returncode == 130, done.stderr
    assert "this is the best plan so far" in done.stderr
    data = json.loads(done.stdout)
    assert data["status"] == data["stopped_by"] == "interrupted"
    loaded = Plan.load(tmp_path / "plan.json")
    assert loaded.status == "interrupted"
    assert loaded.placement
