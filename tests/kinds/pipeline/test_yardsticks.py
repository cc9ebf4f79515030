"""Yardsticks show today's splits as they are."""

from __future__ import annotations

import pytest

from placement import NotFoundError, optimize

LAYER = {"name": "layer", "repeat": 10, "weights": "1 GiB", "activation_per_token": "8 KiB"}
CLUSTER = {
    "model": {"name": "ten", "blocks": [LAYER]},
    "nodes": [
        {"name": "big", "memory": "12 GiB", "decode_seconds_per_block": 0.01, "prefill_seconds_per_block": 0.1},
        {"name": "slow", "memory": "6 GiB", "decode_seconds_per_block": 0.03, "prefill_seconds_per_block": 0.1},
    ],
    "network": {"within": {"default": {"bandwidth": "1 Gbit/s", "latency": "1 ms"}}},
}


def counts(solver: str) -> list[int]:
    return [span.stop - span.start for span in optimize(None, CLUSTER, solver=solver).plan.placement]


def test_splits_by_hand() -> None:
    """Equal counts; shares of memory 12:6 and of speed 3:1; the first node filled."""
    assert counts("uniform") == [5, 5]
    assert counts("by_memory") == [7, 3]
    assert counts("by_speed") == [8, 2]
    assert counts("first_fit") == [10]
    assert counts("auto") == [10]


@pytest.mark.parametrize("solver", ["uniform", "by_memory", "by_speed"])
def test_a_split_that_does_not_fit_says_so(solver: str) -> None:
    """No better start takes the place of a yardstick's own split."""
    tight = {**CLUSTER, "limits": {"time_per_token": "110 ms"}}
    with pytest.raises(NotFoundError, match=r"latency .* breaks the limit 110 ms"):
        optimize(None, tight, solver=solver)
