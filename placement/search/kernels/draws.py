"""Random numbers that the moves of every encoding draw."""

from __future__ import annotations

from . import inner


@inner
def below(rng, n):  # type: ignore[no-untyped-def]
    """Return a whole number in [0, n)."""
    return min(int(rng.random() * n), n - 1)


@inner
def step_size(rng, most):  # type: ignore[no-untyped-def]
    """Return a step of 1 .. most, mostly small."""
    size = 1
    while size < most and rng.random() < 0.5:
        size += 1 + below(rng, size)
    return min(size, most)
