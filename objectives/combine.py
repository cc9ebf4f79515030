"""An objective made of terms: one term, a weighted sum, limits beside it, or several objectives at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class TermSet:
    """The terms of one kind of placement.

    Attributes
    ----------
    names : tuple of str
        Order of the terms in every term vector. All are minimised.
    units : mapping of str to str
        Unit of each value that people read.
    limits : mapping of str to str
        Names under which a limit is written, and the term that each one bounds.
    inverse : frozenset of str
        Terms of which more is better, kept as 1 / value: throughput as seconds per token.
    complement : frozenset of str
        Probabilities of which more is better, kept as 1 - value.
    aliases : mapping of str to str
        Other names for terms.
    figures : mapping of str to str
        Terms and the figures of a plan that say their values as people read them.
    """

    names: tuple[str, ...]
    units: Mapping[str, str]
    limits: Mapping[str, str]
    inverse: frozenset[str] = frozenset()
    complement: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, str] = field(default_factory=dict)

    @property
    def maximised(self) -> frozenset[str]:
        """Terms that people read as 'more is better'."""
        return self.inverse | self.complement

    def minimised(self, name: str, value: float) -> float:
        """Turn the value that people read into the one that is minimised."""
        if name in self.inverse:
            return 1.0 / value if value > 0 else np.inf
        return 1.0 - value if name in self.complement else value

    def readable(self, name: str, minimised: float) -> float:
        """Turn a minimised value into the one that people read."""
        return self.minimised(name, minimised)


PIPELINE = TermSet(
    names=("latency", "ttft", "request_time", "throughput", "price", "energy", "bottleneck", "decode_rate"),
    units={
        "latency": "s/token",
        "ttft": "s",
        "request_time": "s",
        "throughput": "tokens/s",
        "price": "$/h",
        "energy": "J/token",
        "bottleneck": "s",
        "decode_rate": "tokens/s",
    },
    limits={
        "time_per_token": "latency",
        "latency": "latency",
        "ttft": "ttft",
        "request_time": "request_time",
        "throughput": "throughput",
        "price": "price",
        "energy": "energy",
        "bottleneck": "bottleneck",
        "decode_rate": "decode_rate",
    },
    inverse=frozenset({"throughput", "decode_rate"}),
    figures={
        "latency": "time_per_token_s",
        "ttft": "ttft_s",
        "request_time": "request_time_s",
        "throughput": "tokens_per_s",
        "price": "price_per_hour",
        "energy": "energy_per_token_j",
        "bottleneck": "bottleneck_s",
        "decode_rate": "decode_tokens_per_s",
    },
)
REPLICATED = TermSet(
    names=("throughput", "flow", "latency", "ttft", "best_chain", "replicas", "survival", "price", "moved_bytes"),
    units={
        "throughput": "tokens/s",
        "flow": "tokens/s",
        "latency": "s/token",
        "ttft": "s",
        "best_chain": "s/token",
        "replicas": "holders",
        "survival": "probability",
        "price": "$/h",
        "moved_bytes": "B",
    },
    limits={
        "time_per_token": "latency",
        "latency": "latency",
        "ttft": "ttft",
        "throughput": "throughput",
        "served": "throughput",
        "flow": "flow",
        "best_chain": "best_chain",
        "replicas": "replicas",
        "survival": "survival",
        "price": "price",
        "moved_bytes": "moved_bytes",
    },
    inverse=frozenset({"throughput", "flow", "replicas"}),
    complement=frozenset({"survival"}),
    aliases={"served": "throughput"},
    figures={
        "throughput": "served_tokens_per_s",
        "flow": "flow_tokens_per_s",
        "latency": "light_time_per_token_s",
        "ttft": "light_ttft_s",
        "best_chain": "best_chain_s",
        "replicas": "min_holders",
        "survival": "survival",
        "price": "price_per_hour",
        "moved_bytes": "moved_bytes",
    },
)
SESSIONS = TermSet(
    names=("rate", "response"),
    units={"rate": "sessions/s", "response": "s"},
    limits={"rate": "rate", "response": "response"},
    inverse=frozenset({"rate"}),
    figures={"rate": "rate_per_s", "response": "response_simulated_s"},
)
TERMS = PIPELINE.names
UNITS = PIPELINE.units
LIMITS = PIPELINE.limits
RATES = ("throughput", "decode_rate")  # of pipelines: what few other terms can be bounded together with


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
    terms : TermSet
        What the names mean: the terms of pipelines, or those of another kind.
    label : str
        Name of the plain function that is minimised instead, where there is one: the weights then say nothing.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: {"latency": 1.0})
    limits: Mapping[str, float] = field(default_factory=dict)
    pareto: tuple[str, ...] = ()
    terms: TermSet = PIPELINE
    label: str = ""

    def __post_init__(self) -> None:
        if not self.weights:
            raise ValueError("expected at least one objective")
        for name, weight in self.weights.items():
            if name not in self.terms.names:
                raise ValueError(f"unknown objective '{name}' (known: {', '.join(self.terms.names)})")
            if not (np.isfinite(weight) and weight > 0):
                raise ValueError(f"expected a positive weight for '{name}', got {weight}")
        for name, value in self.limits.items():
            if name not in self.terms.names:
                raise ValueError(f"unknown limit '{name}' (known: {', '.join(self.terms.names)})")
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"expected a positive limit for '{name}', got {value}")

    @classmethod
    def of(
        cls,
        spec: str | Sequence[str] | Mapping[str, float] | Objective,
        limits: Mapping[str, float] | None = None,
        terms: TermSet = PIPELINE,
    ) -> Objective:
        """Build an objective from a name, several names (a Pareto front), weights, or an objective."""
        if isinstance(spec, Objective):
            return cls(spec.weights, {**spec.limits, **(limits or {})}, spec.pareto, spec.terms)
        if isinstance(spec, str):
            spec = [part.strip() for part in spec.split(",")]
        limits = {terms.aliases.get(name, name): value for name, value in (limits or {}).items()}
        if isinstance(spec, Mapping):
            return cls({terms.aliases.get(name, name): weight for name, weight in spec.items()}, limits, (), terms)
        names = tuple(terms.aliases.get(name, name) for name in spec)
        weights = {names[0]: 1.0} if names else {}
        return cls(weights, limits, names if len(names) > 1 else (), terms)

    @property
    def name(self) -> str:
        """A name for people and for JSON."""
        if self.label:
            return self.label
        if self.pareto:
            return ",".join(self.pareto)
        if len(self.weights) == 1:
            return next(iter(self.weights))
        return " + ".join(f"{weight:g} {name}" for name, weight in self.weights.items())

    @property
    def single(self) -> str | None:
        """The term's name when the objective is one term."""
        return next(iter(self.weights)) if len(self.weights) == 1 and not self.label else None

    @property
    def maximised(self) -> bool:
        """True when people read the value as 'more is better'."""
        return self.single in self.terms.maximised

    def weight_vector(self) -> npt.NDArray[np.float64]:
        """Weights in the order of the terms."""
        return np.array([self.weights.get(name, 0.0) for name in self.terms.names])

    def limit_vector(self) -> npt.NDArray[np.float64]:
        """Largest minimised value of each term in the order of the terms; infinite when free."""
        limits = self.limits
        return np.array(
            [self.terms.minimised(name, limits[name]) if name in limits else np.inf for name in self.terms.names]
        )

    def value(self, cost: float) -> float:
        """Turn a minimised cost into the value that people read (tokens/s for throughput)."""
        name = self.single
        return self.terms.readable(name, cost / self.weights[name]) if name and self.maximised else cost
