"""An objective made of terms: one term, a weighted sum, limits beside it, or several objectives at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

# Order of the terms in every term vector. All are minimised; throughput is kept as seconds per token.
TERMS = ("latency", "ttft", "request_time", "throughput", "price", "energy", "bottleneck")
UNITS = {
    "latency": "s/token",
    "ttft": "s",
    "request_time": "s",
    "throughput": "tokens/s",
    "price": "$/h",
    "energy": "J/token",
    "bottleneck": "s",
}
# Names under which a limit is written, and the term that each one bounds.
LIMITS = {
    "time_per_token": "latency",
    "latency": "latency",
    "ttft": "ttft",
    "request_time": "request_time",
    "throughput": "throughput",
    "price": "price",
    "energy": "energy",
    "bottleneck": "bottleneck",
}
MAXIMISED = frozenset({"throughput"})


@dataclass(frozen=True, slots=True)
class Objective:
    """What is minimised.

    Attributes
    ----------
    weights : mapping of str to float
        Term names and their weights, in the terms' own units; throughput in a mix counts as its inverse, seconds
        per token.
    limits : mapping of str to float
        Largest value allowed for a term in its own unit; for throughput the smallest tokens/s allowed.
    pareto : tuple of str
        Several terms to trade against each other (``weights`` then rank the plans that single-objective parts see).
    """

    weights: Mapping[str, float] = field(default_factory=lambda: {"latency": 1.0})
    limits: Mapping[str, float] = field(default_factory=dict)
    pareto: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.weights:
            raise ValueError("expected at least one objective")
        for name, weight in self.weights.items():
            if name not in TERMS:
                raise ValueError(f"unknown objective '{name}' (known: {', '.join(TERMS)})")
            if not (np.isfinite(weight) and weight > 0):
                raise ValueError(f"expected a positive weight for '{name}', got {weight}")
        for name, value in self.limits.items():
            if name not in TERMS:
                raise ValueError(f"unknown limit '{name}' (known: {', '.join(TERMS)})")
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"expected a positive limit for '{name}', got {value}")

    @classmethod
    def of(
        cls, spec: str | Sequence[str] | Mapping[str, float] | Objective, limits: Mapping[str, float] | None = None
    ) -> Objective:
        """Build an objective from a name, several names (a Pareto front), weights, or an objective."""
        if isinstance(spec, Objective):
            return cls(spec.weights, {**spec.limits, **(limits or {})}, spec.pareto)
        if isinstance(spec, str):
            spec = [part.strip() for part in spec.split(",")]
        if isinstance(spec, Mapping):
            return cls(dict(spec), dict(limits or {}))
        names = tuple(spec)
        return cls({names[0]: 1.0} if names else {}, dict(limits or {}), names if len(names) > 1 else ())

    @property
    def name(self) -> str:
        """A name for people and for JSON."""
        if self.pareto:
            return ",".join(self.pareto)
        if len(self.weights) == 1:
            return next(iter(self.weights))
        return " + ".join(f"{weight:g} {name}" for name, weight in self.weights.items())

    @property
    def single(self) -> str | None:
        """The term's name when the objective is one term."""
        return next(iter(self.weights)) if len(self.weights) == 1 else None

    @property
    def maximised(self) -> bool:
        """True when people read the value as 'more is better'."""
        return self.single in MAXIMISED

    def weight_vector(self) -> npt.NDArray[np.float64]:
        """Weights in the order of `TERMS`."""
        return np.array([self.weights.get(name, 0.0) for name in TERMS])

    def limit_vector(self) -> npt.NDArray[np.float64]:
        """Largest value of each term in the order of `TERMS` (throughput as seconds per token); infinite when free."""
        limits = [self.limits.get(name, np.inf) for name in TERMS]
        index = TERMS.index("throughput")
        limits[index] = 1.0 / self.limits["throughput"] if "throughput" in self.limits else np.inf
        return np.array(limits)

    def value(self, cost: float) -> float:
        """Turn a minimised cost into the value that people read (tokens/s for throughput)."""
        if self.maximised:
            return 1.0 / (cost / self.weights["throughput"]) if cost > 0 else np.inf
        return cost
