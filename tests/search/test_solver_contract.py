"""Every solver of the list keeps the contract that third-party solvers inherit."""

from __future__ import annotations

import pytest

from placement.registry import SOLVERS
from placement.search.solver import Solver
from placement.testing import SolverContract


@pytest.mark.parametrize("name", SOLVERS, scope="class")
class TestEverySolver(SolverContract):
    """One class for all."""

    @pytest.fixture(autouse=True)
    def _named(self, name: str) -> None:
        self.name = name

    def solver(self) -> Solver:
        """The solver whose turn it is."""
        return SOLVERS[self.name].make()
