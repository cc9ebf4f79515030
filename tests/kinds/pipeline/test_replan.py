"""Replanning: lost nodes hold nothing, what stays costs nothing, moving is worth it only over a long horizon."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from placement import optimize
from placement.errors import InfeasibleError, InputError
from placement.kinds.pipeline.replan import moves_between, replan
from placement.question.cluster import Cluster
from placement.question.model import Block, Model
from placement.question.workload import Workload
from placement.readers.cluster.read import read_request
from tests.run.tiny_models import plan_by_hand, small_cluster

MODEL = Model("m", tuple(Block(f"b{k}", 100e6, activation_bytes_per_token=1e3) for k in range(6)))
PLAN = replace(plan_by_hand(("a", 0, 2), ("b", 2, 4), ("c", 4, 6)), block_names=tuple(b.name for b in MODEL.blocks))
WORK = Workload(8, 8, 1)


def test_a_lost_node_holds_nothing() -> None:
    """Its blocks go to the others; only they are loaded."""
    found = replan(PLAN, MODEL, small_cluster(3), lost=["b"], workload=WORK, horizon_tokens=1.0, time_limit=0.5)
    assert "b" not in {span.node for span in found.plan.placement}
    assert {move.block for move in found.moves} == {2, 3}
    assert found.moved_bytes == pytest.approx(200e6)
    assert found.load_s > 0


def test_a_short_horizon_keeps_what_is_there_and_a_long_one_moves() -> None:
    """Node a alone would be fastest: worth 400 MB for many tokens, not for ten."""
    keep = replan(PLAN, MODEL, small_cluster(3), workload=WORK, horizon_tokens=10, time_limit=0.5)
    assert keep.moves == ()
    move = replan(PLAN, MODEL, small_cluster(3), workload=WORK, horizon_tokens=1e6, time_limit=0.5)
    assert {span.node for span in move.plan.placement} == {"a"}
    assert move.plan.figures.time_per_token_s < keep.plan.figures.time_per_token_s


def test_the_figures_of_the_new_plan_know_nothing_of_the_loading() -> None:
    """Six blocks of a millisecond on node a, and two hops of a millisecond."""
    found = replan(PLAN, MODEL, small_cluster(3), lost=["b", "c"], workload=WORK, time_limit=0.5)
    assert found.plan.figures.time_per_token_s == pytest.approx(0.008, rel=1e-2)


def test_what_cannot_hold_the_model_is_infeasible() -> None:
    """The message says how much is missing; with no node left it says that."""
    with pytest.raises(InfeasibleError, match="missing"):
        replan(PLAN, MODEL, small_cluster(3, memory=250e6), lost=["c"], workload=WORK, time_limit=0.5)
    with pytest.raises(InfeasibleError, match="no node"):
        replan(PLAN, MODEL, small_cluster(3), lost=["a", "b", "c"], workload=WORK)


def test_mistakes() -> None:
    """Another model, a negative rate, no horizon."""
    with pytest.raises(InputError, match="blocks"):
        replan(PLAN, Model("n", MODEL.blocks[:3]), small_cluster(3), workload=WORK)
    with pytest.raises(InputError, match="rate"):
        replan(PLAN, MODEL, small_cluster(3), workload=WORK, load_bytes_per_s={"a": -1.0}, lost=["b"])
    with pytest.raises(InputError, match="horizon"):
        replan(PLAN, MODEL, small_cluster(3), workload=WORK, horizon_tokens=0)


def test_a_new_node_is_used_when_it_is_worth_it() -> None:
    """Nodes may come as well as go: moves are what the old plan's nodes did not hold."""
    wide = small_cluster(4)
    fast = replace(wide.nodes[3], decode_s_per_block=(0.0001,))
    cluster = Cluster((*wide.nodes[:3], fast), np.array(wide.latency_s), np.array(wide.bandwidth_bytes_per_s))
    found = replan(PLAN, MODEL, cluster, workload=WORK, horizon_tokens=1e6, time_limit=0.5)
    assert {span.node for span in found.plan.placement} == {"d"}
    assert len(moves_between(PLAN, found.plan, MODEL)) == 6


def test_the_command(tmp_path: object) -> None:
    """`placement replan` writes a plan and tells what moves."""
    from pathlib import Path

    from typer.testing import CliRunner

    from placement.cli import build_app

    folder = Path(str(tmp_path))
    PLAN.save(folder / "plan.json")
    blocks = [{"name": b.name, "weights": "100 MB", "activation_per_token": "1 KB"} for b in MODEL.blocks]
    document = {
        "model": {"name": "m", "blocks": blocks},
        "workload": {"prompt_tokens": 8, "output_tokens": 8, "concurrency": 1},
        "nodes": [{"name": n, "memory": "1 GiB", "decode_seconds_per_block": 0.01} for n in "abc"],
        "network": {"default": {"bandwidth": "1 Gbit/s", "latency": "1 ms"}},
    }
    (folder / "cluster.yaml").write_text(json.dumps(document))
    arguments = ["replan", str(folder / "plan.json"), str(folder / "cluster.yaml"), "--lost", "c", "--horizon", "1"]
    arguments += ["--time-limit", "0.5", "--out", str(folder / "next.json"), "--json"]
    outcome = CliRunner().invoke(build_app("replan"), arguments)
    assert outcome.exit_code == 0, outcome.output
    data = json.loads(outcome.stdout)
    assert data["moved_bytes"] == pytest.approx(200e6)
    assert json.loads((folder / "next.json").read_text())["placement"] == data["placement"]


def test_a_group_that_lost_a_member_is_lost() -> None:
    """Four cards hold a model together; when one is gone the others go on as a pipeline, and load what they lack."""
    file = {"model": "llama-3.1-70b", "nodes": [{"name": "a", "device": "a100-80gb-sxm", "count": 4}]}
    request = read_request(file)
    plan = optimize(None, request, time_limit=2).plan
    assert [group.devices for group in plan.groups] == [("a-0", "a-1", "a-2", "a-3")]
    found = replan(plan, None, request, lost=["a-1"], time_limit=1)
    assert {span.node for span in found.plan.placement} <= {"a-0", "a-2", "a-3"}
    assert len(found.moves) == request.model.n_blocks
