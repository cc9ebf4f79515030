"""Plans of either kind from a JSON file: its key `kind` says which."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import InputError
from .plan import Plan

if TYPE_CHECKING:
    from .replicated.plan import ReplicatedPlan


def load_plan(path: str | Path) -> Plan | ReplicatedPlan:
    """Read what `placement solve` wrote."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(error.strerror or str(error), str(path)) from None
    except ValueError as error:
        raise InputError(f"not a JSON file ({error})", str(path)) from None
    try:
        return plan_from(data)
    except InputError as error:
        raise error.under(str(path)) from None


def plan_from(data: Any) -> Plan | ReplicatedPlan:
    """Build a plan of either kind from plain data."""
    if not isinstance(data, Mapping):
        raise InputError("expected a JSON object")
    if data.get("kind", "pipeline") == "replicated":
        from .replicated.plan import ReplicatedPlan

        return ReplicatedPlan.from_dict(data)
    return Plan.from_dict(data)


def load_pipeline(path: str | Path) -> Plan:
    """Read a plan that must be a pipeline: for commands that run or replan one."""
    plan = load_plan(path)
    if not isinstance(plan, Plan):
        raise InputError("expected a pipeline; this plan holds blocks several times (kind: replicated)", str(path))
    return plan
