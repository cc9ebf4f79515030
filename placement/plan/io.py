"""Plans of either kind from a JSON file: its key `kind` says which."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..files import read_json
from .plan import Plan

if TYPE_CHECKING:
    from ..kinds.replicated.plan import ReplicatedPlan


def load_plan(path: str | Path) -> Plan | ReplicatedPlan:
    """Read what `placement solve` wrote."""
    data = read_json(path)
    try:
        return plan_from(data)
    except InputError as error:
        raise error.under(str(path)) from None


def plan_from(data: Any) -> Plan | ReplicatedPlan:
    """Build a plan of either kind from plain data."""
    if not isinstance(data, Mapping):
        raise InputError("expected a JSON object")
    if data.get("kind", "pipeline") == "replicated":
        from ..kinds.replicated.plan import ReplicatedPlan

        return ReplicatedPlan.from_dict(data)
    return Plan.from_dict(data)


def load_pipeline(path: str | Path) -> Plan:
    """Read a plan that must be a pipeline: for commands that run or replan one."""
    plan = load_plan(path)
    if not isinstance(plan, Plan):
        raise InputError("expected a pipeline; this plan holds blocks several times (kind: replicated)", str(path))
    return plan
