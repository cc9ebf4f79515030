"""Response times in simulation: hand-computed cases, and both bounds."""

from __future__ import annotations

import numpy as np
import pytest

from objectives.sessions.chains import response_bounds
from placement.simulate.sessions import responses, traffic


def test_fastest_free_chain_by_hand() -> None:
    """Two chains of one slot, 1 s and 3 s: the second session goes to the slow one, the third waits."""
    arrivals, sizes = np.array([0.0, 0.1, 0.2]), np.ones(3)
    times = responses([3.0, 1.0], [1, 1], arrivals, sizes)
    assert times == pytest.approx([1.0, 3.0, 1.8])


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_simulation_lies_within_the_bounds(load: float) -> None:
    """Join the fastest free chain: the mean lies between both birth-death bounds, up to noise."""
    seconds, capacities = [1.0, 2.0, 5.0], [3, 2, 4]
    arrivals_per_s = load * sum(c / s for c, s in zip(capacities, seconds, strict=True))
    lower, upper = response_bounds(seconds, capacities, arrivals_per_s)
    mean = np.mean([responses(seconds, capacities, *traffic(arrivals_per_s, seed)).mean() for seed in range(4)])
    assert 0.98 * lower <= mean <= 1.02 * upper
