"""The published measurements of the project: the catalog stays as good on them as the docs say, decisions too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.fidelity.decisions import decide, pair_errors, read_decisions
from benchmarks.fidelity.published import FOLDER, main
from placement.costs.intervals import COMPARISON, WIDEST
from placement.profile.measurements import read_measurements
from placement.profile.rates_errors import Residual, residuals


@pytest.fixture(scope="module")
def rows() -> list[Residual]:
    """Residuals of the catalog."""
    return residuals(read_measurements(FOLDER / "published.csv"))


@pytest.mark.parametrize(("figure", "median", "most"), [("generation", 0.12, 0.35), ("prompt", 0.18, 0.60)])
def test_errors_stay_small(rows: list[Residual], figure: str, median: float, most: float) -> None:
    """Median and 90th percentile of the relative errors of all published rates, in sample."""
    errors = [abs(row.error) for row in rows if row.figure == figure]
    assert np.median(errors) < median
    assert np.quantile(errors, 0.9) < most


def test_decisions() -> None:
    """Nine of ten published alternatives are chosen within 10% of the best, at least 30 of them."""
    outcomes = [decide(decision) for decision in read_decisions(FOLDER / "decisions.csv")]
    right = sum(outcome.right for outcome in outcomes)
    assert right >= max(30, 0.9 * len(outcomes))


def test_pairs_of_splits() -> None:
    """From the difference on that counts as one, predictions tell splits of a generation apart in nine of ten pairs."""
    outcomes = [decide(decision) for decision in read_decisions(FOLDER / "decisions.csv")]
    errors = pair_errors(outcomes)["generation"]
    assert len(errors) >= 30
    assert min(errors) >= 1.0
    assert np.quantile(errors, 0.9) <= WIDEST[COMPARISON] + 0.02


def test_every_row_has_a_source(rows: list[Residual]) -> None:
    """Ids are unique, sources and dates are there."""
    cases = {id(row.case): row.case for row in rows}.values()
    assert len({case.row.id for case in cases}) == len(cases)
    assert all(case.row.source and case.row.date[:2] == "20" for case in cases)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of one's own is scored too; pictures are written."""
    text = (FOLDER / "published.csv").read_text().splitlines()
    (tmp_path / "own.csv").write_text("\n".join(text[:8]))
    pytest.importorskip("matplotlib")
    main([str(tmp_path / "own.csv"), "--rows", "--plot", str(tmp_path / "pictures")])
    assert "xd-3080-8b-q4" in capsys.readouterr().out
    assert (tmp_path / "pictures" / "generation.svg").read_text().startswith("<?xml")
