"""A problem as the solvers see it: genomes in, scores out. Every kind of plan has one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from objectives.combine import Objective
from objectives.spans import Span

if TYPE_CHECKING:
    from .solver import Solver

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Spans = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """The reference score of a placement: `cost` is minimised, `violation` 0 means feasible."""

    cost: float
    violation: float
    values: FloatArray


class Problem(Protocol):
    """What a solver may know. Genomes are rows of int64; `data` goes to the compiled loops as it is."""

    @property
    def objective(self) -> Objective:
        """What is minimised."""
        ...

    @property
    def data(self) -> Any:
        """What the compiled loops read."""
        ...

    @property
    def compiled(self) -> bool:
        """False when scores need plain Python."""
        ...

    @property
    def genome_size(self) -> int:
        """Length of a genome."""
        ...

    @property
    def n_keys(self) -> int:
        """Length of a vector of random keys."""
        ...

    @property
    def round_scale(self) -> float:
        """How much smaller a solver's rounds must be than those on small pipelines, to take as long."""
        ...

    def starts(self) -> IntArray:
        """Constructive genomes (n, G), the best first."""
        ...

    def random(self, rng: np.random.Generator, n: int) -> IntArray:
        """Random genomes (n, G)."""
        ...

    def evaluate(self, genomes: IntArray) -> tuple[FloatArray, FloatArray]:
        """Costs and violations (n,) of genomes (n, G)."""
        ...

    def terms(self, genomes: IntArray) -> tuple[FloatArray, FloatArray]:
        """Term values (n, T) and violations (n,) of genomes (n, G)."""
        ...

    def to_keys(self, genome: IntArray) -> FloatArray:
        """Random keys (n_keys,) that decode to a genome like this one."""
        ...

    def encode(self, spans: Sequence[Span]) -> IntArray:
        """Spans to a genome."""
        ...

    def decode(self, genome: IntArray) -> Spans:
        """A genome to spans."""
        ...

    def score(self, spans: Sequence[Span]) -> Score:
        """Score by the reference code."""
        ...

    def portfolio(self) -> Solver:
        """The mix of solvers that "auto" stands for here."""
        ...

    def lower_bound(self) -> float:
        """A proven lower bound on the cost, minus infinity for none."""
        ...
