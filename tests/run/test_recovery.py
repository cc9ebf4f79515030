"""A run knows no kind of plan: what finds the next one is a function that workers import by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from placement.errors import InputError
from placement.kinds.pipeline.replan import replan
from placement.plan.plan import Plan
from placement.question.request import Request
from placement.run.control import RunError
from placement.run.heartbeat import Notices
from placement.run.job import Job, cluster_to_data
from placement.run.process_map import ProcessMap
from placement.run.recovery import Recovery, Replan, function_of, name_of
from tests.run.tiny_models import plan_by_hand, small_cluster

PLAN = plan_by_hand(("a", 0, 2), ("b", 2, 6))
ASKED: list[tuple[Request, Sequence[str]]] = []


@dataclass(frozen=True)
class Answer:
    """A plan, and nothing to load."""

    plan: Plan
    moved_bytes: float = 0.0


def same_plan(plan: Plan, model: None, request: Request, /, *, lost: Sequence[str], time_limit: float) -> Answer:
    """Answer with the running plan, and note what was asked."""
    ASKED.append((request, lost))
    return Answer(plan)


@pytest.mark.parametrize("function", [same_plan, replan])
def test_functions_are_found_by_their_names(function: Replan) -> None:
    """Name and function are inverse."""
    assert function_of(name_of(function)) is function


def test_functions_without_a_name_are_refused() -> None:
    """A nested function cannot be imported by another process; a name of nothing says what was expected."""

    def nested(*_: Any, **__: Any) -> Answer:
        return Answer(PLAN)

    with pytest.raises(InputError, match="can import"):
        name_of(nested)
    for name in ("nothing", "placement.nothing:here", "placement.run.job:nothing"):
        with pytest.raises(InputError, match="expected module:function"):
            function_of(name)


def test_planning_anew_needs_the_cluster() -> None:
    """It is refused before anything starts."""
    with pytest.raises(InputError, match="cluster"):
        Job(PLAN, "m", ((1,),), 1, replan=name_of(same_plan))


def test_the_function_is_asked_for_the_job_without_the_lost(tiny_model: Any) -> None:
    """It gets the workload of the job, whether the plan goes back and forth, and the lost nodes."""
    ASKED.clear()
    folder: Path = tiny_model("llama")
    plan = plan_by_hand(("a", 0, 2), ("b", 2, 3), ("a", 3, 6))
    cluster = cluster_to_data(small_cluster(2))
    job = Job(plan, str(folder), ((1, 2, 3), (4,)), 5, replan=name_of(same_plan), cluster=cluster)
    assert Recovery(job).next_plan(plan, ["b"]).plan is plan
    request, lost = ASKED[0]
    assert list(lost) == ["b"]
    assert (request.workload.prompt_tokens, request.workload.output_tokens, request.workload.concurrency) == (3, 5, 2)
    assert not request.constraints.contiguous


def test_a_process_for_every_node_and_perhaps_one_for_the_client() -> None:
    """With one process fewer, the first node hosts the client; other numbers are refused."""
    job = Job(PLAN, "m", ((1,),), 1)
    apart, together = [ProcessMap.of(job, uid, 3) for uid in range(3)], [ProcessMap.of(job, uid, 2) for uid in range(2)]
    assert [(here.node, here.is_client) for here in apart] == [("a", False), ("b", False), ("", True)]
    assert [(here.node, here.is_client) for here in together] == [("a", True), ("b", False)]
    assert together[0].ranks([0, 1]) == [0, 1, 0]
    assert apart[0].ranks([0, 2]) == [0, -1, 1]
    with pytest.raises(RunError, match=r"2 processes \(or 3.*got 4"):
        ProcessMap.of(job, 0, 4)


def test_notices_interrupt_and_wake() -> None:
    """A lost node, a newer plan and the end each interrupt the work on a plan, and wake the main thread."""
    woken: list[int] = []
    notes: list[Callable[[Notices], None]] = [
        lambda notices: notices.on_lost("a", "why"),
        lambda notices: notices.on_plan(1),
        lambda notices: notices.on_end(),
    ]
    for note in notes:
        notices = Notices(lambda: woken.append(1))
        assert not notices.interrupt(0)
        note(notices)
        assert notices.interrupt(0)
    assert len(woken) == 3
