"""The next plan of a run that has lost workers. How to plan is given in from above: a run knows no kind of plan."""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

from ..errors import InputError
from ..plan.plan import Plan
from ..question.request import Constraints, Request
from ..question.workload import Workload
from ..readers.models.read import read_model
from .chains import pipeline_of
from .gguf_to_folder import checkpoint_folder
from .job import Job, cluster_from_data

SEARCH_S = 0.3
"""The others wait meanwhile: a good plan now is worth more than a better one later."""


class NextPlan(Protocol):
    """What a search for the next plan must tell."""

    @property
    def plan(self) -> Plan:
        """The plan to go on with."""
        ...

    @property
    def moved_bytes(self) -> float:
        """Bytes of weights that nodes must load for it."""
        ...


class Replan(Protocol):
    """Finds the next plan: `placement.kinds.pipeline.replan.replan_at_once`, or a function like it.

    It is called with the running plan, None (the request has the model), the request, and by name `lost` (nodes that
    are gone) and `time_limit` (seconds). It raises `InfeasibleError` or `NotFoundError` when no plan of the remaining
    nodes was found.
    """

    def __call__(
        self, plan: Plan, model: None, request: Request, /, *, lost: Sequence[str], time_limit: float
    ) -> NextPlan:
        """Return the next plan."""
        ...


def name_of(function: Replan) -> str:
    """Return ``module:name`` of a function: workers are other processes and import it by that name.

    Raises
    ------
    InputError
        It cannot be imported by name: a lambda, a nested function, one of the script that runs.
    """
    name = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"
    try:
        if name.startswith("__main__:") or pkgutil.resolve_name(name) is not function:
            raise ValueError(name)
    except (ValueError, ImportError, AttributeError):
        raise InputError("expected a function that other processes can import from its module", "replan") from None
    return name


def function_of(name: str) -> Replan:
    """Import what `name_of` named."""
    try:
        return cast(Replan, pkgutil.resolve_name(name))
    except (ValueError, ImportError, AttributeError) as error:
        raise InputError(f"expected module:function, got {name!r} ({error})", "replan") from None


class Recovery:
    """Plans anew for a job.

    Parameters
    ----------
    job : Job
        With a cluster and the name of the function that plans.
    """

    def __init__(self, job: Job) -> None:
        assert job.cluster is not None
        self._replan = function_of(job.replan)
        longest = max(len(prompt) for prompt in job.prompts)
        flying = min(len(job.prompts), job.in_flight * job.micro_batch or len(job.prompts))
        # A plan that goes back and forth may go on doing so.
        nodes = [span.node for span in pipeline_of(job.plan)]
        self._request = Request(
            read_model(checkpoint_folder(Path(job.model))),
            cluster_from_data(job.cluster),
            Workload(longest, job.tokens, flying),
            constraints=Constraints(contiguous=len(set(nodes)) == len(nodes)),
        )

    def rehearse(self, plan: Plan) -> None:
        """Plan once with nobody lost: what is compiled and loaded on first use is there when every second counts."""
        self.next_plan(plan, [])

    def next_plan(self, plan: Plan, lost: Sequence[str]) -> NextPlan:
        """Return a plan for the nodes that are left; raise `InfeasibleError` when they cannot hold the model."""
        return self._replan(plan, None, self._request, lost=lost, time_limit=SEARCH_S)
