"""The comparison of bounds: none is above a proven optimum, and the summary names the best that is cheap."""

from __future__ import annotations

from benchmarks.quality.bounds import PIPELINES, REPLICATED, measure, summary


def test_bounds_are_bounds() -> None:
    found = measure(("classic", "home-lab-small"), 1)
    assert {row[2] for row in found} == set(PIPELINES)
    assert all(0 <= tight <= 1 + 1e-6 for _, _, _, tight, _ in found)
    by_name = {(row[1], row[2]): row[3] for row in found}
    assert all(
        by_name[row[1], "lower_bound"] >= row[3] * (1 - 1e-6) for row in found if row[2] in ("walks", "covering")
    )


def test_the_summary() -> None:
    rows = [
        ("pipeline", "a", "quick", 0.5, 0.1),
        ("pipeline", "b", "quick", 0.7, 0.1),
        ("pipeline", "a", "slow", 1.0, 0.9),
        ("pipeline", "b", "slow", 1.0, 0.1),
        ("replicated", "c", "work", 0.9, 0.0),
    ]
    text = summary(rows)
    assert "Best under 0.5 s: quick" in text
    assert "| quick | pipeline | 2 of 2 | 0.6000 | 0.500 | 0 |" in text
    assert "| slow | pipeline | 2 of 2 | 1.0000 | 1.000 | 2 |" in text
    assert set(REPLICATED) == {"work", "capped work (default)"}
