"""The first plan of a question with many variants: told at once, before the larger ones are built, kept by Ctrl-C."""

from __future__ import annotations

from typing import Any

import pytest

from placement import optimize
from placement.kinds import looks
from placement.kinds.asked import ask
from placement.kinds.base import Task
from placement.kinds.looks import Looks
from placement.search.stop import Progress

HOSTS: dict[str, Any] = {
    "model": "llama-3.1-70b",
    "objective": "throughput",
    "copies": 1,
    "workload": {"prompt_tokens": 256, "output_tokens": 64, "concurrency": 8},
    "nodes": [{"name": f"h{k}", "device": "a100-80gb-sxm", "count": 4, "host": f"h{k}"} for k in range(2)],
    "network": {"default": "infiniband-hdr"},
}


def test_the_first_plan_comes_before_the_tables_of_large_questions() -> None:
    """The question with fewest nodes is looked at first; no other one has tables when its plan is told."""
    tasks = ask(None, HOSTS).tasks()
    built: list[list[int]] = []

    def told(progress: Progress) -> None:
        assert progress.violation == 0
        built.append([task.size for task in tasks if "problem" in vars(task)])

    ordered = Looks(10.0, told).most_promising(tasks)
    assert built == [[min(task.size for task in tasks)]]
    assert {id(task) for task in ordered} == {id(task) for task in tasks}


def test_an_interruption_after_the_first_plan_keeps_it() -> None:
    """Ctrl-C while questions are looked at: a plan that was told is there in the end, and no bound is claimed."""

    def told(_: Progress) -> None:
        if not seen:
            seen.append(True)
            raise KeyboardInterrupt

    seen: list[bool] = []
    plan = optimize(None, HOSTS, time_limit=20, progress=told).plan
    assert plan.status == "interrupted"
    assert plan.placement
    assert plan.objective.bound is None


def test_an_interruption_before_any_plan_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing was seen yet, there is nothing to answer."""

    def interrupted(_: Task) -> tuple[float, float]:
        raise KeyboardInterrupt

    monkeypatch.setattr(looks, "promise", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Looks(10.0).most_promising(ask(None, HOSTS).tasks())
