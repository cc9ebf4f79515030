"""Questions that compete: what the best answer of several says of all of them."""

from __future__ import annotations

from typing import Any

import pytest

from placement import optimize
from placement.contest import Race
from placement.kinds.asked import ask
from placement.optimize import Result
from placement.search.stop import StoppedBy

TINY: dict[str, Any] = {
    "model": {
        "blocks": [
            {"name": "embed", "weights": "1 GB", "activation_per_token": "8 kB"},
            {"name": "layer", "repeat": 2, "weights": "1 GB"},
        ]
    },
    "nodes": [{"name": "a", "memory": "8 GiB", "decode_seconds_per_block": 0.001, "prefill_seconds_per_block": 0.002}],
}


@pytest.fixture(scope="module")
def answered() -> Result:
    """The proven answer to a question of its own."""
    result = optimize(None, TINY, time_limit=5)
    assert result.stopped_by is StoppedBy.OPTIMAL
    return result


@pytest.mark.parametrize(
    ("bound", "ended"),
    [(1.0, StoppedBy.OPTIMAL), (0.5, StoppedBy.EXHAUSTED), (None, StoppedBy.EXHAUSTED)],
)
def test_only_a_proven_optimum_is_called_one(answered: Result, bound: float | None, ended: StoppedBy) -> None:
    """The winner's own question may be solved; another one, whose bound is lower or unknown, may hold a better plan."""
    value = answered.plan.objective.value
    race = Race(ask(None, TINY).wish.objective, [answered])
    race.bounds = [value, None if bound is None else bound * value]
    result = race.result()
    assert result.plan.objective.proven_optimal == (bound == 1.0)
    assert result.stopped_by is ended
    assert result.plan.stopped_by == ended.name.lower()
