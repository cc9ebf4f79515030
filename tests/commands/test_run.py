"""`placement run` and `placement replan` take what a kind can, and refuse the rest by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from placement.commands import run as commands
from placement.errors import InputError
from placement.plan.plan import Plan, Route
from tests.run.tiny_models import greedy, plan_by_hand, some_prompts

from .conftest import Cli

pytest.importorskip("torch")

REPLICATED = """
model: {folder}
placement: replicated
min_replicas: 2
workload: {{prompt_tokens: 8, output_tokens: 8, concurrency: 4}}
nodes:
  - {{name: fast, memory: 200 KiB, decode_seconds_per_block: 0.001, prefill_seconds_per_block: 0.002}}
  - {{name: slow, count: 4, memory: 200 KiB, decode_seconds_per_block: 0.004, prefill_seconds_per_block: 0.004}}
network: {{within: {{default: {{bandwidth: 1 Gbit/s, latency: 1 ms}}}}}}
"""


@pytest.mark.slow
def test_a_replicated_plan_runs_as_solve_wrote_it(tiny_model: Callable[[str], Path], cli: Cli, tmp_path: Path) -> None:
    """Several holders of every block, each a process: the tokens are those of one process with the whole model."""
    folder, prompts, file = tiny_model("llama"), some_prompts(4), tmp_path / "plan.json"
    (tmp_path / "swarm.yaml").write_text(REPLICATED.format(folder=folder), encoding="utf-8")
    done = cli("solve", "swarm.yaml", "--time-limit", "0.5", "--out", file)
    assert done.returncode == 0, done.stderr
    plan = Plan.load(file)
    assert plan.kind == "replicated"
    assert plan.figures.min_holders >= 2
    ids = [word for prompt in prompts for word in ("--ids", ",".join(map(str, prompt)))]
    done = cli("run", file, "--model", folder, *ids, "--tokens", "6", "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["tokens"] == greedy(folder, prompts, 6)
    assert {stage["name"] for stage in data["stages"]} == {span.node for span in plan.placement}
    shown = cli("run", file, "--model", folder, *ids[:2], "--tokens", "2")
    assert shown.returncode == 0, shown.stderr
    assert "predicted figures are those with" in shown.stdout


GROUP = """
model: {folder}
objective: ttft
workload: {{prompt_tokens: 4096, output_tokens: 8}}
runtime: torch
nodes:
  - {{name: g, count: 2, interconnect: nvlink-3, memory: 8 GiB, memory_bandwidth: 50 MB/s, compute: 100 MFLOP/s,
      overhead: 1 us}}
"""


@pytest.mark.slow
def test_a_plan_with_a_group_runs_as_solve_wrote_it(
    tiny_model: Callable[[str], Path], cli: Cli, tmp_path: Path
) -> None:
    """Two devices that are faster together: solve plans a group for our executor, and run has its tokens."""
    folder, prompts, file = tiny_model("llama"), some_prompts(2), tmp_path / "plan.json"
    (tmp_path / "pair.yaml").write_text(GROUP.format(folder=folder), encoding="utf-8")
    done = cli("solve", "pair.yaml", "--time-limit", "1", "--out", file)
    assert done.returncode == 0, done.stderr
    assert [group.devices for group in Plan.load(file).groups] == [("g-0", "g-1")]
    ids = [word for prompt in prompts for word in ("--ids", ",".join(map(str, prompt)))]
    done = cli("run", file, "--model", folder, *ids, "--tokens", "5", "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["tokens"] == greedy(folder, prompts, 5)
    assert [stage["name"] for stage in data["stages"]] == ["g-0", "g-1"]


@pytest.fixture
def by_hand(tmp_path: Path) -> Path:
    """A replicated plan that nobody searched for."""
    ways = tuple(Route("client", node, 1.0) for node in "ab")
    plan_by_hand(("a", 0, 6), ("b", 0, 6), kind="replicated", routing=ways).save(tmp_path / "plan.json")
    return tmp_path / "plan.json"


def test_recovery_and_replanning_are_for_pipelines(by_hand: Path, cli: Cli) -> None:
    """Both are refused in one line that names the option, or the plan, and its kind."""
    for arguments in (("run", by_hand, "--model", "M", "--ids", "1", "--recover"), ("replan", by_hand, "swarm.yaml")):
        done = cli(*arguments)
        assert done.returncode == 1
        assert "kind 'replicated' is not planned anew" in done.stderr


def test_kinds_that_do_not_run_are_named(by_hand: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan of a kind that has no executor, and of a kind that nobody knows."""
    with monkeypatch.context() as patch:
        patch.setattr(commands, "kind_named", lambda *_: SimpleNamespace(can=frozenset({"score"})))
        with pytest.raises(InputError, match="of the kind 'replicated' cannot be run"):
            commands.run(by_hand, "M")
    by_hand.write_text(json.dumps({**json.loads(by_hand.read_text()), "kind": "nonsense"}), encoding="utf-8")
    done = cli("run", by_hand, "--model", "M", "--ids", "1")
    assert done.returncode == 1
    assert "unknown kind 'nonsense'" in done.stderr
