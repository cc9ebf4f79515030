"""Numbers of an answer: a figure without a value is left out, and an answer without a value is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from placement.errors import InputError
from placement.plan.plan import Figures, FrontPoint, ObjectiveValue, PlacedSpan, Plan
from placement.plan.values import ensure_finite


def plan_of(value: float, status: str = "solved") -> Plan:
    """A plan of one node whose flow is 0 and whose seconds are not finite."""
    spans = (PlacedSpan("a", 0, 3),)
    figures = Figures(flow_tokens_per_s=0.0, time_per_token_s=math.inf, ttft_s=math.nan)
    return Plan(
        status=status,
        model="m",
        n_blocks=3,
        block_names=(),
        placement=spans,
        objective=ObjectiveValue("latency", value, "s/token", "minimize", None, None, False),
        figures=figures,
        pareto=(FrontPoint({"flow": 0.0}, spans, figures),),
    )


def test_figures_without_a_value_are_left_out(tmp_path: Path) -> None:
    """A document has no null among its figures, and reads back."""
    path = tmp_path / "plan.json"
    plan_of(1.0).save(path)
    data = json.loads(path.read_text())
    assert data["figures"] == data["pareto"][0]["figures"] == {"flow_tokens_per_s": 0.0}
    assert Plan.load(path).figures == {"flow_tokens_per_s": 0.0}


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_an_answer_has_a_value(value: float) -> None:
    """Only a layout that breaks a rule may be without one."""
    with pytest.raises(InputError, match="no finite number"):
        ensure_finite(plan_of(value))
    ensure_finite(plan_of(value, "infeasible"))
    ensure_finite(plan_of(1.0))
    assert replace(plan_of(value), status="infeasible").to_dict()["objective"]["value"] is None
