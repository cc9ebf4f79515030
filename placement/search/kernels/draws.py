"""Random numbers that the moves of every encoding draw."""

from __future__ import annotations

from . import inner


@inner
def below(rng, n):
    """Return a whole number in [0, n)."""
    return min(int(rng.random() * n), n - 1)


@inner
def step_size(rng, most):
    """Return a step of 1 .. most, mostly small."""
    size = 1
    while size < most and rng.random() < 0.5:
        size += 1 + below(rng, size)
    return min(size, most)
