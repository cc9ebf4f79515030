"""Jobs are data: in and out the same, of this version only, and wrong plans are refused before anything starts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from placement.errors import InputError
from placement.plan.plan import PlacedSpan
from placement.run.job import Emulation, Job, check_plan, cluster_from_data, cluster_to_data, places_of
from tests.run.tiny_models import plan_by_hand, small_cluster

PLAN = plan_by_hand(("a", 0, 2), ("b", 2, 6))


def test_a_job_comes_back_as_it_was(tmp_path: Path) -> None:
    """JSON out and in is the identity, the emulation included."""
    cluster = small_cluster(2)
    job = Job(
        PLAN, "m", ((1, 2),), 4, emulation=Emulation.of(cluster, {"a": 2.0}), cluster=cluster_to_data(cluster), eos=3
    )
    job.save(tmp_path / "job.json")
    again = Job.load(tmp_path / "job.json")
    again.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == (tmp_path / "job.json").read_text()
    assert (again.plan, again.prompts, again.emulation) == (job.plan, job.prompts, job.emulation)
    found = cluster_from_data(json.loads((tmp_path / "job.json").read_text())["cluster"])
    assert found.nodes == cluster.nodes
    assert (found.latency_s == cluster.latency_s).all()


def test_a_worker_of_another_version_refuses_the_job(tmp_path: Path) -> None:
    """The message names both versions."""
    Job(PLAN, "m", ((1,),), 1).save(tmp_path / "job.json")
    data = json.loads((tmp_path / "job.json").read_text())
    (tmp_path / "job.json").write_text(json.dumps({**data, "version": "9.9.9"}))
    with pytest.raises(InputError, match=r"version 9\.9\.9, this worker"):
        Job.load(tmp_path / "job.json")


def test_places() -> None:
    """The client is the last place; spare nodes join when runs recover."""
    data = cluster_to_data(small_cluster(3))
    assert places_of(Job(PLAN, "m", ((1,),), 1)) == ("a", "b", "client")
    assert places_of(Job(PLAN, "m", ((1,),), 1, replan="m:f", cluster=data)) == ("a", "b", "c", "client")


def test_micro_batches_hold_prompts_of_equal_length() -> None:
    """At most so many together, numbered by their first prompt: no padding, so batching changes no result."""
    prompts = ((1, 2), (1,), (3, 4), (5, 6), (2,))
    assert Job(PLAN, "m", prompts, 1, micro_batch=2).batches == [(0, 2), (1, 4), (3,)]


def test_a_plan_for_another_model() -> None:
    """Another number of blocks, or other names."""
    with pytest.raises(InputError, match="6 blocks, the model has 8"):
        check_plan(PLAN, 8)
    with pytest.raises(InputError, match=r"'layer\.0' where the model has 'x'"):
        check_plan(PLAN, 6, ("embed", "x", "layer.1", "layer.2", "layer.3", "head"))


def test_numbers_that_make_no_sense() -> None:
    """No prompt, no tokens, a factor below one."""
    base: dict[str, Any] = {"plan": PLAN, "model": "m", "prompts": ((1,),), "tokens": 1}
    changes: dict[str, Any]
    for changes in ({"prompts": ()}, {"prompts": ((),)}, {"tokens": 0}, {"micro_batch": 0}):
        with pytest.raises(InputError):
            Job(**{**base, **changes})
    with pytest.raises(InputError, match="factor"):
        Job(PLAN, "m", ((1,),), 1, emulation=Emulation(slow={"a": 0.5}))


def test_nccl_wants_gpus() -> None:
    """Every node of the plan on a CUDA device, and no other backends than the two."""
    with pytest.raises(InputError, match="'b' is on the CPU"):
        Job(PLAN, "m", ((1,),), 1, backend="nccl", devices={"a": "cuda:0"})
    Job(PLAN, "m", ((1,),), 1, backend="nccl", devices={"a": "cuda:0", "b": "cuda:1"})
    with pytest.raises(InputError, match="gloo or nccl, got 'mpi'"):
        Job(PLAN, "m", ((1,),), 1, backend="mpi")


def test_parts_are_not_run() -> None:
    """The executor has no stage for a part of a block elsewhere."""
    apart = replace(PLAN, placement=(PlacedSpan("a", 0, 6, away="experts", home="ram"),))
    with pytest.raises(InputError, match="plan: the experts of blocks 0 to 5 lies apart from 'a', which is not run"):
        Job(apart, "m", ((1,),), 1)
