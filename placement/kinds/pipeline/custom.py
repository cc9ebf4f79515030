"""A custom objective in plain Python under the same search loops: methods instead of kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .kernels.moves import pipeline_crossover, pipeline_neighbour
from .kernels.split import pipeline_from_keys

if TYPE_CHECKING:
    from .problem import PipelineProblem


@dataclass(frozen=True)
class PythonData:
    """Duck-typed data of the loops (see `kernels/encoding.py`): moves are compiled, scores are not."""

    problem: PipelineProblem
    packed: Any

    def evaluate(self, genome: Any) -> tuple[float, float]:
        """Score one genome with the custom objective."""
        costs, violations = self.problem.evaluate(genome[None, :])
        return float(costs[0]), float(violations[0])

    def neighbour(self, genome: Any, rng: Any, out: Any) -> None:
        """Write a neighbour."""
        pipeline_neighbour(genome, self.packed, rng, out)

    def crossover(self, first: Any, second: Any, rng: Any, out: Any) -> None:
        """Write a child."""
        pipeline_crossover(first, second, self.packed, rng, out)

    def from_keys(self, keys: Any, out: Any) -> None:
        """Decode random keys; the split is optimal for the built-in terms and a start for the custom one."""
        pipeline_from_keys(keys, self.packed, out)
